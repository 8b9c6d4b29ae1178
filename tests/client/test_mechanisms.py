"""`fetch` logs in by the mechanism that its URL names, else by the best there is (RFC 2384 §4)."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from postoffice.access.pop3 import Pop3Settings
from postoffice.accounts import verifiers
from postoffice.accounts.login import LoginSettings
from postoffice.accounts.oauth import OAuthSettings
from postoffice.app.config import Config, TlsSettings
from postoffice.client.collect import Options, collect
from postoffice.client.url import Source, format_url, parse_url
from postoffice.errors import Refused
from postoffice.net.dialogue import Dialogue, Tracer
from postoffice.net.tls import client_context, show
from postoffice.protocols.notation import Recorder
from postoffice.protocols.sasl.client import MECHANISMS
from postoffice.protocols.sasl.server import BEARER
from postoffice.store.memory import MemoryMailbox, MemoryStore
from postoffice.store.model import Credential
from postoffice.testing.certificates import Authority
from postoffice.testing.office import TestOffice, run_office
from postoffice.testing.provider import AUDIENCE, Provider

BOB, SECRET = "bob@b.example", "mật khẩu"
NAMES = [name.decode() for name in MECHANISMS]


@asynccontextmanager
async def office(provider: Provider, authority: Authority, *, kept: str = "clear") -> AsyncIterator[TestOffice]:
    """One that takes every mechanism for the one password that it has."""
    config = Config(
        tls=TlsSettings(client_authorities=authority.ca_path),
        login=LoginSettings((ipaddress.ip_network("127.0.0.0/8"),), cram_md5=True),
        oauth=OAuthSettings(provider.issuer, AUDIENCE, provider.url("keys")),
        pop3=Pop3Settings(apop=True),
    )
    async with run_office(MemoryStore(), "b.example", people={BOB: SECRET}, config=config) as open_office:
        if kept == "clear":
            account = await open_office.account(BOB)
            verifier = verifiers.of_clear_with_scram(SECRET, BOB, await open_office.store.directory.secret())
            await open_office.store.directory.set_credential(Credential(account.account_id, "password", verifier))
        yield open_office


class Heard:
    """What a client of ours says to log in."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def trace(self, _: Dialogue[Any]) -> Tracer:
        recorder = Recorder()

        def hear(who: str, octets: bytes) -> None:
            self.lines += recorder.hear(who, octets)

        return hear

    @property
    def logins(self) -> list[str]:
        words = [line.split() for line in self.lines if line.startswith(("C: AUTH", "C: APOP", "C: USER"))]
        return [said[2] if said[1] == "AUTH" else said[1] for said in words]


@pytest.mark.parametrize("mechanism", [*NAMES, "+APOP"])
@pytest.mark.parametrize("implicit_tls", [True, False], ids=["pops", "pop"])
async def test_the_mechanism_of_a_url_is_used(mechanism: str, implicit_tls: bool, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with Provider() as provider:
        async with office(provider, authority) as open_office:
            tls = client_context(open_office.certificate)
            show(tls, *authority.issue_to([BOB], tmp_path))
            port = open_office.port("pop3s" if implicit_tls else "pop3")
            source = Source("127.0.0.1", port, BOB, implicit_tls, mechanism)
            assert parse_url(format_url(source)) == source
            password = provider.token(BOB) if mechanism.encode() in BEARER else SECRET
            heard = Heard()
            await collect(source, MemoryMailbox(), Options(password, tls, tracer=heard.trace))
    assert heard.logins == [mechanism.removeprefix("+")]


@pytest.mark.parametrize(("kept", "tried"), [("clear", ["SCRAM-SHA-512-PLUS", "SCRAM-SHA-512"]), ("own", ["PLAIN"])])
async def test_the_best_mechanism_goes_first_and_a_wrong_password_is_tried_twice_at_most(
    kept: str, tried: list[str], tmp_path: Path
) -> None:
    with Provider() as provider:
        async with office(provider, Authority(tmp_path), kept=kept) as open_office:
            source = Source("127.0.0.1", open_office.port("pop3s"), BOB, implicit_tls=True)
            heard = Heard()
            options = Options("wrong", client_context(open_office.certificate), tracer=heard.trace)
            with pytest.raises(Refused):
                await collect(source, MemoryMailbox(), options)
    assert heard.logins == tried
