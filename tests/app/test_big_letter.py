"""A letter larger than any memory limit travels the whole road, while everybody else is served as usual."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest

from postoffice.protocols.dots import Unstuffer, stuff
from postoffice.store.embedded import MailboxFile
from postoffice.testing.certificates import Authority
from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office, resident_peak, wait_until
from postoffice.testing.raw import Pop3Raw, SmtpRaw

ALICE, BOB, NEIGHBOUR, PASSWORD = "alice@a.example", "bob@b.example", "nora@b.example", "secret"
MOST_MEMORY = 150 * 1024 * 1024
MOST_LATENCY = 5.0
SPARE_DISK = 48 * 1024 * 1024
"""What may stay of logs and of pages that the next letter will need."""

SETTINGS = """
[office]
addresses = ["127.0.0.1"]
tidy_seconds = 0.5
workers = 2
[relay.routes."b.example"]
host = "127.0.0.1"
port = {port}
"""


class BigLetter:
    """So many blocks of a mebibyte, made as they are sent; `digest` is of what was made so far."""

    def __init__(self, blocks: int) -> None:
        line = b"a line of this letter, as long as lines usually are in letters\r\n"
        self._block = line * ((1 << 20) // len(line)) + b".and one with a dot\r\n"
        self._blocks = blocks
        self.octets = 0
        self.digest = sha256()

    def wire(self) -> Iterator[bytes]:
        for part in self._plain():
            self.digest.update(part)
            self.octets += len(part)
            yield stuff(part)

    def _plain(self) -> Iterator[bytes]:
        yield b"From: alice@a.example\r\nSubject: large\r\n\r\n"
        for number in range(self._blocks):
            yield b"block %d\r\n" % number + self._block


class Neighbour(threading.Thread):
    """Sends a small letter and pulls it, again and again; `slowest` is the longest that this ever took."""

    def __init__(self, office: OfficeProcess) -> None:
        super().__init__(daemon=True)
        self._ports = office.ports.copy()
        self._over = threading.Event()
        self.rounds = 0
        self.slowest = 0.0
        self.problem: Exception | None = None

    def run(self) -> None:
        while not self._over.wait(0.1):
            begun = time.monotonic()
            try:
                self._send_and_pull()
            except Exception as problem:
                self.problem = problem
                return
            self.slowest = max(self.slowest, time.monotonic() - begun)
            self.rounds += 1

    def _send_and_pull(self) -> None:
        with SmtpRaw(self._ports["smtp"]) as client:
            client.ask("EHLO x.example")
            assert client.send("x@elsewhere.example", [NEIGHBOUR], b"Subject: small\r\n\r\nsmall\r\n") == 250
        with Pop3Raw(self._ports["pop3"]) as reader:
            assert reader.log_in(NEIGHBOUR, PASSWORD).startswith(b"+OK")
            numbers = reader.unique_ids()
            assert numbers
            for number in numbers:
                assert reader.retrieve(number).endswith(b"small\r\n")
                reader.ask(f"DELE {number}")
            assert reader.ask("QUIT").startswith(b"+OK")

    def leave(self) -> None:
        self._over.set()
        self.join()


def submit(office: OfficeProcess, letter: BigLetter, ca: Path) -> None:
    with SmtpRaw(office.ports["submissions"], ssl.create_default_context(cafile=ca), seconds=120) as client:
        client.ask("EHLO home.example")
        assert client.log_in(ALICE, PASSWORD) == 235
        client.begin(ALICE, [BOB])
        for part in letter.wire():
            client.say(part)
        client.say(b".\r\n")
        assert client.reply()[0] == 250


def count(office: OfficeProcess) -> int:
    with Pop3Raw(office.ports["pop3"]) as reader:
        assert reader.log_in(BOB, PASSWORD).startswith(b"+OK")
        letters = len(reader.unique_ids())
        reader.ask("QUIT")
    return letters


def fetch(office: OfficeProcess, into: Path, ca: Path) -> int:
    """Pull it home and remove it at the office; gives the most memory that this took."""
    url = f"pops://{BOB.replace('@', '%40')}@localhost:{office.ports['pop3s']}"
    words = [sys.executable, "-m", "postoffice", "fetch", url, "--into", str(into), "--ca", str(ca), "--delete"]
    process = subprocess.Popen([*words, "--password-stdin"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert process.stdin is not None
    with process.stdin as stdin:
        stdin.write(f"{PASSWORD}\n".encode())
    peak = 0
    while process.poll() is None:
        # The last word counts: a peak from before the program began is ours (so `ru_maxrss` would not do).
        peak = resident_peak(process.pid) or peak
        time.sleep(0.02)
    assert process.returncode == 0
    return peak


def content_at_home(path: Path) -> bytes:
    """The SHA-256 of the only letter in a mailbox file, from behind the trace fields that were put above it."""

    async def read() -> bytes:
        mailbox = MailboxFile.open(path)
        try:
            (key,) = (await mailbox.snapshot()).keys
            digest, unstuffer, index, more, is_begun = sha256(), Unstuffer(), 0, True, False
            while more:
                (piece,) = await mailbox.read([key], index)
                assert piece is not None
                plain = unstuffer.feed(piece.wire)
                if not is_begun:
                    plain, is_begun = plain[plain.index(b"From: alice") :], True
                digest.update(plain)
                index, more = index + 1, piece.more
            return digest.digest()
        finally:
            await mailbox.close()

    return asyncio.run(read())


def disk(folder: Path) -> int:
    """What a folder takes of the disk."""
    used = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            used += path.lstat().st_blocks * 512
    return used


def travel(folder: Path, mebibytes: int) -> None:
    authority = Authority(folder)
    make_office(folder / "b", {BOB: PASSWORD, NEIGHBOUR: PASSWORD}, authority)
    make_office(folder / "a", {ALICE: PASSWORD}, authority)
    letter = BigLetter(mebibytes)
    with (
        OfficeProcess(folder / "b", SETTINGS.format(port=25) + CLEAR_TEXT) as b,
        OfficeProcess(folder / "a", SETTINGS.format(port=b.ports["smtp"]) + CLEAR_TEXT) as a,
    ):
        neighbour = Neighbour(b)
        neighbour.start()
        before = {office: disk(office.data) for office in (a, b)}
        steps = {"begin": time.monotonic()}
        submit(a, letter, authority.ca_path)
        steps["submitted"] = time.monotonic()
        wait_until(lambda: count(b) == 1, "the letter has come to b", 300)
        steps["relayed"] = time.monotonic()
        peaks = {"fetch": fetch(b, folder / "home.mailbox", authority.ca_path)}
        steps["fetched"] = time.monotonic()
        for office in (a, b):
            wait_until(lambda o=office: disk(o.data) <= before[o] + SPARE_DISK, f"{office.data} is small again", 120)  # type: ignore[misc]
        steps["given back"] = time.monotonic()
        neighbour.leave()
        peaks |= {f"{o.data.name} {pid}": resident_peak(pid) for o in (a, b) for pid in o.pids()}
        assert content_at_home(folder / "home.mailbox") == letter.digest.digest()
        assert count(b) == 0
    moments = list(steps.items())
    print({name: round(at - moments[i][1], 1) for i, (name, at) in enumerate(moments[1:])})
    print({name: f"{octets >> 20} MiB" for name, octets in peaks.items()}, neighbour.rounds, neighbour.slowest)
    assert neighbour.problem is None
    assert neighbour.rounds
    assert neighbour.slowest < MOST_LATENCY
    assert max(peaks.values()) < MOST_MEMORY, peaks


def test_a_letter_of_64_mebibytes_travels_the_whole_road(folder: Path) -> None:
    travel(folder, 64)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_letter_of_a_gibibyte_travels_the_whole_road(folder: Path) -> None:
    travel(folder, 1024)
