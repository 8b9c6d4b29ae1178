"""Programs of the system that speak SCRAM log in by it, with every way to TLS and without."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from postoffice.testing.programs import LETTERS, PASSWORD, PostOffice, open_post, unlike

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(shutil.which("mpop") is None, reason="mpop is not installed here"),
]


@pytest.fixture(scope="module")
def office() -> Iterator[PostOffice]:
    with open_post(12, scram=True) as post:
        yield post


@pytest.mark.parametrize(
    ("way", "mechanism"),
    [
        ("plain", "on"),
        *((way, mechanism) for way in ("plain", "stls", "implicit") for mechanism in ("scram-sha-1", "scram-sha-256")),
    ],
)
def test_mpop_pulls_by_scram(office: PostOffice, mpop: Any, way: str, mechanism: str) -> None:
    address = office.account()
    office.deliver(address, *LETTERS)
    said, kept = mpop(office, address, f"auth {mechanism}\npasswordeval echo {PASSWORD}", way)
    assert b"--> AUTH SCRAM-SHA-" in said
    assert b"--> USER" not in said
    assert unlike(kept, LETTERS) == []
    assert office.letters(address) == []
