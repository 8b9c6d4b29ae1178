"""The key of a database file that is encrypted as a whole, and what such a file looks like.

Pages are those of SQLCipher 4 with a raw key: AES-256 in CBC with a fresh vector each time a page is written, and an
HMAC-SHA512 over page and number in 80 octets at its end, in the file and in its log alike. A page that was changed is
found damaged, never read otherwise. Other programs that know this format open it with the key and the salt.

    0      the salt, in the place of SQLite's own first words: a mark, then 8 octets that name the file
    16     the first page, encrypted as all others

The key is random, so nothing is derived from a passphrase here; how people come to it is not this room's business.
"""

import errno
import os
from pathlib import Path
from typing import Final, NamedTuple

import apsw

MARK: Final = b"po-lock1"
PLAIN: Final = b"SQLite format 3\0"
SALT_OCTETS: Final = 16
SECRET_OCTETS: Final = 32
RESERVED_OCTETS: Final = 80
"""What vector and HMAC take of each page."""

LOCKED_PAGE_OCTETS: Final = 4096
"""As in every file of SQLCipher 4: its header, which is encrypted, tells it to nobody who has to ask."""


class Key(NamedTuple):
    """What opens one file. `salt` is no secret: it stands at the file's beginning and names it."""

    secret: bytes
    salt: bytes

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Key(salt={self.salt!r})"

    def pragmas(self) -> tuple[str, ...]:
        """What a connection is told before it reads the first page."""
        return ("PRAGMA cipher = 'sqlcipher'", "PRAGMA legacy = 4", f'PRAGMA key = "{self._words()}"')

    def parameters(self) -> str:
        """The same for the address of a file that is made by VACUUM INTO."""
        return f"cipher=sqlcipher&legacy=4&key={self._words()}"

    def _words(self) -> str:
        return f"x'{self.secret.hex()}{self.salt.hex()}'"


def new_key() -> Key:
    """Of a file that is not there yet."""
    return Key(os.urandom(SECRET_OCTETS), MARK + os.urandom(SALT_OCTETS - len(MARK)))


def salt_of(path: Path) -> bytes | None:
    """The salt of an encrypted file; None for any other, also one that is not there. Raises OSError."""
    found = beginning(path)
    return found if len(found) == SALT_OCTETS and found.startswith(MARK) else None


def beginning(path: Path, octets: int = SALT_OCTETS) -> bytes:
    """The first octets of a file; fewer of a shorter one, none where there is none.

    Read by SQLite's own means: who opens and closes a file by others loses the locks that SQLite has on it in the same
    process. Raises OSError.
    """
    size = path.stat().st_size if path.exists() else 0
    wanted = min(size, octets)
    if not wanted:
        return b""
    try:
        flags = [apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READONLY, 0]
        file = apsw.VFSFile("unix", os.fspath(path.resolve()), flags)  # it follows no link by itself
    except apsw.Error as error:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path)) from error
    try:
        return bytes(file.xRead(wanted, 0))
    except apsw.Error as error:
        raise OSError(errno.EIO, os.strerror(errno.EIO), os.fspath(path)) from error
    finally:
        file.xClose()
