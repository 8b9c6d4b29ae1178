"""Every question that the page about mail at home shows is understood, and each row of the bench has its figures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bench.search import QUESTIONS

from postoffice.home.search.query import read_question
from postoffice.store.embedded.index import RANKED

PAGE = (Path(__file__).parents[2] / "docs" / "home.md").read_text(encoding="utf-8")
ASKED = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE) + re.findall(r"postoffice search \S+ '([^']+)'", PAGE)


@pytest.mark.parametrize("question", ASKED)
def test_a_question_is_understood(question: str) -> None:
    assert read_question(question).clauses


def test_the_page_shows_every_field() -> None:
    fields = ("from", "to", "cc", "subject", "has", "before", "after", "on", "larger", "smaller", "in")
    assert all(any(f"{name}:" in question for question in ASKED) for name in fields)


def test_each_row_of_the_bench_has_its_figures() -> None:
    assert all(f"\n{what} " in PAGE for what, _ in QUESTIONS)
    assert f"latest {RANKED} are ranked" in PAGE
