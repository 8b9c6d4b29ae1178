"""How letters get into the maildrop that is asked about: by SMTP, by LMTP, or as files where the server keeps them."""

from __future__ import annotations

import itertools
import mailbox
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from postoffice.conformance.dialogue import NotApplicable
from postoffice.testing.raw import SmtpRaw

_COUNTER = itertools.count(1)


class Post(Protocol):
    def place(self, letter: bytes, *, as_stored: bool = False) -> None:
        """Bring a letter with CRLF line ends on its way; `as_stored` with its octets as they are.

        Raises `NotApplicable` if this way cannot carry it, or who takes it in refuses.
        """

    def place_all(self, letters: Iterable[bytes]) -> None:
        """The same with many, in their order, quickly."""


@dataclass(frozen=True, slots=True)
class SmtpPost:
    """RFC 5321, or RFC 2033 with `lmtp`."""

    host: str
    port: int
    recipient: str
    lmtp: bool = False

    def place(self, letter: bytes, *, as_stored: bool = False) -> None:
        if as_stored:
            raise NotApplicable("needs a Maildir")
        if not letter.endswith(b"\r\n"):
            raise NotApplicable("SMTP ends every line")
        try:
            with SmtpRaw(self.port, host=self.host) as client:
                client.ask("LHLO conformance.invalid" if self.lmtp else "EHLO conformance.invalid")
                code = client.send("mrose@example.org", [self.recipient], letter)
        except OSError as error:
            raise NotApplicable(f"the letter is not taken in: {error}") from error
        if code != 250:
            raise NotApplicable(f"the letter is not taken in: {code}")

    def place_all(self, letters: Iterable[bytes]) -> None:
        """On one connection. Each is answered before the next is sent, so they come in their order."""
        try:
            with SmtpRaw(self.port, host=self.host) as client:
                client.ask("LHLO conformance.invalid" if self.lmtp else "EHLO conformance.invalid")
                for letter in letters:
                    if (code := client.send("mrose@example.org", [self.recipient], letter)) != 250:
                        raise NotApplicable(f"a letter is not taken in: {code}")
        except OSError as error:
            raise NotApplicable(f"a letter is not taken in: {error}") from error


@dataclass(frozen=True, slots=True)
class MaildirPost:
    """Files in `new`, with the line ends of this system; theirs who own the folder."""

    path: Path

    def place(self, letter: bytes, *, as_stored: bool = False) -> None:
        octets = letter if as_stored else letter.replace(b"\r\n", b"\n")
        name = f"{int(time.time())}.M{next(_COUNTER):06}P{os.getpid()}.conformance"
        temporary = self.path / "tmp" / name
        temporary.write_bytes(octets)
        _give_like(temporary, self.path)
        temporary.rename(self.path / "new" / name)

    def place_all(self, letters: Iterable[bytes]) -> None:
        for letter in letters:
            self.place(letter)


@dataclass(frozen=True, slots=True)
class MboxPost:
    """Appended to an mbox file, under its locks."""

    path: Path
    _sender: bytes = field(default=b"From mrose@example.org Mon Jan  1 00:00:00 2024\n", repr=False)

    def place(self, letter: bytes, *, as_stored: bool = False) -> None:
        if as_stored:
            raise NotApplicable("needs a Maildir")
        self.place_all([letter])

    def place_all(self, letters: Iterable[bytes]) -> None:
        box = mailbox.mbox(self.path)
        box.lock()
        try:
            for letter in letters:
                box.add(self._sender + letter.replace(b"\r\n", b"\n"))
            box.flush()
        finally:
            box.unlock()
            box.close()
        _give_like(self.path, self.path.parent)


def _give_like(path: Path, example: Path) -> None:
    """Make a file belong to whom another belongs to; only root can, and only root has to."""
    if os.geteuid() == 0:
        owner = example.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
