"""The promises of `Mailbox` about letters that move: into another folder, aside when they are removed, and back."""

from __future__ import annotations

from postoffice.store.base import Mailbox
from postoffice.store.model import INBOX, REMOVED
from postoffice.testing.check_store.walk import (
    PREFIX,
    MailboxCheck,
    entry,
    keys,
    large_text,
    must_be_sound,
    put,
    seen,
    text,
    wire_of,
)

GONE = 2**40
"""The key of no letter."""


async def a_letter_that_moves_is_another_one_there(mailbox: Mailbox) -> None:
    first, second, third = await put(mailbox, text(1), large_text("two"), text(3), prefix=PREFIX)
    before = await entry(mailbox, second)
    (gone, moved) = await mailbox.move([GONE, second], "Archive")
    assert gone == 0, "a letter that is not there moved"
    assert await keys(mailbox) == [first, third], "a letter that moved is still shown where it was"
    assert await seen(mailbox, folder="Archive") == [PREFIX + large_text("two")], "its octets did not move with it"
    after = await entry(mailbox, moved)
    assert after.uid == 1, "uids begin with 1 in a folder that is made for it"
    assert (after.email_id, after.octets, after.sha256) == (before.email_id, before.octets, before.sha256)
    assert after.unique_id not in (before.unique_id, ""), "who has it would not fetch it again"
    assert await wire_of(mailbox, second) is None, "its old key still leads to it"
    vanished = (await mailbox.changes(0)).vanished
    assert vanished == (before.uid,), "its uid has vanished where it was"
    shown = await mailbox.snapshot()
    (back,) = await mailbox.move([moved], INBOX)
    assert await keys(mailbox) == [first, third, back], "a letter that comes back comes at the end"
    assert (await entry(mailbox, back)).uid > (await entry(mailbox, third)).uid, "a uid was used again"
    assert (await mailbox.snapshot()).generation != shown.generation, "a letter came back, and nothing changed"
    await must_be_sound(mailbox)


async def one_that_went_and_came_back_makes_a_new_generation(mailbox: Mailbox) -> None:
    await put(mailbox, text(1), text(2))
    generations, ids = [(await mailbox.snapshot()).generation], set((await mailbox.snapshot()).unique_ids)
    for _ in range(3):
        await mailbox.remove((await keys(mailbox))[1:], into=REMOVED)
        await mailbox.move(await keys(mailbox, folder=REMOVED), INBOX)
        snapshot = await mailbox.snapshot()
        assert len(snapshot.keys) == 2, "it went or did not come back"
        assert snapshot.unique_ids[1] not in ids, "a unique id was used again (RFC 1939 §7)"
        ids.add(snapshot.unique_ids[1])
        generations.append(snapshot.generation)
    assert len(set(generations)) == 4, "two moments that show different letters have the same generation"


async def what_is_removed_can_be_kept_aside(mailbox: Mailbox) -> None:
    first, second, third = await put(mailbox, text(1), text(2), text(3))
    await mailbox.remove([first], into=REMOVED)
    assert await seen(mailbox) == [text(2), text(3)], "it is still shown"
    assert await seen(mailbox, folder=REMOVED) == [text(1)], "it is not kept aside"
    assert list((await mailbox.snapshot()).octets) == [len(text(2)), len(text(3))], "its size still counts"
    await mailbox.remove([second])
    assert await seen(mailbox, folder=REMOVED) == [text(1)], "one is kept aside only where that is asked for"
    await mailbox.remove(await keys(mailbox, folder=REMOVED))
    assert await seen(mailbox, folder=REMOVED) == [], "it is not gone"
    assert await keys(mailbox) == [third], "another letter went with it"
    await must_be_sound(mailbox)


ASIDE_CHECKS: list[MailboxCheck] = [
    a_letter_that_moves_is_another_one_there,
    one_that_went_and_came_back_makes_a_new_generation,
    what_is_removed_can_be_kept_aside,
]
