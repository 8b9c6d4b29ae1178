"""A password as another server kept it: checked in that server's way until its owner logs in here.

    $imported$SCHEME$HASH      SCHEME by Dovecot's name of it

Whoever shows the right password gives us what we need to keep it by argon2id from then on (`login`).
"""

from __future__ import annotations

import re
from typing import Final

from postoffice.accounts import schemes

IMPORTED: Final = "$imported$"
PLAIN: Final = "PLAIN"
"""The scheme of what is no hash but the password itself."""
CRYPT: Final = "CRYPT"
"""Every scheme of crypt(3), told apart by how a hash begins: that of hashes that name none, as in `/etc/shadow`."""

_SYNONYMS: Final = {"CLEAR": PLAIN, "CLEARTEXT": PLAIN, "SHA": "SHA1", "LDAP-MD5": "PLAIN-MD5", "ARGON2": "ARGON2ID"}
_NAMED: Final = re.compile(r"\{([A-Z0-9-]{1,32})(?:\.(B64|BASE64|HEX))?\}(.*)", re.IGNORECASE)
_BARE_MD5: Final = re.compile(r"[0-9A-Fa-f]{32}")


def parse(text: str, scheme: str = CRYPT) -> tuple[str, str]:
    """The scheme, and what is kept, of `{SCHEME}hash`, or of a hash that names none and is then of `scheme`.

    A ValueError says why it is not taken, in words that tell nothing of the hash.
    """
    found = _NAMED.fullmatch(text)
    name, encoding, rest = found.groups("") if found else (scheme, "", text)
    name, encoding = _SYNONYMS.get(name.upper(), name.upper()), encoding.lower()
    if name in (CRYPT, "MD5", PLAIN) and encoding:
        rest, encoding = schemes.decoded(rest, encoding).decode(), ""
    if name == "MD5" and _BARE_MD5.fullmatch(rest):
        name = "PLAIN-MD5"
    elif name in (CRYPT, "MD5"):
        name = schemes.recognized(rest)
    if name != PLAIN:
        return name, schemes.read(name, rest, encoding)
    if not rest.isprintable() or not rest:
        raise ValueError("this is no password that anybody could type")
    return name, rest


def line(scheme: str, kept: str) -> str:
    """The verifier of what `parse` gave."""
    return f"{IMPORTED}{scheme}${kept}"


def scheme_of(verifier: str) -> str | None:
    """The scheme of an imported verifier, None of any other."""
    return _parts(verifier)[0] if verifier.startswith(IMPORTED) else None


def fits(verifier: str, password: str) -> bool:
    """Whether an imported verifier is this password's, octet for octet as it was sent. May cost a second."""
    scheme, kept = _parts(verifier)
    return schemes.fits(scheme, kept, password.encode())


def _parts(verifier: str) -> tuple[str, str]:
    scheme, _, kept = verifier.removeprefix(IMPORTED).partition("$")
    return scheme, kept
