"""New addresses of this machine are heard of: what the kernel says is read, and the kernel says it."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys

import pytest

from postoffice.home.network import RTM_NEWADDR, has_new_address

WATCH = """
import asyncio, subprocess
from postoffice.home.network import address_watch

async def main():
    came = asyncio.Event()
    with address_watch(came.set):
        subprocess.run(["ip", "address", "add", "127.0.0.2/8", "dev", "lo"], check=True)
        await asyncio.wait_for(came.wait(), 30)

asyncio.run(main())
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


def test_the_kernel_tells_of_a_new_address() -> None:
    if not can_have_a_network_of_its_own():
        pytest.skip("nobody may make a network namespace here")
    subprocess.run(["unshare", "-rn", sys.executable, "-W", "error", "-c", WATCH], check=True, timeout=60)
