"""Servers that forget, rename, hide or repeat: a run finds out what is what, and fetches nothing twice."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from postoffice.client.collect import Options, Report, collect
from postoffice.client.rules import NOW, AfterDays, WhenAbove, WhenRemoved
from postoffice.client.url import Source
from postoffice.errors import Disconnected, Refused
from postoffice.events import collected
from postoffice.store.base import Mailbox
from postoffice.testing.peer import PASSWORD, USER, Leaves, Pop3Peer, Session

Read = Callable[[Mailbox], Awaitable[list[bytes]]]

DAY = 86400.0
ALL = ("UIDL", "USER", "TOP", "PIPELINING")


def letter(number: int, text: bytes = b"x") -> bytes:
    return b"Message-ID: <%d@a.example>\r\nSubject: %d\r\n\r\n%b\r\n" % (number, number, text)


LETTERS = {f"id-{number}": letter(number) for number in range(1, 6)}


class Pulls:
    """Pulls from one peer into one mailbox, at a time that is set; `waited` are the pauses between sessions."""

    def __init__(self, peer: Pop3Peer, port: int, home: Mailbox) -> None:
        self.peer = peer
        self._source = Source("127.0.0.1", port, USER)
        self.now = time.time()
        self.waited: list[float] = []
        self._home = home
        self._options = Options(PASSWORD, clock=lambda: self.now, pause=self._pause)

    async def _pause(self, seconds: float) -> None:
        self.waited.append(seconds)

    async def __call__(self, **options: object) -> Report:
        self.peer.heard.clear()
        # The names of options are checked by `replace`.
        return await collect(self._source, self._home, self._options._replace(**options))  # type: ignore[arg-type]

    def said(self, keyword: str) -> int:
        """How often the last pull said a command."""
        return sum(line.split()[0] == keyword for line in self.peer.heard)


@pytest.fixture
async def pull(home: Mailbox) -> AsyncIterator[Pulls]:
    peer = Pop3Peer(dict(LETTERS), capabilities=ALL)
    async with peer.listening() as port:
        yield Pulls(peer, port, home)


async def test_a_mailbox_that_moved_to_another_server_is_not_fetched_again(
    pull: Pulls, home: Mailbox, letters_of: Read
) -> None:
    await pull()
    pull.peer.letters = {f"new-{number}": one for number, one in enumerate(LETTERS.values())}
    pull.peer.letters["new-9"] = letter(9)
    report = await pull()
    assert (report.letters, report.known, report.relinked, pull.said("RETR")) == (1, 5, 5, 1)
    assert await letters_of(home) == [*LETTERS.values(), letter(9)]
    report = await pull(rules=(NOW,))
    assert (report.known, report.relinked, report.deleted, pull.said("TOP"), pull.said("RETR")) == (6, 0, 6, 0, 0)


async def test_a_mailbox_that_was_empty_while_it_moved_is_not_fetched_again(pull: Pulls, home: Mailbox) -> None:
    await pull()
    pull.peer.letters = {}
    await pull()
    pull.peer.letters = {f"new-{number}": one for number, one in enumerate(LETTERS.values())}
    report = await pull()
    assert (report.relinked, pull.said("RETR")) == (5, 0)


@pytest.mark.parametrize("has_top", [True, False])
async def test_without_unique_ids_each_letter_is_kept_once(
    pull: Pulls, home: Mailbox, letters_of: Read, has_top: bool
) -> None:
    pull.peer.capabilities = ("USER", "PIPELINING")
    pull.peer.says["UIDL"] = b"-ERR what?\r\n"
    if not has_top:
        pull.peer.says["TOP"] = b"-ERR what?\r\n"
    assert (await pull()).letters == 5
    pull.peer.letters = {"x": letter(6)} | pull.peer.letters
    report = await pull()
    assert (report.letters, report.known, pull.said("RETR")) == (1, 5, 1 if has_top else 6)
    report = await pull(rules=(NOW,))
    assert (report.letters, report.deleted, pull.peer.letters) == (0, 6, {})
    assert sorted(await letters_of(home)) == sorted([*LETTERS.values(), letter(6)])


def forget_names(peer: Pop3Peer) -> None:
    """A server that has neither UIDL nor TOP."""
    peer.capabilities = ("USER", "PIPELINING")
    peer.says |= {"UIDL": b"-ERR what?\r\n", "TOP": b"-ERR what?\r\n"}


async def test_what_is_known_by_its_octets_only_is_counted_once(pull: Pulls) -> None:
    class Loses(Session):
        def _quit(self, argument: str) -> bytes:
            if self.number == 1:
                raise Leaves
            return super()._quit(argument)

    forget_names(pull.peer)
    pull.peer.session = Loses
    report = await pull(rules=(NOW,))
    assert (report.listed, report.letters, report.known, report.deleted) == (5, 5, 0, 5)
    pull.peer.letters = {f"id-{number}": letter(number) for number in range(10, 160)}
    report = await pull()
    assert (report.sessions, report.listed, report.letters, report.known) == (2, 150, 150, 0)


async def test_to_meet_the_same_letters_again_and_again_brings_no_run_further(pull: Pulls, home: Mailbox) -> None:
    class Loses(Session):
        def _quit(self, argument: str) -> bytes:
            raise Leaves

    class Ends(Session):
        def retrieved(self, index: int) -> bytes:
            if index > 1:
                raise Leaves
            return bytes(super().retrieved(index))  # type: ignore[arg-type]

    forget_names(pull.peer)
    pull.peer.session = Loses
    with pytest.raises(Disconnected):
        await pull(rules=(NOW,))
    assert pull.peer.sessions == 5
    pull.peer.session = Ends
    pull.peer.letters = {f"id-{number}": letter(number) for number in range(10, 70)}
    with pytest.raises(Disconnected):
        await pull()
    assert len((await home.snapshot()).keys) == 5 + 2


async def test_a_letter_of_another_size_is_not_blamed_for_ever_for_the_one_behind_it(
    pull: Pulls, home: Mailbox, letters_of: Read
) -> None:
    class Miscounts(Session):
        def octets(self, index: int) -> int:
            return super().octets(index) + 3

        def retrieved(self, index: int) -> bytes:
            if self.maildrop[index][0] == "id-4":
                raise Leaves
            return bytes(super().retrieved(index))  # type: ignore[arg-type]

    pull.peer.session = Miscounts
    report = await pull()
    assert (report.letters, report.refused, report.different) == (4, 1, 4)
    assert sorted(await letters_of(home)) == sorted(one for name, one in LETTERS.items() if name != "id-4")


async def test_a_letter_that_waits_and_is_listed_again_is_there_again(pull: Pulls, home: Mailbox) -> None:
    await pull(headers_only=True)
    pull.peer.letters = {"id-1": LETTERS["id-1"]}
    await pull(headers_only=True)
    pull.peer.letters = dict(LETTERS)
    await pull(headers_only=True)
    [source] = await home.sources()
    assert {one.gone for one in (await home.pulled(source)).values()} == {None}


async def test_a_unique_id_given_to_another_letter_of_the_same_size_is_noticed(
    pull: Pulls, home: Mailbox, letters_of: Read
) -> None:
    await pull(rules=(NOW,))
    pull.peer.letters = {"id-1": letter(7), "id-2": letter(8), "id-3": LETTERS["id-3"]}
    report = await pull(rules=(NOW,))
    assert (report.letters, report.known, report.deleted) == (2, 1, 3)
    assert await letters_of(home) == [*LETTERS.values(), letter(7), letter(8)]
    pull.peer.letters = {"id-1": letter(9)}
    assert (await pull(rules=(NOW,))).letters == 1


async def test_a_size_that_wavers_makes_no_new_letter(pull: Pulls, home: Mailbox, letters_of: Read) -> None:
    await pull()
    pull.peer.says["LIST"] = b"+OK\r\n1 7\r\n2 7\r\n3 7\r\n4 7\r\n5 7\r\n.\r\n"
    report = await pull()
    assert (report.letters, report.known, pull.said("TOP"), pull.said("RETR")) == (0, 5, 5, 0)
    assert (await pull()).known == 5
    assert pull.said("TOP") == 0, "the size is remembered as it is now"


async def test_letters_of_one_unique_id_are_told_apart_also_when_one_has_gone(
    pull: Pulls, home: Mailbox, letters_of: Read
) -> None:
    pull.peer.says["UIDL"] = b"+OK\r\n1 same\r\n2 same\r\n3 same\r\n4 id-4\r\n5 id-5\r\n.\r\n"
    await pull()
    del pull.peer.letters["id-1"]
    pull.peer.says["UIDL"] = b"+OK\r\n1 same\r\n2 same\r\n3 id-4\r\n4 id-5\r\n.\r\n"
    report = await pull(rules=(NOW,))
    assert (report.letters, report.known, report.deleted, pull.said("RETR")) == (0, 4, 4, 0)
    assert await letters_of(home) == list(LETTERS.values())


@pytest.mark.parametrize("deletes", [True, False])
async def test_a_server_that_shows_a_part_is_asked_until_nothing_new_comes(
    pull: Pulls, home: Mailbox, letters_of: Read, deletes: bool
) -> None:
    many = {f"id-{number}": letter(number) for number in range(620)}
    pull.peer.letters, pull.peer.shows = dict(many), 250
    report = await pull(rules=(NOW,) if deletes else ())
    assert report.letters == (620 if deletes else 250)
    assert report.sessions == (4 if deletes else 2)
    assert await letters_of(home) == list(many.values())[: report.letters]


async def test_whoever_wants_a_while_between_two_logins_has_it(pull: Pulls) -> None:
    pull.peer.capabilities = (*ALL, "LOGIN-DELAY 60")
    pull.peer.says["QUIT"] = b"-ERR [SYS/TEMP] some remain\r\n"
    with pytest.raises(Refused, match="all of it is kept here"):
        await pull(rules=(NOW,))
    assert len(pull.waited) == 4
    assert all(55 < seconds <= 60 for seconds in pull.waited)
    pull.waited.clear()
    with pytest.raises(Refused):
        await pull(rules=(NOW,), longest_wait=30.0)
    assert pull.waited == []


async def test_what_was_not_confirmed_is_looked_after(pull: Pulls, home: Mailbox) -> None:
    pull.peer.says["QUIT"] = b""
    pull.peer.leaves_after = 1300

    async def mend(_: float) -> None:
        pull.peer.says.pop("QUIT", None)
        pull.peer.leaves_after = None

    report = await pull(rules=(NOW,), pause=mend, patience_seconds=0.5)
    assert (report.letters, report.deleted, pull.peer.letters) == (5, 5, {})
    there = await home.pulled(next(iter(await home.sources())))
    assert all(one.confirmed for one in there.values())
    await pull()
    there = await home.pulled(next(iter(await home.sources())))
    assert all(one.gone for one in there.values())


async def test_order_and_size_are_as_wanted_and_the_rest_comes_later(
    pull: Pulls, home: Mailbox, letters_of: Read
) -> None:
    large = {"id-3": letter(3, b"large" * 500)}
    pull.peer.letters |= large
    with collected() as events:
        report = await pull(order="newest", largest=1000, rules=(NOW,))
    assert (report.letters, report.left, report.deleted) == (4, 1, 4)
    assert [facts["source_id"] for name, facts in events if name == "home.left"] == ["id-3"]
    assert await letters_of(home) == [LETTERS[f"id-{number}"] for number in (5, 4, 2, 1)]
    assert (await pull()).letters == 1
    assert (await letters_of(home))[-1] == large["id-3"]


async def test_the_headers_of_what_is_left_are_here_and_go_when_it_goes(pull: Pulls, home: Mailbox) -> None:
    async def waiting() -> dict[str, bytes]:
        there = await home.pulled(next(iter(await home.sources())))
        return {name: one.head for name, one in there.items() if one.fetched is None and one.gone is None}

    report = await pull(headers_only=True, rules=(NOW,))
    heads = {name: one.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" for name, one in LETTERS.items()}
    assert (report.letters, report.left, report.deleted, await waiting()) == (0, 5, 0, heads)
    del pull.peer.letters["id-1"]
    report = await pull(only=frozenset(["id-4"]))
    assert (report.letters, report.left, pull.said("TOP")) == (1, 3, 0)
    assert list(await waiting()) == ["id-2", "id-3", "id-5"]
    assert ((await pull()).letters, await waiting()) == (3, {})


async def test_smallest_first(pull: Pulls, home: Mailbox, letters_of: Read) -> None:
    pull.peer.letters = {"a": letter(1, b"x" * 9), "b": letter(2, b"x" * 5), "c": letter(3, b"x" * 7)}
    await pull(order="smallest")
    assert await letters_of(home) == [pull.peer.letters[name] for name in "bca"]


async def test_letters_go_after_so_many_days(pull: Pulls) -> None:
    await pull(rules=(AfterDays(14),))
    pull.now += 13 * DAY
    assert (await pull(rules=(AfterDays(14),))).deleted == 0
    pull.now += DAY + 60
    assert (await pull(rules=(AfterDays(14),))).deleted == 5
    assert pull.peer.letters == {}


async def test_letters_go_when_they_are_removed_here(pull: Pulls, home: Mailbox) -> None:
    await pull(rules=(WhenRemoved(),))
    snapshot = await home.snapshot()
    await home.move([snapshot.keys[0]], "Archive")
    await home.remove([snapshot.keys[1], snapshot.keys[3]])
    assert (await pull(rules=(WhenRemoved(),))).deleted == 2
    assert list(pull.peer.letters) == ["id-1", "id-3", "id-5"]


async def test_the_oldest_go_while_there_is_too_much(pull: Pulls) -> None:
    size = len(LETTERS["id-1"])
    report = await pull(rules=(WhenAbove(50, 5 * size),))
    assert report.deleted == 3
    assert list(pull.peer.letters) == ["id-4", "id-5"]


async def test_why_a_letter_goes_is_remembered(pull: Pulls, home: Mailbox) -> None:
    await pull(rules=(AfterDays(3), NOW))
    [source] = await home.sources()
    one = (await home.pulled(source))["id-1"]
    assert (one.rule, one.seen, one.deleting, one.confirmed) == ("now", pull.now, pull.now, pull.now)
    assert (one.octets, one.tries, one.gone, one.is_here) == (len(LETTERS["id-1"]), 0, None, True)


async def test_letters_that_are_not_given_come_last_the_next_time(pull: Pulls, home: Mailbox, letters_of: Read) -> None:
    pull.peer.says["RETR 2"] = b"-ERR it is broken\r\n"
    assert (await pull()).refused == 1
    [source] = await home.sources()
    failed = (await home.pulled(source))["id-2"]
    assert (failed.tries, failed.words, failed.fetched) == (1, "it is broken", None)
    pull.peer.says.clear()
    pull.peer.letters["id-6"] = letter(6)
    assert (await pull()).letters == 2
    assert (await letters_of(home))[-2:] == [letter(6), LETTERS["id-2"]]
