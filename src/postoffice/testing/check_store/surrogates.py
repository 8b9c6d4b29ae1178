"""The promise about readers who did not ask for UTF-8: what they are told of a letter's size is what they get."""

from __future__ import annotations

from postoffice.protocols.dots import unstuff
from postoffice.protocols.pop3.surrogate import SurrogateReader
from postoffice.store.base import Mailbox, Store
from postoffice.testing.check_store.walk import (
    PREFIX,
    Check,
    MailboxCheck,
    deliver,
    entry,
    keys,
    large_text,
    must_be_sound,
    new_account,
    put,
    text,
)

_FROM = "From: Nguyễn Ái <ái@ví-dụ.example>\r\n".encode()
_LONG = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 90) for number in range(800))
"""A header of more than 64 KiB, alone."""

ASCII = [
    text(1),
    b"",
    b"\r\nbody \xc3\xa9\r\n",
    b"Subject: 8-bit body\r\n\r\n\xff\xfe\r\n",
    _LONG + b"\r\n\xc3\xa9\r\n",
    b"no header \xc3\xa9, but text\r\nmore\r\n",
    b"Subject: x\r\nno field: \xc3\xa9 \r\n\r\nbody\r\n",
    large_text("large"),
]
"""Shown to everybody as they are: what is not ASCII in them is no field."""

OTHERS = [
    "Subject: Quê hương\r\n\r\n.thân thư\r\n".encode(),
    b"Subject: caf\xe9\r\n\r\nbody\r\n",
    b".odd: \xc3\xa9\r\n..odder: 1\r\n\r\n.\r\n",
    _FROM,
    _FROM + b"\r\n",
    _FROM + b".dotted: 1\r\n \xc3\xa9\r\n\r\n" + b".\r\n" * 100_000,
    _LONG + _FROM + b"\r\nbody\r\n",
    _FROM + _LONG + b"X: \xff\r\n.y: \xc3\xa9\r\n\r\n.\xc3\xa9\r\n",
    b"X: \xc3\xa9" + b"y" * 300_000 + b"\r\nZ: 1\r\n\r\nbody\r\n",
    _FROM + large_text("large"),
]
"""Shown otherwise to who did not ask for UTF-8."""

LETTERS = [letter for pair in zip(ASCII, OTHERS, strict=False) for letter in pair] + OTHERS[len(ASCII) :]


async def surrogates_are_as_long_as_they_are_told(mailbox: Mailbox) -> None:
    for prefix in (b"", PREFIX, "Return-Path: <ái@ví-dụ.example>\r\n".encode()):
        given = await put(mailbox, *LETTERS, prefix=prefix)
        await _must_be_true(mailbox, given, every=not prefix.isascii())
    await _entries_must_agree(mailbox)
    await must_be_sound(mailbox)


async def surrogates_are_as_long_when_they_arrive_and_when_they_are_absorbed(store: Store) -> None:
    account = await new_account(store)
    mailbox = await store.office.mailbox(account.account_id)
    for letter in LETTERS:
        await deliver(store, letter, account.account_id)
    await _must_be_true(mailbox, await keys(mailbox))
    await mailbox.changes(0)
    await _must_be_true(mailbox, await keys(mailbox))
    await deliver(store, OTHERS[0], account.account_id)
    await deliver(store, ASCII[0], account.account_id)
    *old, one, two = await keys(mailbox)
    assert set((await mailbox.snapshot()).surrogates) >= {one}, "an arrival beside a file is not told"
    assert two not in (await mailbox.snapshot()).surrogates, "an ASCII header needs no surrogate"
    await _must_be_true(mailbox, old)
    await _entries_must_agree(mailbox)


async def _must_be_true(mailbox: Mailbox, given: list[int], *, every: bool = False) -> None:
    snapshot = await mailbox.snapshot()
    assert set(snapshot.surrogates) <= set(snapshot.keys), "a surrogate of no letter"
    for key, plain in zip(given, LETTERS, strict=True):
        shown = await _surrogate(mailbox, key)
        is_other = every or any(plain is other for other in OTHERS)
        assert (key in snapshot.surrogates) == is_other, f"which letters have surrogates: {plain[:40]!r}"
        octets = dict(zip(snapshot.keys, snapshot.octets, strict=True))[key]
        told = snapshot.surrogates.get(key, octets)
        assert told == len(shown), f"told are {told} octets, given {len(shown)}: {plain[:40]!r}"
        if is_other:
            assert told != octets, "equal sizes would tell that there is no surrogate"
        if any(plain is other for other in OTHERS):
            assert shown[: shown.find(b"\r\n\r\n") % (len(shown) + 1)].isascii(), f"a header in clear: {plain[:40]!r}"


async def _surrogate(mailbox: Mailbox, key: int) -> bytes:
    """What a reader gets who did not ask for UTF-8; the snapshot says whether that is another letter."""
    reader = SurrogateReader() if key in (await mailbox.snapshot()).surrogates else None
    wire, index, more = [], 0, True
    while more:
        (piece,) = await mailbox.read([key], index)
        assert piece is not None, f"piece {index} of the letter is gone"
        wire.append(reader.feed(piece.wire) if reader else piece.wire)
        index, more = index + 1, piece.more
    return unstuff(b"".join(wire))


async def _entries_must_agree(mailbox: Mailbox) -> None:
    snapshot = await mailbox.snapshot()
    for key, octets in zip(snapshot.keys, snapshot.octets, strict=True):
        told = (await entry(mailbox, key)).surrogate_octets
        assert told == snapshot.surrogates.get(key, octets), "entry and snapshot differ about a surrogate's size"


MAILBOX_SURROGATES: list[MailboxCheck] = [surrogates_are_as_long_as_they_are_told]
OFFICE_SURROGATES: list[Check] = [surrogates_are_as_long_when_they_arrive_and_when_they_are_absorbed]
