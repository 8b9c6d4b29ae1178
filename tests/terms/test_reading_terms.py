"""What can be set for an account, how its text is read, and whose value holds."""

from __future__ import annotations

import ipaddress
from dataclasses import fields
from pathlib import Path

import pytest

from postoffice.accounts.terms import AS_EVERYBODY, RULES, WARNED, Terms, checked, merged


def test_every_term_but_the_warning_has_one_key_and_its_usual_value() -> None:
    assert {rule.field for rule in RULES.values()} | {"is_warned"} == {one.name for one in fields(Terms)}
    assert merged({key: rule.usual for key, rule in RULES.items()}) == AS_EVERYBODY


def test_every_key_is_documented_with_the_value_that_everybody_has() -> None:
    text = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = {row.split("|")[1].strip(" `"): row.split("|")[2].strip() for row in text.splitlines() if row[:2] == "| "}
    assert {key: rows.get(key) for key in RULES} == {key: rule.usual for key, rule in RULES.items()}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("retain", "never-expire", None),
        ("retain", "1", 1),
        ("recovery", "0", 0),
        ("recent", "none", 0),
        ("max-listed", "250", 250),
        ("login-burst", "5", 5),
        ("quota-octets", "500M", 500 * 2**20),
        ("quota-octets", "2g", 2 * 2**30),
        ("quota-octets", "1000", 1000),
        ("quota-letters", "none", 0),
        ("protocols", "pop3", frozenset({"pop3"})),
        ("protocols", "none", frozenset()),
        ("networks", "any", None),
        ("networks", "10.0.0.0/8,::1", (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1"))),
    ],
)
def test_a_value_is_read(key: str, value: str, expected: object) -> None:
    assert checked(key, value) == value
    assert getattr(merged({key: value}), RULES[key].field) == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("retain", value) for value in ("0", "never", "-1", "30d", "36501", "", "٣", "1" * 16)],
        *[("recovery", value) for value in ("-1", "1.5", "never-expire")],
        *[("quota-octets", value) for value in ("2GB", "-1", "much", "1 G")],
        *[("login-burst", value) for value in ("0", "none")],
        *[("protocols", value) for value in ("imap", "pop3,", "pop3 submission", "POP3")],
        *[("networks", value) for value in ("10.0.0.1/8", "home", "10.0.0.0/8,", "")],
        ("color", "blue"),
        (WARNED, "yes"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(key: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"^{key}"):
        checked(key, value)


def test_the_account_goes_before_its_domain_key_by_key() -> None:
    terms = merged({"retain": "90", "recovery": "7", "unknown": "x"}, {"retain": "30"})
    assert (terms.retain_days, terms.recovery_days) == (30, 7)
