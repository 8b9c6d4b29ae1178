"""A mailbox at home before it has a name: it lies beside its place as `NAME.draft`, and nobody else knows it.

A log protects what is in a file already; here there is nothing yet. So the first letters are written once and not
twice, and nothing is synced by itself: the whole file is, and then it gets its name. Until that nothing that was put
into it is durable, and nobody may be told that it is. A draft whose process ended is begun anew by the next one that
pulls.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from postoffice.database.migrate import blank
from postoffice.database.sqlite import sync_directory
from postoffice.errors import StoreError, StoreUnavailable
from postoffice.store.embedded.schema import MAILBOX

MOST_OCTETS: Final = 128 * 1024 * 1024
"""With how many octets of letters a draft is a file of use, so that not more has to be pulled again."""

MOST_SECONDS: Final = 5.0
"""After how long it is, however little came: somebody may wish to look into it."""

SYNC_AHEAD_OCTETS: Final = 1024 * 1024
"""After how many octets of letters the disk begins to write, while the next ones come, if it has written the others."""

_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


class Draft:
    """That of the mailbox which will be at `path`. `descriptor` is open for as long as the draft is; who holds a lock
    by it holds it also when the file has its name.

    `octets` of letters were put into it. `turn` is held while the file gets its name, by whoever may not be met in the
    middle of that.
    """

    def __init__(self, path: Path, lies_at: Path, descriptor: int) -> None:
        self.path = path
        self.lies_at = lies_at
        self.descriptor = descriptor
        self.turn = threading.Lock()
        self._begun = time.monotonic()
        self.octets = 0

    @classmethod
    def begin(cls, path: Path, hold: Callable[[int], object]) -> Draft | None:
        """An empty one. `hold` takes a lock by a descriptor, and raises where somebody else has it, who makes one now.

        None: something is there already, or a file cannot be given a name there that takes nobody's place.
        """
        lies_at = path.with_name(f"{path.name}.draft")
        if os.path.lexists(path):
            _take_away_if_named(lies_at, path)
            return None
        try:
            _take_away(lies_at, hold)
            descriptor = os.open(lies_at, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError:
            return None
        draft = cls(path, lies_at, descriptor)
        try:
            hold(descriptor)
            if draft._can_be_named() and os.pwrite(descriptor, blank(MAILBOX), 0):
                return draft
        except OSError:
            pass  # whoever makes the file in place says what is wrong
        except BaseException:
            os.close(descriptor)
            raise
        draft.close()
        return None

    def _can_be_named(self) -> bool:
        """Whether nobody was quicker, and a file may have two names here."""
        if not self._is_at(self.lies_at) or os.path.lexists(self.path):
            return False
        link = self.lies_at.with_name(f"{self.lies_at.name}.{os.urandom(8).hex()}")
        link.hardlink_to(self.lies_at)
        link.unlink()
        return True

    def _is_at(self, path: Path) -> bool:
        return _is_same(path, self.descriptor)

    def sync_ahead(self) -> None:
        """What cannot be written now is told by whoever syncs it at last."""
        with suppress(OSError):
            os.fdatasync(self.descriptor)

    def is_due(self) -> bool:
        return self.octets >= MOST_OCTETS or time.monotonic() - self._begun >= MOST_SECONDS

    def put_in_place(self) -> None:
        """Give it its name, durably. It is synced, and nobody has it open. Raises StoreError."""
        try:
            if not self._is_at(self.path):
                self.path.hardlink_to(self.lies_at)
            sync_directory(self.path.parent)
        except FileExistsError:
            because = "somebody else made it while letters came, which are not kept"
            raise StoreError(f"{self.path}: {because}") from None
        except OSError as error:
            raise StoreUnavailable(f"{self.path} cannot be written: {error.strerror}") from error
        with suppress(OSError):
            self.lies_at.unlink()

    def close(self) -> None:
        """With it ends every lock on it, and what has no name by now. The caller has, or had, a lock on it."""
        with suppress(OSError):
            if self._is_at(self.lies_at):
                self.lies_at.unlink()
        os.close(self.descriptor)


def _take_away(lies_at: Path, hold: Callable[[int], object]) -> None:
    """A draft whose process ended. Its octets are left alone: they may be a mailbox that has a name by now."""
    try:
        descriptor = os.open(lies_at, _FLAGS)
    except FileNotFoundError:
        return
    try:
        hold(descriptor)
        if _is_same(lies_at, descriptor):
            lies_at.unlink()
    finally:
        os.close(descriptor)


def _take_away_if_named(lies_at: Path, path: Path) -> None:
    """Whoever gave a draft its name ended before its first name was taken away."""
    with suppress(OSError):
        if os.path.samestat(lies_at.lstat(), path.lstat()):
            lies_at.unlink()


def _is_same(path: Path, descriptor: int) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    return False
