"""What the page about mail at home sets is what the program reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from postoffice.home.config import parse_home

PAGE = (Path(__file__).parents[2] / "docs" / "fetching.md").read_text(encoding="utf-8")


def test_its_settings_are_read_as_they_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    text = "\n".join(re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL))
    home = parse_home(text.encode(), Path("/home/me/home.toml"), is_ours_alone=False)
    account = home.account("me@example.org")
    assert (account.source.user, account.source.host) == ("me@example.org", "pop.example.org")
    assert account.into == ("/home/me/Mail/me@example.org.mailbox",)
    assert [str(rule) for rule in account.rules] == ["now"]
    assert (account.largest, account.places.command, account.every) == (5_000_000, "pass show mail", 900.0)
    assert home.hooks.new_mail
