"""A letter's own date is read as it is meant; what is no date of a letter is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.message.dates import written


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Thu, 1 Jan 1970 00:00:01 +0000", 1.0),
        ("1 Jan 70 00:00:01 GMT", 1.0),
        ("Thu, 01 Jan 1970 07:00:01 +0700 (Indochina)", 1.0),
        ("Thu, 1 Jan 1970 00:00:01 -0000", 1.0),
        ("Thu,\r\n 1 Jan 1970 00:00:01 +0000", 1.0),
    ],
)
def test_a_date_is_read(date: str, seconds: float) -> None:
    assert written(f"Subject: x\r\nDate: {date}\r\n\r\nDate: body\r\n".encode()) == seconds


@pytest.mark.parametrize(
    "date",
    [
        "Mon, 1 Jan 9999 00:00:00 +0000",
        "Mon, 1 Jan 1900 00:00:00 +0000",
        "nonsense",
        "",
        "Mon, 99 Foo 2020",
        "\xff" * 99,
    ],
)
def test_what_is_no_date_of_a_letter_is_none(date: str) -> None:
    assert written(f"Date: {date}\r\n\r\n".encode()) is None


@given(st.binary())
def test_any_octets_give_a_date_or_none(head: bytes) -> None:
    written(b"Date: " + head)
