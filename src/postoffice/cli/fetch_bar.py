"""The bar of a pull on a terminal: how much of what is new has come, how fast, and how long it will still take."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from postoffice.cli.fetch_telling import InWords
from postoffice.errors import PostofficeError
from postoffice.events import Fact

if TYPE_CHECKING:
    from postoffice.home.pulling import Outcome


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
        self._come = self._octets = 0
        self._later: list[Callable[[], None]] = []

    def hear(self, name: str, facts: dict[str, Fact]) -> None:
        if name == "home.listed":
            new, octets = facts["new"], facts["new_octets"]
            assert isinstance(new, int)
            assert isinstance(octets, int)
            self._progress.update(self._task, total=self._octets + octets, new=self._come + new)
            if new:
                self._progress.start()
        elif name == "home.fetched":
            octets = facts["octets"]
            assert isinstance(octets, int)
            self._come += 1
            self._octets += octets
            self._progress.update(self._task, completed=self._octets, come=self._come)
        else:
            super().hear(name, facts)

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
