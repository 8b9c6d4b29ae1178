"""A POP3 session's numbers are frozen from login to QUIT (RFC 1939 §5)."""

import gc
import time
import weakref
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.store import view as module
from postoffice.store.model import Snapshot
from postoffice.store.view import FrozenView, NoSuchLetter


def snapshot_of(*octets: int) -> Snapshot:
    keys = array("q", [1000 + number for number in range(1, len(octets) + 1)])
    ids = [f"id{number}" for number in range(1, len(octets) + 1)]
    return Snapshot((1,), keys, array("q", octets), ids)


def test_numbers_begin_at_one() -> None:
    view = FrozenView(snapshot_of(120, 200))
    assert [(number, view.keys([number])[0], view.octets(number), view.unique_id(number)) for number in view] == [
        (1, 1001, 120, "id1"),
        (2, 1002, 200, "id2"),
    ]
    assert (view.count, view.total_octets) == (2, 320)


@pytest.mark.parametrize("number", [0, -1, 3, 10**9])
def test_a_number_of_no_letter_is_refused(number: int) -> None:
    view = FrozenView(snapshot_of(120, 200))
    assert number not in view
    assert not view.is_deleted(number)
    for verb in (lambda each: view.keys([each]), view.octets, view.unique_id, view.delete):
        with pytest.raises(NoSuchLetter, match="no such message, only 2 in maildrop"):
            verb(number)
    assert view.count == 2


def test_a_deleted_letter_keeps_its_number_and_has_no_facts() -> None:
    view = FrozenView(snapshot_of(1, 20, 300))
    view.delete(2)
    assert view.is_deleted(2)
    assert 2 not in view
    assert list(view) == [1, 3]
    assert (view.count, view.total_octets) == (2, 301)
    assert view.keys([3]) == [1003]
    for verb in (lambda each: view.keys([each]), view.octets, view.unique_id, view.delete):
        with pytest.raises(NoSuchLetter, match="message 2 already deleted"):
            verb(2)
    assert (view.count, view.total_octets) == (2, 301)


def test_update_removes_what_is_marked_and_nothing_else() -> None:
    view = FrozenView(snapshot_of(1, 20, 300, 4000))
    assert view.deleted_keys() == []
    view.delete(4)
    view.delete(1)
    assert view.deleted_keys() == [1001, 1004]
    view.undelete_all()
    assert view.deleted_keys() == []
    assert (view.count, view.total_octets, list(view)) == (4, 4321, [1, 2, 3, 4])


def test_listings_have_a_line_for_each_letter_not_deleted() -> None:
    view = FrozenView(snapshot_of(120, 200, 7))
    assert view.scan_listing() == b"1 120\r\n2 200\r\n3 7\r\n"
    assert view.unique_id_listing() == b"1 id1\r\n2 id2\r\n3 id3\r\n"
    view.delete(2)
    assert view.scan_listing() == b"1 120\r\n3 7\r\n"
    assert view.unique_id_listing() == b"1 id1\r\n3 id3\r\n"
    view.undelete_all()
    assert view.scan_listing() == b"1 120\r\n2 200\r\n3 7\r\n"


def test_an_empty_maildrop_lists_nothing() -> None:
    view = FrozenView(snapshot_of())
    assert (view.scan_listing(), view.unique_id_listing(), view.count, view.total_octets) == (b"", b"", 0, 0)
    assert 1 not in view


def test_sums_go_beyond_four_gibibytes() -> None:
    view = FrozenView(snapshot_of(3 << 30, 3 << 30, 5 << 32))
    assert view.total_octets == (6 << 30) + (5 << 32)
    view.delete(3)
    assert view.total_octets == 6 << 30


def test_two_sessions_of_one_snapshot_mark_apart_and_share_the_listing() -> None:
    snapshot = snapshot_of(120, 200)
    one, two = FrozenView(snapshot), FrozenView(snapshot)
    one.delete(1)
    assert one.scan_listing() == b"2 200\r\n"
    assert two.scan_listing() == b"1 120\r\n2 200\r\n"
    assert FrozenView(snapshot).scan_listing() is two.scan_listing()


def test_ready_listings_go_with_their_snapshot() -> None:
    snapshot = snapshot_of(120)
    FrozenView(snapshot).scan_listing()
    gc.collect()  # others may have gone already
    before = len(module._ready)
    gone = weakref.ref(snapshot)
    del snapshot
    gc.collect()
    assert gone() is None
    assert len(module._ready) == before - 1


def test_a_hundred_thousand_letters_are_listed_quickly_and_then_at_once() -> None:
    snapshot = snapshot_of(*range(100_000))
    start = time.process_time()
    listing = FrozenView(snapshot).scan_listing()
    first = time.process_time() - start
    start = time.process_time()
    assert FrozenView(snapshot).scan_listing() is listing
    later = time.process_time() - start
    assert listing.count(b"\r\n") == 100_000
    # Aimed at 0.1 s and 1 ms; the bounds leave room for a busy machine.
    assert first < 0.5
    assert later < 0.005


@given(st.lists(st.integers(0, 2**40), max_size=30), st.lists(st.integers(-2, 33), max_size=40))
def test_a_view_is_what_a_plain_dictionary_says(sizes: list[int], deletions: list[int]) -> None:
    view = FrozenView(snapshot_of(*sizes))
    left = dict(enumerate(sizes, 1))
    for number in deletions:
        if number in left:
            view.delete(number)
            del left[number]
        else:
            with pytest.raises(NoSuchLetter):
                view.delete(number)
        assert (list(view), view.count, view.total_octets) == (list(left), len(left), sum(left.values()))
    assert view.scan_listing() == b"".join(b"%d %d\r\n" % line for line in left.items())
    assert view.deleted_keys() == [1000 + number for number in range(1, len(sizes) + 1) if number not in left]


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=12),
    st.sets(st.integers(1, 12)),
    st.lists(st.integers(-1, 14), max_size=10),
    st.booleans(),
    st.integers(1, 200),
    st.integers(1, 8),
)
def test_letters_that_are_read_together_are_the_next_ones_that_fit(
    octets: list[int], deleted: set[int], following: list[int], in_a_row: bool, room: int, letters: int
) -> None:
    view = FrozenView(snapshot_of(*octets))
    for number in deleted & {*range(2, len(octets) + 1)}:
        view.delete(number)
    if in_a_row:
        following = list(range(2, 2 + len(following)))
    expected = [1]
    for number in following:
        fits = number in view and sum(map(view.octets, [*expected, number])) <= room
        if not fits or number in expected or len(expected) == letters:
            break
        expected.append(number)
    assert list(view.together(1, following, room, letters)) == expected
    assert list(view.sizes(expected)) == [view.octets(number) for number in expected]
    assert list(view.keys(expected)) == [1000 + number for number in expected]
