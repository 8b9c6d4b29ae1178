"""The way of letters from a maildrop to where a person wants them: pulled into a mailbox file, handed over from there.

The file is the person's own, or a spool: one for each maildrop and target, below `$XDG_STATE_HOME/postoffice/spool`. It
keeps the memory of what was pulled, so the same maildrop and target must find the same one each time: its name follows
from both. Another target is another spool, with no memory yet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar, assert_never
from urllib.parse import quote

from postoffice.client.private import state_folder
from postoffice.client.url import Source
from postoffice.errors import PostofficeError, StoreError
from postoffice.events import event
from postoffice.handing.places import explained
from postoffice.handing.round import Doubtful, Hand, Handed, Round
from postoffice.handing.target import InFile, InMaildir, InMbox, Target, ToCommand, ToServer

if TYPE_CHECKING:
    from postoffice.handing.journal import Journal
    from postoffice.store.base import Mailbox

T = TypeVar("T")

_DIGITS: Final = 16


class Way(NamedTuple):
    """`file` is the mailbox file that letters are pulled into, `target` where they go from there."""

    file: Path
    target: Target
    doubtful: Doubtful = Doubtful.AGAIN

    @property
    def place(self) -> Path:
        """Where letters are to be looked for: what has a name in the file system, else the spool."""
        return self.target.path if isinstance(self.target, InMaildir | InMbox) else self.file

    @property
    def is_spool(self) -> bool:
        """Whether letters only pass through `file`."""
        return not isinstance(self.target, InFile)

    async def through(self, mailbox: Mailbox, pull: Callable[[], Awaitable[T]]) -> tuple[T, Handed]:
        """Pull into the open `file`, and hand over what lies there; that also if the pull fails.

        Whether the target can be reached by its name is looked at before. Raises what the pull raises, or else what
        stopped the handing over; what `Handed` counts as declined is no error.
        """
        hand = open_hand(self.target, self.file.parent)
        if hand is None:
            return await pull(), Handed()
        from postoffice.handing.journal import Journal

        with closing(hand), closing(Journal(self.file.with_suffix(".journal"))) as journal:
            try:
                pulled = await pull()
            except StoreError:
                raise
            except PostofficeError:
                try:
                    await hand_over(mailbox, hand, journal, self.doubtful)
                except PostofficeError as trouble:
                    event("handing.failed", because=str(trouble))
                raise
            return pulled, await hand_over(mailbox, hand, journal, self.doubtful)


def way(source: Source, target: Target, doubtful: Doubtful = Doubtful.AGAIN) -> Way:
    """Where letters of a maildrop go. Makes the folder of spools. Raises UsageError."""
    if isinstance(target, InFile):
        return Way(target.path, target)
    folder = state_folder() / "spool"
    with explained(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    digest = sha256(f"{source.maildrop}\0{target.name}".encode()).hexdigest()[:_DIGITS]
    whose = quote(f"{source.user}@{source.host}", safe="@+")[:100]
    return Way(folder / f"{whose}-{digest}.mailbox", target, doubtful)


def open_hand(target: Target, folder: Path) -> Hand | None:
    """None for what is a mailbox file itself. `folder` is for letters that are under way. Raises UsageError."""
    match target:
        case InFile():
            return None
        case InMaildir(path):
            from postoffice.handing.maildir import MaildirHand

            return MaildirHand(path)
        case InMbox(path):
            from postoffice.handing.mbox import MboxHand

            return MboxHand(path)
        case ToCommand(text):
            from postoffice.handing.command import CommandHand

            return CommandHand(text, folder)
        case ToServer():
            from postoffice.handing.server import ServerHand

            return ServerHand(target)
        case _:
            assert_never(target)


async def hand_over(spool: Mailbox, hand: Hand, journal: Journal, doubtful: Doubtful = Doubtful.AGAIN) -> Handed:
    """Every letter of a spool to an open target. What is counted as handed over is durable there and out of the spool.

    Raises Refused, Disconnected, RemoteProtocolError, UsageError, StoreError where nothing more could be handed over.
    """
    round_ = Round(spool, journal, doubtful)
    await round_.look_back(hand)
    if (await spool.snapshot()).keys:
        await hand.take(round_)
    return round_.handed
