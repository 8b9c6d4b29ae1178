"""How other servers keep passwords: Dovecot's schemes, which are also those of crypt(3) and of LDAP.

Each is read once, when a hash is taken in, and checked later. Hashes come from files that others wrote: one that would
cost more than about a second to check is not taken.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import argon2

from postoffice.accounts import libcrypt

ROUNDS: Final = 1_000_000
"""Of SHA-crypt, PBKDF2 and SCRAM: 0.2 s. Servers use 1,000 to 600,000."""
BLOWFISH_COST: Final = 14
"""0.7 s. Servers use 5 to 12."""
MEMORY_OCTETS: Final = 256 * 1024 * 1024
"""Of yescrypt and Argon2. Debian's yescrypt uses 16 MiB, Dovecot's Argon2id 64."""
ARGON2_OCTETS: Final = 1024 * 1024 * 1024
"""The memory of Argon2 in all its passes together: 1 s."""
ARGON2_LANES: Final = 16


class Scheme(NamedTuple):
    """`read` gives a hash as it will be kept; a ValueError says in what way it is none. `fits` checks it later."""

    read: Callable[[str], str]
    fits: Callable[[str, bytes], bool]


def read(scheme: str, text: str, encoding: str = "") -> str:
    """A hash as it will be kept. `encoding` is what `b64`, `base64` or `hex` behind a scheme's name says.

    A ValueError says why it is not taken, in words that tell nothing of the hash.
    """
    if scheme in _DIGESTS:
        return _read_digest(scheme, text, encoding)
    if scheme not in _SCHEMES:
        raise ValueError(f"{scheme} is no scheme that is known here")
    return _SCHEMES[scheme].read(decoded(text, encoding).decode() if encoding else text)


def fits(scheme: str, kept: str, password: bytes) -> bool:
    """Whether a hash that `read` gave is this password's. May cost a second."""
    return scheme in _SCHEMES and _SCHEMES[scheme].fits(kept, password)


def recognized(text: str) -> str:
    """The scheme of a hash that begins with its name, or has none as DES-crypt's."""
    for beginning, scheme in _BEGINNINGS.items():
        if text.startswith(beginning):
            return scheme
    if _CRYPTS["DES-CRYPT"].fullmatch(text):
        return "DES-CRYPT"
    raise ValueError("this is no hash that is known here")


def decoded(text: str, encoding: str) -> bytes:
    """What stands there in hexadecimal or base64."""
    try:
        if encoding == "hex":
            return bytes.fromhex(text)
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise ValueError(f"it is not written in {'hexadecimal' if encoding == 'hex' else 'base64'}") from None


# --- those of crypt

_B64 = "[./0-9A-Za-z]"
_CRYPTS: Final = {
    "MD5-CRYPT": re.compile(rf"\$1\$[^$:\s]{{0,8}}\${_B64}{{22}}"),
    "SHA256-CRYPT": re.compile(rf"\$5\$(?:rounds=([0-9]{{1,9}})\$)?[^$:\s]{{0,16}}\${_B64}{{43}}"),
    "SHA512-CRYPT": re.compile(rf"\$6\$(?:rounds=([0-9]{{1,9}})\$)?[^$:\s]{{0,16}}\${_B64}{{86}}"),
    "BLF-CRYPT": re.compile(rf"\$2[aby]\$([0-9]{{2}})\${_B64}{{53}}"),
    "YESCRYPT": re.compile(rf"\$y\$j({_B64})({_B64})\${_B64}{{1,86}}\${_B64}{{43}}"),
    "DES-CRYPT": re.compile(rf"{_B64}{{13}}"),
}
_BEGINNINGS: Final = {
    "$1$": "MD5-CRYPT",
    "$5$": "SHA256-CRYPT",
    "$6$": "SHA512-CRYPT",
    "$2": "BLF-CRYPT",
    "$y$": "YESCRYPT",
    "$argon2id$": "ARGON2ID",
    "$argon2i$": "ARGON2I",
}


def _read_crypt(scheme: str, text: str) -> str:
    found = _CRYPTS[scheme].fullmatch(text)
    if found is None:
        raise ValueError(f"this is no hash of {scheme}")
    match scheme:
        case "SHA256-CRYPT" | "SHA512-CRYPT":
            _bound(int(found[1] or 0), ROUNDS, "rounds")
        case "BLF-CRYPT":
            _bound(int(found[1]), BLOWFISH_COST, "as its cost")
        case "YESCRYPT":
            logarithm, size = (_ALPHABET.index(letter) + 1 for letter in found.groups())
            _bound(128 * size << logarithm, MEMORY_OCTETS, "octets of memory")
    if not libcrypt.knows(scheme):
        raise ValueError(f"this system's libcrypt cannot check hashes of {scheme}")
    return text


_ALPHABET: Final = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _bound(number: int, most: int, of_what: str) -> None:
    if number > most:
        raise ValueError(f"to check it would take too long: {number} {of_what}; at most {most} are taken")


