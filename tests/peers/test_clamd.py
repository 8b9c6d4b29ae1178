"""ClamAV's own daemon says what is in letters, by signatures of our own that are numbered as its are."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import socket
import subprocess
import tarfile
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from postoffice.client.collect import Options
from postoffice.client.url import Source
from postoffice.handing.target import InFile
from postoffice.handing.way import Way
from postoffice.home.pulling import Outcome, Pull, pull_into
from postoffice.home.scanning.again import LookAgain
from postoffice.home.scanning.inspector import Inspector
from postoffice.home.scanning.outcome import Again
from postoffice.home.scanning.policy import Scanning
from postoffice.home.scanning.withheld import release
from postoffice.store.embedded import MailboxFile
from postoffice.store.model import INBOX, QUARANTINE, UNSCANNED
from postoffice.testing.check_store.walk import seen
from postoffice.testing.clamd import EICAR
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer
from postoffice.trust.scan.answers import Found, NoAnswer
from postoffice.trust.scan.naming import scanner

CLAMD = shutil.which("clamd", path=os.environ.get("PATH", "") + ":/usr/sbin")
LIMIT_OCTETS = 2_000_000

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(CLAMD is None, reason="needs clamd: Debian's clamav-daemon"),
]


@dataclass(slots=True)
class Clamd:
    """A daemon of our own, without root and network."""

    folder: Path
    process: subprocess.Popen[bytes]
    number: int = 0

    @property
    def name(self) -> str:
        return f"clamd:{self.folder / 'clamd.sock'}"

    def begin(self) -> None:
        assert CLAMD is not None
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([CLAMD, "-c", str(self.folder / "clamd.conf")], stdout=log, stderr=log)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)

    async def know(self, **signatures: bytes) -> None:
        """From now on it knows these, by a database with the next number."""
        self.number += 1
        (self.folder / "db" / "daily.cud").write_bytes(database(self.number, signatures))
        one, has_heard = scanner(self.name), False
        async with asyncio.timeout(60):
            while True:
                assert self.process.poll() is None, (self.folder / "log").read_text()
                try:
                    if (await one.signatures(5.0)).endswith(f"/{self.number}"):
                        return
                    if not has_heard:
                        self.tell(b"zRELOAD\0")
                        has_heard = True
                except NoAnswer:
                    pass  # it reads its signatures before it listens
                await asyncio.sleep(0.02)

    def tell(self, command: bytes) -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(self.folder / "clamd.sock"))
            sock.sendall(command)
            sock.recv(100)


def database(number: int, signatures: dict[str, bytes]) -> bytes:
    """An unsigned container, as `sigtool --unsigned` builds it: a head of 512 octets, and a tar with signatures."""
    lines = "".join(f"{name}:0:*:{octets.hex()}\n" for name, octets in signatures.items()).encode()
    head = f"ClamAV-VDB:29 Nov 2026 02-00 +0000:{number}:{len(signatures)}:90:X:X:postoffice:1795918000"
    info = f"{head}\ndaily.ndb:{len(lines)}:{sha256(lines).hexdigest()}\n".encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, octets in (("COPYING", b"ours\n"), ("daily.info", info), ("daily.ndb", lines)):
            member = tarfile.TarInfo(name)
            member.size = len(octets)
            tar.addfile(member, io.BytesIO(octets))
    return head.encode().ljust(512) + packed.getvalue()


@contextmanager
def a_clamd() -> Iterator[Clamd]:
    with TemporaryDirectory(prefix="clamd") as name:
        folder = Path(name)
        (folder / "db").mkdir()
        settings = [
            f"DatabaseDirectory {folder / 'db'}",
            f"LocalSocket {folder / 'clamd.sock'}",
            f"TemporaryDirectory {folder}",
            f"StreamMaxLength {LIMIT_OCTETS}",
            "Foreground yes",
            "SelfCheck 0",
        ]
        (folder / "clamd.conf").write_text("\n".join(settings) + "\n")
        (folder / "db" / "daily.cud").write_bytes(database(0, {"Test.Eicar": EICAR}))
        clamd = Clamd(folder, None)  # type: ignore[arg-type]
        clamd.begin()
        try:
            yield clamd
        finally:
            if clamd.process.poll() is None:
                clamd.end()


@pytest.fixture
async def clamd() -> AsyncIterator[Clamd]:
    with a_clamd() as one:
        await one.know(**{"Test.Eicar": EICAR})
        yield one


def letter(name: str, attached: bytes = b"", file: str = "x.bin", text: str = "hello\n") -> bytes:
    message = EmailMessage()
    message["Message-ID"], message["Subject"] = f"<{name}@a.example>", name
    message.set_content(text)
    if attached:
        message.add_attachment(attached, maintype="application", subtype="octet-stream", filename=file)
    return message.as_bytes().replace(b"\n", b"\r\n")


def zipped(octets: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside.com", octets)
    return packed.getvalue()


GOOD = letter("good", b"good octets", "good.txt")
BAD = letter("bad", EICAR, "bad.com")
IN_ZIP = letter("in a zip", zipped(zipped(EICAR)), "a.zip")
LATER = letter("later", zipped(b"what nobody knows yet"), "b.zip")
LARGE = letter("large", os.urandom(LIMIT_OCTETS), "large.bin")


async def pull(file: Path, port: int, clamd: Clamd) -> Outcome:
    there, source = Way(file, InFile(file)), Source("127.0.0.1", port, USER)
    return await pull_into(Pull(there, USER, source, Options(PASSWORD), scanning=Scanning(clamd.name)))


async def folders_of(file: Path) -> dict[str, list[bytes]]:
    mailbox = MailboxFile.open(file)
    folders = {one.name: await seen(mailbox, folder=one.name) for one in await mailbox.folders()}
    await mailbox.close()
    return {name: letters for name, letters in folders.items() if letters}


async def again(file: Path, clamd: Clamd) -> Again:
    mailbox = MailboxFile.open(file)
    try:
        return await LookAgain(mailbox, Inspector(Scanning(clamd.name))).at_all()
    finally:
        await mailbox.close()


async def test_a_pull_through_clamd(clamd: Clamd, tmp_path: Path) -> None:
    file = tmp_path / "home.mailbox"
    peer = Pop3Peer({"1": GOOD, "2": BAD, "3": IN_ZIP, "4": LARGE, "5": LATER})
    async with peer.listening() as port:
        outcome = await pull(file, port, clamd)
    assert await folders_of(file) == {INBOX: [GOOD, LATER], QUARANTINE: [BAD, IN_ZIP], UNSCANNED: [LARGE]}
    assert (outcome.report.infected, outcome.report.too_large, outcome.report.held) == (2, 1, 1)
    mailbox = MailboxFile.open(file)
    [scan] = await mailbox.scans([sha256(IN_ZIP).digest()])
    await mailbox.close()
    assert scan is not None
    assert scan.name == "Test.Eicar.UNOFFICIAL"
    assert scan.signatures.startswith("ClamAV ")
    assert scan.signatures.endswith("/1")


async def test_an_update_of_signatures_finds_an_old_letter_and_a_false_alarm_is_let_out(
    clamd: Clamd, tmp_path: Path
) -> None:
    file = tmp_path / "home.mailbox"
    async with Pop3Peer({"1": GOOD, "2": LATER}).listening() as port:
        await pull(file, port, clamd)
    assert await folders_of(file) == {INBOX: [GOOD, LATER]}
    assert (await again(file, clamd)).letters == 0
    await clamd.know(**{"Test.Eicar": EICAR, "Test.New": b"what nobody knows yet"})
    report = await again(file, clamd)
    assert (report.letters, report.infected) == (2, 1)
    assert await folders_of(file) == {INBOX: [GOOD], QUARANTINE: [LATER]}
    mailbox = MailboxFile.open(file)
    await release(mailbox, QUARANTINE, 1)
    await mailbox.close()
    await clamd.know(**{"Test.Eicar": EICAR, "Test.New": b"what nobody knows yet", "More": b"of no letter"})
    report = await again(file, clamd)
    assert (report.letters, report.infected) == (2, 0)
    assert await folders_of(file) == {INBOX: [GOOD, LATER]}


async def test_a_clamd_that_ends_and_comes_back(clamd: Clamd, tmp_path: Path) -> None:
    file = tmp_path / "home.mailbox"
    async with Pop3Peer({"1": GOOD, "2": BAD}).listening() as port:
        clamd.end()
        outcome = await pull(file, port, clamd)
        assert outcome.status == 75
        assert "cannot be reached" in outcome.scanned.trouble
        assert await folders_of(file) == {UNSCANNED: [GOOD, BAD]}
        clamd.begin()
        await clamd.know(**{"Test.Eicar": EICAR})
        outcome = await pull(file, port, clamd)
    assert outcome.status == 0
    assert await folders_of(file) == {INBOX: [GOOD], QUARANTINE: [BAD]}


async def test_clamdscan_as_a_command(clamd: Clamd) -> None:
    if shutil.which("clamdscan") is None:
        pytest.skip("needs clamdscan: Debian's clamdscan")
    one = scanner(f"command:clamdscan --config-file={clamd.folder / 'clamd.conf'} --no-summary -")

    async def octets() -> AsyncIterator[bytes]:
        yield BAD

    assert await one.scan(octets(), 30.0) == Found("Test.Eicar.UNOFFICIAL")
