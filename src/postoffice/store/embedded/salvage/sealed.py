"""Pages of an encrypted file, opened one by one without SQLite: what `database.key` says they look like.

A page that was changed shows by its HMAC, and is opened all the same: in CBC a wrong bit spoils its block of 16 octets
and one of the next, and the rows around them are as they were. So it is doubtful, and not lost.
"""

from __future__ import annotations

import hmac
import struct
from hashlib import pbkdf2_hmac
from typing import Final

from postoffice.database.key import PLAIN, SECRET_OCTETS, Key
from postoffice.store.embedded.salvage.layout import LOCKED, Layout

_VECTOR_OCTETS: Final = 16
_SALT_MASK: Final = 0x3A
_ROUNDS: Final = 2


class Opener:
    """Gives pages as SQLite sees them, without what is reserved at their ends."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def page(self, octets: bytes, number: int) -> tuple[bytes, bool]:
        """A page as it is in the file, and whether it is what was written, as far as it can be told."""
        return octets[: self.layout.usable], True


class Unsealer(Opener):
    """By a key."""

    def __init__(self, key: Key) -> None:
        super().__init__(LOCKED)
        self._secret = key.secret
        salt = bytes(octet ^ _SALT_MASK for octet in key.salt)
        self._proof = pbkdf2_hmac("sha512", key.secret, salt, _ROUNDS, SECRET_OCTETS)

    def page(self, octets: bytes, number: int) -> tuple[bytes, bool]:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        if not octets.strip(b"\0"):
            return octets[: self.layout.usable], False  # nothing was ever written there, or it was blanked
        start = len(PLAIN) if number == 1 else 0
        end = self.layout.usable + _VECTOR_OCTETS
        body, vector = octets[start : self.layout.usable], octets[self.layout.usable : end]
        written = hmac.digest(self._proof, octets[start:end] + struct.pack("<I", number), "sha512")
        decryptor = Cipher(algorithms.AES(self._secret), modes.CBC(vector)).decryptor()
        page = (PLAIN if start else b"") + decryptor.update(body) + decryptor.finalize()
        return page, hmac.compare_digest(written, octets[end:])