# --- digests


class _Digest(NamedTuple):
    algorithm: str
    is_salted: bool = False


_DIGESTS: Final = {
    "SHA1": _Digest("sha1"),
    "SHA256": _Digest("sha256"),
    "SHA512": _Digest("sha512"),
    "PLAIN-MD5": _Digest("md5"),
    "SMD5": _Digest("md5", is_salted=True),
    "SSHA": _Digest("sha1", is_salted=True),
    "SSHA256": _Digest("sha256", is_salted=True),
    "SSHA512": _Digest("sha512", is_salted=True),
}
"""A digest of the password, or of the password and a salt that stands behind it."""


def _read_digest(name: str, text: str, encoding: str = "") -> str:
    """In base64; what does not say how it is written is hexadecimal if its length says so, as Dovecot has it."""
    algorithm, is_salted = _DIGESTS[name]
    size = hashlib.new(algorithm, usedforsecurity=False).digest_size
    is_hex = encoding == "hex" or (not encoding and not is_salted and len(text) == 2 * size)
    octets = decoded(text, "hex" if is_hex else "base64")
    if len(octets) < size or (len(octets) > size and not is_salted):
        raise ValueError(f"this is no hash of {name}")
    return base64.b64encode(octets).decode()


def _fits_digest(name: str, kept: str, password: bytes) -> bool:
    algorithm, _ = _DIGESTS[name]
    octets = base64.b64decode(kept)
    size = hashlib.new(algorithm, usedforsecurity=False).digest_size
    made = hashlib.new(algorithm, password + octets[size:], usedforsecurity=False).digest()
    return hmac.compare_digest(made, octets[:size])


# --- what is slow by itself


def _read_pbkdf2(text: str) -> str:
    """`$1$salt$rounds$` and twenty octets in hexadecimal: by SHA-1, with the salt as it stands there."""
    found = re.fullmatch(r"\$1\$([^$:\s]{1,64})\$([1-9][0-9]{0,8})\$[0-9a-f]{40}", text)
    if found is None:
        raise ValueError("this is no hash of PBKDF2")
    _bound(int(found[2]), ROUNDS, "rounds")
    return text


def _fits_pbkdf2(kept: str, password: bytes) -> bool:
    _, _, salt, rounds, digest = kept.split("$")
    made = hashlib.pbkdf2_hmac("sha1", password, salt.encode(), int(rounds))
    return hmac.compare_digest(made, bytes.fromhex(digest))


_SCRAMS: Final = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256"}


def _read_scram(scheme: str, text: str) -> str:
    """`rounds,salt,stored key,server key`: checked by the password alone, since our salts are others (`scram`)."""
    found = re.fullmatch(r"([1-9][0-9]{0,8}),([^,]{1,128}),([^,]{1,128}),([^,]{1,128})", text)
    size = hashlib.new(_SCRAMS[scheme]).digest_size
    if found is None or not decoded(found[2], "base64") or len(decoded(found[3], "base64")) != size:
        raise ValueError(f"this is no hash of {scheme}")
    _bound(int(found[1]), ROUNDS, "rounds")
    return text


def _fits_scram(scheme: str, kept: str, password: bytes) -> bool:
    algorithm = _SCRAMS[scheme]
    rounds, salt, stored, _ = kept.split(",")
    salted = hashlib.pbkdf2_hmac(algorithm, password, base64.b64decode(salt), int(rounds))
    made = hashlib.new(algorithm, hmac.digest(salted, b"Client Key", algorithm)).digest()
    return hmac.compare_digest(made, base64.b64decode(stored))


def _read_argon2(text: str) -> str:
    try:
        asked = argon2.extract_parameters(text)
    except argon2.exceptions.InvalidHashError:
        raise ValueError("this is no hash of Argon2") from None
    octets = asked.memory_cost * 1024
    _bound(octets, MEMORY_OCTETS, "octets of memory")
    _bound(octets * asked.time_cost, ARGON2_OCTETS, "octets of memory in all passes")
    _bound(asked.parallelism, ARGON2_LANES, "lanes")
    return text


def _fits_argon2(kept: str, password: bytes) -> bool:
    try:
        return argon2.PasswordHasher().verify(kept, password)
    except (argon2.exceptions.Argon2Error, argon2.exceptions.InvalidHashError):
        return False


_SCHEMES: Final = (
    {name: Scheme(partial(_read_crypt, name), libcrypt.fits) for name in _CRYPTS}
    | {name: Scheme(partial(_read_digest, name), partial(_fits_digest, name)) for name in _DIGESTS}
    | {name: Scheme(partial(_read_scram, name), partial(_fits_scram, name)) for name in _SCRAMS}
    | dict.fromkeys(("ARGON2I", "ARGON2ID"), Scheme(_read_argon2, _fits_argon2))
    | {"PBKDF2": Scheme(_read_pbkdf2, _fits_pbkdf2)}
)
"""Every scheme by Dovecot's name; yescrypt has none of its own there."""
