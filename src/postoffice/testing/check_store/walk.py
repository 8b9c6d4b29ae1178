"""The short ways that all checks walk: stage a letter, put it in, take it out whole."""

from __future__ import annotations

import functools
import os
from collections.abc import Awaitable, Callable
from typing import Protocol

from postoffice.errors import StoreError
from postoffice.protocols.dots import DotReader, stuff, unstuff
from postoffice.store.base import Mailbox, Office, Stage, Store
from postoffice.store.model import (
    CHUNK_OCTETS,
    INBOX,
    Acceptance,
    Account,
    Entry,
    Letter,
    LocalDelivery,
    Sight,
    Staged,
)

Check = Callable[[Store], Awaitable[None]]
MailboxCheck = Callable[[Mailbox], Awaitable[None]]

PREFIX = b"Return-Path: <alice@a.example>\r\n"
NOON = 1_700_000_000.0
"""When everything in the checks happens, in seconds since the epoch."""


class HasStage(Protocol):
    async def stage(self) -> Stage: ...


def name_of(check: Callable[..., object]) -> str:
    return check.__name__


def on_an_account(check: MailboxCheck) -> Check:
    """The check of a mailbox, on that of a new account."""

    @functools.wraps(check)
    async def checked(store: Store) -> None:
        account = await new_account(store)
        await check(await store.office.mailbox(account.account_id))

    return checked


async def new_account(store: Store, address: str = "bob@b.example") -> Account:
    domain = address.rpartition("@")[2]
    if not await store.directory.has_domain(domain):
        await store.directory.add_domain(domain)
    return await store.directory.add_account(address, NOON)


def text(number: int | str, lines: int = 3) -> bytes:
    """A letter like no other number's."""
    return f"Subject: letter {number}\r\n\r\n".encode() + f"line of {number}\r\n".encode() * lines


def large_text(name: str) -> bytes:
    """A letter of three pieces and some, with dotted lines throughout."""
    body = b"".join(b"%s%07d %s\r\n" % (b"." * (line % 3), line, b"x" * 90) for line in range(8_000))
    assert len(body) > 3 * CHUNK_OCTETS
    return f"Subject: {name}\r\n\r\n".encode() + body


async def staged(place: HasStage, plain: bytes, portion: int = 65_536) -> Staged:
    """The letter, staged as it comes out of a conversation. `plain` is empty or ends with CRLF."""
    stage, reader = await place.stage(), DotReader()
    octets = stuff(plain) + b".\r\n"
    for start in range(0, len(octets), portion):
        if wire := reader.feed(octets[start : start + portion]):
            await stage.write(wire)
    assert reader.rest == b"", "the end of the letter was not seen"
    return await stage.finish()


async def letter(mailbox: Mailbox, plain: bytes, prefix: bytes = b"") -> Letter:
    return Letter(await staged(mailbox, plain), NOON, prefix)


async def put(mailbox: Mailbox, *plains: bytes, prefix: bytes = b"") -> list[int]:
    return await mailbox.append([await letter(mailbox, plain, prefix) for plain in plains])


async def deliver(store: Store, plain: bytes, *account_ids: int, prefix: bytes = PREFIX) -> None:
    local = tuple(LocalDelivery(account_id, prefix) for account_id in account_ids)
    await store.office.accept(await acceptance(store.office, plain, local))


async def acceptance(
    office: Office, plain: bytes, local: tuple[LocalDelivery, ...] = (), remote: tuple[str, ...] = ()
) -> Acceptance:
    return Acceptance(
        letter_id="letter1",
        staged=await staged(office, plain),
        reverse_path="alice@a.example",
        accepted=NOON,
        local=local,
        remote=remote,
        relay_prefix=PREFIX,
        expires=NOON + 86_400,
    )


async def wire_of(mailbox: Mailbox, key: int) -> bytes | None:
    """All pieces of a letter, which its file has too if it has one; None if it is gone."""
    wire, index, more = [], 0, True
    while more:
        (piece,) = await mailbox.read([key], index)
        if piece is None:
            assert index == 0, f"the letter broke off after {index} pieces"
            return None
        assert len(piece.wire) <= CHUNK_OCTETS + (len(PREFIX) + 64 if index == 0 else 0), (
            f"piece {index} has {len(piece.wire)} octets"
        )
        wire.append(piece.wire)
        index, more = index + 1, piece.more
    await _must_be_in_its_file(mailbox, key, b"".join(wire))
    return b"".join(wire)


async def _must_be_in_its_file(mailbox: Mailbox, key: int, wire: bytes) -> None:
    file = await mailbox.content_file(key)
    if file is not None:
        with file:
            there = file.above + os.pread(file.descriptor, file.octets + 1, 0)
        assert there == wire, "the file of a letter has other octets than the letter"


async def look(mailbox: Mailbox, *viewers: str) -> None:
    """These hold from now on."""
    for viewer in viewers:
        await mailbox.set_viewer(viewer, Sight.HOLDS)


async def seen(mailbox: Mailbox, viewer: str | None = None, folder: str = INBOX) -> list[bytes]:
    """What a viewer sees, None: all that is kept; each letter whole and without its stuffing, in order."""
    snapshot = await mailbox.snapshot(viewer, folder)
    wires = [await wire_of(mailbox, key) for key in snapshot.keys]
    assert None not in wires, "the snapshot shows a letter that cannot be read"
    return [unstuff(wire) for wire in wires if wire is not None]


async def entry(mailbox: Mailbox, key: int) -> Entry:
    (described,) = await mailbox.describe([key])
    assert described is not None, f"letter {key} is not described"
    return described


async def keys(mailbox: Mailbox, viewer: str | None = None, folder: str = INBOX) -> list[int]:
    return list((await mailbox.snapshot(viewer, folder)).keys)


async def must_be_sound(place: Mailbox | Office) -> None:
    damages = await place.check()
    assert damages == [], f"a sound store is said to be damaged: {damages}"


async def must_fail(verb: Awaitable[object], why: str) -> None:
    try:
        await verb
    except StoreError:
        return
    raise AssertionError(why)
