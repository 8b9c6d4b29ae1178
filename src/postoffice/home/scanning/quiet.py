"""In quiet moments, behind a pull, letters that are here are scanned again if signatures changed: a while at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from postoffice.home.scanning.inspector import Inspector
    from postoffice.home.scanning.outcome import Again
    from postoffice.store.base import Mailbox

MOST_SECONDS: Final = 30.0
"""After so long it is left for the next quiet moment."""


class Quiet:
    """Remembers, while it lives, which files were looked through by which signatures. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._done: dict[Path, tuple[str, str]] = {}

    async def look(self, mailbox: Mailbox, file: Path, inspector: Inspector, *, has_new: bool) -> Again | None:
        """Scan what needs it; None where nothing does, or nobody can say. `has_new`: letters came without a verdict."""
        from postoffice.home.scanning.again import LookAgain
        from postoffice.trust.scan.answers import NoAnswer

        try:
            now = (inspector.scanning.by, await inspector.signatures())
        except NoAnswer:
            return None
        if self._done.get(file) == now and not has_new:
            return None
        end = self._clock() + MOST_SECONDS
        report = await LookAgain(mailbox, inspector, is_over=lambda: self._clock() >= end).at_all()
        if report.left or report.trouble:
            self._done.pop(file, None)
        else:
            self._done[file] = now
        return report
