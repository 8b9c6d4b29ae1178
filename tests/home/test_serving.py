"""A mailbox file is a maildrop: the octets are those of the file, and what is deleted is gone for who deleted it."""

from __future__ import annotations

import asyncio
import poplib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.home.conftest import Fill

from postoffice.errors import UsageError
from postoffice.home.mailbox import pulling_into
from postoffice.home.maildrops import Deleting, FileMaildrop
from postoffice.home.serving import Served, Wish, serve
from postoffice.net.listen import Door
from postoffice.testing.check_store.walk import text
from postoffice.testing.files import letters_of, put, put_into
from postoffice.testing.programs import LETTERS

T = TypeVar("T")
ANY_PORT = {"pop3": 0, "pop3s": 0}


@asynccontextmanager
async def served(*files: Path, **wish: Any) -> AsyncIterator[tuple[int, Sequence[Served]]]:
    """The port, and what is there."""
    is_open: asyncio.Future[tuple[Sequence[Served], Mapping[str, Door]]] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    asked = Wish(files, "secret", addresses=("127.0.0.1",), ports=ANY_PORT, **wish)
    task = asyncio.create_task(serve(asked, lambda *told: is_open.set_result(told), stop))
    await asyncio.wait((task, is_open), return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    try:
        who, doors = is_open.result()
        yield int(doors["pop3"].addresses[0].rpartition(":")[2]), who
    finally:
        stop.set()
        await task


async def session(port: int, what: Callable[[poplib.POP3], T], user: str = "home") -> T:
    """A session of Python's own client, to its QUIT."""

    def talk() -> T:
        client = poplib.POP3("127.0.0.1", port, timeout=20)
        try:
            client.user(user)
            client.pass_("secret")
            return what(client)
        finally:
            client.quit()

    return await asyncio.to_thread(talk)


def all_letters(client: poplib.POP3) -> list[bytes]:
    return [b"\r\n".join((*client.retr(number)[1], b"")) for number in range(1, client.stat()[0] + 1)]


def unique_ids(client: poplib.POP3) -> list[bytes]:
    return [line.split()[1] for line in client.uidl()[1]]


def delete(*numbers: int) -> Callable[[poplib.POP3], None]:
    def talk(client: poplib.POP3) -> None:
        for number in numbers:
            client.dele(number)

    return talk


async def test_the_octets_are_those_of_the_file(fill: Fill) -> None:
    async with served(await fill(LETTERS)) as (port, (one,)):
        assert await session(port, all_letters) == list(LETTERS)
    assert (one.user, one.letters, one.is_writable) == ("home", 3, True)


async def test_what_a_program_deletes_stays_in_the_file_and_is_gone_for_it(fill: Fill) -> None:
    file = await fill([text(number) for number in range(4)])
    async with served(file) as (port, _):
        before = await session(port, unique_ids)
        await session(port, delete(1, 3))
        assert await session(port, unique_ids) == [before[1], before[3]]
    async with served(file) as (port, _):
        assert await session(port, unique_ids) == [before[1], before[3]]
        assert await session(port, all_letters) == [text(1), text(3)]
    assert await letters_of(file) == [text(number) for number in range(4)]


async def test_a_program_with_a_name_of_its_own_has_deletions_of_its_own(fill: Fill) -> None:
    file = await fill([text(1), text(2)])
    async with served(file) as (port, _):
        await session(port, delete(1))
    async with served(file, user="Laptop") as (port, (one,)):
        assert one.user == "laptop"
        assert await session(port, all_letters, "laptop") == [text(1), text(2)]
        await session(port, delete(2), "laptop")
    async with served(file) as (port, _):
        assert await session(port, all_letters) == [text(2)]
    assert await letters_of(file) == [text(1), text(2)]


async def test_a_letter_that_all_programs_deleted_stays_in_the_file(fill: Fill) -> None:
    file = await fill([text(1)])
    for user in ("laptop", "phone"):
        async with served(file, user=user) as (port, _):
            await session(port, delete(1), user)
    assert await letters_of(file) == [text(1)]


async def test_who_wants_that_lets_letters_leave_the_file(fill: Fill) -> None:
    file = await fill([text(1), text(2), text(3)])
    async with served(file) as (port, _):
        await session(port, delete(1))
    async with served(file, deleting=Deleting.FOR_ALL) as (port, _):
        assert await session(port, all_letters) == [text(2), text(3)]
        await session(port, delete(1))
        assert await session(port, all_letters) == [text(3)]
    assert await letters_of(file) == [text(1), text(3)]


async def test_a_session_that_breaks_off_deletes_nothing(fill: Fill) -> None:
    file = await fill([text(1)])
    async with served(file, deleting=Deleting.FOR_ALL) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for line in (b"USER home", b"PASS secret", b"DELE 1"):
            writer.write(line + b"\r\n")
        assert [(await reader.readline())[:3] for _ in range(4)] == [b"+OK"] * 4
        writer.close()
        assert await session(port, all_letters) == [text(1)]
    assert await letters_of(file) == [text(1)]


async def test_one_session_has_the_file_whoever_serves_it(fill: Fill) -> None:
    file = await fill([text(1)])
    one, other = FileMaildrop(file, Deleting.FOR_ITSELF), FileMaildrop(file, Deleting.FOR_ITSELF)
    held = one.take()
    assert held is not None
    assert one.take() is None
    assert other.take() is None
    await held.release()
    again = other.take()
    assert again is not None
    await held.release()
    assert one.take() is None, "a lock that was given back is given back once"
    await again.release()
    assert one.take() is not None
    await one.close()
    assert other.take() is not None, "it ends with whoever had it"
    await other.close()


async def test_a_pull_goes_on_meanwhile_and_the_next_session_sees_what_came(fill: Fill) -> None:
    file = await fill([text(1)])
    async with served(file) as (port, _), pulling_into(file) as mailbox:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"USER home\r\nPASS secret\r\n")
        for _ in range(3):
            await reader.readline()
        await put(mailbox, text(2))
        writer.write(b"STAT\r\nDELE 1\r\nQUIT\r\n")
        assert (await reader.read()).split(b"\r\n")[0].startswith(b"+OK 1 "), "it was seen as it is at login"
        writer.close()
        assert await session(port, all_letters) == [text(2)]
    assert await letters_of(file) == [text(1), text(2)]


