"""Logins by token: what an identity provider signed or vouches for opens, to its owner, at this office, in its time."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from postoffice.accounts.login import LoginSettings
from postoffice.accounts.oauth import OAuthSettings
from postoffice.app.config import Config, TlsSettings
from postoffice.client.collect import Options, collect
from postoffice.client.url import Source
from postoffice.errors import Refused
from postoffice.events import collected
from postoffice.net.self_signed import make_self_signed
from postoffice.net.tls import client_context
from postoffice.net.tls_server import Pair
from postoffice.store.memory import MemoryMailbox, MemoryStore
from postoffice.testing.office import TestOffice, run_office
from postoffice.testing.provider import AUDIENCE, CLIENT, SECRET, Provider
from postoffice.testing.raw import Pop3Raw, SmtpRaw

BOB, CAROL = "bob@b.example", "carol@b.example"
PEOPLE = {BOB: "secret", CAROL: "secret"}
WRONG = b"-ERR [AUTH] user name or password is wrong"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture
def config(provider: Provider, tmp_path: Path) -> Config:
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    login = LoginSettings((ipaddress.ip_network("127.0.0.0/8"),))
    urls = (provider.url("keys"), provider.url("introspect"))
    return Config(login=login, oauth=OAuthSettings(provider.issuer, AUDIENCE, *urls, CLIENT, secret))


def _bearer(name: str, token: str) -> bytes:
    return base64.b64encode(f"n,a={name},\x01auth=Bearer {token}\x01\x01".encode())


async def answer(office: TestOffice, token: str, name: str = BOB) -> bytes:
    """The POP3 door's last word on a token."""

    def talk() -> bytes:
        with Pop3Raw(office.port("pop3")) as client:
            client.say(b"AUTH OAUTHBEARER " + _bearer(name, token) + b"\r\n")
            line = client.line()
            if line.startswith(b"+ "):
                assert b"invalid_token" in base64.b64decode(line[2:])
                client.say(b"AQ==\r\n")
                line = client.line()
            if line.startswith(b"-ERR"):
                assert client.ask("NOOP").startswith(b"-ERR"), "a login that failed leaves something behind"
            return line

    return await asyncio.to_thread(talk)


async def test_a_client_may_mean_the_names_of_the_certificate_that_it_was_shown(
    provider: Provider, config: Config, tmp_path: Path
) -> None:
    config = replace(config, tls=TlsSettings(more=(Pair(*make_self_signed(tmp_path, ["*.c.example"])),)))

    def answer(port: int, name: str, meant: str) -> bytes:
        said = f"n,a={BOB},\x01host={meant}\x01auth=Bearer {provider.token(BOB)}\x01\x01"
        with Pop3Raw(port, client_context(verify=False), name=name) as client:
            return client.ask("AUTH OAUTHBEARER " + base64.b64encode(said.encode()).decode())

    async with run_office(MemoryStore(), "b.example", people=PEOPLE, config=config) as office:
        port = office.port("pop3s")
        for name, meant in (("pop.c.example", "pop.c.example"), ("b.example", "b.example"), ("b.example", "localhost")):
            assert (await asyncio.to_thread(answer, port, name, meant)).startswith(b"+OK bob@b.example")
        for name, meant in (("b.example", "pop.c.example"), ("pop.c.example", "localhost")):
            assert not (await asyncio.to_thread(answer, port, name, meant)).startswith(b"+OK")


async def test_a_token_opens_the_maildrop_of_its_owner(provider: Provider, config: Config) -> None:
    async with run_office(MemoryStore(), "b.example", people=PEOPLE, config=config) as office:
        for token in (provider.token(BOB), provider.opaque(BOB), provider.token("BOB@B.example")):
            for name in (BOB, "bob"):
                assert (await answer(office, token, name)).startswith(b"+OK bob@b.example's maildrop")
            assert await answer(office, token, CAROL) == WRONG


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1},
        {"exp": None},
        {"nbf": 4_000_000_000},
        {"iss": "https://elsewhere.example"},
        {"aud": "another office"},
        {"aud": None},
        {"email": "nobody@b.example"},
        {"email": ""},
        {"email": ["bob@b.example"]},
        {"email_verified": False},
        {"active": False},
    ],
    ids=str,
)
async def test_a_token_that_is_not_for_us_or_not_now_opens_nothing(
    provider: Provider, config: Config, claims: dict[str, Any]
) -> None:
    async with run_office(MemoryStore(), "b.example", people=PEOPLE, config=config) as office:
        assert await answer(office, provider.opaque(BOB, **claims)) == WRONG
        if "active" not in claims:
            assert await answer(office, provider.token(BOB, **claims)) == WRONG


async def test_a_forged_token_opens_nothing(provider: Provider, config: Config) -> None:
    good = provider.token(BOB)
    head, body, signature = good.split(".")
    carol = provider.token(CAROL).split(".")[1]
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    claims = {"iss": provider.issuer, "aud": AUDIENCE, "email": BOB, "exp": 4_000_000_000}
    forged = jwt.encode(
        {"alg": "HS256"}, claims, OctKey.import_key("a secret that somebody made up for this"), ["HS256"]
    )
    async with run_office(MemoryStore(), "b.example", people=PEOPLE, config=config) as office:
        for token in (
            f"{head}.{body}.{signature[:-4]}AAAA",
            f"{unsigned}.{body}.",
            f"{unsigned}.{body}.x",
            forged,
            "a.b.c",
        ):
            assert await answer(office, token) == WRONG
        assert await answer(office, f"{head}.{carol}.{signature}", CAROL) == WRONG
        assert (await answer(office, good)).startswith(b"+OK")


