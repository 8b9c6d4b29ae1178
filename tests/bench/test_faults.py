"""The page of the fault matrix says who passed what, and why not."""

from __future__ import annotations

from bench.faults import Column, page

from postoffice.testing.faults.cells import FAULTS

SHOWN = [fault for fault in FAULTS if fault.name in ("closed", "in-use")]


def test_every_cell_has_a_sign_and_every_failure_a_reason() -> None:
    theirs = Column("theirs", "1.0", {"closed-delete": ["fills the disk"], "closed-keep": []})
    ours = Column("postoffice", "2.0", {f"{fault.name}-{mode}": [] for fault in SHOWN for mode in ("delete", "keep")})
    text = page([theirs, ours], SHOWN, ["gone, why"], "2026-01-01")
    assert "| theirs | 1.0 | 1/2 |" in text
    assert "| the connection is closed in the middle of letter 4 | **F** 1/P | P/P |" in text
    assert "| [IN-USE] in the first run | – | P/P |" in text
    assert "1. fills the disk" in text
    assert "Not tried: gone, why." in text
    assert "Servers that mean harm" not in text
    assert text.endswith("\npostoffice 4/4\n")


def test_a_cell_of_ours_that_fails_is_in_the_last_line() -> None:
    ours = Column("postoffice", "2.0", {"closed-delete": ["doubled: 2"], "closed-keep": []})
    assert page([ours], SHOWN, [], "2026-01-01").endswith("\npostoffice 1/2\n")
