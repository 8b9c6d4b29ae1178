"""Who logs in too often hears [LOGIN-DELAY], counted from the last login that succeeded (RFC 2449 §6.5, §8.1.1)."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from pathlib import Path
from typing import Any

from postoffice.accounts.terms import Bylaws
from postoffice.accounts.visits import VisitBook
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.model import OWNER
from postoffice.testing.office import add_person

BOB = "bob@b.example"
EARLY = "-ERR [LOGIN-DELAY]"
PLAIN = f"AUTH PLAIN {b64encode(bytes(1) + b'bob' + bytes(1) + b'secret').decode()}"
NOON = 1_700_000_000.0


async def test_the_second_login_is_too_early_for_every_way_in(here: Any) -> None:
    await here.set(BOB, login_delay="60")
    assert (await here.log_in("QUIT"))[0].startswith("+OK")
    here.calendar.now += 59
    user, password = await here.tell("USER bob", "PASS secret")
    assert user.startswith("+OK"), "USER tells nothing"
    assert password.startswith(EARLY)
    [auth] = await here.tell(PLAIN)
    assert auth.startswith(EARLY)
    here.calendar.now += 1
    [auth] = await here.tell(PLAIN)
    assert auth.startswith("+OK"), "a login that was refused does not count"


async def test_a_wrong_password_is_told_as_such_and_does_not_count(here: Any) -> None:
    await here.set(BOB, login_delay="60")
    assert (await here.tell("USER bob", "PASS wrong"))[1].startswith("-ERR [AUTH]")
    assert (await here.log_in("QUIT"))[0].startswith("+OK")
    assert (await here.tell("USER bob", "PASS wrong"))[1].startswith("-ERR [AUTH]")


async def test_who_came_too_early_holds_no_lock_and_may_try_again(here: Any) -> None:
    await here.set(BOB, login_delay="60")
    await here.log_in("QUIT")
    early, stat = await here.log_in("STAT")
    assert early.startswith(EARLY)
    assert stat.startswith("-ERR"), "nobody is logged in"
    here.calendar.now += 60
    assert (await here.log_in("STAT"))[1].startswith("+OK")


async def test_a_session_that_found_the_maildrop_locked_does_not_count(here: Any) -> None:
    await here.set(BOB, login_delay="60")
    account = await here.office.account(BOB)
    lock = await here.store.office.lock(account.account_id)
    assert (await here.log_in())[0].startswith("-ERR [IN-USE]")
    await lock.release()
    assert (await here.log_in())[0].startswith("+OK")


async def test_a_burst_is_let_in_and_comes_back_one_by_one(here: Any) -> None:
    await here.set(BOB, login_delay="60", login_burst="3")
    assert [(await here.log_in("QUIT"))[0][:3] for _ in range(4)] == ["+OK", "+OK", "+OK", "-ER"]
    here.calendar.now += 60
    assert [(await here.log_in("QUIT"))[0][:3] for _ in range(2)] == ["+OK", "-ER"]


async def test_the_delay_is_shared_by_processes_and_outlives_them(tmp_path: Path) -> None:
    now = NOON
    for opened in range(2):
        stores = [EmbeddedStore.open(tmp_path / "data") for _ in range(2)]
        try:
            if not opened:
                await add_person(stores[0], BOB, "secret")
                await stores[0].directory.change_settings(BOB, {"login-delay": "60"})
            bob = await stores[0].directory.find(BOB)
            assert bob is not None
            both = [VisitBook(store.visits, lambda: now) for store in stores]
            terms = await Bylaws(stores[0].directory).of(bob)
            let_in = await asyncio.gather(*(visits.may_come(bob.account_id, OWNER, terms) for visits in both))
            assert sorted(let_in) == [False, not opened], "one of two who come at once, none after a restart"
        finally:
            for store in stores:
                await store.close()
