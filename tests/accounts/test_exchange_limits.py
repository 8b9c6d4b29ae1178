"""AUTH at both kinds of door: long responses, cancelling, what is too long or not base64, and a second login."""

from __future__ import annotations

import asyncio
import base64
import ipaddress

from postoffice.accounts.login import LoginSettings
from postoffice.app.config import Config
from postoffice.store.base import Store
from postoffice.testing.office import run_office
from postoffice.testing.raw import Pop3Raw, RawClient, SmtpRaw

BOB = "bob@b.example"
CLEAR = Config(login=LoginSettings((ipaddress.ip_network("127.0.0.0/8"),)))
RIGHT = base64.b64encode(f"\0{BOB}\0secret".encode()).decode()
LONG = base64.b64encode(b"\0" + BOB.encode() + b"\0" + b"x" * 48_000).decode()
"""Nearly as long as a response may be, which is 64 KiB."""


def answers(client: RawClient, *lines: str) -> list[str]:
    """The first line of the reply to each line, all said before the first is read."""
    client.say("".join(f"{line}\r\n" for line in lines).encode())
    return [client.line().decode() for _ in lines]


async def test_the_pop3_door_stays_in_step_whatever_a_response_is(store: Store) -> None:
    def talk(port: int) -> list[str]:
        lines = (
            "AUTH PLAIN",
            LONG,
            "AUTH PLAIN",
            "x" * 70_000,
            "AUTH PLAIN",
            "*",
            "AUTH PLAIN",
            "A=AA",
            f"AUTH PLAIN {LONG}",
        )
        with Pop3Raw(port) as client:
            return answers(client, *lines, f"AUTH PLAIN {RIGHT}", f"AUTH PLAIN {RIGHT}", "STAT")

    async with run_office(store, "b.example", people={BOB: "secret"}, config=CLEAR) as office:
        said = await asyncio.to_thread(talk, office.port("pop3"))
    wrong = "-ERR [AUTH] user name or password is wrong"
    cancelled, not_base64 = "-ERR the client cancelled", "-ERR the response is not base64"
    assert said[:-3] == ["+ ", wrong, "+ ", cancelled, "+ ", cancelled, "+ ", not_base64, wrong]
    assert said[-3].startswith("+OK bob@b.example")
    assert said[-2:] == ["-ERR AUTH is not allowed now", "+OK 0 0"]


async def test_the_submission_door_stays_in_step_whatever_a_response_is(store: Store) -> None:
    def talk(port: int) -> list[str]:
        lines = (
            *("AUTH PLAIN", LONG, "AUTH PLAIN", "x" * 70_000, "AUTH PLAIN", "*", "AUTH PLAIN", "A=AA"),
            *(f"AUTH PLAIN {LONG}", f"AUTH PLAIN {'x' * 70_000}", f"AUTH PLAIN {RIGHT}", f"AUTH PLAIN {RIGHT}", "NOOP"),
        )
        with SmtpRaw(port) as client:
            client.ask("EHLO a.example")
            return [line[:3] for one in lines for line in answers(client, one)]

    async with run_office(store, "b.example", people={BOB: "secret"}, config=CLEAR) as office:
        said = await asyncio.to_thread(talk, office.port("submission"))
    assert said == ["334", "535", "334", "500", "334", "501", "334", "501", "535", "500", "235", "503", "250"]
