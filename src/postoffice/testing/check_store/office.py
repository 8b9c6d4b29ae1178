"""The promises of `Office` about deliveries: one transaction, one view, one lock."""

from __future__ import annotations

from postoffice.protocols.dots import stuff
from postoffice.store.base import Store
from postoffice.store.model import INBOX, OWNER, REMOVED, LocalDelivery
from postoffice.testing.check_store.walk import (
    NOON,
    PREFIX,
    Check,
    acceptance,
    deliver,
    entry,
    keys,
    large_text,
    look,
    must_be_sound,
    must_fail,
    new_account,
    put,
    seen,
    staged,
    text,
    wire_of,
)

NOBODY = 2**30
"""The id of no account."""


async def a_new_office_is_empty(store: Store) -> None:
    assert await store.office.queue() == [], "a new office has nothing in its queue"
    assert await store.office.next_due() is None, "an empty queue is never due"
    assert await store.office.claim("w1", NOON, 60, 10) == [], "there is nothing to carry"
    assert await store.office.expedite(NOON) == 0, "there is nothing to hurry"
    assert await store.office.free_octets() > 0, "an empty office has room"
    await store.office.tidy()
    await must_be_sound(store.office)


async def a_delivery_is_in_the_mailbox_at_once(store: Store) -> None:
    account = await new_account(store)
    mailbox = await store.office.mailbox(account.account_id)
    before = await mailbox.snapshot()
    await deliver(store, text(1), account.account_id)
    after = await mailbox.snapshot()
    assert await seen(mailbox) == [PREFIX + text(1)], "what was accepted is not shown"
    assert before.generation != after.generation, "a delivery changes the generation"
    assert await mailbox.snapshot() is after, "nothing changed: the same object is given"
    found = await entry(mailbox, after.keys[0])
    assert found.octets == len(PREFIX) + len(text(1)), "octets are prefix + content"
    assert found.internal_date == NOON, "the date is when it was accepted"
    assert found.unique_id == after.unique_ids[0], "snapshot and entry differ about the unique id"
    await must_be_sound(store.office)


async def one_content_goes_to_many(store: Store) -> None:
    ids = [(await new_account(store, f"user{number}@b.example")).account_id for number in range(5)]
    plain = large_text("to all")
    local = tuple(LocalDelivery(account_id, b"X-For: %d\r\n" % account_id) for account_id in ids)
    await store.office.accept(await acceptance(store.office, plain, local))
    first = await store.office.mailbox(ids[0])
    await first.remove(await keys(first))
    assert await seen(first) == [], "the letter was not removed"
    for account_id in ids[1:]:
        mailbox = await store.office.mailbox(account_id)
        expected = [b"X-For: %d\r\n" % account_id + plain]
        assert await seen(mailbox) == expected, "one recipient's removal must leave the others' letters"
    await must_be_sound(store.office)


async def identical_deliveries_are_two(store: Store) -> None:
    account = await new_account(store)
    await deliver(store, text(1), account.account_id)
    await deliver(store, text(1), account.account_id)
    mailbox = await store.office.mailbox(account.account_id)
    snapshot = await mailbox.snapshot()
    assert len(set(snapshot.keys)) == 2, "two deliveries, two letters"
    assert len(set(snapshot.unique_ids)) == 2, "two letters, two unique ids"
    email_ids = {(await entry(mailbox, key)).email_id for key in snapshot.keys}
    assert len(email_ids) == 2, "two letters, two email ids"


async def accept_takes_all_or_nothing(store: Store) -> None:
    account = await new_account(store)
    mailbox = await store.office.mailbox(account.account_id)
    local = (LocalDelivery(account.account_id, PREFIX), LocalDelivery(NOBODY, PREFIX))
    letter = await acceptance(store.office, text(1), local, remote=("carol@c.example",))
    await must_fail(store.office.accept(letter), "a delivery to no account must be a StoreError")
    assert await seen(mailbox) == [], "half of an acceptance was delivered"
    assert await store.office.queue() == [], "half of an acceptance is queued"
    await must_fail(store.office.mailbox(NOBODY), "a mailbox of no account must be a StoreError")
    await must_be_sound(store.office)


