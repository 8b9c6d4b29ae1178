"""Letters that other servers fail with, and sizes that no disk holds: what is listed is what is sent."""

from __future__ import annotations

import asyncio
import ipaddress
from pathlib import Path

import apsw

from postoffice.accounts.login import LoginSettings
from postoffice.app.config import Config
from postoffice.conformance.nasty import nasty_letters
from postoffice.protocols.dots import stuff, unstuff
from postoffice.store.base import Mailbox, Store
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.model import Letter
from postoffice.testing.office import TestOffice, run_office
from postoffice.testing.raw import Pop3Raw

BOB = "bob@b.example"
CLEAR = Config(login=LoginSettings((ipaddress.ip_network("127.0.0.0/8"),)))


async def maildrop(office: TestOffice) -> Mailbox:
    return await office.store.office.mailbox((await office.account(BOB)).account_id)


async def lay(mailbox: Mailbox, letters: list[bytes]) -> None:
    for letter in letters:
        stage = await mailbox.stage()
        await stage.write(stuff(letter))
        await mailbox.append([Letter(await stage.finish(), 0)])


async def test_every_letter_comes_out_as_it_went_in_and_has_the_size_that_is_listed(store: Store) -> None:
    nasty = [letter.octets for letter in nasty_letters() for _ in range(letter.copies)]
    letters = [one if one.endswith(b"\r\n") or not one else one + b"\r\n" for one in nasty]

    def pull(port: int) -> None:
        with Pop3Raw(port) as client:
            assert client.ask("UTF8").startswith(b"+OK")
            assert client.log_in(BOB, "secret").startswith(b"+OK")
            assert client.ask("STAT") == b"+OK %d %d" % (len(letters), sum(map(len, letters)))
            assert client.ask("LIST").startswith(b"+OK")
            sizes = b"".join(b"%d %d\r\n" % (number, len(letter)) for number, letter in enumerate(letters, 1))
            assert client.block() == sizes
            for number, letter in enumerate(letters, 1):
                assert client.retrieve(number) == letter
                assert client.ask(f"TOP {number} 100000").startswith(b"+OK")
                assert unstuff(client.block()) == letter
            assert client.ask("QUIT").startswith(b"+OK")

    async with run_office(store, "b.example", people={BOB: "secret"}, config=CLEAR) as office:
        await lay(await maildrop(office), letters)
        await asyncio.to_thread(pull, office.port("pop3"))


async def test_sizes_and_sums_beyond_four_gibibytes_are_told_as_they_are(tmp_path: Path) -> None:
    sizes = [(1 << 32) + 1, (1 << 31) - 1, (5 << 40) + 7]

    def ask(port: int) -> None:
        with Pop3Raw(port) as client:
            assert client.log_in(BOB, "secret").endswith(b"%d octets)" % sum(sizes))
            assert client.ask("STAT") == b"+OK 3 %d" % sum(sizes)
            assert client.ask("LIST 1") == b"+OK 1 %d" % sizes[0]
            assert client.ask("LIST").startswith(b"+OK")
            assert client.block() == b"1 %d\r\n2 %d\r\n3 %d\r\n" % tuple(sizes)
            assert client.ask("DELE 3").startswith(b"+OK")
            assert client.ask("STAT") == b"+OK 2 %d" % (sizes[0] + sizes[1])

    async def opened(*, with_letters: bool) -> None:
        store = EmbeddedStore.open(tmp_path / "office")
        people = {BOB: "secret"} if with_letters else {}
        async with run_office(store, "b.example", people=people, config=CLEAR) as office:
            if with_letters:
                await lay(await maildrop(office), [b"Subject: %d\r\n\r\n" % number for number in range(3)])
            else:
                await asyncio.to_thread(ask, office.port("pop3"))
        await store.close()

    await opened(with_letters=True)
    [file] = (tmp_path / "office").rglob("*.mailbox")
    connection = apsw.Connection(str(file))
    for entry, octets in enumerate(sizes, 1):  # nobody has the disk for them
        connection.execute("UPDATE entries SET octets = ?1, surrogate_octets = ?1 WHERE entry_id = ?2", (octets, entry))
    connection.close()
    await opened(with_letters=False)
