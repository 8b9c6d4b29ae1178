"""Claims as transcripts with gaps, one a file: the first line is the section and the claim."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Row:
    """`text` is the transcript with its gaps (see `facts`)."""

    name: str
    section: str
    claim: str
    text: str


def all_rows() -> list[Row]:
    """Every row of the suite that is a transcript, by section and name."""
    found = [one for one in files(__name__).iterdir() if one.name.endswith(".txt")]
    rows = [_read(one.name.removesuffix(".txt"), one.read_text()) for one in found]
    return sorted(rows, key=lambda row: (row.section, row.name))


def _read(name: str, text: str) -> Row:
    section, _, claim = text.partition("\n")[0].removeprefix("# ").partition(": ")
    return Row(name, section, claim, text)
