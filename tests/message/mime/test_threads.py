"""Letters are put into conversations by what they say, whatever they say, in time that grows with them."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.message.mime.threads import Reply, base_subject, reply, threads


def said(key: int, name: str, answers: str = "", subject: str = "", date: float | None = None) -> Reply:
    head = f"Message-ID: <{name}>\r\nReferences: {' '.join(f'<{one}>' for one in answers.split())}\r\n"
    return reply(key, f"{head}Subject: {subject}\r\n\r\n".encode(), float(key) if date is None else date)


def shape(*letters: Reply) -> list[list[tuple[int, int]]]:
    return [[(row.key, row.depth) for row in thread] for thread in threads(letters)]


def test_answers_stand_below_what_they_answer_in_the_order_of_their_dates() -> None:
    found = shape(said(1, "a"), said(4, "d", "a"), said(2, "b", "a"), said(3, "c", "a b"), said(5, "e"))
    assert found == [[(1, 0), (2, 1), (3, 2), (4, 1)], [(5, 0)]]


def test_an_answer_may_come_before_what_it_answers() -> None:
    assert shape(said(2, "b", "a"), said(1, "a")) == [[(1, 0), (2, 1)]]


def test_what_is_not_there_holds_its_answers_together() -> None:
    assert shape(said(1, "b", "gone"), said(2, "c", "gone"), said(3, "d", "gone c")) == [[(1, 0), (2, 0), (3, 1)]]


def test_a_letter_in_between_that_is_not_there_is_bridged_by_the_references_of_others() -> None:
    assert shape(said(1, "a"), said(2, "c", "a gone")) == [[(1, 0), (2, 1)]]


@pytest.mark.parametrize("answers", [("a", "a"), ("b", "a"), ("b c", "a"), ("x b x a", "a b c")])
def test_letters_that_answer_each_other_are_all_there_once(answers: tuple[str, str]) -> None:
    found = shape(said(1, "a", answers[0]), said(2, "b", answers[1]), said(3, "c", "a b c a"))
    assert sorted(key for thread in found for key, _ in thread) == [1, 2, 3]


def test_two_letters_with_one_id_are_both_there() -> None:
    found = shape(said(1, "a"), said(2, "a"), said(3, "b", "a"))
    assert sorted(found) == [[(1, 0), (3, 1)], [(2, 0)]]


def test_the_subject_is_the_last_resort() -> None:
    first = said(1, "a", subject="Lunch")
    answer = reply(2, b"Message-ID: <b>\r\nSubject: AW: Re: lunch\r\n\r\n", 2.0)
    other = said(3, "c", subject="lunch")
    elsewhere = said(4, "d", "z", subject="Re: lunch")
    assert sorted(shape(first, answer, other, elsewhere)) == [[(1, 0), (2, 1)], [(3, 0)], [(4, 0)]]


@pytest.mark.parametrize(
    ("subject", "base", "has_mark"),
    [
        ("Lunch", "lunch", False),
        ("Re: Lunch", "lunch", True),
        ("RE[2]: AW:  Lunch", "lunch", True),
        ("[list] Re: Lunch", "lunch", True),
        ("Re: [list] Re: Lunch", "lunch", True),
        ("[list] Lunch", "lunch", False),
        ("回复：午餐", "午餐", True),
        ("Trả lời: Công nợ", "công nợ", True),
        ("Request: more", "request: more", False),
        ("[only]", "[only]", False),
        ("Re:", "", True),
        ("", "", False),
    ],
)
def test_marks_of_answers_are_no_part_of_a_subject(subject: str, base: str, has_mark: bool) -> None:
    assert base_subject(subject) == (base, has_mark)


def test_in_reply_to_counts_where_there_are_no_references() -> None:
    answer = reply(2, b"Message-ID: <b>\r\nIn-Reply-To: Your letter of today <a>\r\n\r\n", 2.0)
    assert shape(said(1, "a"), answer) == [[(1, 0), (2, 1)]]


@pytest.mark.parametrize("kind", ["chain", "chain backwards", "star", "circle", "many references", "one subject"])
def test_a_hundred_thousand_letters(kind: str) -> None:
    count = 100_000
    ids = [b"%d" % number for number in range(count)]
    match kind:
        case "chain":
            answers = [(), *((one,) for one in ids[:-1])]
        case "chain backwards":
            answers = [*((one,) for one in ids[1:]), ()]
        case "star":
            answers = [(), *[(ids[0],)] * (count - 1)]
        case "circle":
            answers = [(ids[-1],), *((one,) for one in ids[:-1])]
        case "many references":
            answers = [tuple(ids[max(number - 30, 0) : number]) for number in range(count)]
        case _:
            answers = [()] * count
    letters = [
        Reply(number, ids[number], answers[number], "re", has_mark=True, date=float(number)) for number in range(count)
    ]
    began = time.monotonic()
    found = threads(letters)
    assert time.monotonic() - began < 10
    assert sum(map(len, found)) == count
    assert len(found) == 1


@given(st.lists(st.tuples(st.integers(0, 6), st.lists(st.integers(0, 6), max_size=4), st.booleans()), max_size=12))
def test_every_letter_is_in_one_conversation(letters: list[tuple[int, list[int], bool]]) -> None:
    all_of_them = [
        Reply(key, b"%d" % name, tuple(dict.fromkeys(b"%d" % one for one in answers)), "s", has_mark, float(key % 3))
        for key, (name, answers, has_mark) in enumerate(letters)
    ]
    found = threads(all_of_them)
    assert sorted(row.key for thread in found for row in thread) == list(range(len(letters)))
    for thread in found:
        depths = [row.depth for row in thread]
        assert depths[0] == 0
        assert all(after <= before + 1 for before, after in pairwise(depths))


@given(st.binary(max_size=300))
def test_any_header(head: bytes) -> None:
    reply(1, b"References: " + head, 0.0)
    reply(1, head, 0.0)
