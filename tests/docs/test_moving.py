"""Every command that the page about moving shows is understood."""

from __future__ import annotations

from pathlib import Path

import pytest

from postoffice.cli.export import export
from postoffice.cli.moving import import_

PAGE = Path(__file__).parents[2] / "docs" / "moving.md"
LINES = [line.split() for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("    postoffice ")]
GROUPS = {"import": import_, "export": export}


def test_the_page_shows_each_way_that_has_options_of_its_own() -> None:
    assert {line[2] for line in LINES} >= {"dovecot", "mbox", "pop3", "maildir"}
    text = PAGE.read_text(encoding="utf-8")
    for name, group in GROUPS.items():
        for command in group.commands:
            assert f"postoffice {name} {command}" in text, command


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_a_line_is_understood(line: list[str]) -> None:
    _, group, command, *arguments = line
    GROUPS[group].commands[command].make_context(command, arguments)
