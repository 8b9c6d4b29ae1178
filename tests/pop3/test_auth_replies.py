"""What AUTH answers, and what it leaves behind (RFC 5034 §4): the same whatever the mechanism."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

import pytest

from postoffice.access.pop3 import Pop3Settings
from postoffice.accounts.login import LoginSettings
from postoffice.accounts.oauth import OAuthSettings
from postoffice.app.config import Config
from postoffice.protocols.sasl.server import BEARER, EXTERNAL, MECHANISMS
from postoffice.store.memory import MemoryStore
from postoffice.testing.office import run_office
from postoffice.testing.provider import AUDIENCE, Provider
from postoffice.testing.raw import Pop3Raw

BOB = "bob@b.example"
PLAIN = base64.b64encode(f"\0{BOB}\0secret".encode()).decode()
HERE = sorted(name.decode() for name in MECHANISMS if name != EXTERNAL and not name.endswith(b"-PLUS"))
WRONG = b"-ERR [AUTH] user name or password is wrong"

T = TypeVar("T")


@pytest.fixture
def config() -> Iterator[Config]:
    """Everything is on."""
    with Provider() as provider:
        login = LoginSettings((ipaddress.ip_network("127.0.0.0/8"),), cram_md5=True)
        oauth = OAuthSettings(provider.issuer, AUDIENCE, provider.url("keys"))
        yield Config(login=login, oauth=oauth, pop3=Pop3Settings(apop=True))


async def at_door(config: Config, talk: Callable[[Pop3Raw], T]) -> T:
    async with run_office(MemoryStore(), "b.example", people={BOB: "secret"}, config=config) as office:

        def run() -> T:
            with Pop3Raw(office.port("pop3")) as client:
                return talk(client)

        return await asyncio.to_thread(run)


@pytest.mark.parametrize("mechanism", HERE)
async def test_a_challenge_is_a_plus_a_space_and_base64_only(config: Config, mechanism: str) -> None:
    said = await at_door(config, lambda client: client.ask(f"AUTH {mechanism.lower()}"))
    assert said.startswith(b"+ ")
    base64.b64decode(said[2:], validate=True)


@pytest.mark.parametrize("mechanism", HERE)
async def test_a_star_cancels_and_is_answered_with_err(config: Config, mechanism: str) -> None:
    def talk(client: Pop3Raw) -> list[bytes]:
        return [client.ask(line) for line in (f"AUTH {mechanism}", "*", "CAPA")]

    asked, cancelled, then = await at_door(config, talk)
    assert asked.startswith(b"+ ")
    assert cancelled == b"-ERR the client cancelled"
    assert then.startswith(b"+OK"), "in step"


@pytest.mark.parametrize("mechanism", HERE)
@pytest.mark.parametrize("response", ["AAA=BBB", "A", "AAAA====", "AA AA", "AA!A", " AAAA", "AAAA "])
async def test_what_is_not_base64_to_the_last_character_is_refused(
    config: Config, mechanism: str, response: str
) -> None:
    def talk(client: Pop3Raw) -> list[bytes]:
        client.ask(f"AUTH {mechanism}")
        return [client.ask(response), client.ask("NOOP")]

    refused, then = await at_door(config, talk)
    assert refused == b"-ERR the response is not base64"
    assert then == b"-ERR NOOP is not allowed now", "still in AUTHORIZATION and in step"


async def test_an_empty_initial_response_is_no_missing_one(config: Config) -> None:
    def talk(client: Pop3Raw) -> list[bytes]:
        return [client.ask("AUTH PLAIN ="), client.ask("AUTH PLAIN"), client.ask("")]

    empty, asked, nothing = await at_door(config, talk)
    assert empty == nothing == b"-ERR PLAIN wants two NULs"
    assert asked == b"+ "


async def test_an_initial_response_to_a_mechanism_in_which_the_server_begins_is_refused(config: Config) -> None:
    digest = base64.b64encode(b"bob " + b"0" * 32).decode()

    def talk(client: Pop3Raw) -> list[bytes]:
        return [client.ask(f"AUTH CRAM-MD5 {digest}"), client.ask("AUTH CRAM-MD5 =")]

    said = await at_door(config, talk)
    assert said == [b"-ERR CRAM-MD5 begins with the server"] * 2


async def test_a_second_auth_after_a_right_one_is_refused(config: Config) -> None:
    def talk(client: Pop3Raw) -> list[bytes]:
        return [client.ask(line) for line in (f"AUTH PLAIN {PLAIN}", f"AUTH PLAIN {PLAIN}", "AUTH", "STAT")]

    right, again, listed, stat = await at_door(config, talk)
    assert right.startswith(b"+OK")
    assert again == listed == b"-ERR AUTH is not allowed now"
    assert stat == b"+OK 0 0"


async def test_an_auth_that_failed_leaves_no_trace(config: Config) -> None:
    wrong = base64.b64encode(f"\0{BOB}\0guess".encode()).decode()

    def talk(client: Pop3Raw) -> list[bytes]:
        lines = ("USER bob", f"AUTH PLAIN {wrong}", "PASS secret", "STAT", f"AUTH PLAIN {PLAIN}")
        return [client.ask(line) for line in lines]

    user, refused, late, stat, right = await at_door(config, talk)
    assert user.startswith(b"+OK")
    assert refused == WRONG
    assert late == b"-ERR USER comes first"
    assert stat == b"-ERR STAT is not allowed now"
    assert right.startswith(b"+OK")


@pytest.mark.parametrize(
    ("authorization", "is_right"),
    [("", True), (BOB, True), ("bob", True), ("BOB@B.example", True), ("eve@b.example", False), ("eve", False)],
)
async def test_plain_acts_for_oneself_and_for_nobody_else(config: Config, authorization: str, is_right: bool) -> None:
    for name in (BOB, "bob"):
        message = base64.b64encode(f"{authorization}\0{name}\0secret".encode()).decode()
        said = await at_door(config, partial(Pop3Raw.ask, line=f"AUTH PLAIN {message}"))
        assert said.startswith(b"+OK") if is_right else said == WRONG


@pytest.mark.parametrize("message", [b"\0\0", b"\0bob\0", b"\0\0secret", b"bob\0\0secret"])
async def test_an_empty_name_or_password_fails(config: Config, message: bytes) -> None:
    encoded = base64.b64encode(message).decode()
    said = await at_door(config, lambda client: client.ask(f"AUTH PLAIN {encoded}"))
    assert said == b"-ERR a name or password is empty or holds a NUL"


async def test_auth_alone_lists_the_mechanisms_and_logs_nobody_in(config: Config) -> None:
    def talk(client: Pop3Raw) -> tuple[bytes, bytes, bytes]:
        return client.ask("AUTH"), client.block(), client.ask("STAT")

    first, listed, stat = await at_door(config, talk)
    assert first.startswith(b"+OK")
    assert listed.split() == [b"OAUTHBEARER", b"XOAUTH2", b"CRAM-MD5", b"PLAIN", b"LOGIN"]
    assert stat == b"-ERR STAT is not allowed now"


@pytest.mark.parametrize("mechanism", [name.decode() for name in BEARER])
@pytest.mark.parametrize("message", [b"", b"n,,\x01\x01", b"n,a=bob,\x01auth=\x01\x01", b"nonsense"])
async def test_a_token_that_is_missing_gets_the_error_step_before_err(
    config: Config, mechanism: str, message: bytes
) -> None:
    def talk(client: Pop3Raw) -> tuple[bytes, bytes, bytes]:
        initial = base64.b64encode(message).decode() or "="
        return client.ask(f"AUTH {mechanism} {initial}"), client.ask("AQ=="), client.ask("QUIT")

    step, refused, bye = await at_door(config, talk)
    assert step.startswith(b"+ ")
    status = json.loads(base64.b64decode(step[2:], validate=True))["status"]
    assert status == ("400" if mechanism == "XOAUTH2" else "invalid_request")
    assert refused == b"-ERR this carries no bearer token"
    assert bye.startswith(b"+OK")
