"""A password that was right is remembered, but never beyond the moment when it was changed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from postoffice.accounts.login import Login
from postoffice.accounts.verifiers import of_own
from postoffice.errors import Refusal
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.model import Credential
from postoffice.testing.office import add_person

CROWD = 40
"""Wrong passwords ahead of the one that matters: it is verified long after the change."""


async def test_a_password_changed_while_it_is_verified_is_not_remembered(tmp_path: Path) -> None:
    store = EmbeddedStore.open(tmp_path / "office")
    login = Login(store.directory)

    async def enters(name: str, password: str) -> bool:
        try:
            await login.by_password(f"{name}@a.example", password)
        except Refusal:
            return False
        return True

    try:
        bob = await add_person(store, "bob@a.example", "old")
        await add_person(store, "eve@a.example", "secret")
        changed = of_own("new")
        crowd = [asyncio.ensure_future(enters("eve", f"wrong {number}")) for number in range(CROWD)]
        slow = asyncio.ensure_future(enters("bob", "old"))
        await asyncio.sleep(0)  # all of them are on their way
        await store.directory.set_credential(Credential(bob.account_id, "password", changed))
        assert not slow.done()
        assert await enters("eve", "secret"), "somebody else sees that the directory has changed"
        await slow
        assert not any(await asyncio.gather(*crowd))
        assert not await enters("bob", "old")
        assert await enters("bob", "new")
    finally:
        await store.close()
        login.close()


async def test_what_was_remembered_first_is_forgotten_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postoffice.accounts.login.REMEMBERED_LIMIT", 2)
    now = 1000.0
    store = EmbeddedStore.open(tmp_path / "office")
    login = Login(store.directory, clock=lambda: now)
    verified: list[str] = []

    async def enter(name: str) -> None:
        await login.by_password(f"{name}@a.example", name)

    async def verify(_verifier: str, password: str) -> bool:
        verified.append(password)
        return True

    try:
        for name in ("ann", "bob", "eve"):
            await add_person(store, f"{name}@a.example", name)
        monkeypatch.setattr(login._pool, "verify", verify)
        for name in ("ann", "bob", "ann", "eve", "bob", "ann", "eve"):
            await enter(name)
        assert verified == ["ann", "bob", "eve", "ann"], "who came again is no younger"
        now += 1000.0
        for name in ("eve", "ann", "bob", "ann"):
            await enter(name)
        assert verified[4:] == ["eve", "ann", "bob"], "who is verified again is"
    finally:
        await store.close()
        login.close()
