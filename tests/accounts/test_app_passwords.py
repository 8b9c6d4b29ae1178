"""Further passwords, each with a name: good at every door, told apart in the log, gone when they are removed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postoffice.accounts import verifiers
from postoffice.accounts.login import Admission, Login
from postoffice.errors import Refusal
from postoffice.events import collected
from postoffice.net.tls import client_context
from postoffice.protocols.sasl.server import begin
from postoffice.store.base import Store
from postoffice.store.memory import MemoryStore
from postoffice.store.model import Account, Credential
from postoffice.testing.office import add_person, run_office
from postoffice.testing.raw import Pop3Raw, SmtpRaw

BOB = "bob@b.example"


async def add_password(store: Store, account: Account, name: str, text: str) -> None:
    verifier = verifiers.of_generated(text, account.address, await store.directory.secret())
    await store.directory.set_credential(Credential(account.account_id, name, verifier))


@pytest.fixture
async def login() -> AsyncIterator[tuple[Login, MemoryStore, Account]]:
    store = MemoryStore()
    bob = await add_person(store, BOB, "my own")
    await add_password(store, bob, "phone", "aaaa-bbbb")
    await add_password(store, bob, "laptop", "cccc-dddd")
    login = Login(store.directory)
    yield login, store, bob
    login.close()


async def test_each_password_opens_and_says_which_it_was(login: tuple[Login, MemoryStore, Account]) -> None:
    enter, _, bob = login
    for _ in range(2):  # also when it is remembered
        for name, text in (("password", "my own"), ("phone", "aaaa-bbbb"), ("laptop", "cccc-dddd")):
            assert await enter.by_password(BOB, text) == Admission(bob, name)


async def test_a_removed_password_opens_nothing_and_all_others_stay(login: tuple[Login, MemoryStore, Account]) -> None:
    enter, store, bob = login
    assert await enter.by_password(BOB, "aaaa-bbbb")
    await store.directory.remove_credential(bob.account_id, "phone")
    with pytest.raises(Refusal):
        await enter.by_password(BOB, "aaaa-bbbb")
    assert (await enter.by_password(BOB, "cccc-dddd")).credential == "laptop"
    assert (await enter.by_password(BOB, "my own")).credential == "password"


async def test_a_wrong_password_costs_one_slow_hash_for_everybody(
    login: tuple[Login, MemoryStore, Account],
) -> None:
    enter, store, _ = login
    await add_password(store, await store.directory.add_account("eve@b.example", 0.0), "only", "eeee-ffff")
    tried: list[str | None] = []
    verify = enter._pool.verify

    async def counted(verifier: str | None, password: str) -> bool:
        tried.append(verifier)
        return await verify(verifier, password)

    enter._pool.verify = counted  # type: ignore[method-assign]
    for name in (BOB, "eve@b.example", "nobody@b.example"):
        with pytest.raises(Refusal, match="user name or password is wrong"):
            await enter.by_password(name, "guess")
    assert len(tried) == 3
    assert [verifier is None for verifier in tried] == [False, True, True]


async def test_a_generated_password_of_another_office_or_account_is_nothing_here() -> None:
    here, elsewhere = MemoryStore(), MemoryStore()
    for store in (here, elsewhere):
        await add_password(store, await add_person(store, BOB, "x"), "phone", "aaaa-bbbb")
    theirs = (await elsewhere.directory.credentials(1))[-1]
    await here.directory.set_credential(theirs)
    login = Login(here.directory)
    try:
        with pytest.raises(Refusal):
            await login.by_password(BOB, "aaaa-bbbb")
        with pytest.raises(Refusal):
            await login.by_password("carol@b.example", "aaaa-bbbb")
    finally:
        login.close()


async def test_the_closing_line_of_a_session_names_the_credential(store: Store) -> None:
    def talk(pop3s: int, submissions: int, certificate: Path) -> None:
        context = client_context(certificate)
        with Pop3Raw(pop3s, context) as client:
            assert client.log_in(BOB, "aaaa-bbbb").startswith(b"+OK")
            assert client.ask("QUIT").startswith(b"+OK")
        with SmtpRaw(submissions, context) as smtp:
            smtp.ask("EHLO a.example")
            assert smtp.log_in(BOB, "my own") == 235
            assert smtp.ask("QUIT") == 221

    with collected() as events:
        async with run_office(store, "b.example", people={BOB: "my own"}) as office:
            await add_password(store, await office.account(BOB), "phone", "aaaa-bbbb")
            await asyncio.to_thread(talk, office.port("pop3s"), office.port("submissions"), office.certificate)
    closed = {name: facts["credential"] for name, facts in events if name in ("pop3.closed", "smtp.closed")}
    assert closed == {"pop3.closed": "phone", "smtp.closed": "password"}


async def test_by_scram_too_it_is_known_which_password_it_was(login: tuple[Login, MemoryStore, Account]) -> None:
    from postoffice.protocols.sasl import client
    from postoffice.protocols.sasl.server import Claim

    enter, _, bob = login
    for name, text in (("phone", "aaaa-bbbb"), ("laptop", "cccc-dddd")):
        ours = client.begin(b"SCRAM-SHA-256", Claim("", BOB, text))

        async def ask(challenge: bytes, ours: client.Exchange = ours) -> bytes:
            return ours.step(challenge)

        assert await enter.by_exchange(begin(b"SCRAM-SHA-256", ours.initial), ask) == Admission(bob, name)
