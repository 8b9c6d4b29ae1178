"""What the page about scanning sets is what the program reads, and its commands are understood."""

from __future__ import annotations

import re
from pathlib import Path

from postoffice.cli.main import cli
from postoffice.home.config import parse_home
from postoffice.home.scanning.policy import Lack, Scanning
from postoffice.trust.scan.naming import scanner

PAGE = (Path(__file__).parents[2] / "docs" / "scanning.md").read_text(encoding="utf-8")
ACCOUNT = '[accounts."me@example.org"]\nurl = "pops://pop.example.org"\ninto = "mail.mailbox"\n'


def test_its_settings_are_read_as_they_are_told() -> None:
    [text] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    home = parse_home((ACCOUNT + text).encode(), Path("/home/me/home.toml"), is_ours_alone=False)
    said = Scanning("clamd:/run/clamav/clamd.ctl", 60.0, Lack.HOLD, Lack.HOLD)
    assert home.account("me@example.org").scanning == said
    assert Scanning(said.by) == said, "the page does not show what holds if nothing is said"


def test_its_commands_are_understood() -> None:
    [block] = re.findall(r"```\n(postoffice.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines():
        _, name, *arguments = line.partition("#")[0].split()
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        command.make_context(name, arguments)


def test_its_scanners_are_scanners() -> None:
    table = PAGE.partition("## Scanners")[2]
    written = re.findall(r"`((?:clamd|command):[^`]+)`", table)
    assert len(written) >= 4
    for one in written:
        scanner(one.replace("HOST:PORT", "localhost:3310"))
