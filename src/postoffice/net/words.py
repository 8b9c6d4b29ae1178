"""What an error of the network or of TLS means, in words that a person at a keyboard can use."""

from __future__ import annotations

import os
import re
import ssl

_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "UNEXPECTED_MESSAGE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL"})
"""How OpenSSL calls an answer that is not TLS at all."""

_NUMBER = r"\[Errno ([0-9]+)\]"
"""So an event loop tells of several addresses that it tried, in one text."""


def in_words(error: BaseException) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case ssl.SSLError(reason=str(reason)) if reason in _NO_TLS:
            return "what answers there does not speak TLS"
        case ssl.SSLError(reason=str(reason)):
            return f"TLS failed: {reason.lower().replace('_', ' ')}"
        case OSError(errno=int(number)) if number > 0 and not isinstance(error, ssl.SSLError):
            return os.strerror(number)  # what an event loop writes there names its own calls
        case OSError(strerror=str(said)) if said:
            return said
        case OSError() if numbers := re.findall(_NUMBER, str(error)):
            return ", ".join(dict.fromkeys(os.strerror(int(number)) for number in numbers))
        case TimeoutError():
            return "no answer in time"
        case _:
            return str(error) or type(error).__name__
