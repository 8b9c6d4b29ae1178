"""What a scanner said of a letter, as people and programs are told."""

from __future__ import annotations

from datetime import datetime

from postoffice.message.printable import safe
from postoffice.store.model import Scan, Verdict


def told(scan: Scan | None) -> str:
    """What was said of a letter, and by whom, in a line."""
    if scan is None:
        return "never scanned"
    by = f"{scan.scanner}, {scan.signatures}" if scan.signatures else scan.scanner
    match scan.verdict:
        case Verdict.CLEAN:
            what = f"clean, {scan.name} was found before" if scan.name else "clean"
        case Verdict.INFECTED:
            what = f"infected: {scan.name}" + ("" if scan.is_dangerous else ", which you allowed")
        case Verdict.TOO_LARGE:
            what = f"too large to be scanned: {scan.name}"
        case Verdict.UNSCANNED:
            what = f"not scanned: {scan.name}"
    return safe(f"{what} ({by})")


def facts_of(scan: Scan | None) -> dict[str, object]:
    """The same for programs; `at` is in ISO 8601, in this machine's time."""
    if scan is None:
        return {"verdict": None}
    at = datetime.fromtimestamp(scan.at).astimezone().isoformat(timespec="seconds")
    names = {"said": scan.name, "scanner": scan.scanner, "signatures": scan.signatures, "at": at}
    return {"verdict": scan.verdict.value, **names, "allowed": sorted(scan.allowed)}


def when(scan: Scan | None) -> str:
    """When that was, with a blank behind it."""
    if scan is None:
        return ""
    return datetime.fromtimestamp(scan.at).astimezone().strftime("%Y-%m-%d %H:%M ")
