"""Words that stay together in one text are what they would be apart."""

from __future__ import annotations

import pytest

from postoffice.store.embedded.words import LONG_CHARACTERS, EvenWords, words

MANY = [f"m{number:025}" for number in range(LONG_CHARACTERS // 26)]
SLICES = [slice(None), slice(1000), slice(999, 2001), slice(-3, None), slice(5, 5), slice(10, 2, -1), slice(0, 50, 7)]


def test_many_of_one_length_stay_together() -> None:
    together = words(" ".join(MANY))
    assert isinstance(together, EvenWords)
    assert len(together) == len(MANY)
    assert list(together) == MANY


@pytest.mark.parametrize("at", SLICES, ids=str)
def test_a_part_of_them_is_theirs(at: slice) -> None:
    assert list(words(" ".join(MANY))[at]) == MANY[at]


@pytest.mark.parametrize("at", [0, 1, 1000, len(MANY) - 1, -1, -len(MANY)])
def test_one_of_them_is_found_by_its_place(at: int) -> None:
    assert words(" ".join(MANY))[at] == MANY[at]


@pytest.mark.parametrize("at", [len(MANY), -len(MANY) - 1])
def test_there_is_none_beyond(at: int) -> None:
    with pytest.raises(IndexError):
        words(" ".join(MANY))[at]


@pytest.mark.parametrize(
    "different",
    [
        [*MANY, "short"],
        [*MANY, "of the same length as four"],
        ["x", *MANY],
        [*MANY[:7], "x" * 53, *MANY[9:]],
        [*MANY[:7], "x" * 13, "x" * 12, *MANY[8:]],
        MANY[:3],
        ["alone"],
        ["alone" * LONG_CHARACTERS],
    ],
    ids=["last", "spaces", "first", "two as one", "one as two", "few", "one", "one long"],
)
def test_others_come_apart(different: list[str]) -> None:
    text = " ".join(different)
    assert words(text) == text.split(" ")
