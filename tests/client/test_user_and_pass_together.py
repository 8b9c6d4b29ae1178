"""USER and PASS leave in one write where they may; a server that cannot take them so is found out, once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import pytest

from postoffice import Pop3Client
from postoffice.client.collect import Options, Report, collect
from postoffice.client.url import Source
from postoffice.errors import ConnectionLost, Disconnected, Refused
from postoffice.net.tls import client_context
from postoffice.net.tls_server import server_context
from postoffice.store.memory import MemoryMailbox
from postoffice.testing.certificates import Authority
from postoffice.testing.faults.connection import DropsAhead
from postoffice.testing.peer import PASSWORD, USER, Leaves, Leaving, Pop3Peer, Session

LETTERS = {"id-1": b"one\r\n", "id-2": b"two\r\n"}
NAME, SECRET = f"USER {USER}", f"PASS {PASSWORD}"
TOGETHER, APART = [[NAME, SECRET]], [[NAME], [SECRET]]


async def at_once(_: float) -> None:
    """Nobody waits between two sessions here."""


async def pull(port: int, password: str = PASSWORD) -> Report:
    options = Options(password, patience_seconds=0.5, pause=at_once)
    return await collect(Source("127.0.0.1", port, USER), MemoryMailbox(), options)


async def conversation(peer: Pop3Peer) -> list[str]:
    """All that it heard; nobody waits for the answer to a QUIT behind a refusal."""
    async with asyncio.timeout(5):
        while "QUIT" not in peer.heard:
            await asyncio.sleep(0.01)
    return peer.heard


class Noting(Session):
    """It notes which lines came in one piece."""

    def __init__(self, peer: Pop3Peer, pieces: list[list[str]]) -> None:
        super().__init__(peer)
        self._pieces = pieces

    def taken(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        self._pieces.append([line.decode().rstrip("\r") for line in lines])
        return lines


def noting(*capabilities: str) -> tuple[Pop3Peer, list[list[str]]]:
    pieces: list[list[str]] = []
    return Pop3Peer(dict(LETTERS), capabilities, session=partial(Noting, pieces=pieces)), pieces


def logins(pieces: list[list[str]]) -> list[list[str]]:
    return [piece for piece in pieces if piece[0].startswith(("USER", "PASS"))]


class FailsTogether(Session):
    """It leaves, or answers with something, where more comes together with USER."""

    def __init__(self, peer: Pop3Peer, how: Leaving | bytes) -> None:
        super().__init__(peer)
        self._how = how
        self._is_together = False

    def taken(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        self._is_together = len(lines) > 1 and lines[0].startswith(b"USER")
        return lines

    def answer(self, line: str) -> bytes | Iterable[bytes]:
        if not self._is_together:
            return super().answer(line)
        if isinstance(self._how, Leaving):
            raise Leaves(b"+OK\r\n", self._how)
        return self._how if line.startswith("USER") else b""


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        (("UIDL", "USER", "PIPELINING"), TOGETHER),
        (("UIDL", "USER"), APART),
        (("UIDL", "PIPELINING"), APART),
    ],
)
async def test_they_go_together_where_both_are_announced(
    capabilities: tuple[str, ...], expected: list[list[str]]
) -> None:
    peer, pieces = noting(*capabilities)
    async with peer.listening() as port:
        assert (await pull(port)).letters == 2
    assert logins(pieces) == expected


async def test_behind_a_mechanism_that_was_refused_they_go_one_by_one(tmp_path: Path) -> None:
    peer, pieces = noting("UIDL", "USER", "PIPELINING", "SASL CRAM-MD5")
    peer.says["AUTH"] = b"-ERR [AUTH] no\r\n"
    authority = Authority(tmp_path)
    async with peer.listening(server_context(*authority.issue(["127.0.0.1"], tmp_path))) as port:
        source = Source("127.0.0.1", port, USER, implicit_tls=True)
        await collect(source, MemoryMailbox(), Options(PASSWORD, client_context(authority.ca_path)))
    assert ["AUTH CRAM-MD5"] in pieces
    assert logins(pieces) == APART


async def test_a_program_that_has_one_session_says_them_one_by_one() -> None:
    peer, pieces = noting("UIDL", "USER", "PIPELINING")
    async with peer.listening() as port, Pop3Client("127.0.0.1", port, implicit_tls=False) as pop:
        await pop.login(USER, PASSWORD)
    assert logins(pieces) == APART


@pytest.mark.parametrize(
    "session",
    [
        DropsAhead,
        partial(FailsTogether, how=Leaving.CLOSED),
        partial(FailsTogether, how=Leaving.RESET),
        partial(FailsTogether, how=b"+OK\r\nwhat?\r\n"),
        partial(FailsTogether, how=b"+OK\r\n+OK\r\n+OK\r\n"),
        partial(FailsTogether, how=b"+ \r\n"),
        partial(FailsTogether, how=b"-ERR one by one\r\n+OK\r\n"),
    ],
    ids=["lost", "closed", "reset", "no answer", "one too many", "challenge", "USER refused and PASS not"],
)
async def test_a_server_that_cannot_take_them_together_gets_them_one_by_one_in_another_session(
    session: type[Session],
) -> None:
    peer = Pop3Peer(dict(LETTERS), session=session)
    async with peer.listening() as port:
        report = await pull(port)
    assert (report.letters, report.sessions) == (2, 2)
    assert peer.heard[-8:] == ["CAPA", NAME, SECRET, "UIDL", "LIST", "RETR 1", "RETR 2", "QUIT"]


@pytest.mark.parametrize(("can_pipeline", "sessions"), [(True, 2), (False, 1)])
async def test_a_login_that_always_breaks_off_is_tried_again_only_if_it_went_together(
    can_pipeline: bool, sessions: int
) -> None:
    class BreaksOff(Session):
        def _pass(self, argument: str) -> bytes:
            raise Leaves

    capabilities = ("UIDL", "USER", "PIPELINING") if can_pipeline else ("UIDL", "USER")
    peer = Pop3Peer(dict(LETTERS), capabilities, session=BreaksOff)
    async with peer.listening() as port:
        with pytest.raises(ConnectionLost):
            await pull(port)
    assert peer.sessions == sessions


async def test_a_connection_that_is_lost_before_them_says_nothing_about_them() -> None:
    peer = Pop3Peer(dict(LETTERS), leaves_after=20)
    async with peer.listening() as port:
        with pytest.raises(Disconnected):
            await pull(port)
    assert peer.sessions == 1


async def test_a_wrong_password_is_shown_once() -> None:
    peer = Pop3Peer(dict(LETTERS))
    async with peer.listening() as port:
        with pytest.raises(Refused, match=r"refused the login of bob: \[AUTH\] no") as caught:
            await pull(port, "wrong")
        assert await conversation(peer) == ["CAPA", NAME, "PASS wrong", "QUIT"]
    assert caught.value.status == 77


async def test_where_both_are_refused_the_reason_is_that_of_user() -> None:
    peer = Pop3Peer(dict(LETTERS), says={"USER": b"-ERR nobody of that name\r\n", "PASS": b"-ERR USER first\r\n"})
    async with peer.listening() as port:
        with pytest.raises(Refused, match="refused the login of bob: nobody of that name") as caught:
            await pull(port)
        assert await conversation(peer) == ["CAPA", NAME, SECRET, "QUIT"]
    assert caught.value.status == 77


@pytest.mark.parametrize("how", [Leaving.CLOSED, Leaving.RESET, Leaving.SILENT])
async def test_a_refused_user_is_told_also_if_nothing_follows(how: Leaving) -> None:
    class Refuses(Session):
        def _user(self, argument: str) -> bytes:
            raise Leaves(b"-ERR nobody of that name\r\n", how)

    peer = Pop3Peer(dict(LETTERS), session=Refuses)
    async with peer.listening() as port:
        with pytest.raises(Refused, match="refused the login of bob: nobody of that name"):
            await pull(port)
    assert peer.sessions == 1


async def test_a_maildrop_that_opens_behind_a_refused_user_is_not_looked_into() -> None:
    peer = Pop3Peer(dict(LETTERS), says={"USER": b"-ERR nobody of that name\r\n"})
    async with peer.listening() as port:
        with pytest.raises(Refused, match="nobody of that name"):
            await pull(port)
        assert await conversation(peer) == ["CAPA", NAME, SECRET, "CAPA", NAME, "QUIT"]
