"""The page about damage has every kind of it, and says that nothing was missed, wrong or back."""

from __future__ import annotations

import pytest
from proof.damage import KINDS, PAGE

ROWS = {cells[0]: cells[1:] for line in PAGE.read_text().splitlines() if (cells := line.strip("| ").split(" | "))[1:]}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_on_the_page(kind: str) -> None:
    intact, saved, _, missed, wrong, back, *_ = ROWS[kind]
    assert (missed, wrong) == ("0", "0")
    assert back == "0" or "log" in kind
    assert float(saved) >= float(intact)
