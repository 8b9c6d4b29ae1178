"""Each protocol can be switched off for an account or a domain, and a login may have to come from certain networks."""

from __future__ import annotations

import asyncio
from typing import Any

from postoffice.events import collected
from postoffice.testing.raw import SmtpRaw

BOB = "bob@b.example"


async def submits(here: Any) -> int:
    """The code of the reply to bob's right password at the submission door."""

    def ask() -> int:
        with SmtpRaw(here.office.port("submission")) as client:
            assert client.ask("EHLO client.example") == 250
            return client.log_in("bob", "secret")

    return await asyncio.to_thread(ask)


async def test_a_protocol_that_is_off_says_so_behind_the_right_password_alone(here: Any) -> None:
    await here.set(BOB, protocols="submission")
    [reply] = await here.log_in()
    assert reply == "-ERR [SYS/PERM] pop3 is switched off for this account"
    assert (await here.tell("USER bob", "PASS wrong"))[1].startswith("-ERR [AUTH]")
    assert await submits(here) == 235
    await here.set(BOB, protocols="pop3")
    assert (await here.log_in())[0].startswith("+OK")
    assert await submits(here) == 525


async def test_an_account_differs_from_its_domain(here: Any) -> None:
    await here.set("b.example", protocols="none")
    await here.set(BOB, protocols="all")
    assert (await here.log_in())[0].startswith("+OK")
    assert (await here.log_in(user="carol"))[0].startswith("-ERR [SYS/PERM]")


async def test_from_elsewhere_a_right_password_looks_wrong(here: Any) -> None:
    await here.set(BOB, networks="10.0.0.0/8,2001:db8::/32")
    with collected() as events:
        right = await here.log_in()
        wrong = (await here.tell("USER bob", "PASS wrong"))[1:]
    assert right == wrong
    told = [(facts["account"], facts["peer"]) for name, facts in events if name == "login.elsewhere"]
    assert told == [(BOB, "127.0.0.1")]
    assert await submits(here) == 535
    await here.set(BOB, networks="10.0.0.0/8,127.0.0.0/8")
    assert (await here.log_in())[0].startswith("+OK")
    assert await submits(here) == 235


async def test_a_running_office_notices_a_change_at_once(here: Any) -> None:
    for protocols, start in [("all", "+OK"), ("none", "-ERR"), ("pop3", "+OK"), ("submission", "-ERR"), ("", "+OK")]:
        await here.set(BOB, protocols=protocols)
        assert (await here.log_in("QUIT"))[0].startswith(start)
