"""What an error of the network or of TLS means, in words that a person at a keyboard can use."""

from __future__ import annotations

import ssl

_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "UNEXPECTED_MESSAGE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL"})
"""How OpenSSL calls an answer that is not TLS at all."""


def in_words(error: BaseException) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case ssl.SSLError(reason=str(reason)) if reason in _NO_TLS:
            return "what answers there does not speak TLS"
        case ssl.SSLError(reason=str(reason)):
            return f"TLS failed: {reason.lower().replace('_', ' ')}"
        case OSError(strerror=str(said)) if said:
            return said
        case TimeoutError():
            return "no answer in time"
        case _:
            return str(error) or type(error).__name__
