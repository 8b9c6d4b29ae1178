"""The promises about accounts that were removed and may come back: all of one, or nothing."""

from __future__ import annotations

from postoffice.store.base import Store
from postoffice.store.model import OWNER, REMOVED, Account, Credential, RemovedAccount, Visit
from postoffice.testing.check_store.walk import (
    NOON,
    PREFIX,
    Check,
    deliver,
    large_text,
    look,
    must_be_sound,
    must_fail,
    new_account,
    put,
    seen,
    text,
)

DAY = 86_400.0


async def _furnished(store: Store) -> Account:
    """Bob, with all that an account can have: letters old and new, one that is large, one that was deleted."""
    bob = await new_account(store)
    await store.directory.set_credential(Credential(bob.account_id, "password", "one"))
    await store.directory.set_credential(Credential(bob.account_id, "phone", "two"))
    await store.directory.change_settings(bob.address, {"recovery": "7"})
    await store.visits.note([Visit(bob.account_id, OWNER, NOON), Visit(bob.account_id, "phone", NOON + 1)])
    mailbox = await store.office.mailbox(bob.account_id)
    await look(mailbox, "phone")
    first, second = await put(mailbox, text(1), text(2), prefix=PREFIX)
    await mailbox.remove([second], "phone")
    await mailbox.remove([first], into=REMOVED)
    await store.office.tidy()
    await deliver(store, large_text("large"), bob.account_id)
    await deliver(store, text(3), bob.account_id)
    return bob


async def an_account_that_is_set_aside_is_gone_and_comes_back_whole(store: Store) -> None:
    bob, carol = await _furnished(store), await new_account(store, "carol@b.example")
    before = await (await store.office.mailbox(bob.account_id)).snapshot()
    await store.attic.set_aside(bob.account_id, NOON, NOON + DAY)
    assert await store.directory.accounts() == [carol], "the account is still here"
    assert await store.directory.credentials(bob.account_id) == [], "its credentials are still here"
    assert await store.directory.settings() == {}, "its settings are still here"
    await must_fail(store.office.mailbox(bob.account_id), "its mailbox is still here")
    await must_fail(deliver(store, text(4), bob.account_id), "a delivery to an account that is gone was taken")
    removed = await store.attic.accounts()
    assert removed == [RemovedAccount(bob, NOON, NOON + DAY)], "it is not told what was set aside"
    await store.office.tidy()
    await must_be_sound(store.office)
    back = await store.attic.bring_back(bob.account_id)
    assert (back.address, back.created) == (bob.address, bob.created), "another account came back"
    assert back.account_id not in {bob.account_id, carol.account_id}, "the id of an account was used again"
    assert await store.directory.find(bob.address) == back, "its address does not find it"
    mailbox = await store.office.mailbox(back.account_id)
    letters = [PREFIX + text(2), PREFIX + large_text("large"), PREFIX + text(3)]
    assert await seen(mailbox) == letters, "letters are lost, back, or in another order"
    after = await mailbox.snapshot()
    assert list(after.unique_ids) == list(before.unique_ids), "unique ids changed (RFC 1939 §7)"
    assert await seen(mailbox, folder=REMOVED) == [PREFIX + text(1)], "what could be recovered is lost"
    kept = {one.name: one.verifier for one in await store.directory.credentials(back.account_id)}
    assert kept == {"password": "one", "phone": "two"}, "a credential is lost"
    assert await store.directory.settings() == {bob.address: {"recovery": "7"}}, "a setting is lost"
    visits = {viewer: visit.at for viewer, visit in (await store.visits.last(back.account_id)).items()}
    assert visits == {OWNER: NOON, "phone": NOON + 1}, "it is not known any more who came when"
    assert await seen(mailbox, "phone") == letters[1:], "a device sees again what it had deleted"
    assert await store.attic.accounts() == [], "what came back is still set aside"
    await deliver(store, text(5), back.account_id)
    await store.office.tidy()
    assert await seen(mailbox) == [*letters, PREFIX + text(5)], "it does not get what comes"
    await must_be_sound(store.office)


async def an_address_is_free_while_its_account_is_set_aside(store: Store) -> None:
    bob = await _furnished(store)
    await store.attic.set_aside(bob.account_id, NOON, NOON + DAY)
    other = await new_account(store)
    await deliver(store, text(9), other.account_id)
    await must_fail(store.attic.bring_back(bob.account_id), "an address was given twice")
    assert await seen(await store.office.mailbox(other.account_id)) == [PREFIX + text(9)], "letters were mixed"
    await store.attic.set_aside(other.account_id, NOON + 1, NOON + DAY)
    ids = [one.account.account_id for one in await store.attic.accounts()]
    assert ids == [bob.account_id, other.account_id], "two of one address must both be kept, the first one first"
    back = await store.attic.bring_back(other.account_id)
    assert await seen(await store.office.mailbox(back.account_id)) == [PREFIX + text(9)], "the wrong one came back"
    assert [one.account for one in await store.attic.accounts()] == [bob], "the other one is lost"
    await store.office.tidy()
    await must_be_sound(store.office)


async def what_is_set_aside_can_be_forgotten(store: Store) -> None:
    bob = await _furnished(store)
    await must_fail(store.attic.forget(bob.account_id), "an account that lives here was forgotten")
    await must_fail(store.attic.bring_back(bob.account_id), "an account that lives here came back")
    await store.attic.set_aside(bob.account_id, NOON, NOON + DAY)
    await must_fail(store.attic.set_aside(bob.account_id, NOON, NOON + DAY), "an account was removed a second time")
    await store.attic.forget(bob.account_id)
    assert await store.attic.accounts() == [], "it is still set aside"
    await must_fail(store.attic.bring_back(bob.account_id), "what was forgotten came back")
    await must_fail(store.attic.forget(bob.account_id), "it was forgotten twice")
    await store.office.tidy()
    await must_be_sound(store.office)


REMOVAL_CHECKS: list[Check] = [
    an_account_that_is_set_aside_is_gone_and_comes_back_whole,
    an_address_is_free_while_its_account_is_set_aside,
    what_is_set_aside_can_be_forgotten,
]
