from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from postoffice.testing.process import open_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where offices of this test may lie; also root's servers reach it."""
    with open_folder() as folder:
        yield folder
