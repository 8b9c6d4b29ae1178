"""Pages of an encrypted file, opened one by one without SQLite: what `database.key` says they look like.

A page that was changed shows by its HMAC, and is opened all the same: in CBC a wrong bit spoils its block of 16 octets
and one of the next, and the rows around them are as they were. So it is doubtful, and not lost.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable
from hashlib import pbkdf2_hmac
from typing import Final

from postoffice.database.key import PLAIN, RESERVED_OCTETS, SECRET_OCTETS, Key
from postoffice.database.sqlite import PAGE_OCTETS
from postoffice.store.embedded.salvage.pages import look

_VECTOR_OCTETS: Final = 16
_SALT_MASK: Final = 0x3A
_ROUNDS: Final = 2
_RESERVED_AT: Final = 20
_LOOK_PAGES: Final = 500
LOOK_OCTETS: Final = _LOOK_PAGES * PAGE_OCTETS


class Opener:
    """Gives pages as SQLite sees them, without what is reserved at their ends: `usable` octets each."""

    def __init__(self, usable: int = PAGE_OCTETS) -> None:
        self.usable = usable

    def page(self, octets: bytes, number: int) -> tuple[bytes, bool]:
        """A page of `PAGE_OCTETS`, and whether it is what was written, as far as it can be told."""
        return octets[: self.usable], True


def opener_of_plain(read: Callable[[int], bytes], count: int) -> Opener:
    """For a file that is not encrypted, by its first page. If that is lost, by which layout more pages are sound: those
    of a file that was encrypted once have the room for HMACs still. `read` gives one of `count` pages."""
    first = read(1)
    if first.startswith(PLAIN) and first[_RESERVED_AT] in (0, RESERVED_OCTETS):
        return Opener(PAGE_OCTETS - first[_RESERVED_AT])
    pages = [(read(number), number) for number in range(2, min(count, _LOOK_PAGES) + 1)]
    layouts = (PAGE_OCTETS, PAGE_OCTETS - RESERVED_OCTETS)
    return Opener(max(layouts, key=lambda usable: sum(look(page[:usable], number).is_sound for page, number in pages)))


def has_plain_pages(octets: bytes) -> bool:
    """Whether pages of a file, of which this is the beginning, are sound as they lie; those of an encrypted one are
    noise, and of a hundred thousand pages of noise none is."""
    pages = ((octets[at : at + PAGE_OCTETS], at // PAGE_OCTETS + 1) for at in range(0, len(octets), PAGE_OCTETS))
    return any(
        look(page[:usable], number).is_sound
        for page, number in pages
        if len(page) == PAGE_OCTETS
        for usable in (PAGE_OCTETS, PAGE_OCTETS - RESERVED_OCTETS)
    )


class Unsealer(Opener):
    """By a key."""

    def __init__(self, key: Key) -> None:
        super().__init__(PAGE_OCTETS - RESERVED_OCTETS)
        self._secret = key.secret
        salt = bytes(octet ^ _SALT_MASK for octet in key.salt)
        self._proof = pbkdf2_hmac("sha512", key.secret, salt, _ROUNDS, SECRET_OCTETS)

    def page(self, octets: bytes, number: int) -> tuple[bytes, bool]:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        if not octets.strip(b"\0"):
            return octets[: self.usable], False  # nothing was ever written there, or it was blanked
        start = len(PLAIN) if number == 1 else 0
        end = self.usable + _VECTOR_OCTETS
        body, vector = octets[start : self.usable], octets[self.usable : end]
        written = hmac.digest(self._proof, octets[start:end] + struct.pack("<I", number), "sha512")
        decryptor = Cipher(algorithms.AES(self._secret), modes.CBC(vector)).decryptor()
        page = (PLAIN if start else b"") + decryptor.update(body) + decryptor.finalize()
        return page, hmac.compare_digest(written, octets[end:])