async def test_several_files_are_accounts_of_their_own(tmp_path: Path, fill: Fill) -> None:
    first = await fill([text(1)])
    (tmp_path / "there").mkdir()
    others = [tmp_path / "there" / "home.mailbox", tmp_path / "there" / "Công việc.mailbox"]
    for number, path in enumerate(others, 2):
        path.write_bytes(first.read_bytes())
        await put_into(path, text(number))
    async with served(first, *others) as (port, who):
        assert [one.user for one in who] == ["home", "home2", "c-ng-vi-c"]
        assert await session(port, all_letters, "home") == [text(1)]
        assert await session(port, all_letters, "home2") == [text(1), text(2)]
        assert await session(port, all_letters, "c-ng-vi-c") == [text(1), text(3)]


async def test_a_wrong_password_opens_nothing(fill: Fill) -> None:
    async with served(await fill([text(1)])) as (port, _):
        for name, password in (("home", "Secret"), ("home", ""), ("mail program", "secret"), ("", "secret")):
            client = await asyncio.to_thread(poplib.POP3, "127.0.0.1", port, 20)
            with pytest.raises(poplib.error_proto, match=r"\[AUTH\]|-ERR"):
                await asyncio.to_thread(_log_in, client, name, password)
            client.close()


def _log_in(client: poplib.POP3, name: str, password: str) -> None:
    client.user(name)
    client.pass_(password)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"addresses": ("0.0.0.0",)}, "0.0.0.0: others could listen there"),
        ({"addresses": ("127.0.0.1", "::")}, "::: others could listen there"),
        ({"user": "a b"}, "is no name to log in with"),
        ({"user": "x@"}, "is no name to log in with"),
    ],
)
async def test_what_cannot_be_is_said_before_anything_is_opened(
    tmp_path: Path, wish: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        await serve(Wish((tmp_path / "missing",), "secret", **wish), lambda *_: None, asyncio.Event())


async def test_a_file_is_named_once_by_whatever_path(tmp_path: Path, fill: Fill) -> None:
    file = await fill([text(1)])
    (tmp_path / "other").symlink_to(file)
    with pytest.raises(UsageError, match="is named twice"):
        await serve(Wish((file, tmp_path / "other"), "secret"), lambda *_: None, asyncio.Event())
    with pytest.raises(UsageError, match="--user names the account of one file"):
        await serve(Wish((file, tmp_path / "x"), "secret", user="me"), lambda *_: None, asyncio.Event())
