"""New addresses of this machine are heard of: what the kernel says is read, and the kernel says it."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from postoffice.home.network import RTM_NEWADDR, has_new_address

PULLED_WHEN_THERE_IS_A_NETWORK = """
import asyncio, json, subprocess, sys
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer

def ip(*words):
    subprocess.run(["ip", *words, "dev", "lo"], check=True)

async def main(settings):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    async with Pop3Peer({"a": b"Subject: a\\r\\n\\r\\n"}).listening() as port:
        ip("address", "del", "127.0.0.1/8")
        with open(settings, "w") as file:
            print(f'[accounts.me]\\nurl = "pop://{USER}@127.0.0.1:{port}"\\ninto = "m"', file=file)
            print(f'password_command = "echo {PASSWORD}"', file=file)
        words = ("-W", "error", "-m", "postoffice", "run", "--json", "--config", settings)
        run = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=asyncio.subprocess.PIPE)
        async with asyncio.timeout(40):  # less than what it waits after a failure
            while (told := json.loads(await run.stdout.readline()))["event"] != "pulled":
                if told["event"] == "failed":
                    assert "Network is unreachable" in told["because"], told
                    ip("address", "add", "127.0.0.1/8")
        assert told["letters"] == 1
        run.terminate()
        assert await run.wait() == 0

asyncio.run(main(sys.argv[1]))
"""


def message(kind: int, body: bytes = b"") -> bytes:
    octets = struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body
    return octets + bytes(-len(octets) % 4)


@pytest.mark.parametrize(
    ("octets", "is_one"),
    [
        (b"", False),
        (b"\x14\0\0", False),
        (message(RTM_NEWADDR, b"12345678"), True),
        (message(RTM_NEWADDR + 1, b"123") + message(RTM_NEWADDR), True),
        (message(RTM_NEWADDR + 1, b"123") + message(16), False),
        (bytes(64), False),
    ],
)
def test_a_datagram_is_read_to_its_end_whatever_it_holds(octets: bytes, is_one: bool) -> None:
    assert has_new_address(octets) is is_one


def can_have_a_network_of_its_own() -> bool:
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run(["unshare", "-rn", "true"], check=False, capture_output=True).returncode == 0


def test_what_failed_is_pulled_as_soon_as_there_is_a_network(tmp_path: Path) -> None:
    if not can_have_a_network_of_its_own():
        pytest.skip("nobody may make a network namespace here")
    words = [sys.executable, "-W", "error", "-c", PULLED_WHEN_THERE_IS_A_NETWORK, str(tmp_path / "home.toml")]
    subprocess.run(["unshare", "-rn", *words], check=True, timeout=60)
