"""A mechanism that is refused for no fault of the password is followed by another, and by no worse one than it may."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from postoffice.client.collect import Options, Report, collect
from postoffice.client.url import Source
from postoffice.errors import Refused
from postoffice.net.tls import client_context
from postoffice.net.tls_server import server_context
from postoffice.store.memory import MemoryMailbox
from postoffice.testing.certificates import Authority
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer

OK, REFUSED = b"+OK\r\n", b"-ERR [AUTH] no\r\n"
EVERYTHING = "SASL SCRAM-SHA-256-PLUS SCRAM-SHA-256 CRAM-MD5 PLAIN"
PLAIN = "AUTH PLAIN " + base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()


def peer(offers: str, **says: bytes) -> Pop3Peer:
    return Pop3Peer(
        {"id-1": b"one\r\n"}, ("UIDL", "USER", offers), says={k.replace("_", " "): v for k, v in says.items()}
    )


@asynccontextmanager
async def pulling(server: Pop3Peer, folder: Path, mechanism: str = "*") -> AsyncIterator[Report]:
    """A pull from it over TLS."""
    authority = Authority(folder)
    certificate, key = authority.issue(["127.0.0.1"], folder)
    async with server.listening(server_context(certificate, key)) as port:
        source = Source("127.0.0.1", port, USER, implicit_tls=True, mechanism=mechanism)
        yield await collect(source, MemoryMailbox(), Options(PASSWORD, client_context(authority.ca_path)))


def tried(server: Pop3Peer) -> list[str]:
    return [
        line.split()[1] if line.startswith("AUTH") else "USER" for line in server.heard if line[:4] in ("AUTH", "USER")
    ]


async def test_a_server_that_cannot_bind_as_we_do_and_keeps_nothing_for_scram_gets_the_password_in_tls(
    tmp_path: Path,
) -> None:
    server = peer(EVERYTHING, AUTH=REFUSED)
    server.says[PLAIN] = OK
    async with pulling(server, tmp_path) as report:
        assert report.letters == 1
    assert tried(server) == ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN"]
    unbound = next(line for line in server.heard if line.startswith("AUTH SCRAM-SHA-256 "))
    assert base64.b64decode(unbound.split()[2]).startswith(b"n,,"), (
        "not `y`: the server did offer to bind (RFC 5802 §6)"
    )


async def test_three_tries_are_all(tmp_path: Path) -> None:
    server = peer(EVERYTHING, AUTH=REFUSED)
    with pytest.raises(Refused, match=r"by SCRAM-SHA-256-PLUS, then SCRAM-SHA-256, then PLAIN: .*no") as caught:
        async with pulling(server, tmp_path):
            pass
    assert caught.value.status == 77
    assert len(tried(server)) == 3


async def test_the_mechanism_that_a_url_names_is_followed_by_no_other(tmp_path: Path) -> None:
    server = peer(EVERYTHING, AUTH=REFUSED)
    with pytest.raises(Refused, match="refused the login of bob: "):
        async with pulling(server, tmp_path, "SCRAM-SHA-256-PLUS"):
            pass
    assert tried(server) == ["SCRAM-SHA-256-PLUS"]


@pytest.mark.parametrize("code", ["IN-USE", "SYS/TEMP", "SYS/PERM", "LOGIN-DELAY"])
async def test_a_refusal_that_is_not_about_the_login_is_final(code: str, tmp_path: Path) -> None:
    server = peer(EVERYTHING, AUTH=f"-ERR [{code}] no\r\n".encode())
    with pytest.raises(Refused):
        async with pulling(server, tmp_path):
            pass
    assert len(tried(server)) == 1


async def test_a_server_that_hangs_up_after_one_try_is_told_by_its_first_refusal(tmp_path: Path) -> None:
    server = peer(EVERYTHING, AUTH=REFUSED)
    before = [server.greeting, b"+OK\r\n", *(f"{line}\r\n".encode() for line in (*server.capabilities, "."))]
    server.leaves_after = len(b"".join(before)) + len(REFUSED)
    with pytest.raises(Refused, match=r"then SCRAM-SHA-256: \[AUTH\] no"):
        async with pulling(server, tmp_path):
            pass


@pytest.mark.parametrize("offers", ["SASL SCRAM-SHA-256 PLAIN LOGIN", "SASL CRAM-MD5 PLAIN LOGIN"])
async def test_the_password_is_never_said_in_clear_because_something_better_was_refused(offers: str) -> None:
    server = peer(offers, AUTH=REFUSED)
    async with server.listening() as port:
        with pytest.raises(Refused):
            await collect(Source("127.0.0.1", port, USER), MemoryMailbox(), Options(PASSWORD, allows_clear_text=True))
    assert len(tried(server)) == 1


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
async def test_a_token_waits_until_it_is_asked_for(mechanism: str, tmp_path: Path) -> None:
    if mechanism == "XOAUTH2":
        message = f"user={USER}\x01auth=Bearer {PASSWORD}\x01\x01"
    else:
        message = f"n,a={USER},\x01auth=Bearer {PASSWORD}\x01\x01"
    server = peer(f"SASL {mechanism}")
    server.says |= {f"AUTH {mechanism}": b"+ \r\n", base64.b64encode(message.encode()).decode(): OK}
    async with pulling(server, tmp_path, mechanism) as report:
        assert report.letters == 1
    assert f"AUTH {mechanism}" in server.heard


async def test_a_token_that_is_refused_with_a_reason_is_acknowledged(tmp_path: Path) -> None:
    reason = base64.b64encode(b'{"status":"400","schemes":"bearer"}').decode()
    server = peer("SASL XOAUTH2")
    token = base64.b64encode(f"user={USER}\x01auth=Bearer {PASSWORD}\x01\x01".encode()).decode()
    server.says |= {"AUTH XOAUTH2": b"+ \r\n", token: f"+ {reason}\r\n".encode(), "": b"-ERR bad token\r\n"}
    with pytest.raises(Refused, match="bad token"):
        async with pulling(server, tmp_path, "XOAUTH2"):
            pass
