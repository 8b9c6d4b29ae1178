"""What is kept instead of a password: a credential's verifier, a line for each way in which the password can be shown.

    $argon2id$...              a person's own: slow to try, for it may be short
    $generated$MAC             one that we made: its hundred bits need no slow hash
    $clear$BASE64              kept as it is, because APOP and CRAM-MD5 can use nothing else; nobody gets it unasked
    $imported$SCHEME$HASH      what another server kept (`imported`), until the first login puts argon2id in its place
    $scram-sha-256$...         beside one of these, for SCRAM (`scram`)

An account has one password of its own and any number of generated ones. So whatever is wrong costs exactly one slow
hash, also where nobody is: how many passwords somebody has, or whether he is here, is not told by the time.
"""

from __future__ import annotations

import base64
import hmac
import unicodedata
from collections.abc import Iterable
from typing import Final

from postoffice.accounts import imported, passwords
from postoffice.accounts.scram import scram_lines
from postoffice.store.model import Credential

GENERATED: Final = "$generated$"
CLEAR: Final = "$clear$"


def of_own(password: str) -> str:
    """A person's own password."""
    return passwords.make_verifier(password)


def of_own_with_scram(password: str, address: str, secret: bytes) -> str:
    """The same, good for SCRAM. ValueError: SASLprep forbids the password."""
    return "\n".join((of_own(password), *scram_lines(_text(password), address, secret)))


def of_generated(password: str, address: str, secret: bytes) -> str:
    """A password that we made, good for SCRAM."""
    return "\n".join((_generated(password, secret), *scram_lines(_text(password), address, secret)))


def of_imported(text: str, scheme: str = imported.CRYPT) -> str:
    """What another server kept, `{SCHEME}hash`; what it kept in clear is a person's own from now on.

    A hash that names no scheme is of `scheme`. ValueError: why it is not taken, without telling the hash.
    """
    called, kept = imported.parse(text, scheme)
    return of_own(kept) if called == imported.PLAIN else imported.line(called, kept)


def of_clear(password: str) -> str:
    """A password kept as it is."""
    return CLEAR + base64.b64encode(_text(password).encode()).decode()


def of_clear_with_scram(password: str, address: str, secret: bytes) -> str:
    """The same, good for SCRAM too. ValueError: SASLprep forbids the password."""
    return "\n".join((of_clear(password), *scram_lines(_text(password), address, secret)))


def clear_secret(verifier: str) -> bytes | None:
    """The password itself, if it is kept in clear."""
    for line in verifier.split("\n"):
        if line.startswith(CLEAR):
            return base64.b64decode(line.removeprefix(CLEAR), validate=True)
    return None


def quickly_right(credentials: Iterable[Credential], password: str, secret: bytes) -> Credential | None:
    """The credential whose password this is, of those that need no slow hash to tell."""
    text, generated = _text(password), _generated(password, secret).encode()
    found = None
    for credential in credentials:
        clear = clear_secret(credential.verifier)
        first = credential.verifier.partition("\n")[0].encode()
        if hmac.compare_digest(first, generated) or (clear is not None and hmac.compare_digest(clear, text.encode())):
            found = found or credential
    return found


def slow(credentials: Iterable[Credential]) -> list[tuple[str | None, Credential | None]]:
    """Hashes to be tried, and whose they are: one that nothing fits where there is none."""
    found = [(credential.verifier.partition("\n")[0], credential) for credential in credentials]
    return [one for one in found if not one[0].startswith((GENERATED, CLEAR))] or [(None, None)]


def told(verifier: str) -> str:
    """How a password is kept, for people to read."""
    scheme = imported.scheme_of(verifier)
    if scheme is not None:
        return f"imported ({scheme})"
    kinds = {GENERATED: "generated", CLEAR: "kept in clear"}
    kind = next((words for name, words in kinds.items() if verifier.startswith(name)), "own")
    return f"{kind}, good for SCRAM" if "\n$scram-" in verifier else kind


def _generated(password: str, secret: bytes) -> str:
    return GENERATED + hmac.digest(secret, f"generated\0{_text(password)}".encode(), "sha256").hex()


def _text(password: str) -> str:
    return unicodedata.normalize("NFC", password)
