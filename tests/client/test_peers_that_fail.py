"""Whatever a server does, and wherever it leaves: nothing is doubled, nothing is lost, and the reason is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from postoffice.client.collect import Options, Report, collect
from postoffice.client.rules import NOW
from postoffice.client.url import Source
from postoffice.errors import Disconnected, PatienceLost, PostofficeError, Refused, RemoteProtocolError, UsageError
from postoffice.events import collected, listen
from postoffice.store.base import Mailbox
from postoffice.store.memory import MemoryMailbox
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer

Read = Callable[[Mailbox], Awaitable[list[bytes]]]

ONE, TWO, THREE = b"Subject: one\r\n\r\n.\r\n", b"Subject: two\r\n\r\n..x\r\n", b"three\r\n"
LETTERS = {"id-1": ONE, "id-2": TWO, "id-3": THREE}


async def at_once(_: float) -> None:
    """Nobody waits between two sessions here."""


async def pull(port: int, home: Mailbox, *, delete: bool = False, password: str = PASSWORD) -> Report:
    return await collect(
        Source("127.0.0.1", port, USER), home, Options(password, rules=(NOW,) if delete else (), pause=at_once)
    )


async def conversation_octets(home: Mailbox, *, can_pipeline: bool) -> int:
    """How much a server says in a whole conversation."""
    peer = Pop3Peer(dict(LETTERS), capabilities=capabilities(can_pipeline))
    async with peer.listening() as port:
        await pull(port, home, delete=True)
    return peer.sent


def capabilities(can_pipeline: bool) -> tuple[str, ...]:
    return ("UIDL", "USER", "PIPELINING") if can_pipeline else ("UIDL", "USER")


@pytest.mark.parametrize("can_pipeline", [True, False])
async def test_a_server_may_leave_after_any_octet(can_pipeline: bool, letters_of: Read) -> None:
    whole = await conversation_octets(MemoryMailbox(), can_pipeline=can_pipeline)
    assert whole > 200
    for octets in range(whole):
        home = MemoryMailbox()
        peer = Pop3Peer(dict(LETTERS), capabilities=capabilities(can_pipeline), leaves_after=octets)
        async with peer.listening() as port:
            with suppress(Disconnected):  # where sessions are long enough for a letter, they bring all of them
                await pull(port, home, delete=True)
            kept = await letters_of(home)
            assert len(kept) == len(set(kept)), octets
            assert set(kept) <= set(LETTERS.values()), octets
            assert {LETTERS[gone] for gone in LETTERS.keys() - peer.letters.keys()} <= set(kept), octets
            there = len(peer.letters)
            peer.leaves_after = None
            report = await pull(port, home, delete=True)
        assert report.letters == 3 - len(kept), octets
        assert report.letters + report.known == there, octets
        assert sorted(await letters_of(home)) == sorted(LETTERS.values()), octets
        assert peer.letters == {}, octets


async def test_a_file_survives_a_server_that_leaves(home: Mailbox, letters_of: Read) -> None:
    whole = await conversation_octets(MemoryMailbox(), can_pipeline=True)
    peer = Pop3Peer(dict(LETTERS))
    async with peer.listening() as port:
        for octets in range(0, whole, 23):
            peer.leaves_after = octets
            with suppress(Disconnected):  # what is left to fetch gets less from run to run
                await pull(port, home)
        peer.leaves_after = None
        assert (await pull(port, home)).listed == 3
    assert sorted(await letters_of(home)) == sorted(LETTERS.values())
    assert await home.check() == []


async def test_letters_that_came_whole_are_kept_when_the_pull_is_stopped(home: Mailbox, letters_of: Read) -> None:
    peer = Pop3Peer(dict(LETTERS), says={"RETR 3": b"+OK\r\nhal"})
    second = asyncio.Event()
    stop = listen(lambda name, facts: second.set() if facts.get("source_id") == "id-2" else None)
    async with peer.listening() as port:
        begun = asyncio.create_task(pull(port, home))
        await second.wait()
        begun.cancel()
        with pytest.raises(asyncio.CancelledError):
            await begun
    stop()
    assert await letters_of(home) == [ONE, TWO]


async def test_without_pipelining_one_command_waits_for_the_other(home: Mailbox, letters_of: Read) -> None:
    peer = Pop3Peer(dict(LETTERS), capabilities=("UIDL", "USER"))
    async with peer.listening() as port:
        await pull(port, home)
    assert await letters_of(home) == list(LETTERS.values())
    assert peer.heard == [
        "CAPA", f"USER {USER}", f"PASS {PASSWORD}", "CAPA", "UIDL", "LIST", "RETR 1", "RETR 2", "RETR 3", "QUIT",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("says", "error", "status", "words"),
    [
        ({"PASS": b"-ERR [AUTH] no\r\n"}, Refused, 77, "refused the login of bob: .AUTH. no"),
        ({"PASS": b"-ERR no\r\n"}, Refused, 77, "refused the login"),
        ({"PASS": b"-ERR [IN-USE] busy\r\n"}, Refused, 75, "IN-USE"),
        ({"PASS": b"-ERR [SYS/TEMP] later\r\n"}, Refused, 75, "later"),
        ({"PASS": b"-ERR [SYS/PERM] never\r\n"}, Refused, 69, "never"),
        ({"PASS": b"-ERR [LOGIN-DELAY] slowly\r\n"}, Refused, 75, "slowly"),
        ({"USER": b"-ERR who\r\n"}, Refused, 77, "who"),
        ({"UIDL": b"-ERR what\r\n"}, Refused, 75, "UIDL, without which"),
        ({"LIST": b"-ERR what\r\n"}, Refused, 69, "LIST"),
        ({"PASS": b"-ERR \x1b[2J\xff\r\n"}, Refused, 77, "login of bob: \ufffd"),
        ({"PASS": b"hello\r\n"}, RemoteProtocolError, None, "127.0.0.1 broke the protocol"),
        ({"PASS": b"+OK" + b"x" * 20_000 + b"\r\n"}, RemoteProtocolError, None, "too long"),
        ({"PASS": b"+OK\r\n+OK\r\n"}, RemoteProtocolError, None, "broke the protocol"),
        ({"PASS": b"+ \r\n"}, RemoteProtocolError, None, "challenge"),
        ({"LIST": b"+OK\r\n1 7\r\n.\r\n"}, RemoteProtocolError, None, "tell of different letters"),
        ({"LIST": b"+OK\r\n1 seven\r\n.\r\n"}, RemoteProtocolError, None, "listing of LIST"),
        ({"UIDL": b"+OK\r\n1\r\n.\r\n"}, RemoteProtocolError, None, "listing of UIDL"),
        ({"UIDL": b"+OK\r\n1 a\r\n1 b\r\n.\r\n"}, RemoteProtocolError, None, "listing of UIDL"),
    ],
)
async def test_what_went_wrong_is_told(
    says: dict[str, bytes], error: type[PostofficeError], status: int | None, words: str
) -> None:
    async with Pop3Peer(dict(LETTERS), says=says).listening() as port:
        with pytest.raises(error, match=words) as caught:
            await pull(port, MemoryMailbox())
    assert getattr(caught.value, "status", None) == status
    assert "\x1b" not in str(caught.value)


async def test_a_greeting_that_refuses_is_told() -> None:
    async with Pop3Peer({}, greeting=b"-ERR too many of you\r\n").listening() as port:
        with pytest.raises(Refused, match="too many of you") as caught:
            await pull(port, MemoryMailbox())
    assert caught.value.status == 75


async def test_nobody_there_is_told() -> None:
    async with Pop3Peer({}).listening() as port:
        pass
    with pytest.raises(Disconnected, match=f"cannot reach 127.0.0.1 port {port}"):
        await pull(port, MemoryMailbox())


async def test_a_silent_server_is_not_waited_for_for_ever() -> None:
    async with Pop3Peer({}, greeting=b"+O").listening() as port:
        impatient = Options(PASSWORD, patience_seconds=0.0)
        with pytest.raises(PatienceLost):
            await collect(Source("127.0.0.1", port, USER), MemoryMailbox(), impatient)


async def test_octets_before_tls_began_are_an_attack() -> None:
    peer = Pop3Peer(dict(LETTERS), capabilities=("UIDL", "STLS"), says={"STLS": b"+OK\r\n+OK injected\r\n"})
    async with peer.listening() as port:
        with pytest.raises(RemoteProtocolError, match="octets before TLS began"):
            await pull(port, MemoryMailbox())
    assert peer.heard == ["CAPA", "STLS"]


async def test_a_refused_stls_is_no_reason_to_go_on_in_clear() -> None:
    peer = Pop3Peer(dict(LETTERS), capabilities=("UIDL", "STLS"), says={"STLS": b"-ERR no\r\n"})
    async with peer.listening() as port:
        with pytest.raises(Refused, match="refused TLS"):
            await pull(port, MemoryMailbox())
    assert not any(line.startswith(("USER", "PASS", "AUTH")) for line in peer.heard)


async def test_a_password_leaves_this_machine_only_under_tls_or_by_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = Pop3Peer(dict(LETTERS))
    async with peer.listening() as port:
        monkeypatch.setattr(Source, "is_on_this_machine", property(lambda _: False))
        with pytest.raises(UsageError, match="offers no TLS") as caught:
            await pull(port, MemoryMailbox())
        assert caught.value.status == 77
        assert f"PASS {PASSWORD}" not in peer.heard
        allowed = Options(PASSWORD, allows_clear_text=True)
        assert (await collect(Source("127.0.0.1", port, USER), MemoryMailbox(), allowed)).letters == 3


async def test_utf8_is_said_where_it_is_announced_and_a_refusal_of_it_stops_nothing(
    home: Mailbox, letters_of: Read
) -> None:
    peer = Pop3Peer(dict(LETTERS), capabilities=("UIDL", "UTF8 USER", "PIPELINING"), says={"UTF8": b"-ERR not now\r\n"})
    async with peer.listening() as port:
        await pull(port, home)
    assert peer.heard[:3] == ["CAPA", "UTF8", f"USER {USER}"]
    assert await letters_of(home) == list(LETTERS.values())


async def test_a_letter_that_is_refused_stops_no_other(home: Mailbox, letters_of: Read) -> None:
    peer = Pop3Peer(dict(LETTERS), says={"RETR 2": b"-ERR cannot read it\r\n"})
    async with peer.listening() as port:
        with collected() as events:
            report = await pull(port, home, delete=True)
        assert (report.letters, report.refused, report.deleted) == (2, 1, 2)
        [refused] = [facts for name, facts in events if name == "home.refused"]
        assert (refused["source_id"], refused["said"]) == ("id-2", "cannot read it")
        assert peer.letters == {"id-2": TWO}
        peer.says.clear()
        assert (await pull(port, home, delete=True)).letters == 1
    assert sorted(await letters_of(home)) == sorted(LETTERS.values())


async def test_a_wrong_size_is_told_and_harms_nothing(home: Mailbox, letters_of: Read) -> None:
    peer = Pop3Peer(dict(LETTERS), says={"LIST": b"+OK\r\n1 18\r\n2 99999\r\n3 0\r\n.\r\n"})
    async with peer.listening() as port:
        with collected() as events:
            report = await pull(port, home)
    assert report.different == [name for name, _ in events].count("home.different") >= 2
    assert await letters_of(home) == list(LETTERS.values())


async def test_letters_under_one_unique_id_are_fetched_and_deleted_each_for_itself(
    home: Mailbox, letters_of: Read
) -> None:
    same = {"UIDL": b"+OK\r\n1 same\r\n2 same\r\n3 id-3\r\n.\r\n"}
    peer = Pop3Peer(dict(LETTERS), says=same)
    async with peer.listening() as port:
        peer.says["DELE 2"] = b"-ERR not this one\r\n"
        assert (await pull(port, home, delete=True)).letters == 3
        assert peer.letters == {"id-2": TWO}
    assert await letters_of(home) == list(LETTERS.values())
    unique_ids = (await home.snapshot()).unique_ids
    assert len(set(unique_ids)) == 3
    assert unique_ids[0] == "same"


async def test_a_unique_id_that_no_server_may_have_is_remembered_but_not_shown(home: Mailbox) -> None:
    peer = Pop3Peer({"x" * 200: ONE})
    async with peer.listening() as port:
        assert (await pull(port, home)).letters == 1
        assert (await pull(port, home)).known == 1
    [unique_id] = (await home.snapshot()).unique_ids
    assert 1 <= len(unique_id) <= 70


async def test_a_failed_update_is_told_and_loses_nothing(home: Mailbox, letters_of: Read) -> None:
    peer = Pop3Peer(dict(LETTERS), says={"QUIT": b"-ERR [SYS/TEMP] some remain\r\n"})
    async with peer.listening() as port:
        with pytest.raises(Refused, match="all of it is kept here") as caught:
            await pull(port, home, delete=True)
        assert caught.value.status == 75
        assert await letters_of(home) == list(LETTERS.values())
        peer.says.clear()
        report = await pull(port, home, delete=True)
    assert (report.letters, report.known, report.deleted) == (0, 3, 3)
    assert peer.letters == {}


async def test_a_new_letter_under_an_old_unique_id_is_fetched(letters_of: Read) -> None:
    home = MemoryMailbox()
    peer = Pop3Peer({"id-1": ONE, "id-2": TWO})
    async with peer.listening() as port:
        await pull(port, home)
        peer.letters["id-2"] = b"Subject: another one, which nobody has fetched\r\n\r\n"
        report = await pull(port, home, delete=True)
    assert (report.letters, report.known, report.deleted) == (1, 1, 2)
    assert await letters_of(home) == [ONE, TWO, b"Subject: another one, which nobody has fetched\r\n\r\n"]
