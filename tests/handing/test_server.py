"""Letters go to a server by LMTP, SMTP and submission, many on one connection, and their octets stay."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.handing.conftest import LETTERS, Spool
from tests.handing.test_mbox import email_ids

from postoffice.errors import Disconnected, Refused, RemoteProtocolError, UsageError
from postoffice.handing.round import Doubtful
from postoffice.protocols.dots import unstuff
from postoffice.store.memory import MemoryStore
from postoffice.testing.office import TestOffice, run_office

BOB = "bob@b.example"
BARE = b"Subject: bare\r\n\r\na\nb\r\n"


@pytest.fixture
async def office() -> AsyncIterator[TestOffice]:
    async with run_office(MemoryStore(), "b.example", people={BOB: "secret"}) as opened:
        yield opened


@pytest.fixture
def password(tmp_path: Path) -> Path:
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "password").chmod(0o600)
    return tmp_path / "password"


async def came_whole(office: TestOffice) -> bool:
    """Every letter, once, below what the office writes above it."""
    came = [unstuff(wire) for wire in await office.letters(BOB)]
    fits = [any(one.endswith(letter) for one in came) for letter in LETTERS]
    return len(came) == len(LETTERS) and all(fits)


async def test_by_lmtp_and_by_smtp(spool: Spool, office: TestOffice) -> None:
    for door in ("lmtp", "smtp"):
        await spool.put(*LETTERS)
        handed = await spool.hand_over(f"{door}://127.0.0.1:{office.port(door)}/{BOB}")
        assert (handed.letters, handed.status) == (len(LETTERS), 0)
        assert await spool.left() == 0
    came = await office.letters(BOB)
    assert len(came) == 2 * len(LETTERS)
    assert came[0].startswith(b"Return-Path: <alice@a.example>\r\n")
    assert came[1].startswith(b"Return-Path: <>\r\n")
    for one, letter in zip(came, LETTERS * 2, strict=True):
        assert unstuff(one).endswith(letter)


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_by_submission(spool: Spool, office: TestOffice, password: Path, scheme: str) -> None:
    await spool.put(*LETTERS)
    port = office.port("submission" if scheme == "smtp" else "submissions")
    url = f"{scheme}://{BOB}@127.0.0.1:{port}/{BOB}?password-file={password}&sender={BOB}&ca={office.certificate}"
    assert (await spool.hand_over(url)).letters == len(LETTERS)
    assert await came_whole(office)


async def test_a_certificate_that_nobody_vouches_for_gets_no_letter(
    spool: Spool, office: TestOffice, password: Path
) -> None:
    await spool.put(LETTERS[0])
    port = office.port("submissions")
    with pytest.raises(UsageError, match=r"certificate is not trusted.*with .ca= behind the URL") as problem:
        await spool.hand_over(f"smtps://{BOB}@127.0.0.1:{port}/{BOB}?password-file={password}")
    assert problem.value.status == os.EX_UNAVAILABLE
    password.write_text("wrong\n")
    with pytest.raises(Refused, match="refused the login of bob") as caught:
        await spool.hand_over(f"smtps://{BOB}@127.0.0.1:{port}/{BOB}?password-file={password}&ca={office.certificate}")
    assert caught.value.status == os.EX_NOPERM
    assert await spool.left() == 1


async def test_a_recipient_who_is_not_there_is_told_for_each_letter(spool: Spool, office: TestOffice) -> None:
    await spool.put(*LETTERS)
    handed = await spool.hand_over(f"lmtp://127.0.0.1:{office.port('lmtp')}/nobody@b.example")
    assert (handed.declined, handed.status) == (len(LETTERS), os.EX_UNAVAILABLE)
    assert "550 5.1.1" in str(spool.told("declined")[0]["because"])
    assert await spool.left() == len(LETTERS)
    assert (await spool.hand_over(f"lmtp://127.0.0.1:{office.port('lmtp')}/{BOB}")).doubtful == 0


async def test_line_ends_that_smtp_cannot_carry_are_not_repaired(spool: Spool, office: TestOffice) -> None:
    await spool.put(BARE, LETTERS[0])
    handed = await spool.hand_over(f"lmtp://127.0.0.1:{office.port('lmtp')}/{BOB}")
    assert (handed.letters, handed.declined, handed.status) == (1, 1, os.EX_UNAVAILABLE)
    assert await spool.left() == 1


async def test_nobody_there(spool: Spool, tmp_path: Path) -> None:
    await spool.put(LETTERS[0])
    with pytest.raises(Disconnected, match="cannot reach"):
        await spool.hand_over(f"lmtp://{tmp_path}/socket/bob")
    assert (await spool.left(), spool.told("in_doubt")) == (1, [])


# --- a server that also does what none should


@dataclass
class SmtpPeer:
    """`says` replaces the reply to a keyword, or to the final dot (`.`), for the transactions that come first; an
    empty one closes the connection."""

    extensions: tuple[str, ...] = ("PIPELINING", "8BITMIME")
    says: dict[str, list[str]] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    letters: list[bytes] = field(default_factory=list)
    connections: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    answers: asyncio.Event | None = None

    @asynccontextmanager
    async def listening(self, path: Path) -> AsyncIterator[str]:
        server = await asyncio.start_unix_server(self._converse, path)
        try:
            yield f"lmtp://{path}/bob"
        finally:
            server.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        has_sender = has_recipient = False
        writer.write(b"220 ready\r\n")
        try:
            while line := await reader.readline():
                said = line.decode().rstrip("\r\n")
                self.heard.append(said)
                reply = self._reply(said.split(" ")[0])
                if said.startswith("MAIL"):
                    has_sender, has_recipient = reply.startswith(b"2"), False
                elif said.startswith("RCPT"):
                    reply = reply if has_sender else b"503 5.5.1 MAIL first\r\n"
                    has_recipient = reply.startswith(b"2")
                writer.write(reply)
                if reply.startswith(b"354"):
                    octets = await self._content(reader)
                    if not has_recipient:
                        assert octets == b""
                        continue  # in LMTP there is nobody to answer for
                    self.asked.set()
                    if self.answers is not None:
                        await self.answers.wait()
                    reply = self._reply(".")
                    if reply.startswith(b"2"):
                        self.letters.append(unstuff(octets))
                    writer.write(reply)
                await writer.drain()
                if not reply or reply.startswith((b"221", b"421")):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.left.set()
            writer.close()

    async def _content(self, reader: asyncio.StreamReader) -> bytes:
        octets = b""
        while (line := await reader.readline()) != b".\r\n":
            if not line:
                raise ConnectionResetError
            octets += line
        return octets

    def _reply(self, keyword: str) -> bytes:
        if self.says.get(keyword):
            said = self.says[keyword].pop(0)
            return f"{said}\r\n".encode() if said else b""
        if keyword == "LHLO":
            lines = ["peer", *self.extensions]
            return "".join(f"250{' ' if one is lines[-1] else '-'}{one}\r\n" for one in lines).encode()
        return {"DATA": b"354 go\r\n", "QUIT": b"221 bye\r\n"}.get(keyword, b"250 fine\r\n")


@pytest.mark.parametrize("extensions", [(), ("PIPELINING",), ("SIZE", "8BITMIME", "SMTPUTF8")])
async def test_all_go_on_one_connection(spool: Spool, tmp_path: Path, extensions: tuple[str, ...]) -> None:
    await spool.put(*LETTERS)
    peer = SmtpPeer(extensions)
    async with peer.listening(tmp_path / "s") as url:
        assert (await spool.hand_over(url)).letters == len(LETTERS)
        await peer.left.wait()
    assert peer.letters == list(LETTERS)
    assert peer.connections == 1
    assert peer.heard[0] == "LHLO localhost"
    wanted = f" SIZE={len(LETTERS[0])} BODY=8BITMIME" if "SIZE" in extensions else ""
    assert peer.heard[1] == f"MAIL FROM:<alice@a.example>{wanted}"
    assert peer.heard[-1] == "QUIT"


async def test_smtputf8_is_said_for_a_header_beyond_ascii(spool: Spool, tmp_path: Path) -> None:
    letters = "Subject: Thư\r\n\r\nx\r\n".encode(), b"Subject: Th\xff\r\n\r\nx\r\n", b"Subject: x\r\n\r\n\xc6\xb0\r\n"
    await spool.put(*letters)
    peer = SmtpPeer(("SMTPUTF8",))
    async with peer.listening(tmp_path / "s") as url:
        assert (await spool.hand_over(url)).letters == 3
    assert [line for line in peer.heard if line.startswith("MAIL")] == [
        "MAIL FROM:<> SMTPUTF8",
        "MAIL FROM:<>",
        "MAIL FROM:<>",
    ]
    assert peer.letters == list(letters)


@pytest.mark.parametrize(
    ("keyword", "said"),
    [
        ("MAIL", "451 4.3.0 later"),
        ("MAIL", "550 5.7.1 not from there"),
        ("RCPT", "550 5.1.1 nobody"),
        ("RCPT", "452 4.2.2 full"),
        ("DATA", "451 later"),
        (".", "554 5.6.0 spam"),
        (".", "451 4.3.0 disk"),
    ],
)
@pytest.mark.parametrize("extensions", [(), ("PIPELINING",)])
async def test_what_is_refused_stays_and_others_go_on(
    spool: Spool, tmp_path: Path, keyword: str, said: str, extensions: tuple[str, ...]
) -> None:
    """Also where a server says 354 behind a recipient that it refused: then it gets nothing but a dot."""
    await spool.put(*LETTERS[:3])
    peer = SmtpPeer(extensions, {keyword: [said]})
    async with peer.listening(tmp_path / "s") as url:
        handed = await spool.hand_over(url)
        assert (handed.letters, handed.declined) == (2, 1)
        assert handed.status == (os.EX_UNAVAILABLE if said.startswith("5") else os.EX_TEMPFAIL)
        assert said in str(spool.told("declined")[0]["because"])
        assert await spool.left() == 1
        handed = await spool.hand_over(url)
        assert (handed.letters, handed.doubtful) == (1, 0)  # it was refused, and nothing is in doubt
    assert sorted(peer.letters) == sorted(LETTERS[:3])


@pytest.mark.parametrize("doubtful", Doubtful)
async def test_a_connection_that_breaks_behind_the_final_dot_leaves_one_letter_in_doubt(
    spool: Spool, tmp_path: Path, doubtful: Doubtful
) -> None:
    await spool.put(*LETTERS[:3])
    name = (await email_ids(spool))[1]
    peer = SmtpPeer(says={".": ["250 fine", ""]})
    async with peer.listening(tmp_path / "s") as url:
        with pytest.raises(Disconnected):
            await spool.hand_over(url)
        assert await spool.left() == 2
        handed = await spool.hand_over(url, doubtful)
    assert [facts["letter"] for facts in spool.told("in_doubt")] == [name]
    again = doubtful is Doubtful.AGAIN
    assert (handed.letters, handed.doubtful, handed.held) == (2 if again else 1, 1, 0 if again else 1)
    assert peer.letters == [LETTERS[0], *([LETTERS[1]] if again else []), LETTERS[2]]


async def test_a_connection_that_breaks_before_the_final_dot_leaves_none(spool: Spool, tmp_path: Path) -> None:
    await spool.put(*LETTERS[:2])
    peer = SmtpPeer(says={"DATA": [""]})
    async with peer.listening(tmp_path / "s") as url:
        with pytest.raises(Disconnected):
            await spool.hand_over(url)
        assert (await spool.hand_over(url)).doubtful == 0
    assert peer.letters == list(LETTERS[:2])


async def test_who_is_stopped_waits_for_the_answer_to_the_final_dot(spool: Spool, tmp_path: Path) -> None:
    await spool.put(*LETTERS[:3])
    peer = SmtpPeer(answers=asyncio.Event())
    async with peer.listening(tmp_path / "s") as url:
        run = asyncio.create_task(spool.hand_over(url))
        await peer.asked.wait()
        run.cancel()
        assert peer.answers is not None
        asyncio.get_running_loop().call_soon(peer.answers.set)
        with pytest.raises(asyncio.CancelledError):
            await run
        assert await spool.left() == 2
        assert (await spool.hand_over(url)).doubtful == 0
    assert peer.letters == list(LETTERS[:3])


async def test_a_server_that_closes_is_not_asked_on(spool: Spool, tmp_path: Path) -> None:
    await spool.put(*LETTERS[:3])
    peer = SmtpPeer(says={".": ["250 fine", "421 4.3.2 going down"]})
    async with peer.listening(tmp_path / "s") as url:
        with pytest.raises(Refused, match="going down") as caught:
            await spool.hand_over(url)
        assert caught.value.status == os.EX_TEMPFAIL
        assert (await spool.left(), peer.connections) == (2, 1)
        assert (await spool.hand_over(url)).doubtful == 0


@pytest.mark.parametrize("said", ["nonsense", "299", "999 x", "250-a\r\n" * 300, "250 " + "a" * 20_000])
async def test_a_server_that_breaks_the_protocol_is_left(spool: Spool, tmp_path: Path, said: str) -> None:
    await spool.put(LETTERS[0])
    peer = SmtpPeer(says={"LHLO": [said]})
    async with peer.listening(tmp_path / "s") as url:
        if said == "299":
            assert (await spool.hand_over(url)).letters == 1
        else:
            with pytest.raises(RemoteProtocolError, match="broke the protocol"):
                await spool.hand_over(url)
            assert await spool.left() == 1


async def test_letters_go_over_a_network_in_tls_or_not_at_all(
    spool: Spool, office: TestOffice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is on this machine is told by its address: so this one is said to be elsewhere."""
    monkeypatch.setattr("postoffice.handing.target.ToServer.is_on_this_machine", False)
    await spool.put(*LETTERS[:2])
    url = f"lmtp://127.0.0.1:{office.port('lmtp')}/{BOB}"
    with pytest.raises(UsageError, match="certificate is not trusted"):
        await spool.hand_over(url)
    assert (await spool.hand_over(f"{url}?ca={office.certificate}")).letters == 2
    await spool.put(LETTERS[0])
    async with SmtpPeer().listening(tmp_path / "s") as url:
        with pytest.raises(UsageError, match="offers no TLS") as caught:
            await spool.hand_over(url)
        assert caught.value.status == os.EX_NOPERM
        assert await spool.left() == 1
        assert (await spool.hand_over(f"{url}?clear-text")).letters == 1
