"""`Pop3Client` and Dovecot: TLS by STLS, every letter octet for octet, removed where the block ends and not before."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from bench.contender import PASSWORD, Mail
from bench.peers.dovecot import Dovecot

from postoffice import BlockingPop3Client, Pop3Client
from postoffice.conformance.post import MaildirPost
from postoffice.errors import Refused
from postoffice.net.self_signed import make_self_signed
from postoffice.net.tls import client_context
from postoffice.testing.process import open_folder
from postoffice.testing.programs import LETTERS

pytestmark = [pytest.mark.peer, pytest.mark.skipif(os.geteuid() != 0, reason="the server must be started by root")]


async def pull(port: int, user: str, certificate: Path) -> None:
    tls = client_context(certificate)

    async def fail_amid() -> None:
        async with Pop3Client("localhost", port, implicit_tls=False, tls=tls) as pop:
            await pop.login(user, PASSWORD)
            await pop.dele(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_amid()
    async with Pop3Client("localhost", port, implicit_tls=False, tls=tls) as pop:
        with pytest.raises(Refused) as caught:
            await pop.login(user, "wrong")
        assert caught.value.code == "AUTH"
        await pop.login(user, PASSWORD)
        assert len(await pop.uidl()) == len(await pop.list()) == len(LETTERS)
        letters = [letter.content async for letter in pop.retrieve_many(range(1, len(LETTERS) + 1))]
        assert sorted(letters) == sorted(LETTERS)
        with pytest.raises(Refused):
            await pop.retrieve_bytes(1000)
        for number in await pop.list():
            assert b"".join([portion async for portion in pop.retrieve(number)]) == letters[number - 1]
            await pop.dele(number)

    def look() -> int:
        with BlockingPop3Client("localhost", port, implicit_tls=False, tls=tls) as pop:
            pop.login(user, PASSWORD)
            return pop.stat().letters

    assert await asyncio.to_thread(look) == 0


def test_dovecot_gives_every_letter() -> None:
    server, mail = Dovecot("default"), Mail(1, [])
    if (why := server.absence()) is not None:
        pytest.skip(why)
    with open_folder() as folder:
        home = folder / "dovecot"
        home.mkdir(mode=0o755)
        server.prepare(home, mail)
        certificate, _ = make_self_signed(home, ["localhost"])  # in place of that for a name that leads nowhere
        [user] = mail.addresses()
        MaildirPost(home / "mail" / user.partition("@")[0] / "Maildir").place_all(LETTERS)
        server.start(None)
        try:
            asyncio.run(pull(server.ports()["pop3"], user, certificate))
        finally:
            server.stop()
