"""The load of logins counts what it did, by each way to log in, and stops at the first refusal."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest
from bench.contender import DOMAIN, PASSWORD
from bench.measurement import UnequalWork, load

from postoffice.accounts.login import LoginSettings
from postoffice.app.config import Config
from postoffice.store.memory import MemoryStore
from postoffice.testing.office import run_office

CLEAR = Config(login=LoginSettings((ipaddress.ip_network("127.0.0.0/8"),)))


@pytest.mark.parametrize("how", ["PASS", "SCRAM-SHA-256"])
async def test_sessions_are_counted_whatever_the_login(how: str) -> None:
    people = {f"user{index}@{DOMAIN}": PASSWORD for index in range(2)}
    async with run_office(MemoryStore(), DOMAIN, people=people, scram=True, config=CLEAR) as office:
        words = ["logins", "--how", how, "--accounts", "2", "--connections", "2", "--seconds", "0.1"]
        said = await asyncio.to_thread(load, office.port("pop3"), words)
    assert said["operations"] == said["sessions"] >= 2
    assert said["counted"] == 0
    assert 0 < said["p50_ms"] <= said["p99_ms"]


@pytest.mark.parametrize("how", ["PASS", "SCRAM-SHA-256"])
async def test_a_refused_login_ends_the_run(how: str) -> None:
    async with run_office(MemoryStore(), DOMAIN, people={f"user0@{DOMAIN}": "another"}, config=CLEAR) as office:
        with pytest.raises(UnequalWork, match=r"-ERR \[AUTH\]"):
            await asyncio.to_thread(load, office.port("pop3"), ["logins", "--how", how])
