"""One office for all programs; every test lives in accounts of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from postoffice.testing.programs import PostOffice, Program, open_post

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # Postfix and Dovecot are set up as for the benchmarks


@pytest.fixture(scope="session")
def post() -> Iterator[PostOffice]:
    with open_post() as post:
        yield post


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)
