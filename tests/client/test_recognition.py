"""What a listing is taken for, by what is remembered: known, new, or in doubt."""

from __future__ import annotations

import pytest

from postoffice.client.listing import Listed
from postoffice.client.recognition import Recognition, header_digest, matching, recognize
from postoffice.store.model import Pulled

HEADER = b"h" * 16
HERE = Pulled(octets=100, header=HEADER, sha256=b"s" * 32, email_id="e", fetched=5.0)


def listed(*letters: tuple[str, int]) -> list[Listed]:
    return [Listed(number, octets, name, name) for number, (name, octets) in enumerate(letters, 1)]


def names(found: Recognition) -> tuple[list[str], list[str], list[str], set[str]]:
    return (
        [met.source_id for met in found.known],
        [met.source_id for met in found.new],
        [doubt.source_id for doubt in found.doubtful],
        found.gone,
    )


def test_what_was_never_met_is_new_and_has_a_name_of_its_own() -> None:
    found = recognize(listed(("a", 1), ("b", 2), ("a", 3), ("", 4), ("", 5)), {})
    assert names(found) == ([], ["a", "a\n2", "b", "\n1", "\n2"], [], set())


def test_what_is_as_it_was_is_known_and_what_is_not_listed_is_gone() -> None:
    memory = {"a": HERE, "b": HERE._replace(octets=None), "c": HERE}
    assert names(recognize(listed(("a", 100), ("b", 7), ("d", 100)), memory)) == (["a", "b"], ["d"], [], {"c"})


def test_what_failed_before_is_new_under_the_same_name() -> None:
    memory = {"a": Pulled(octets=100, tries=2, words="no"), "b": HERE}
    assert names(recognize(listed(("a", 100), ("b", 100)), memory)) == (["b"], ["a"], [], set())
    assert names(recognize(listed(("b", 100)), memory)) == (["b"], [], [], {"a"})


@pytest.mark.parametrize(
    ("before", "octets", "by_header"),
    [
        (HERE, 101, True),
        (HERE._replace(header=None), 101, False),
        (HERE._replace(gone=9.0), 100, True),
        (HERE._replace(deleting=7.0, confirmed=8.0), 100, False),
        (HERE._replace(deleting=7.0, confirmed=8.0, gone=9.0), 100, False),
    ],
    ids=["another size", "no header remembered", "back again", "deleted, and still there", "deleted, and back again"],
)
def test_an_old_name_is_in_doubt_where_something_speaks_against_it(
    before: Pulled, octets: int, by_header: bool
) -> None:
    [doubt] = recognize(listed(("a", octets)), {"a": before}).doubtful
    assert (doubt.source_id, doubt.candidates, doubt.by_header) == ("a\n2", ("a",), by_header)


def test_a_removal_that_nobody_confirmed_is_no_reason_to_doubt() -> None:
    found = recognize(listed(("a", 100)), {"a": HERE._replace(deleting=7.0)})
    assert names(found) == (["a"], [], [], set())


def test_letters_of_one_name_are_in_doubt_as_long_as_there_are_several() -> None:
    memory = {"a": HERE, "a\n2": HERE}
    assert names(recognize(listed(("a", 100)), memory))[2] == ["a\n3"]
    assert names(recognize(listed(("a", 100)), memory | {"a": HERE._replace(gone=1.0)}))[0] == ["a\n2"]


def test_without_unique_ids_everything_is_in_doubt() -> None:
    found = recognize(listed(("", 100), ("", 100)), {"\n1": HERE})
    assert names(found) == ([], [], ["\n2", "\n3"], {"\n1"})


def test_a_mailbox_that_moved_is_known_by_sizes_and_headers() -> None:
    memory = {name: HERE._replace(octets=octets) for name, octets in (("a", 1), ("b", 2), ("c", 3))}
    found = recognize(listed(("x", 1), ("y", 2), ("z", 9)), memory)
    assert names(found) == ([], ["z"], ["x", "y"], {"a", "b", "c"})
    assert [(doubt.candidates, doubt.by_header) for doubt in found.doubtful] == [(("a",), True), (("b",), True)]


def test_a_new_letter_among_known_ones_costs_no_second_look() -> None:
    memory = {"a": HERE, "b": HERE, "c": HERE}
    assert names(recognize(listed(("a", 100), ("b", 100), ("d", 100)), memory))[1:3] == (["d"], [])


def test_what_we_deleted_ourselves_comes_back_under_no_other_name() -> None:
    memory = {"a": HERE._replace(deleting=7.0, confirmed=8.0, gone=9.0)}
    assert names(recognize(listed(("x", 100)), memory)) == ([], ["x"], [], set())


@pytest.mark.parametrize(
    ("head", "tells"),
    [
        (b"Message-ID: <1@x>\r\nSubject: s\r\n\r\nbody", True),
        (b"Subject: s\r\nreceived : by x\r\n\r\n", True),
        (b"Subject: s\r\n\r\nMessage-ID: <1@x>\r\n\r\n", False),
        (b"Message-ID: <1@x>\r\nSubject: no end of the header", False),
        (b"", False),
    ],
)
def test_only_a_header_that_no_other_letter_has_tells_which_it_is(head: bytes, tells: bool) -> None:
    assert (header_digest(head) is not None) is tells


def test_a_header_is_the_same_whatever_stands_below_it() -> None:
    head = b"Message-ID: <1@x>\r\n\r\n"
    assert header_digest(head) == header_digest(head + b"body")
    assert header_digest(head) != header_digest(b"X: 1\r\n" + head)


def test_what_a_server_marks_in_a_header_makes_no_other_letter_of_it() -> None:
    head = b"Message-ID: <1@x>\r\nSubject: Status: none\r\n"
    marked = b"Status: RO\r\n" + head + b"X-UID: 7\r\nX-Keywords: a\r\n b\r\n"
    assert header_digest(head + b"\r\n") == header_digest(marked + b"\r\n")
    assert header_digest(head + b"\r\n") != header_digest(head.replace(b"none", b"some") + b"\r\n")


def test_each_letter_here_is_matched_once() -> None:
    memory = {"a": HERE, "b": HERE, "c": HERE._replace(header=b"x" * 16)}
    assert matching(["c", "a", "b"], memory, set(), HEADER) == "a"
    assert matching(["c", "a", "b"], memory, {"a"}, HEADER) == "b"
    assert matching(["c", "a", "b"], memory, {"a", "b"}, HEADER) == ""
    assert matching(["a"], memory, set(), None) == ""
