"""Backups of an office under load, by the program: what was answered with 250 before one began is in it, once.

Senders and pullers work all the while; the office, or the backup, is killed at random moments. The letters of each
backup are then pulled from an office restored elsewhere.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from postoffice.testing.ledger import Ledger
from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, check_office, make_office
from postoffice.testing.raw import Pop3Raw, SmtpRaw

PASSWORD = "secret"
PEOPLE = [f"p{number}@a.example" for number in range(6)]
SENDERS = 3
LARGE = 0.05
SETTINGS = f"""
[office]
addresses = ["127.0.0.1"]
workers = 2
tidy_seconds = 0.1
absorb_seconds = 0.0
{CLEAR_TEXT}
"""


def po(*words: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "postoffice", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


@dataclass(frozen=True, slots=True)
class Promise:
    """What a backup owes: letters answered before it began, by number and owner; those removed before are nowhere."""

    name: str
    answered: frozenset[tuple[int, str]]
    removed: frozenset[str]


class Town:
    """An office, and those who use it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.seed = seed
        self.dice = random.Random(seed)
        self.ledger = Ledger()
        self.over = threading.Event()
        make_office(folder / "office", dict.fromkeys(PEOPLE, PASSWORD))
        self.office = OfficeProcess(folder / "office", SETTINGS)
        self.root = folder / "vault"
        self.promises: list[Promise] = []

    @contextmanager
    def busy(self) -> Iterator[None]:
        jobs = [(self._send, f"{n}") for n in range(SENDERS)] + [(self._pull, address) for address in PEOPLE[:3]]
        threads = [threading.Thread(target=self._live, args=(job, word), daemon=True) for job, word in jobs]
        with self.office:
            for thread in threads:
                thread.start()
            try:
                yield
            finally:
                self.over.set()
                for thread in threads:
                    thread.join()
        assert not self.ledger.problems, f"seed {self.seed}: {self.ledger.problems}"

    def _live(self, job: Callable[[random.Random, str], None], word: str) -> None:
        dice = random.Random(f"{self.seed}-{word}")
        while not self.over.is_set():
            try:
                job(dice, word)
            except (OSError, KeyError):
                self.over.wait(0.02)  # killed just now; it comes up again

    def _send(self, dice: random.Random, _: str) -> None:
        with SmtpRaw(self.office.ports["smtp"]) as client:
            client.ask("EHLO client.example")
            for _turn in range(dice.randint(1, 4)):
                people = dice.sample(PEOPLE, dice.randint(1, 2))
                sent, letter = self.ledger.write(people, 600_000 if dice.random() < LARGE else dice.randint(100, 8000))
                sent.is_answered = client.send("x@elsewhere.example", people, letter) == 250

    def _pull(self, dice: random.Random, address: str) -> None:
        """Read what is new, and remove some; the QUIT may be answered or not."""
        drop = self.ledger.drop(address)
        with Pop3Raw(self.office.ports["pop3"]) as client:
            if not client.log_in(address, PASSWORD).startswith(b"+OK"):
                return
            by_name = {unique_id: number for number, unique_id in client.unique_ids().items()}
            for unique_id in self.ledger.shown(drop, by_name):
                self.ledger.retrieved(drop, unique_id, client.retrieve(by_name[unique_id]))
            marked = [name for name in by_name if dice.random() < 0.2]
            for unique_id in marked:
                client.ask(f"DELE {by_name[unique_id]}")
            self.ledger.quit(drop, marked, is_answered=False)
            if client.ask("QUIT").startswith(b"+OK"):
                self.ledger.quit(drop, marked, is_answered=True)

    # --- backups

    def back_up(self) -> None:
        """A whole backup, and what it owes."""
        answered = {
            (sent.number, to) for sent in list(self.ledger.sent.values()) if sent.is_answered for to in sent.recipients
        }
        removed = {name for drop in list(self.ledger.drops.values()) for name in drop.removed.copy()}
        said = po("backup", self.root, "--data", self.office.data).stdout
        self.promises.append(Promise(said.partition(":")[0], frozenset(answered), frozenset(removed)))

    def cut_off(self) -> None:
        """A backup that is killed at a random moment."""
        words = [sys.executable, "-m", "postoffice", "backup", str(self.root), "--data", str(self.office.data)]
        cut = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.over.wait(self.dice.uniform(0.2, 0.8))
        cut.kill()
        cut.wait()

    def strike(self) -> None:
        """Everything of the office is killed, or one process of it, at a random moment."""
        self.over.wait(self.dice.uniform(0.0, 0.4))
        kind = self.dice.choice(["all", "worker", "committer"])
        if kind == "all":
            self.office.kill()
            self.office.start()
            return
        for pid in self.office.children(kind)[:1]:
            os.kill(pid, signal.SIGKILL)

    # --- what is in them

    def judge(self, promise: Promise) -> None:
        """An office restored from a backup, with everything pulled from it."""
        data = self.folder / promise.name
        po("restore", self.root, "--backup", promise.name, "--data", data)
        po("restore", self.root, "--backup", promise.name, "--check")
        assert check_office(data) == []
        held: Counter[tuple[int, str]] = Counter()
        gone = {
            (drop.copies[name].number, drop.address)
            for drop in self.ledger.drops.values()
            for name in drop.removed | drop.uncertain
            if name in drop.copies
        }
        with OfficeProcess(data, SETTINGS) as office:
            for address in PEOPLE:
                known = self.ledger.drop(address).copies
                for unique_id, letter in pulled(office, address).items():
                    number = int(letter.split(b"Subject: letter ")[1].split()[0])
                    held[number, address] += 1
                    assert unique_id not in promise.removed, f"seed {self.seed}: {unique_id} is back"
                    assert unique_id not in known or known[unique_id].number == number
            assert office.stop() == 0
        lost = promise.answered - held.keys() - gone
        assert not lost, f"seed {self.seed}: {promise.name} has not {sorted(lost)[:5]} of {len(lost)}"
        twice = [key for key, times in held.items() if times > 1]
        assert not twice, f"seed {self.seed}: {promise.name} has {twice} more than once"