async def what_the_office_abandons_leaves_nothing(store: Store) -> None:
    for plain in (text(1), large_text("large")):
        stage = await store.office.stage()
        await stage.write(stuff(plain))
        await stage.abandon()
        stage = await store.office.stage()
        await stage.write(stuff(plain))
        await stage.finish()
        await stage.abandon()
    account = await new_account(store)
    for plain in (text(1), large_text("large")):
        await deliver(store, plain, account.account_id)
    mailbox = await store.office.mailbox(account.account_id)
    expected = [PREFIX + text(1), PREFIX + large_text("large")]
    assert await seen(mailbox) == expected, "what was abandoned harms what came later"
    await must_be_sound(store.office)


async def deliveries_may_be_removed_where_they_lie(store: Store) -> None:
    account = await new_account(store)
    mailbox = await store.office.mailbox(account.account_id)
    for number in range(4):
        await deliver(store, text(number), account.account_id)
    one, two, three, four = await keys(mailbox)
    await mailbox.remove([two, four])
    assert await keys(mailbox) == [one, three], "a delivery was not removed"
    await store.office.tidy()
    assert await seen(mailbox) == [PREFIX + text(0), PREFIX + text(2)], "a removed delivery came back"
    await must_be_sound(store.office)


async def deliveries_have_viewers_too(store: Store) -> None:
    account = await new_account(store)
    mailbox = await store.office.mailbox(account.account_id)
    await deliver(store, text(1), account.account_id)
    await look(mailbox, "phone")
    await deliver(store, text(2), account.account_id)
    one, two = await keys(mailbox, "phone")
    await mailbox.remove([one, two], OWNER)
    assert await seen(mailbox, OWNER) == [], "the owner sees what it removed"
    assert await seen(mailbox, "phone") == [PREFIX + text(1), PREFIX + text(2)], "the phone's letters are gone"
    await store.office.tidy()
    assert len(await keys(mailbox, "phone")) == 2, "tidying took letters from a viewer"
    await mailbox.remove(await keys(mailbox, "phone"), "phone")
    assert await wire_of(mailbox, one) is None, "a letter that no viewer sees any more must be gone"
    await must_be_sound(store.office)


async def tidying_changes_nothing_that_is_shown(store: Store) -> None:
    account = await new_account(store)
    mailbox = await store.office.mailbox(account.account_id)
    await deliver(store, text(1), account.account_id)
    await deliver(store, large_text("large"), account.account_id)
    await put(mailbox, text(3))
    await deliver(store, text(4), account.account_id)
    letters, before = await seen(mailbox), await mailbox.snapshot()
    email_ids = [(await entry(mailbox, key)).email_id for key in before.keys]
    lock = await store.office.lock(account.account_id)
    assert lock is not None, "nobody has the lock"
    await store.office.tidy()
    assert await seen(mailbox) == letters, "tidying beside a session changed what is shown"
    await lock.release()
    await store.office.tidy()
    await store.office.tidy()
    assert await seen(mailbox) == letters, "tidying changed what is shown"
    after = await mailbox.snapshot()
    assert list(after.unique_ids) == list(before.unique_ids), "tidying changed unique ids"
    assert list(after.octets) == list(before.octets), "tidying changed sizes"
    assert [(await entry(mailbox, key)).email_id for key in after.keys] == email_ids, "tidying changed email ids"
    old = [await wire_of(mailbox, key) for key in before.keys]
    assert old == [stuff(letter) for letter in letters], "keys of a snapshot before tidying must still read"
    await mailbox.remove(before.keys[:2])
    assert await seen(mailbox) == letters[2:], "keys of a snapshot before tidying must still remove"
    await must_be_sound(store.office)


async def letters_delivered_get_uids_too(store: Store) -> None:
    account = await new_account(store)
    mailbox = await store.office.mailbox(account.account_id)
    for number in range(3):
        await deliver(store, text(number), account.account_id)
    uids = [(await entry(mailbox, key)).uid for key in await keys(mailbox)]
    assert uids == sorted(set(uids)), "uids ascend in the order of delivery"
    await store.office.tidy()
    after = [(await entry(mailbox, key)).uid for key in await keys(mailbox)]
    assert after == uids, "a uid that was told must stay (RFC 9051 §2.3.1.1)"
    told = await mailbox.changes(0)
    assert [found.uid for found in told.entries] == uids, "changes must tell deliveries too"


