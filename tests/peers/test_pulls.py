"""Pulls from real servers: every letter comes home once, with the octets that the server gives to anybody.

What a server does to a letter before it gives it (trace fields, line ends, a NUL) is its own; a plain RETR tells. A
letter with nothing strange in it must come as it was placed.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from bench.contender import PASSWORD
from bench.peers.pop3 import Peer, Running, peers, peers_in_clear

from postoffice.conformance.dialogue import NotApplicable
from postoffice.conformance.nasty import NastyLetter, nasty_letters
from postoffice.store.embedded import MailboxFile
from postoffice.testing.check_store.walk import must_be_sound, seen
from postoffice.testing.process import open_folder
from postoffice.testing.programs import LETTERS, unlike
from postoffice.testing.raw import Pop3Raw

pytestmark = [
    pytest.mark.peer,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="the servers must be started by root"),
]

ORDINARY = [
    b"From: mrose@example.org\r\nDate: Mon, 01 Jan 2024 12:00:00 +0000\r\nMessage-ID: <%d@example.org>\r\n"
    b"Subject: letter %d\r\n\r\n.\r\nbody %d\r\n" % (number, number, number)
    for number in range(300)
]

BROKEN = {"Twisted": {"50,000 dotted lines"}}
"""Letters that end in the middle for whoever reads them by RFC 1939 §3: the server does not stuff every dot."""

_MARKS = re.compile(rb"^(?:X-UIDL|X-UID|X-IMAPbase|Status): [^\r\n]*\r\n", re.MULTILINE)
"""What Mailutils writes into the header, more of it after each of the first sessions."""

SERVERS = [
    *(pytest.param(peer, id=peer.name) for peer in peers()),
    *(pytest.param(peer, id=f"{peer.name} in clear") for peer in peers_in_clear()),
]


@dataclass(frozen=True, slots=True)
class Home:
    """A mailbox file, and the server that it is filled from."""

    running: Running
    file: Path

    def fetch(self, *options: str) -> str:
        """Pull by the command; gives what it said. It must end well."""
        running = self.running
        words = ["fetch", f"pop://{running.user}@localhost:{running.port}", "--into", str(self.file), *options]
        if running.certificate is not None:
            words += ["--ca", str(running.certificate)]
        done = subprocess.run(
            [sys.executable, "-m", "postoffice", *words, "--password-stdin", "--trace"],
            input=f"{PASSWORD}\n",
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, (done.returncode, done.stdout, done.stderr[-3000:])
        assert (running.certificate is not None) == ("TLS" in done.stderr[:2000]), done.stderr[:2000]
        return done.stdout

    def letters(self) -> Counter[bytes]:
        """What is in the file, which is sound."""

        async def read() -> list[bytes]:
            mailbox = MailboxFile.open(self.file)
            try:
                await must_be_sound(mailbox)
                return await seen(mailbox)
            finally:
                await mailbox.close()

        return Counter(asyncio.run(read()))


def given(running: Running) -> Counter[bytes]:
    """What the server gives to somebody who asks for one letter after the other, in UTF-8 if it can (RFC 6856)."""
    with Pop3Raw(running.port) as client:
        client.ask("UTF8")
        assert client.log_in(running.user, PASSWORD).startswith(b"+OK")
        count = int(client.ask("STAT").split()[1])
        letters = Counter(client.retrieve(number) for number in range(1, count + 1))
        client.ask("QUIT")
    return letters


def without_marks(letters: Counter[bytes]) -> Counter[bytes]:
    """The letters without what Mailutils writes into them from session to session."""
    return Counter(_MARKS.sub(b"", letter) for letter in letters.elements())


def place_nasty(peer: Peer, running: Running) -> None:
    """As many of them as this server takes in and can give."""
    for letter in [*nasty_letters(), *(NastyLetter("one of ours", letter) for letter in LETTERS)]:
        if letter.what in BROKEN.get(peer.name, ()):
            continue
        for _ in range(letter.copies):
            with suppress(NotApplicable):
                running.post.place(letter.octets, as_stored=letter.as_stored)


@contextmanager
def opened(peer: Peer) -> Iterator[Home]:
    if (why := peer.absence()) is not None:
        pytest.skip(f"{peer.name}: {why}")
    with open_folder() as folder:
        home = folder / "server"
        home.mkdir(mode=0o755)
        with peer.open(home) as running:
            yield Home(running, folder / "home.mailbox")


@pytest.mark.parametrize("peer", SERVERS)
def test_every_letter_comes_home_once_with_the_octets_of_the_server(peer: Peer) -> None:
    with opened(peer) as home:
        home.running.post.place_all(ORDINARY)
        place_nasty(peer, home.running)
        there = given(home.running)
        assert [one for one in unlike(without_marks(there), ORDINARY) if one in ORDINARY] == [], "they were placed"
        assert home.fetch().startswith(f"{there.total()} letters, ")
        kept = home.letters()
        assert without_marks(kept) == without_marks(there)
        assert kept == there or peer.name == "Mailutils"
        assert home.fetch().startswith(f"0 letters, 0 octets, already had {there.total()}")
        assert home.letters() == kept
        assert without_marks(given(home.running)) == without_marks(there), "a pull changed something at the server"


@pytest.mark.parametrize("peer", SERVERS)
def test_what_is_safe_at_home_is_deleted_there_and_nothing_comes_twice(peer: Peer) -> None:
    with opened(peer) as home:
        home.running.post.place_all(ORDINARY[:20])
        home.fetch()
        place_nasty(peer, home.running)
        there = without_marks(given(home.running))
        said = home.fetch("--delete")
        assert said.startswith(f"{there.total() - 20} letters, ")
        assert f"already had 20; {there.total()} deleted from the server" in said
        assert given(home.running) == Counter()
        assert without_marks(home.letters()) == there
        assert home.fetch("--delete").startswith("0 letters, 0 octets, already had 0")
        assert without_marks(home.letters()) == there
