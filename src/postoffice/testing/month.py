"""A month of three devices at one maildrop, played in seconds.

The clock is the month's own. All else is real: an office with its doors and its files, letters that come by SMTP, and
pulls by our own client into a mailbox file for each device, with deletion, as people set it.

    laptop    pulls every day
    tablet    pulls every third day
    phone     pulls every day, until it is lost on the fifth; its owner hears of it, and after thirty days without it no
              letter waits for it any more; on the last day it is found again

Every letter must come to every device exactly once, and none may stay that nobody waits for. Whoever is lost misses
what all others had deleted by the time it lapsed, and nothing else.
"""

from __future__ import annotations

import asyncio
import smtplib
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from postoffice import events
from postoffice.accounts import verifiers
from postoffice.accounts.devices import CERTAIN_SECONDS, OWN, ROUND_SECONDS
from postoffice.accounts.terms import DAY_SECONDS
from postoffice.app.config import Config, OfficeSettings
from postoffice.client.collect import Options, collect
from postoffice.client.rules import NOW
from postoffice.client.url import Source
from postoffice.errors import PostofficeError
from postoffice.net.tls import client_context
from postoffice.protocols.dots import unstuff
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.embedded.mailbox import MailboxFile
from postoffice.store.model import Credential, Sight
from postoffice.testing.office import TestOffice, run_office

BOB: Final = "bob@b.example"
MONDAY: Final = 1_700_000_000.0
DAYS: Final = 40
LOST_ON: Final = 5
LETTERS_A_DAY: Final = 2
LETTER_OCTETS: Final = 100_000
EVERY: Final = {"laptop": 1, "tablet": 3, "phone": 1}
"""Each how many days a device pulls."""

LAPSES_ON: Final = LOST_ON - 1 + 30


@dataclass(frozen=True, slots=True)
class Day:
    """How it stands in the evening.

    `pulled` letters by the devices that came, `waiting` by the devices that letters wait for; `kept` letters in the
    office in a file of so many `octets`; `told` is what the office did on its own.
    """

    number: int
    pulled: Mapping[str, int]
    waiting: Mapping[str, int]
    kept: int
    octets: int
    told: tuple[str, ...]


class WrongMonth(PostofficeError):
    """Something was not as promised."""


@dataclass
class _Calendar:
    now: float = MONDAY

    def __call__(self) -> float:
        return self.now