async def a_maildrop_has_one_holder(store: Store) -> None:
    bob, carol = await new_account(store), await new_account(store, "carol@b.example")
    lock = await store.office.lock(bob.account_id)
    assert lock is not None, "a free maildrop must be locked"
    assert await store.office.lock(bob.account_id) is None, "a second session got the lock (RFC 1939 §4)"
    others = await store.office.lock(carol.account_id)
    assert others is not None, "one account's lock shuts another out"
    phones = await store.office.lock(bob.account_id, "phone")
    assert phones is not None, "each viewer has a lock of its own"
    await lock.release()
    assert await store.office.lock(bob.account_id, "phone") is None, "another's release freed this lock"
    lock = await store.office.lock(bob.account_id)
    assert lock is not None, "the lock is not free after its release"
    for held in (lock, others, phones):
        await held.release()


async def a_locked_maildrop_takes_deliveries(store: Store) -> None:
    account = await new_account(store)
    mailbox = await store.office.mailbox(account.account_id)
    await deliver(store, text(1), account.account_id)
    lock = await store.office.lock(account.account_id)
    assert lock is not None, "nobody has the lock"
    snapshot = await mailbox.snapshot()
    await deliver(store, text(2), account.account_id)
    assert len(snapshot.keys) == 1, "a snapshot that was given has changed"
    await mailbox.remove(snapshot.keys)
    await lock.release()
    assert await seen(mailbox) == [PREFIX + text(2)], "a letter that came meanwhile must stay"


async def staging_large_letters_shuts_nobody_out(store: Store) -> None:
    account = await new_account(store)
    stage = await store.office.stage()
    await stage.write(stuff(large_text("slow")))
    await deliver(store, text(1), account.account_id)
    claimed = await store.office.claim("w1", NOON, 60, 1)
    assert claimed == [], "there is nothing to carry"
    await stage.abandon()
    mailbox = await store.office.mailbox(account.account_id)
    assert await seen(mailbox) == [PREFIX + text(1)], "a slow sender held another's letter back"
    assert (await staged(store.office, text(2))).content.octets == len(text(2)), "staging must go on"


async def bare_line_ends_are_told(store: Store) -> None:
    for plain, is_bare in ((text(1), False), (b"A: 1\r\n\r\nx\ny\r\n", True), (b"A: 1\r\n\r\nx\ry\r\n", True)):
        assert (await staged(store.office, plain)).has_bare_line_ends is is_bare, (
            "a bare LF or CR must be told (RFC 5321 §2.3.8)"
        )


async def what_arrived_can_be_kept_aside(store: Store) -> None:
    bob = await new_account(store)
    await deliver(store, text(1), bob.account_id)
    mailbox = await store.office.mailbox(bob.account_id)
    (key,) = await keys(mailbox)
    assert (await entry(mailbox, key)).saved == NOON, "a letter is saved when it is accepted"
    await deliver(store, text(2), bob.account_id)
    await mailbox.remove(await keys(mailbox), into=REMOVED)
    assert await seen(mailbox) == [], "they are still shown"
    assert await seen(mailbox, folder=REMOVED) == [PREFIX + text(1), PREFIX + text(2)], "they are not kept aside"
    await deliver(store, text(3), bob.account_id)
    moved = await mailbox.move((await keys(mailbox, folder=REMOVED))[:1], INBOX)
    assert await seen(mailbox) == [PREFIX + text(3), PREFIX + text(1)], "what comes back comes behind what is there"
    back = await entry(mailbox, moved[0])
    assert (back.internal_date, back.saved > NOON) == (NOON, True), "its date is its own, its coming back is now"
    await store.office.tidy()
    assert await seen(mailbox) == [PREFIX + text(3), PREFIX + text(1)], "the order must stay"
    await must_be_sound(store.office)


OFFICE_CHECKS: list[Check] = [
    a_new_office_is_empty,
    a_delivery_is_in_the_mailbox_at_once,
    one_content_goes_to_many,
    identical_deliveries_are_two,
    accept_takes_all_or_nothing,
    what_the_office_abandons_leaves_nothing,
    deliveries_may_be_removed_where_they_lie,
    deliveries_have_viewers_too,
    tidying_changes_nothing_that_is_shown,
    letters_delivered_get_uids_too,
    a_maildrop_has_one_holder,
    a_locked_maildrop_takes_deliveries,
    staging_large_letters_shuts_nobody_out,
    bare_line_ends_are_told,
    what_arrived_can_be_kept_aside,
]
