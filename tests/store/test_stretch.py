"""In one stretch of a conversation the world is looked up once, and in the next one anew."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from postoffice import stretch
from postoffice.store.embedded import EmbeddedStore
from postoffice.testing.check_store.walk import deliver, keys, new_account, text


@contextmanager
def a_stretch() -> Iterator[None]:
    current = stretch.current
    outer, current.number = current.number, next(stretch.numbers)
    try:
        yield
    finally:
        current.number = outer


async def test_what_others_write_is_seen_in_the_next_stretch(tmp_path: Path) -> None:
    ours, others = EmbeddedStore.open(tmp_path / "data"), EmbeddedStore.open(tmp_path / "data")
    try:
        account = await new_account(ours)
        mailbox = await ours.office.mailbox(account.account_id)
        with a_stretch():
            assert len(await keys(mailbox)) == 0
            await deliver(others, text(1), account.account_id)
            assert len(await keys(mailbox)) == 0, "one stretch shows two states of the world"
        with a_stretch():
            assert len(await keys(mailbox)) == 1
        await deliver(others, text(2), account.account_id)
        assert len(await keys(mailbox)) == 2, "outside of conversations nothing is remembered"
    finally:
        await ours.close()
        await others.close()


async def test_who_gets_a_lock_looks_again(tmp_path: Path) -> None:
    ours, others = EmbeddedStore.open(tmp_path / "data"), EmbeddedStore.open(tmp_path / "data")
    try:
        account = await new_account(ours)
        await deliver(ours, text(1), account.account_id)
        mailbox, theirs = [await store.office.mailbox(account.account_id) for store in (ours, others)]
        with a_stretch():
            assert len(await keys(mailbox)) == 1
            await theirs.remove(await keys(theirs))
            lock = await ours.office.lock(account.account_id)
            assert lock is not None
            assert await keys(mailbox) == [], "a letter is shown whose removal was answered"
            await lock.release()
    finally:
        await ours.close()
        await others.close()


def test_each_thread_has_a_stretch_of_its_own() -> None:
    """Two loops whose conversations overlap leave nothing behind in each other."""
    began, may_end = threading.Event(), threading.Event()

    def elsewhere() -> None:
        with a_stretch():
            began.set()
            may_end.wait(20)

    other = threading.Thread(target=elsewhere)
    with a_stretch():
        other.start()
        began.wait(20)
    assert stretch.current.number == 0
    with a_stretch():
        may_end.set()
        other.join()
    assert stretch.current.number == 0
