"""The page about the terminal reader has every key of it, with the words of the reader's own help, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from bench.tui import FIRST, KEYS

from postoffice.tui.keys import ALWAYS, ATTACHMENTS, CHOOSING, LETTER, LINKS, LIST, MARKING, MOVING, Key

PAGE = (Path(__file__).parents[2] / "docs" / "tui.md").read_text(encoding="utf-8")


def rows() -> set[tuple[str, str]]:
    """Every (keys, what): a row with several of either stands for as many keys."""
    found = set()
    for keys, what in re.findall(r"^\| (`[^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE):
        shown = keys.replace("`", "").split(", ")
        whats = what.split(", ") if len(shown) > 1 else [what]
        found |= set(zip(shown, whats, strict=True))
    return found


def row(key: Key) -> tuple[str, str]:
    return key.shown, key.what


def test_every_key_stands_in_the_page_as_in_the_help() -> None:
    tables = (ALWAYS, ATTACHMENTS, CHOOSING, LETTER, LINKS, LIST, MARKING, MOVING)
    assert rows() == {row(key) for table in tables for key in table}


def test_each_row_of_the_bench_has_its_figures() -> None:
    assert all(f"\n{what} " in PAGE for what in (FIRST, *(what for what, _, _ in KEYS)))


def test_no_key_means_two_things_on_one_screen() -> None:
    for table in ((*LIST, *ALWAYS), (*LETTER, *ALWAYS), (*ATTACHMENTS, *ALWAYS)):
        names = [name for key in table for name in key.names.split(",")]
        assert len(names) == len(set(names))
