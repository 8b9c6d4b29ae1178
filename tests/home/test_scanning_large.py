"""A letter of 200 MB is scanned piece by piece: in little memory, and too large for most scanners."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from postoffice.store.embedded import MailboxFile
from postoffice.store.model import INBOX, QUARANTINE, UNSCANNED
from postoffice.testing.check_store.walk import entry, keys

PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from postoffice.client.collect import Options
from postoffice.client.url import Source
from postoffice.handing.target import InFile
from postoffice.handing.way import Way
from postoffice.home.pulling import Pull, pull_into
from postoffice.home.scanning.policy import Scanning
from postoffice.testing.process import resident_peak

file, port, by = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
source = Source("127.0.0.1", port, "bob")
asyncio.run(pull_into(Pull(Way(file, InFile(file)), "bob", source, Options("secret"), scanning=Scanning(by))))
print(resident_peak(os.getpid()) // 1_000_000)
"""

OTHERS = """
import asyncio, sys
from pathlib import Path
from postoffice.testing.clamd import EICAR, ClamdPeer
from postoffice.testing.peer import Pop3Peer

async def main():
    line = b"as long as it takes, and then some more of it\\r\\n"
    large = b"Subject: large\\r\\n\\r\\n" + line * (200_000_000 // len(line)) + EICAR + b"\\r\\n"
    clamd = ClamdPeer(limit=int(sys.argv[2]))
    async with Pop3Peer({"1": large, "2": b"Subject: small\\r\\n\\r\\n"}).listening() as port:
        async with clamd.listening(Path(sys.argv[1])):
            print(port, flush=True)
            await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "by", "folder"),
    [
        (1_000_000_000, "clamd:{}", QUARANTINE),
        (25_000_000, "clamd:{}", UNSCANNED),
        (0, "command:! tail -c 100 | grep -q EICAR", QUARANTINE),
        (0, "command:true", INBOX),
    ],
)
async def test_a_letter_of_200_mb(tmp_path: Path, limit: int, by: str, folder: str) -> None:
    file, socket = tmp_path / "home.mailbox", tmp_path / "clamd"
    others = subprocess.Popen(
        [sys.executable, "-c", OTHERS, str(socket), str(limit)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert others.stdout is not None
        port = others.stdout.readline().decode().strip()
        words = [sys.executable, "-c", PROGRAM, str(file), port, by.format(socket)]
        said = subprocess.run(words, capture_output=True, text=True, timeout=110, check=True).stdout
    finally:
        others.communicate(b"")
    assert int(said) < 150, "it was in memory"
    mailbox = MailboxFile.open(file)
    sizes = [(await entry(mailbox, key)).octets for key in await keys(mailbox, folder=folder)]
    assert max(sizes) > 190_000_000
    assert await mailbox.check() == []
    await mailbox.close()
