"""Whose a client's certificate is: the mail addresses in it, or the one that the settings give to its fingerprint.

TLS has believed it already: an authority that the settings name has signed it. An address stands in it as an
rfc822Name (RFC 5280 §4.2.1.6) or, where it is not ASCII, as a SmtpUTF8Mailbox (RFC 9598).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from cryptography import x509

from postoffice.errors import Refusal
from postoffice.message.address import parse_address

_UTF8_MAILBOX: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9")
_UTF8_STRING: Final = 0x0C
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")


def addresses(certificate: bytes, named: Mapping[str, str], now: float) -> list[str]:
    """The addresses of a certificate (DER) as the directory spells them; none where it is over.

    `named` are the addresses of single certificates by their SHA-256, which go before what stands in them.
    """
    try:
        read = x509.load_der_x509_certificate(certificate)
        if not read.not_valid_before_utc.timestamp() <= now <= read.not_valid_after_utc.timestamp():
            return []
        by_hash = {fingerprint(text): address for text, address in named.items()}
        written = by_hash.get(hashlib.sha256(certificate).hexdigest())
        texts = [written] if written else _written(read)
    except ValueError:
        return []
    found = [_normalized(text) for text in texts]
    return list(dict.fromkeys(address for address in found if address))


def fingerprint(text: str) -> str:
    """A SHA-256 as we compare it: programs write it with colons, and in capitals. ValueError: it is none."""
    plain = text.replace(":", "").lower()
    if not _FINGERPRINT.fullmatch(plain):
        raise ValueError("a SHA-256 fingerprint has 64 hexadecimal digits")
    return plain


def _written(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    texts = list(names.get_values_for_type(x509.RFC822Name))
    others = [name.value for name in names.get_values_for_type(x509.OtherName) if name.type_id == _UTF8_MAILBOX]
    return texts + [text for text in map(_utf8_string, others) if text]


def _utf8_string(der: bytes) -> str:
    """The text of a DER UTF8String shorter than 128 octets, or with one octet that tells its length."""
    begin = 3 if der[1:2] == b"\x81" else 2
    if not der or der[0] != _UTF8_STRING or len(der) < begin or der[begin - 1] != len(der) - begin:
        return ""
    return der[begin:].decode("utf-8", "replace")


def _normalized(text: str) -> str:
    try:
        return parse_address(text).normalized()
    except Refusal:
        return ""
