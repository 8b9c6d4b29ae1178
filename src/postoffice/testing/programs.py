"""Real mail programs, an office for them with an authority to trust, and letters with every trap."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from postoffice.testing.certificates import Authority
from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office, open_folder
from postoffice.testing.raw import Pop3Raw, SmtpRaw

PASSWORD = "secret"

TRAPS = b"\r\n".join(
    (
        b"From: x@elsewhere.example",
        b"To: you@a.example",
        b"Subject: =?utf-8?q?Th=C6=B0?= with every trap",
        b"Date: Mon, 01 Jan 2024 12:00:00 +0000",
        b"Message-ID: <traps@elsewhere.example>",
        b"MIME-Version: 1.0",
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Transfer-Encoding: 8bit",
        b"",
        b".",
        b"..",
        b".line that begins with a dot",
        b"From the beginning of a line",
        "chữ Việt: Quê hương".encode(),
        b"",
        b"  spaces at both ends  ",
        b"x" * 900,
        b"",
        b".",
        b"",
    )
)
LARGE = b"Subject: large\r\n\r\n" + b"".join(
    b"%06d and a line of usual length for a letter\r\n" % n for n in range(9000)
)
SMALL = b"Subject: small\r\n\r\nhello\r\n"
LETTERS = (TRAPS, LARGE, SMALL)


@dataclass
class PostOffice:
    """What a mail program needs to know. Every test lives in an account of its own."""

    office: OfficeProcess
    ca: Path
    _free: list[str] = field(default_factory=list)

    def port(self, door: str) -> int:
        return self.office.ports[door]

    def account(self) -> str:
        return self._free.pop()

    def deliver(self, address: str, *letters: bytes) -> None:
        with SmtpRaw(self.port("smtp")) as client:
            client.ask("EHLO elsewhere.example")
            for letter in letters:
                assert client.send("x@elsewhere.example", [address], letter) == 250

    def letters(self, address: str) -> list[bytes]:
        """What is in a maildrop."""
        with Pop3Raw(self.port("pop3")) as client:
            assert client.log_in(address, PASSWORD).startswith(b"+OK")
            letters = [client.retrieve(number) for number in client.unique_ids()]
            client.ask("QUIT")
        return letters


@contextmanager
def open_post(people: int = 60, *, scram: bool = False) -> Iterator[PostOffice]:
    """An office with that many accounts, fit for SCRAM or not; its certificate is good for `localhost`."""
    names = [f"person{number}@a.example" for number in range(people)]
    with open_folder() as folder:
        authority = Authority(folder)
        make_office(folder / "office", dict.fromkeys(names, PASSWORD), authority, scram=scram)
        with OfficeProcess(folder / "office", CLEAR_TEXT) as office:
            yield PostOffice(office, authority.ca_path, names)


@dataclass(frozen=True)
class Program:
    """A mail program of this system, with a home of its own."""

    home: Path

    def run(
        self, *words: str | Path, given: bytes = b"", fine: Container[int] = (0,)
    ) -> subprocess.CompletedProcess[bytes]:
        """Run it in its home; an AssertionError unless it ends well, or with a status of `fine`."""
        done = subprocess.run(
            [str(word) for word in words],
            input=given,
            capture_output=True,
            timeout=60,
            check=False,
            cwd=self.home,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "LC_ALL": "C.UTF-8"},
        )
        assert done.returncode in fine, (words, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        return done


def as_sent(kept: bytes) -> bytes:
    """What a program keeps with the line ends of this system, as it travels."""
    return kept.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def unlike(kept: Iterable[bytes], letters: Iterable[bytes]) -> list[bytes]:
    """The letters that are not there exactly once, and the ends of what is there and is none of them."""
    left = list(letters)
    strange = []
    for one in map(as_sent, kept):
        fitting = next((letter for letter in left if one.endswith(letter)), None)
        if fitting is None:
            strange.append(one[-300:])
        else:
            left.remove(fitting)
    return left + strange
