"""The letters of all backups, each content once: files named by their SHA-256, never changed.

A file has the content itself, not its wire form: it is the letter as it was sent, any mail program opens it, and
`sha256sum` alone tells whether it is sound. What is under its name is whole, so the next backup trusts what one that
was cut off has left. The folder of files that are not whole yet is there while somebody works here: if it is found,
somebody was cut off, and no name is taken for durable.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

from postoffice.database.sqlite import sync_directory
from postoffice.errors import DamagedStore
from postoffice.store.embedded.backup.durable import sync_files
from postoffice.store.embedded.contents import plain_of

READ_OCTETS: Final = 256 * 1024
TOGETHER_FILES: Final = 256
TOGETHER_OCTETS: Final = 4 * 1024 * 1024
"""How much becomes durable at once; more or less cost the same (docs/spikes.md)."""

INCOMING: Final = "new"


class Shelf:
    """A folder of contents. `make_room` is asked before octets become durable, and raises if there is none for them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.make_room: Callable[[], None] = lambda: None
        self._hall = root / INCOMING
        self._incoming: dict[bytes, Path] = {}
        self._octets = 0
        self._changed: set[Path] = set()
        self.letters_added = 0
        self.octets_added = 0

    def path(self, name: bytes) -> Path:
        """Spread over 256 folders."""
        word = name.hex()
        return self.root / word[:2] / word

    def has(self, name: bytes) -> bool:
        return name in self._incoming or os.path.exists(self._place(name))  # noqa: PTH110 twice as quick

    def _place(self, name: bytes) -> str:
        word = name.hex()
        return f"{self.root}/{word[:2]}/{word}"

    # --- putting in -----------------------------------------------------------------------------------------

    def add(self, name: bytes, wires: Iterable[bytes]) -> None:
        """Keep a content, given in wire form. Durable after `finish`. Other octets than those it is named by are a
        `DamagedStore`, and nothing is kept."""
        if not self.letters_added:
            self._begin()
        fresh = self._hall / name.hex()
        reckoner, octets = sha256(), 0
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
        try:
            with os.fdopen(descriptor, "wb") as file:
                for plain in plain_of(wires):
                    reckoner.update(plain)
                    octets += file.write(plain)
            if reckoner.digest() != name:
                raise DamagedStore("its octets are not those it is named by")
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
        self._incoming[name] = fresh
        self._octets += octets
        self.letters_added += 1
        self.octets_added += octets
        if len(self._incoming) >= TOGETHER_FILES or self._octets >= TOGETHER_OCTETS:
            self._settle()

    def _begin(self) -> None:
        for folder in (self.root, self._hall):
            folder.mkdir(mode=0o700, exist_ok=True)

    def _settle(self) -> None:
        """The octets of what was added are durable, so each file may have its name; the names are not durable yet."""
        if not self._incoming:
            return
        self.make_room()
        sync_files(list(self._incoming.values()))
        for name, incoming in self._incoming.items():
            path = self.path(name)
            if path.parent not in self._changed:
                path.parent.mkdir(mode=0o700, exist_ok=True)
                self._changed.add(path.parent)
            incoming.rename(path)
        self._incoming.clear()
        self._octets = 0

    def finish(self) -> None:
        """Everything that was added is durable."""
        self._settle()
        for folder in self._changed:
            sync_directory(folder)
        if self._changed:
            sync_directory(self.root)
        self._changed.clear()
        with suppress(FileNotFoundError):
            self._hall.rmdir()

    def clear(self) -> None:
        """Take away what is not whole of a run that was cut off, and take no name that it gave for durable."""
        self._incoming.clear()
        if self._hall.is_dir():
            for path in self._hall.iterdir():
                path.unlink()
            self._changed.update(self._folders())

    def _folders(self) -> Iterator[Path]:
        return self.root.glob("[0-9a-f][0-9a-f]")

    # --- taking out -----------------------------------------------------------------------------------------

    def read(self, name: bytes) -> Iterator[bytes]:
        """The content in portions. If it is not there or has other octets, the end is a `DamagedStore`."""
        reckoner = sha256()
        try:
            with self.path(name).open("rb", buffering=0) as file:
                while portion := file.read(READ_OCTETS):
                    reckoner.update(portion)
                    yield portion
        except FileNotFoundError as error:
            raise DamagedStore("its octets are not in the backup") from error
        except PermissionError:
            raise
        except OSError as error:
            raise DamagedStore(f"its octets cannot be read: {error.strerror}") from error
        if reckoner.digest() != name:
            raise DamagedStore("its octets in the backup are not those it is named by")

    def trouble(self, name: bytes) -> str:
        """What is wrong with a content, by reading all of it; empty if nothing is."""
        try:
            for _ in self.read(name):
                pass
        except DamagedStore as error:
            return str(error)
        return ""

    def names(self) -> Iterator[bytes]:
        """Every content that is kept here."""
        for folder in self._folders():
            for path in folder.iterdir():
                yield bytes.fromhex(path.name)

    def discard(self, name: bytes) -> None:
        self.path(name).unlink(missing_ok=True)