@dataclass
class Month:
    """Played in `folder`, which may be emptied afterwards. `home` has, by device, how often it got each letter."""

    folder: Path
    home: dict[str, Counter[int]] = field(default_factory=lambda: {name: Counter() for name in EVERY})
    _sent: int = 0

    async def days(self) -> AsyncIterator[Day]:
        """One after the other, and a `WrongMonth` where one is not as it must be."""
        calendar = _Calendar()
        store = EmbeddedStore.open(self.folder / "office", clock=calendar)
        config = replace(Config(), office=OfficeSettings(tidy_seconds=DAY_SECONDS))  # the month keeps house itself
        try:
            async with run_office(store, "b.example", people={BOB: "secret"}, config=config, clock=calendar) as office:
                await _add_devices(office)
                for number in range(1, DAYS + 1):
                    yield await self._day(office, number, calendar)
        finally:
            await store.close()
        self._look_back()

    async def _day(self, office: TestOffice, number: int, calendar: _Calendar) -> Day:
        told: list[str] = []
        stop = events.listen(lambda name, facts: told.extend(_words(name, facts)))
        try:
            await asyncio.to_thread(self._send, office.port("smtp"))
            pulled = {name: await self._pull(office, name) for name in EVERY if _comes(name, number)}
            for seconds in (ROUND_SECONDS, CERTAIN_SECONDS):
                await office.open_office.keep_house()
                calendar.now += seconds
            await office.open_office.keep_house()
        finally:
            stop()
        calendar.now = MONDAY + number * DAY_SECONDS
        return await self._evening(office, number, pulled, tuple(told))

    def _send(self, port: int) -> None:
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as smtp:
            for _ in range(LETTERS_A_DAY):
                self._sent += 1
                letter = f"From: alice@a.example\r\nSubject: letter {self._sent}\r\n\r\n" + f"{self._sent:>98}\r\n" * (
                    LETTER_OCTETS // 100
                )
                smtp.sendmail("alice@a.example", BOB, letter)

    async def _pull(self, office: TestOffice, device: str) -> int:
        source = Source("127.0.0.1", office.port("pop3s"), BOB, implicit_tls=True)
        mailbox = MailboxFile.open(self.folder / f"{device}.mailbox", create=True)
        try:
            report = await collect(source, mailbox, Options(device, client_context(office.certificate), rules=(NOW,)))
            pieces = await mailbox.read((await mailbox.snapshot()).keys)
        finally:
            await mailbox.close()
        heads = [unstuff(piece.wire[:2000]).partition(b"\nSubject: ") for piece in pieces if piece]
        self.home[device] = Counter(int(rest.split()[1]) for _, _, rest in heads if rest.startswith(b"letter "))
        return report.letters

    async def _evening(self, office: TestOffice, number: int, pulled: Mapping[str, int], told: tuple[str, ...]) -> Day:
        account = await office.account(BOB)
        mailbox = await office.store.office.mailbox(account.account_id)
        holders = [name for name, sight in await mailbox.viewers() if sight is Sight.HOLDS]
        waiting = {name: len((await mailbox.snapshot(name)).keys) for name in holders}
        day = Day(number, pulled, waiting, len((await mailbox.snapshot()).keys), self._octets(), told)
        self._judge(day)
        return day

    def _octets(self) -> int:
        """How long the mailbox file is, were its log written back."""
        octets = 0
        for path in (self.folder / "office" / "mailboxes").rglob("*.mailbox"):
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as file:
                octets += (
                    file.execute("PRAGMA page_count").fetchone()[0] * file.execute("PRAGMA page_size").fetchone()[0]
                )
        return octets

    def _judge(self, day: Day) -> None:
        for name in EVERY:
            _must(max(self.home[name].values(), default=0) <= 1, f"day {day.number}: {name} got a letter twice")
            if _comes(name, day.number) and name in day.waiting:
                _must(day.waiting[name] == _warnings(day), f"day {day.number}: letters wait for {name}")
        _must(set(day.waiting) <= set(EVERY), f"day {day.number}: letters wait for who never came: {set(day.waiting)}")
        _must(
            day.kept == max(day.waiting.values(), default=0),
            f"day {day.number}: {day.kept} letters are kept, and {dict(day.waiting)} wait",
        )
        _must(
            ("phone" in day.waiting) is (day.number < LAPSES_ON or day.number == DAYS),
            f"day {day.number}: the phone is{'' if 'phone' in day.waiting else ' not'} waited for",
        )

    def _look_back(self) -> None:
        everything = set(range(1, self._sent + 1))
        for name in ("laptop", "tablet"):
            missing = everything - set(self.home[name])
            _must(not missing, f"the {name} misses {sorted(missing)}")
        pulled_in_time = set(range(1, LETTERS_A_DAY * (LOST_ON - 1) + 1))
        missing = pulled_in_time - set(self.home["phone"])
        _must(not missing, f"the phone misses {sorted(missing)} of before it was lost")


def _comes(name: str, day: int) -> bool:
    if name == "phone":
        return day < LOST_ON or day == DAYS
    return (day - 1) % EVERY[name] == 0


def _warnings(day: Day) -> int:
    """How many letters came in the evening, when all had pulled."""
    return sum(words.startswith("bob is told") for words in day.told)


def _words(name: str, facts: Mapping[str, object]) -> list[str]:
    if name == "device.lapsed" and facts["device"] == OWN:
        return ["nothing waits for bob's own password, which opened no maildrop yet"]
    if name == "device.lapsed":
        return [f"the {facts['device']} has lapsed; {facts['letters']} letters that waited for it alone are gone"]
    if name == "device.warned":
        return [f"bob is told that {facts['letters']} letters wait for the {facts['device']}"]
    if name == "device.returned":
        return [f"the {facts['device']} is back"]
    return []


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise WrongMonth(what)


async def _add_devices(office: TestOffice) -> None:
    """Their passwords are their names."""
    account, secret = await office.account(BOB), await office.store.directory.secret()
    for name in EVERY:
        made = Credential(account.account_id, name, verifiers.of_generated(name, BOB, secret))
        await office.store.directory.set_credential(made)