async def test_keys_are_kept_and_fetched_again_when_the_provider_has_new_ones(
    provider: Provider, config: Config
) -> None:
    now = [1_800_000_000.0]
    provider._clock = lambda: now[0]
    async with run_office(MemoryStore(), "b.example", people=PEOPLE, config=config, clock=lambda: now[0]) as office:
        for _ in range(3):
            assert (await answer(office, provider.token(BOB))).startswith(b"+OK")
        assert provider.asked == {"keys": 1}
        provider.change_key()
        assert await answer(office, provider.token(BOB)) == WRONG
        assert provider.asked == {"keys": 1}, "anybody could make us ask the provider"
        now[0] += 61
        assert (await answer(office, provider.token(BOB))).startswith(b"+OK")
        assert provider.asked == {"keys": 2}


async def test_a_provider_that_cannot_be_asked_is_a_temporary_refusal(provider: Provider, config: Config) -> None:
    provider.broken = {"keys", "introspect"}
    async with run_office(MemoryStore(), "b.example", people=PEOPLE, config=config) as office:
        for token in (provider.token(BOB), provider.opaque(BOB)):
            assert await answer(office, token) == b"-ERR [SYS/TEMP] Tokens cannot be checked now"
        provider.broken.clear()
        assert (await answer(office, provider.token(BOB))).startswith(b"+OK")


async def test_tokens_open_the_submission_door(provider: Provider, config: Config) -> None:
    def talk(port: int, *tokens: str) -> tuple[list[str], list[int]]:
        with SmtpRaw(port) as client:
            client.say(b"EHLO a.example\r\n")
            [offered] = [line.split()[1:] for line in client.reply()[1] if line.startswith("AUTH ")]
            bad, good = (base64.b64encode(f"user={BOB}\x01auth=Bearer {t}\x01\x01".encode()).decode() for t in tokens)
            lines = (f"AUTH XOAUTH2 {bad}", "", "AUTH XOAUTH2", "*", "AUTH XOAUTH2", good, f"AUTH XOAUTH2 {good}")
            return offered, [client.ask(line) for line in lines]

    async with run_office(MemoryStore(), "b.example", people=PEOPLE, config=config) as office:
        tokens = (provider.token(CAROL), provider.token(BOB))
        offered, codes = await asyncio.to_thread(talk, office.port("submission"), *tokens)
    assert offered == ["OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN"]
    assert codes == [334, 535, 334, 501, 334, 235, 503]


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
async def test_fetch_logs_in_by_a_token_of_any_length(provider: Provider, config: Config, mechanism: str) -> None:
    async with run_office(MemoryStore(), "b.example", people=PEOPLE, config=config) as office:
        source = Source("127.0.0.1", office.port("pop3"), BOB, mechanism=mechanism)
        for filling in ("", "x" * 20_000):
            token = provider.token(BOB, filling=filling)
            await collect(source, MemoryMailbox(), Options(token, client_context(office.certificate)))
        with pytest.raises(Refused, match="user name or password is wrong"):
            await collect(source, MemoryMailbox(), Options("no.such.token", client_context(office.certificate)))


async def test_no_token_is_told_to_the_log(provider: Provider, config: Config) -> None:
    with collected() as events:
        async with run_office(MemoryStore(), "b.example", people=PEOPLE, config=config) as office:
            tokens = [provider.token(BOB), provider.opaque(BOB), provider.opaque(BOB, exp=1), "no.such.token"]
            for token in tokens:
                await answer(office, token)
    assert {"login.token_refused", "login.failed", "pop3.closed"} <= {name for name, _ in events}
    assert not any(token in repr(events) for token in tokens)


async def test_without_a_provider_there_are_no_tokens(config: Config) -> None:
    config = replace(config, oauth=OAuthSettings())
    async with run_office(MemoryStore(), "b.example", people=PEOPLE, config=config) as office:

        def talk() -> tuple[bytes, bytes]:
            with Pop3Raw(office.port("pop3")) as client:
                client.ask("CAPA")
                return client.block(), client.ask("AUTH XOAUTH2")

        listed, refused = await asyncio.to_thread(talk)
    assert b"SASL PLAIN LOGIN\r\n" in listed
    assert refused == b"-ERR no such mechanism here"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (OAuthSettings("i", "a", "http://idp.example/keys"), ["keys: must begin with https://"]),
        (OAuthSettings("i", "a", introspection="file:///etc/passwd"), ["introspection: must begin with https://"]),
        (OAuthSettings("i", "", "https://idp.example/keys"), ["audience: issuer and audience must be given"]),
        (OAuthSettings("", "a", "https://idp.example/keys"), ["audience: issuer and audience must be given"]),
        (OAuthSettings("i", "a", "https://idp.example/keys"), []),
        (OAuthSettings(), []),
    ],
)
def test_settings_that_would_let_strangers_in_are_refused(settings: OAuthSettings, said: list[str]) -> None:
    problems = settings.problems()
    assert len(problems) == len(said)
    assert all(problem.startswith(begin) for problem, begin in zip(problems, said, strict=True))
