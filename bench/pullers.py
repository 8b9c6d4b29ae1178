"""Programs that bring mail home, each set up to keep every letter durably, one pull after the other.

None of them deletes: the server is the floor, which keeps no state. Each is a command, so its start counts.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from bench.contender import PASSWORD
from bench.ours import Ours
from postoffice.protocols.dots import END, unstuff
from postoffice.store.embedded import MailboxFile
from postoffice.testing.check_store.walk import wire_of
from postoffice.testing.programs import as_sent

USER = "user0@b.example"
NOBODY = 65534
"""Who owns nothing, on every Debian; programs look his name up."""

_RETURN_PATH = re.compile(rb"^Return-Path: [^\r\n]*\r\n")

Digests = Counter[bytes]
"""SHA-256 of letters as they travel."""


def digests(letters: Iterable[bytes]) -> Digests:
    return Counter(hashlib.sha256(letter).digest() for letter in letters)


class Puller(Protocol):
    """`words` are the command for a port and an empty folder, `user` under whom it runs, None: as we do.

    `is_lock_step`: asks for a letter when it has the one before.
    """

    name: str
    user: int | None
    is_lock_step: bool

    def absence(self) -> str | None:
        """Why it cannot run here, or None."""
        ...

    def version(self) -> str: ...

    def words(self, home: Path, port: int) -> Sequence[str]:
        """Prepare `home`; gives the command."""
        ...

    def kept(self, home: Path) -> Digests:
        """What it has brought."""
        ...


class Fetch:
    """`postoffice fetch`: a transaction for each batch, synced."""

    name = "ours"
    user: int | None = None
    is_lock_step = False

    def absence(self) -> str | None:
        return None

    def version(self) -> str:
        return Ours().version()

    def words(self, home: Path, port: int) -> Sequence[str]:
        (home / "password").write_text(f"{PASSWORD}\n")
        (home / "password").chmod(0o600)
        program = Path(sys.executable).with_name("postoffice")
        url = f"pop://{USER}@localhost:{port}"
        return [str(program), "fetch", url, "--into", str(home / "mailbox"), "--password-file", str(home / "password")]

    def kept(self, home: Path) -> Digests:
        async def read() -> Digests:
            mailbox = MailboxFile.open(home / "mailbox")
            try:
                keys = (await mailbox.snapshot()).keys
                return digests([unstuff(await wire_of(mailbox, key) or b"") for key in keys])
            finally:
                await mailbox.close()

        return asyncio.run(read())


class Mpop:
    """mpop into a Maildir: each letter is synced before it is linked into `new`."""

    name = "mpop"
    user: int | None = None
    is_lock_step = False

    def absence(self) -> str | None:
        return None if shutil.which("mpop") else "mpop is not installed"

    def version(self) -> str:
        return _first_line("mpop", "--version").replace(" version", "")

    def words(self, home: Path, port: int) -> Sequence[str]:
        maildir = _maildir(home)
        rc = home / "mpoprc"
        rc.write_text(
            f"defaults\ntls off\nreceived_header off\nuidls_file {home}/uidls\naccount there\nhost localhost\n"
            f"port {port}\nuser {USER}\nauth user\npasswordeval echo {PASSWORD}\nkeep on\ndelivery maildir {maildir}\n"
        )
        rc.chmod(0o600)
        return ["mpop", "-C", str(rc), "-Q", "there"]

    def kept(self, home: Path) -> Digests:
        return digests(_in_maildir(home))


class Getmail:
    """getmail6 into a Maildir, which it does not do as root."""

    name = "getmail6"
    user: int | None = NOBODY
    is_lock_step = True

    def absence(self) -> str | None:
        if shutil.which("getmail") is None:
            return "getmail is not installed"
        return None if os.geteuid() == 0 else "it is run under another user, which takes root"

    def version(self) -> str:
        return _first_line("getmail", "--version").replace("getmail", "getmail6")

    def words(self, home: Path, port: int) -> Sequence[str]:
        maildir = _maildir(home)
        (home / "getmailrc").write_text(
            f"[retriever]\ntype = SimplePOP3Retriever\nserver = localhost\nport = {port}\nusername = {USER}\n"
            f"password = {PASSWORD}\n[destination]\ntype = Maildir\npath = {maildir}/\n"
            "[options]\nread_all = false\ndelete = false\ndelivered_to = false\nreceived = false\nverbose = 0\n"
        )
        for path in (home, *home.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        return ["getmail", "--getmaildir", str(home)]

    def kept(self, home: Path) -> Digests:
        """It writes a Return-Path above each letter, whatever it is told."""
        return digests(_RETURN_PATH.sub(b"", letter) for letter in _in_maildir(home))


class Barest:
    """The floor of what any program in Python costs (`barest`) that syncs each letter, or all of them `at_once`."""

    user: int | None = None
    is_lock_step = False

    def __init__(self, *, at_once: bool) -> None:
        self.name = "barest at once" if at_once else "barest"
        self._manner = "once" if at_once else "each"

    def absence(self) -> str | None:
        return None

    def version(self) -> str:
        return f"{self.name}: Python {sys.version.split()[0]}"

    def words(self, home: Path, port: int) -> Sequence[str]:
        (home / "mail").mkdir()
        script = str(Path(__file__).with_name("barest.py"))
        return [sys.executable, "-I", script, "localhost", str(port), USER, PASSWORD, str(home / "mail"), self._manner]

    def kept(self, home: Path) -> Digests:
        files = [path.read_bytes() for path in (home / "mail").iterdir()]
        wires = files if self._manner == "each" else [wire + b"\r\n" for wire in files[0].split(END)[:-1]]
        return digests(map(unstuff, wires))


class Fetchmail:
    """fetchmail, which leaves keeping to a program: one that writes the letter into a Maildir and syncs it."""

    name = "fetchmail"
    user: int | None = None
    is_lock_step = True

    def absence(self) -> str | None:
        return None if shutil.which("fetchmail") else "fetchmail is not installed"

    def version(self) -> str:
        return (
            " ".join(_first_line("fetchmail", "--version").split()[2:4])
            .partition("+")[0]
            .replace("release", "fetchmail")
        )

    def words(self, home: Path, port: int) -> Sequence[str]:
        maildir = _maildir(home)
        deliver = home / "deliver"
        keep = f"cat > $file && sync $file && mv $file {maildir}/new/ && sync {maildir}/new"
        deliver.write_text(f"#!/bin/sh\nfile={maildir}/tmp/$$\n{keep}\n")
        deliver.chmod(0o700)
        rc = home / "fetchmailrc"
        rc.write_text(
            "set invisible\nset no bouncemail\nset no spambounce\n"
            f"poll localhost service {port} protocol pop3 no dns auth password\n"
            f"user '{USER}' password '{PASSWORD}' sslproto '' keep fetchall no rewrite no mimedecode mda '{deliver}'\n"
        )
        rc.chmod(0o600)
        return [
            "fetchmail",
            "-f",
            str(rc),
            "-i",
            str(home / "ids"),
            "--pidfile",
            str(home / "pid"),
            "--silent",
            "--nosyslog",
        ]

    def kept(self, home: Path) -> Digests:
        return digests(_RETURN_PATH.sub(b"", letter) for letter in _in_maildir(home))


def pullers() -> list[Puller]:
    """Everybody who can be measured, ours first."""
    return [Fetch(), Mpop(), Getmail(), Fetchmail(), Barest(at_once=False), Barest(at_once=True)]


def _maildir(home: Path) -> Path:
    for name in ("cur", "new", "tmp"):
        (home / "Maildir" / name).mkdir(parents=True)
    return home / "Maildir"


def _in_maildir(home: Path) -> Iterator[bytes]:
    """As they travel: files have the line ends of this system."""
    return (as_sent(path.read_bytes()) for path in (home / "Maildir" / "new").iterdir())


def _first_line(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[0].strip()
