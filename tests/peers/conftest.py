"""One office for all programs; every test lives in accounts of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from postoffice.testing.programs import PostOffice, Program, open_post


@pytest.fixture(scope="session")
def post() -> Iterator[PostOffice]:
    with open_post() as post:
        yield post


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)
