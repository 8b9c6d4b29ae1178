"""The promises of `Visits`: who came when, and whether he may come again already."""

from __future__ import annotations

from postoffice.store.base import Store
from postoffice.store.model import OWNER, Pace, Visit
from postoffice.testing.check_store.walk import NOON, Check, new_account


async def logins_are_counted_by_a_bucket(store: Store) -> None:
    bob, carol = await new_account(store), await new_account(store, "carol@b.example")

    async def count(seconds: float, account_id: int = bob.account_id, viewer: str = OWNER, burst: int = 1) -> bool:
        return await store.visits.count(account_id, viewer, NOON + seconds, Pace(60, burst))

    times = [await count(seconds) for seconds in (0, 59, 60, 61, 119.5, 180)]
    assert times == [True, False, True, False, False, True], f"one login in 60 seconds, since the last: {times}"
    assert await count(181, carol.account_id), "another account's bucket is its own"
    assert await count(181, viewer="phone"), "another viewer's bucket is its own"
    times = [await count(1000 + seconds, burst=3) for seconds in (0, 1, 2, 3, 60, 61)]
    assert times == [True, True, True, False, True, False], f"three at once, then one in 60 seconds: {times}"
    times = [await count(seconds) for seconds in (500, 501, 560)]
    assert times == [True, False, True], f"a clock that was set back must lock nobody out: {times}"


async def the_last_visit_of_each_is_known(store: Store) -> None:
    bob, carol = await new_account(store), await new_account(store, "carol@b.example")
    assert await store.visits.last(bob.account_id) == {}, "nobody came yet"
    mine, phones = Visit(bob.account_id, OWNER, NOON + 1), Visit(bob.account_id, "phone", NOON + 2)
    await store.visits.note([mine, phones, Visit(carol.account_id, OWNER, NOON + 3)])
    assert await store.visits.last(bob.account_id) == {OWNER: mine, "phone": phones}
    later = Visit(bob.account_id, "phone", NOON + 5)
    await store.visits.note([later])
    await store.visits.note([phones])
    await store.visits.note([])
    assert await store.visits.last(bob.account_id) == {OWNER: mine, "phone": later}, "an older one is passed over"


async def that_somebody_was_warned_is_known_until_he_comes(store: Store) -> None:
    bob = await new_account(store)
    for seconds, warned in ((0, 0.0), (0, NOON + 9), (1, 0.0)):
        visit = Visit(bob.account_id, "phone", NOON + seconds, warned)
        await store.visits.note([visit])
        assert await store.visits.last(bob.account_id) == {"phone": visit}


async def who_is_forgotten_never_came(store: Store) -> None:
    bob, carol = await new_account(store), await new_account(store, "carol@b.example")
    mine, phones = Visit(bob.account_id, OWNER, NOON), Visit(bob.account_id, "phone", NOON)
    await store.visits.note([mine, phones, Visit(carol.account_id, OWNER, NOON)])
    assert await store.visits.with_devices() == [bob], "an owner is no device"
    assert await store.visits.count(bob.account_id, "phone", NOON, Pace(60))
    await store.visits.forget(bob.account_id, "phone")
    assert await store.visits.last(bob.account_id) == {OWNER: mine}, "another one was forgotten"
    assert await store.visits.with_devices() == []
    assert await store.visits.count(bob.account_id, "phone", NOON, Pace(60)), "who is new begins with a full bucket"
    await store.visits.forget(bob.account_id, "nobody")


async def visits_go_with_their_account(store: Store) -> None:
    bob = await new_account(store)
    await store.visits.note([Visit(bob.account_id, OWNER, NOON), Visit(bob.account_id, "phone", NOON)])
    await store.directory.remove_account(bob.account_id)
    await store.visits.note([Visit(bob.account_id, "phone", NOON + 1)])
    assert await store.visits.last(bob.account_id) == {}, "a visit to an account that is gone is passed over"
    assert await store.visits.with_devices() == []


VISIT_CHECKS: list[Check] = [
    logins_are_counted_by_a_bucket,
    the_last_visit_of_each_is_known,
    that_somebody_was_warned_is_known_until_he_comes,
    who_is_forgotten_never_came,
    visits_go_with_their_account,
]
