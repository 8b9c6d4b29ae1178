"""The bar of a pull on a terminal: how much of what is new has come, how fast, and how long it will still take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from postoffice.cli.fetch_telling import InWords
from postoffice.errors import PostofficeError
from postoffice.events import Fact
from postoffice.home.pulling import account_pulled

if TYPE_CHECKING:
    from postoffice.home.pulling import Outcome


@dataclass(slots=True)
class _Share:
    """Of one account: letters that have come and that are new, octets of those that have come, of all that are new, and
    of the one that is coming."""

    come: int = 0
    new: int = 0
    octets: int = 0
    total: int = 0
    arriving: int = 0


class WithBar(InWords):
    """A bar on standard error, which goes away when the pull is over; nothing in it comes from a server but numbers."""

    def __init__(self) -> None:
        super().__init__()
        columns = (BarColumn(), TextColumn("{task.fields[come]} of {task.fields[new]} letters"))
        self._progress = Progress(
            *columns,
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("", total=None, come=0, new=0)
        self._shares: defaultdict[str, _Share] = defaultdict(_Share)
        self._later: list[Callable[[], None]] = []

    def hear(self, name: str, facts: dict[str, Fact]) -> None:
        share = self._shares[account_pulled.get()]
        match name, facts:
            case "home.listed", {"new": int(new), "new_octets": int(octets)}:
                share.new, share.total, share.arriving = share.come + new, share.octets + octets, 0
                if new:
                    self._progress.start()
            case "home.arriving", {"octets": int(octets)}:
                share.arriving = octets
            case "home.fetched", {"octets": int(octets)}:
                share.come, share.octets, share.arriving = share.come + 1, share.octets + octets, 0
            case _:
                super().hear(name, facts)
                return
        self._progress.update(
            self._task,
            total=self._sum("total"),
            completed=self._sum("octets") + self._sum("arriving"),
            come=self._sum("come"),
            new=self._sum("new"),
        )

    def _sum(self, name: str) -> int:
        return sum(getattr(share, name) for share in self._shares.values())

    def closed(self, outcome: Outcome, account: str = "") -> None:
        self._when_it_is_gone(partial(super().closed, outcome, account), account)

    def failed(self, error: PostofficeError, account: str = "") -> None:
        self._when_it_is_gone(partial(super().failed, error, account), account)

    def _when_it_is_gone(self, say: Callable[[], None], account: str) -> None:
        """At once, or where other accounts go on, when they are over too."""
        if account:
            self._later.append(say)
        else:
            self._progress.stop()
            say()

    def end(self) -> None:
        self._progress.stop()
        for say in self._later:
            say()
