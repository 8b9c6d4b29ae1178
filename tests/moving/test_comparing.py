"""A comparison says of every letter whether it is the same at both servers, and what is not."""

from __future__ import annotations

from array import array
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.client.collect import Options
from postoffice.client.listing import Listed
from postoffice.client.survey import survey
from postoffice.client.url import Source
from postoffice.moving.comparing import Comparison, compare, doubtful
from postoffice.store.model import Snapshot
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer

Letters = list[tuple[str, int]]


def there(letters: Letters) -> list[Listed]:
    met: Counter[str] = Counter()
    listed = []
    for number, (unique_id, octets) in enumerate(letters, 1):
        met[unique_id] += 1
        source_id = unique_id if met[unique_id] == 1 else f"{unique_id}\n{met[unique_id]}"
        listed.append(Listed(number, octets, unique_id, source_id))
    return listed


def here(letters: Letters) -> Snapshot:
    numbers = array("q", range(1, len(letters) + 1))
    return Snapshot((), numbers, array("q", [octets for _, octets in letters]), [name for name, _ in letters])


def kinds(comparison: Comparison) -> list[tuple[str, str]]:
    return [(one.kind, one.unique_id) for one in comparison.differences]


A, B, C = ("a", 1), ("b", 2), ("c", 3)


@pytest.mark.parametrize(
    ("theirs", "ours", "same", "differences", "is_good"),
    [
        ([], [], 0, [], True),
        ([A, B, C], [A, B, C], 3, [], True),
        ([A, B], [A, B, C], 2, [("extra", "c")], True),
        ([A, B, C], [A, C], 2, [("missing", "b")], False),
        ([A, B, C], [], 0, [("missing", "a"), ("missing", "b"), ("missing", "c")], False),
        ([A, B, C], [A, ("new", 2), C], 2, [("unique-id", "b")], False),
        ([A, B, C], [A, ("new", 9), C], 2, [("missing", "b"), ("extra", "new")], False),
        ([A, B, C], [A, ("b", 9), C], 2, [("octets", "b")], False),
        ([A, B, C], [B, C, A], 2, [("order", "a")], False),
        ([A, ("a", 5)], [A, ("new", 5)], 1, [("unique-id", "a")], False),
    ],
)
def test_each_kind_of_difference_is_told(
    theirs: Letters, ours: Letters, same: int, differences: list[tuple[str, str]], is_good: bool
) -> None:
    found = compare(there(theirs), {}, here(ours))
    assert (found.same, kinds(found), found.is_good) == (same, differences, is_good)


@given(st.permutations(range(12)))
def test_as_few_letters_as_can_be_are_said_to_lie_elsewhere(places: list[int]) -> None:
    letters = [(str(number), 1) for number in places]
    found = compare(there(letters), {}, here([(str(number), 1) for number in range(12)]))
    longest = [0] * 12
    for index in range(12):
        longest[index] = 1 + max((longest[at] for at in range(index) if places[at] < places[index]), default=0)
    assert (found.same, found.count("order")) == (max(longest), 12 - max(longest))


def test_many_letters_under_other_unique_ids_are_soon_compared() -> None:
    many = 100_000
    theirs = there([(f"a{number}", number % 7) for number in range(many)])
    found = compare(theirs, {}, here([(f"b{number}", number % 7) for number in range(many)]))
    assert found.count("unique-id") == many


async def test_a_size_that_a_server_announces_wrongly_is_measured() -> None:
    letters = {"a": b"Subject: a\r\n\r\n..\r\n", "b": b"Subject: b\r\n\r\n", "c": b"x\r\n", "d": b"yy\r\n"}
    peer = Pop3Peer(dict(letters), says={"LIST": b"+OK\r\n1 16\r\n2 14\r\n3 99\r\n4 2\r\n.\r\n"})
    ours = here([("a", 18), ("b", 14), ("c", 5), ("new", 4)])
    async with peer.listening() as port:
        found = await survey(Source("127.0.0.1", port, USER), Options(PASSWORD), lambda all_: doubtful(all_, ours))
    assert found.measured == {1: 18, 3: 3, 4: 4}
    assert [line for line in peer.heard if line.startswith("RETR")] == ["RETR 1", "RETR 3", "RETR 4"]
    comparison = compare(found.listed, found.measured, ours)
    assert (comparison.same, kinds(comparison)) == (2, [("octets", "c"), ("unique-id", "d")])


def test_a_letter_that_is_nowhere_here_is_not_measured() -> None:
    assert doubtful(there([A, B, C]), here([A])) == []
    assert doubtful(there([A, B, A]), here([A, ("new", 1)])) == there([A, B, A])[1:]
