"""An office in this process, for tests: all doors on free loopback ports, people, and a certificate.

    async with run_office(store, "b.example", people={"bob@b.example": "secret"}) as office:
        office.port("smtp"), office.certificate, office.store

Speaks the real protocols on real sockets; nothing in it is pretended.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from postoffice.accounts import verifiers
from postoffice.app.build import OpenOffice
from postoffice.app.certificates import Certificates
from postoffice.app.config import DOORS, Config
from postoffice.clock import Clock, system_clock
from postoffice.net.listen import Door, bind_door
from postoffice.net.self_signed import make_self_signed
from postoffice.store.base import Store
from postoffice.store.model import Account, Credential, Entry, Piece


@dataclass(frozen=True, slots=True)
class TestOffice:
    """`certificate` is the chain that clients may trust."""

    __test__ = False  # for pytest: this is no test

    host: str
    store: Store
    certificate: Path
    open_office: OpenOffice
    _doors: Mapping[str, Door]

    def port(self, door: str) -> int:
        return int(self._doors[door].addresses[0].rpartition(":")[2])

    async def account(self, address: str) -> Account:
        account = await self.store.directory.find(address)
        assert account is not None, f"{address} does not live here"
        return account

    async def letters(self, address: str) -> list[bytes]:
        """The letters in somebody's mailbox, oldest first, in wire form, prefix included."""
        mailbox = await self.store.office.mailbox((await self.account(address)).account_id)
        letters = []
        for key in (await mailbox.snapshot()).keys:
            wire, index, more = b"", 0, True
            while more:
                [piece] = await mailbox.read([key], index)
                assert isinstance(piece, Piece)
                wire, index, more = wire + piece.wire, index + 1, piece.more
            letters.append(wire)
        return letters

    async def entries(self, address: str) -> list[Entry | None]:
        mailbox = await self.store.office.mailbox((await self.account(address)).account_id)
        return await mailbox.describe(list((await mailbox.snapshot()).keys))


@asynccontextmanager
async def run_office(
    store: Store,
    host: str,
    *,
    people: Mapping[str, str],
    scram: bool = False,
    config: Config | None = None,
    clock: Clock = system_clock,
) -> AsyncIterator[TestOffice]:
    """Open an office around `store`; its host name is its domain. The store stays open at the end."""
    if not await store.directory.has_domain(host):
        await store.directory.add_domain(host)
    for address, password in people.items():
        await add_person(store, address, password, scram=scram)
    with TemporaryDirectory() as folder:
        pair = make_self_signed(Path(folder), [host, "localhost", "127.0.0.1"])
        config = config or Config()
        office = OpenOffice(store, config, Certificates(*pair, config.tls), host=host, clock=clock)
        doors = {name: bind_door(name, ("127.0.0.1",), 0)[0] for name in DOORS}
        await office.answer(doors)
        office.work()
        try:
            yield TestOffice(host, store, pair[0], office, doors)
        finally:
            await office.close()


async def add_person(store: Store, address: str, password: str, *, scram: bool = False) -> Account:
    """An account with a password, fit for SCRAM or not, and its domain if that is new."""
    domain = address.rpartition("@")[2]
    if not await store.directory.has_domain(domain):
        await store.directory.add_domain(domain)
    account = await store.directory.add_account(address, time.time())
    secret = await store.directory.secret()
    verifier = verifiers.of_own_with_scram(password, address, secret) if scram else verifiers.of_own(password)
    await store.directory.set_credential(Credential(account.account_id, "password", verifier))
    return account
