"""RFC 1939 §13: a login tells nobody who lives here, neither by its answer nor by its time, nor by its penalty."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postoffice.accounts.guard import Guard
from postoffice.accounts.login import Login
from postoffice.accounts.verifiers import of_generated, of_imported
from postoffice.errors import Refusal
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.model import Credential
from postoffice.testing.office import add_person

BOB, EVE, NOBODY = "bob@a.example", "eve@a.example", "nobody@a.example"
DAN = "dan@a.example"
MD5 = "$1$ab$e2KlfqG5YBMTjSz7XF.Eu1"
TRIES = 9
THIEF = "198.51.100.1"


@pytest.fixture
async def login(tmp_path: Path) -> AsyncIterator[Login]:
    """Of an office where Eve has more passwords than Bob, and Dan still has the one of another server."""
    store = EmbeddedStore.open(tmp_path / "office")
    await add_person(store, BOB, "secret")
    eve = await add_person(store, EVE, "secret")
    for number in range(5):
        verifier = of_generated(f"generated {number}", EVE, await store.directory.secret())
        await store.directory.set_credential(Credential(eve.account_id, f"device {number}", verifier))
    dan = await add_person(store, DAN, "secret")
    await store.directory.set_credential(Credential(dan.account_id, "password", of_imported(MD5)))
    login = Login(store.directory)
    yield login
    login.close()
    await store.close()


async def cost(login: Login, name: str, password: str) -> float:
    """The CPU time of a failed login."""
    begun = time.process_time()
    with pytest.raises(Refusal) as refused:
        await login.by_password(name, password)
    assert str(refused.value) == "5.7.8 user name or password is wrong"
    return time.process_time() - begun


async def test_a_wrong_password_costs_the_same_for_whoever_lives_here_and_whoever_does_not(login: Login) -> None:
    costs: dict[str, list[float]] = {BOB: [], EVE: [], DAN: [], NOBODY: []}
    for number in range(TRIES):
        for name, took in costs.items():
            took.append(await cost(login, name, f"guess {number}"))
    least = [min(took) for took in costs.values()]
    assert max(least) < 1.3 * min(least), least


async def test_who_does_not_live_here_is_penalised_like_who_does(login: Login) -> None:
    said: dict[str, list[str]] = {}
    for name, host in ((BOB, "198.51.100.1"), (NOBODY, "198.51.100.2")):
        login.guard = Guard(clock=lambda: 1e9, wait=_at_once)
        said[name] = []
        for number in range(12):
            with pytest.raises(Refusal) as refused:
                await login.by_password(name, f"guess {number}", host)
            said[name].append(refused.value.enhanced)
    assert said[BOB] == said[NOBODY] == ["5.7.8"] * 10 + ["4.7.0"] * 2


async def _at_once(_: float) -> None:
    pass
