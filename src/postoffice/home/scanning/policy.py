"""How a person wants letters to be scanned: by whom, how long, and what is to be where there is no verdict.

[scan]
by = "clamd:/run/clamav/clamd.ctl"
patience = "60s"
unscanned = "hold"
too_large = "hold"
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from postoffice.errors import UsageError
from postoffice.trust.scan.naming import scanner

PATIENCE_SECONDS: Final = 60.0
"""Less than servers wait for a client that says nothing (RFC 1939 §3: ten minutes)."""

KEYS: Final = ("by", "patience", "unscanned", "too_large")
NOBODY: Final = "none"
"""In the place of a scanner: letters are not scanned."""


class Lack(Enum):
    """What becomes of a letter without a verdict: nobody is shown it, or it is seen and remembered as unscanned."""

    HOLD = "hold"
    PASS = "pass"  # noqa: S105 no password


@dataclass(frozen=True, slots=True)
class Scanning:
    """`by` is a scanner as it is written; `seconds` are for each letter."""

    by: str
    seconds: float = PATIENCE_SECONDS
    unscanned: Lack = Lack.HOLD
    too_large: Lack = Lack.HOLD

    def otherwise(
        self,
        by: str | None = None,
        seconds: float | None = None,
        unscanned: str | None = None,
        too_large: str | None = None,
    ) -> Scanning:
        """The same but for what is said."""
        return Scanning(
            by or self.by,
            self.seconds if seconds is None else seconds,
            Lack(unscanned) if unscanned else self.unscanned,
            Lack(too_large) if too_large else self.too_large,
        )

    @property
    def wanted(self) -> Scanning | None:
        """None where it is to be by nobody."""
        return None if self.by == NOBODY else self


UNSAID: Final = Scanning(NOBODY)


def wrong_values(written: Mapping[str, object], seconds: float | None) -> dict[str, str]:
    """What is wrong in settings of scanning, by its key. `seconds` is what `patience` says, 0 where that is nothing."""
    wrong: dict[str, str] = {}
    for key in ("unscanned", "too_large"):
        if key in written and written[key] not in [one.value for one in Lack]:
            wrong[key] = f"{written[key]!r} is neither hold nor pass"
    if "patience" in written and not seconds:
        wrong["patience"] = f"{written['patience']!r} is no time, written like 30s or 2m"
    return wrong


def wrong_scanner(by: object) -> str:
    """Why this is no scanner; empty if it is one, or nobody."""
    if not isinstance(by, str):
        return f"Expected str, got {type(by).__name__}"
    try:
        if by != NOBODY:
            scanner(by)
    except UsageError as error:
        return f"{error}, or none"
    return ""
