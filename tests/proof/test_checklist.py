"""The checklist names tests that exist, and the document says what the checklist says."""

from __future__ import annotations

import pytest
from proof.checklist import NUMBERS, PAGE, Row, is_there, page, rows


def test_every_row_is_there_once_and_in_order() -> None:
    assert [row.number for row in rows()] == NUMBERS


@pytest.mark.parametrize("row", rows(), ids=lambda row: str(row.number))
def test_what_shows_a_claim_exists(row: Row) -> None:
    assert [proof for proof in row.proofs if not is_there(proof)] == []


def test_what_does_not_exist_is_found_out() -> None:
    for proof in ("rows/nosuch", "checks/nosuch", "tests/nosuch.py", f"{__file__}::test_nosuch"):
        assert not is_there(proof)


def test_the_document_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "./po checklist"
