"""The page about damage has every kind of it, and says that nothing was missed, wrong or back; and of each way to
change letters past our programs whether it is told."""

from __future__ import annotations

import pytest
from proof.damage import KINDS, PAGE

from proof import tampering

ROWS = {cells[0]: cells[1:] for line in PAGE.read_text().splitlines() if (cells := line.strip("| ").split(" | "))[1:]}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_on_the_page(kind: str) -> None:
    intact, saved, _, missed, wrong, back, *_ = ROWS[kind]
    assert (missed, wrong) == ("0", "0")
    assert back == "0" or "log" in kind
    assert float(saved) >= float(intact)


@pytest.mark.parametrize("kind", tampering.KINDS)
async def test_what_check_tells_of_it_is_on_the_page(kind: str) -> None:
    told = await tampering.told_of(kind, seeds=1)
    assert ROWS[kind] == [tampering.yes_or_no(times, 1) for times in (told.by_rules, told.by_chain, told.by_noted)]
