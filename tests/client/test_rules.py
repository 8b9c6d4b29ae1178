"""Rules are written as people say them, and read as they are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from postoffice.client.rules import NOW, AfterDays, Rule, WhenAbove, WhenCopied, WhenRemoved, octets_of, parse_rule
from postoffice.errors import UsageError


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("now", NOW),
        (" Now ", NOW),
        ("14 days", AfterDays(14)),
        ("1 day", AfterDays(1)),
        ("14d", AfterDays(14)),
        ("removed", WhenRemoved()),
        ("copied to /disk/My Mail.mailbox", WhenCopied(Path("/disk/My Mail.mailbox"))),
        ("above 80% of 1 GB", WhenAbove(80, 10**9)),
        ("above 80 % of 1.5G", WhenAbove(80, 1_500_000_000)),
        ("above 100% of 1000", WhenAbove(100, 1000)),
    ],
)
def test_a_rule_is_read(text: str, rule: Rule) -> None:
    assert parse_rule(text) == rule
    assert parse_rule(str(rule)) == rule


@pytest.mark.parametrize(
    "text", ["", "never", "days", "-1 days", "copied to ", "copied", "above 101% of 1 GB", "above 80% of much"]
)
def test_what_is_no_rule_is_refused_with_all_that_there_are(text: str) -> None:
    with pytest.raises(UsageError, match=r"is no rule|is no size") as caught:
        parse_rule(text)
    assert caught.value.status == 64


def test_a_home_folder_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert parse_rule("copied to ~/copy.mailbox") == WhenCopied(Path("/home/me/copy.mailbox"))


@pytest.mark.parametrize(("text", "octets"), [("500k", 500_000), ("5 MB", 5_000_000), ("7", 7), ("2t", 2 * 10**12)])
def test_a_size_is_read(text: str, octets: int) -> None:
    assert octets_of(text) == octets
