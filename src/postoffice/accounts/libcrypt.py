"""crypt(3) of this system: what made the hashes of old servers checks them, yescrypt's too where it knows it.

It works without Python's lock, so a loop in another thread goes on meanwhile; what it costs is written in each hash,
and whoever takes one in has looked at that before.
"""

from __future__ import annotations

import hmac
from ctypes import CDLL, c_char_p, create_string_buffer
from functools import cache
from typing import Any, Final

LIBRARIES: Final = ("libcrypt.so.1", "libcrypt.so.2", None)
"""libxcrypt and glibc under both their names, and the program itself: musl has it among everything else."""

DATA_OCTETS: Final = 256 * 1024
"""Room for the `struct crypt_data` of any of them; the largest is glibc's, with 131,232."""

SAMPLES: Final = {
    "MD5-CRYPT": "$1$ab$",
    "SHA256-CRYPT": "$5$rounds=1000$ab$",
    "SHA512-CRYPT": "$6$rounds=1000$ab$",
    "BLF-CRYPT": "$2y$04$abcdefghijklmnopqrstuu",
    "YESCRYPT": "$y$j75$F5Jx5fExrKuPp53xLKQ..1$",
    "DES-CRYPT": "ab",
}
"""A cheap setting for each scheme."""


@cache
def knows(scheme: str) -> bool:
    """Whether this system can check hashes of a scheme of `SAMPLES`."""
    setting = SAMPLES[scheme].encode()
    return _crypt(b"", setting).startswith(setting)


def fits(hashed: str, password: bytes) -> bool:
    """Whether a hash is this password's. A password with NUL, or one too long for the library, is nobody's."""
    if b"\0" in password:
        return False
    wanted = hashed.encode()
    return hmac.compare_digest(_crypt(password, wanted), wanted)


def _crypt(password: bytes, setting: bytes) -> bytes:
    """The hash; empty if this system makes none."""
    crypt_r = _library()
    made = crypt_r(password, setting, create_string_buffer(DATA_OCTETS)) if crypt_r else None
    return bytes(made or b"")


@cache
def _library() -> Any:
    """`crypt_r` itself, None where there is none."""
    for name in LIBRARIES:
        try:
            crypt_r = CDLL(name).crypt_r
        except (OSError, AttributeError):
            continue
        crypt_r.argtypes = [c_char_p, c_char_p, c_char_p]
        crypt_r.restype = c_char_p
        return crypt_r
    return None