def pulled(office: OfficeProcess, address: str) -> dict[str, bytes]:
    """Everything in a maildrop, by unique-id; nothing is removed."""
    with Pop3Raw(office.ports["pop3"]) as client:
        assert client.log_in(address, PASSWORD).startswith(b"+OK")
        letters = {name: client.retrieve(number) for number, name in client.unique_ids().items()}
        client.ask("QUIT")
        return letters


def test_a_backup_under_load_has_every_letter_answered_before_it_once(folder: Path) -> None:
    town = Town(folder, random.SystemRandom().randrange(1 << 32))
    with town.busy():
        for _ in range(3):
            town.over.wait(0.7)
            town.back_up()
    assert len(town.promises[-1].answered) > 50
    for promise in town.promises:
        town.judge(promise)


def besiege(folder: Path, rounds: int) -> None:
    town = Town(folder, random.SystemRandom().randrange(1 << 32))
    with town.busy():
        for number in range(rounds):
            town.cut_off()
            town.strike()
            if number % 3 == 2:
                town.back_up()
    for promise in town.promises:
        town.judge(promise)
    assert sorted(path.name for path in town.root.iterdir() if path.suffix) == ["vault.json"]


def test_whatever_is_killed_in_six_rounds_backups_are_whole(folder: Path) -> None:
    besiege(folder, 6)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(4))
def test_whatever_is_killed_in_a_hundred_rounds_backups_are_whole(folder: Path, part: int) -> None:
    besiege(folder, 25)


def test_a_client_that_keeps_letters_pulls_nothing_twice_and_misses_nothing_after_a_restore(folder: Path) -> None:
    """It goes by unique-ids. What came after the backup is gone; what comes after the restore is new to it."""
    anna = PEOPLE[0]
    make_office(folder / "office", {anna: PASSWORD})
    book: dict[str, bytes] = {}
    with OfficeProcess(folder / "office", SETTINGS) as office:
        send(office, anna, range(10))
        book |= pulled(office, anna)
        po("backup", folder / "vault", "--data", office.data)
        send(office, anna, range(10, 20))
        book |= pulled(office, anna)
        assert len(book) == 20
    po("restore", folder / "vault", "--data", folder / "again")
    with OfficeProcess(folder / "again", SETTINGS) as office:
        assert pulled(office, anna).items() <= book.items(), "what is there again is known"
        send(office, anna, range(20, 40))
        assert len(pulled(office, anna)) == 30
        send(office, anna, range(40, 45))
        there = pulled(office, anna)
        new = {name: letter for name, letter in there.items() if name not in book}
        assert len(there) == 35
        assert sorted(int(letter.split(b"Subject: ")[1].split()[0]) for letter in new.values()) == list(range(20, 45))
        assert office.stop() == 0


def send(office: OfficeProcess, address: str, numbers: range) -> None:
    with SmtpRaw(office.ports["smtp"]) as client:
        client.ask("EHLO client.example")
        for number in numbers:
            assert client.send("x@elsewhere.example", [address], b"Subject: %d\r\n\r\n" % number) == 250
