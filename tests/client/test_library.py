"""`postoffice.Pop3Client`: what a program gets from an office, and from a server that means ill."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from postoffice import BlockingPop3Client, Pop3Client
from postoffice.errors import (
    ConnectionLost,
    LocalProtocolError,
    PatienceLost,
    Refused,
    RemoteProtocolError,
    TooLarge,
    UsageError,
)
from postoffice.net.tls import client_context
from postoffice.testing.office import TestOffice
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer

Deliver = Callable[..., Awaitable[None]]

BOB = "bob@b.example"
ONE, TWO, THREE = b"Subject: one\r\n\r\n.\r\n", b"Subject: two\r\n\r\n..x\r\n", b"three\r\n"
LETTERS = {"id-1": ONE, "id-2": TWO, "id-3": THREE}


def at(office: TestOffice, *, implicit_tls: bool = True) -> Pop3Client:
    port = office.port("pop3s" if implicit_tls else "pop3")
    return Pop3Client("localhost", port, implicit_tls=implicit_tls, tls=client_context(office.certificate))


@asynccontextmanager
async def inside(peer: Pop3Peer, *, timeout: float = 60.0) -> AsyncIterator[Pop3Client]:
    async with peer.listening() as port, Pop3Client("127.0.0.1", port, implicit_tls=False, timeout=timeout) as pop:
        await pop.login(USER, PASSWORD)
        yield pop


# --- an office


@pytest.mark.parametrize("implicit_tls", [True, False])
async def test_every_command_has_a_typed_answer(office: TestOffice, deliver: Deliver, implicit_tls: bool) -> None:
    await deliver(ONE, TWO, THREE)
    async with at(office, implicit_tls=implicit_tls) as pop:
        await pop.login(BOB, "secret")
        assert "PIPELINING" in pop.capabilities
        assert (await pop.stat()).letters == 3
        assert list(await pop.list()) == list(await pop.uidl()) == [1, 2, 3]
        assert (await pop.retrieve_bytes(2)).endswith(TWO)
        assert b"".join([portion async for portion in pop.retrieve(1)]).endswith(ONE)
        assert (await pop.top(1)).endswith(b"Subject: one\r\n\r\n")
        await pop.noop()
        assert "en" in {tag[:2] for tag in await pop.languages()}
        await pop.lang("en")
        await pop.dele(1)
        await pop.rset()
        assert [letter.content[-5:] for letter in [one async for one in pop.retrieve_many([1, 3])]] == [
            ONE[-5:],
            THREE[-5:],
        ]
    assert len(await office.letters(BOB)) == 3


async def test_leaving_the_block_removes_and_an_exception_does_not(office: TestOffice, deliver: Deliver) -> None:
    await deliver(ONE, TWO)

    async def fail_amid() -> None:
        async with at(office) as pop:
            await pop.login(BOB, "secret")
            await pop.dele(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_amid()
    assert len(await office.letters(BOB)) == 2
    async with at(office) as pop:
        await pop.login(BOB, "secret")
        await pop.dele(1)
    assert len(await office.letters(BOB)) == 1


async def test_a_wrong_password_says_so_and_another_can_be_tried(office: TestOffice) -> None:
    async with at(office) as pop:
        with pytest.raises(Refused) as caught:
            await pop.login(BOB, "wrong")
        assert caught.value.code == "AUTH"
        assert not caught.value.is_temporary
        await pop.login(BOB, "secret", mechanism="PLAIN")


async def test_no_certificate_that_nobody_vouches_for_is_believed(office: TestOffice) -> None:
    with pytest.raises(ConnectionLost, match="certificate"):
        async with Pop3Client("localhost", office.port("pop3s")):
            pass


async def test_ten_megabytes_pass_in_constant_memory(office: TestOffice, deliver: Deliver) -> None:
    await deliver(b"Subject: big\r\n\r\n" + b"." * 998 + b"\r\n" + b"x" * 10_000_000 + b"\r\n")
    octets = 0
    async with at(office) as pop:
        await pop.login(BOB, "secret")
        async for portion in pop.retrieve(1):
            assert len(portion) <= 1024 * 1024
            octets += len(portion)
    assert octets > 10_000_000


async def test_a_program_without_a_loop_gets_the_same(office: TestOffice, deliver: Deliver) -> None:
    await deliver(ONE, TWO, THREE)

    def use() -> list[bytes]:
        tls = client_context(office.certificate)
        with BlockingPop3Client("localhost", office.port("pop3s"), tls=tls) as pop:
            pop.login(BOB, "secret")
            letters = [letter.content for letter in pop.retrieve_many(pop.list())]
            assert b"".join(pop.retrieve(2)) == letters[1] == pop.retrieve_bytes(2)
            other = threading.Thread(target=pop.dele, args=(1,))
            other.start()
            other.join()
            next(pop.retrieve(3))  # and left alone
        with pytest.raises(LocalProtocolError):
            pop.noop()
        return letters

    letters = await asyncio.to_thread(use)
    assert [letter[-5:] for letter in letters] == [ONE[-5:], TWO[-5:], THREE[-5:]]
    assert len(await office.letters(BOB)) == 2
    gc.collect()


# --- a server that means ill


async def test_where_nothing_is_offered_ahead_nothing_is_asked_ahead() -> None:
    peer = Pop3Peer(dict(LETTERS), capabilities=("UIDL", "USER"))
    async with inside(peer) as pop:
        assert [letter.content async for letter in pop.retrieve_many([1, 2, 3])] == list(LETTERS.values())


async def test_a_refused_letter_does_not_end_the_others() -> None:
    async with inside(Pop3Peer(dict(LETTERS), says={"RETR 2": b"-ERR [SYS/TEMP] later\r\n"})) as pop:
        one, two, three = [letter async for letter in pop.retrieve_many([1, 2, 3])]
        assert (one.content, three.content) == (ONE, THREE)
        with pytest.raises(Refused, match="later") as caught:
            _ = two.content
        assert (caught.value.code, caught.value.words, caught.value.is_temporary) == ("SYS/TEMP", "later", True)


async def test_a_letter_larger_than_its_listing_stays_within_the_limit() -> None:
    async with inside(
        Pop3Peer(LETTERS | {"id-2": b"x" * 3_000_000 + b"\r\n"}, says={"LIST": b"+OK\r\n1 1\r\n2 1\r\n3 1\r\n.\r\n"})
    ) as pop:
        with pytest.raises(TooLarge):
            await pop.retrieve_bytes(2, limit=1000)
        problems = [letter.problem async for letter in pop.retrieve_many([1, 2, 3], limit=1000)]
        assert [type(problem) for problem in problems] == [type(None), TooLarge, type(None)]
        assert await pop.retrieve_bytes(3) == THREE


async def test_a_line_without_end_is_an_error_in_bounded_memory() -> None:
    async with inside(Pop3Peer(dict(LETTERS), says={"STAT": b"+OK " + b"x" * 5_000_000})) as pop:
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        with pytest.raises(RemoteProtocolError):
            await pop.stat()
        assert tracemalloc.get_traced_memory()[0] - before < 4_000_000
        tracemalloc.stop()
        with pytest.raises(ConnectionLost):
            await pop.noop()
        with pytest.raises(ConnectionLost):
            await pop.quit()


async def test_octets_behind_the_answer_to_stls_are_an_attack() -> None:
    says = {"STLS": b"+OK\r\n+OK injected\r\n"}
    async with Pop3Peer(capabilities=("STLS",), letters={}, says=says).listening() as port:
        with pytest.raises(RemoteProtocolError, match="before TLS"):
            async with Pop3Client("127.0.0.1", port, implicit_tls=False):
                pass


async def test_silence_has_an_end() -> None:
    peer = Pop3Peer(dict(LETTERS), says={"RETR 1": b"+OK\r\nhal"})
    with pytest.raises(PatienceLost):
        async with inside(peer, timeout=0.5) as pop:
            await pop.retrieve_bytes(1)


async def test_a_server_may_leave_after_any_octet() -> None:
    peer = Pop3Peer(dict(LETTERS))
    async with peer.listening() as port:

        async def pull() -> None:
            async with Pop3Client("127.0.0.1", port, implicit_tls=False) as pop:
                await pop.login(USER, PASSWORD)
                async for letter in pop.retrieve_many(await pop.uidl()):
                    assert letter.content == list(LETTERS.values())[letter.number - 1]

        await pull()
        for octets in range(peer.sent):
            peer.leaves_after = octets
            with pytest.raises(ConnectionLost):
                await pull()


async def test_a_letter_left_in_its_middle_is_passed_over() -> None:
    async with inside(Pop3Peer(LETTERS | {"id-1": b"x" * 2_000_000 + b"\r\n"})) as pop:
        begun = pop.retrieve(1)
        await anext(begun)
        assert await pop.retrieve_bytes(2) == TWO
        with pytest.raises(LocalProtocolError, match="another command"):
            await anext(begun)
        assert await pop.retrieve_bytes(3) == THREE


async def test_a_cancelled_call_ends_the_session() -> None:
    peer = Pop3Peer(dict(LETTERS), says={"NOOP": b"+"})

    async def give_up() -> None:
        async with inside(peer) as pop, asyncio.timeout(0.05):
            await pop.noop()

    with pytest.raises(TimeoutError):
        await give_up()
    assert "QUIT" not in peer.heard


async def test_a_name_with_no_server_is_a_lost_connection() -> None:
    async with Pop3Peer(dict(LETTERS)).listening() as port:
        pass
    with pytest.raises(ConnectionLost, match="cannot reach"):
        async with Pop3Client("127.0.0.1", port, implicit_tls=False):
            pass


async def test_a_mechanism_that_nobody_speaks_is_a_usage_error() -> None:
    async with Pop3Peer(dict(LETTERS)).listening() as port, Pop3Client("127.0.0.1", port, implicit_tls=False) as pop:
        with pytest.raises(UsageError):
            await pop.login(USER, PASSWORD, mechanism="ROT13")


async def test_nothing_that_is_given_becomes_a_second_command() -> None:
    peer = Pop3Peer(dict(LETTERS))
    async with peer.listening() as port, Pop3Client("127.0.0.1", port, implicit_tls=False) as pop:
        for user, password in ((f"{USER}\r\nDELE 1", PASSWORD), (USER, f"{PASSWORD}\r\nDELE 1")):
            with pytest.raises(UsageError):
                await pop.login(user, password)
        await pop.login(USER, PASSWORD)
        with pytest.raises(UsageError):
            await pop.lang("en\r\nDELE 1")
    assert "DELE 1" not in peer.heard


def test_the_package_imports_nothing_before_it_is_asked() -> None:
    code = (
        "import sys, postoffice; assert 'asyncio' not in sys.modules\n"
        "postoffice.Pop3Client; assert 'apsw' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
