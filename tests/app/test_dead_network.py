"""A session whose network died without a word: the kernel finds it out, and the maildrop is free again (RFC 1939 §4).

The office and its client live in a network of their own, which is taken down: no packet goes either way any more, and
none tells so.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office, wait_until
from postoffice.testing.raw import Pop3Raw, SmtpRaw

BOB = "bob@a.example"
GONE_SECONDS = 4
NETWORK = 0x40000000  # CLONE_NEWNET of unshare(2)
SETTINGS = (
    f"[office]\ngone_seconds = {GONE_SECONDS}\n[pop3]\ntakeover_seconds = 0\nlock_wait_seconds = 0.2\n" + CLEAR_TEXT
)


def in_a_network_of_its_own(play: Callable[[], None]) -> None:
    """A thread, and whatever it starts, that sees a loopback of its own and nothing else."""
    if shutil.which("ip") is None:
        pytest.skip("ip(8) is not installed")
    libc = ctypes.CDLL(None, use_errno=True)

    def alone() -> str:
        if libc.unshare(NETWORK):
            return f"a network of its own needs root: {os.strerror(ctypes.get_errno())}"
        network("up")
        play()
        return ""

    with ThreadPoolExecutor(1) as threads:
        if absence := threads.submit(alone).result():
            pytest.skip(absence)


def network(state: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


def ends(office: OfficeProcess) -> list[str]:
    return [str(event["end"]) for event in office.events() if event["event"] == "pop3.closed"]


def test_a_session_whose_network_is_gone_frees_its_maildrop_and_removes_nothing(folder: Path) -> None:
    make_office(folder / "office", {BOB: "secret"})

    def play() -> None:
        with OfficeProcess(folder / "office", SETTINGS, ["--workers", "1"]) as office:
            with SmtpRaw(office.ports["smtp"]) as client:
                client.ask("EHLO x.example")
                assert client.send("x@elsewhere.example", [BOB], b"Subject: one\r\n\r\n") == 250
            with Pop3Raw(office.ports["pop3"]) as holder, Pop3Raw(office.ports["pop3"]) as other:
                assert holder.log_in(BOB, "secret").startswith(b"+OK")
                assert holder.ask("DELE 1").startswith(b"+OK")
                assert other.log_in(BOB, "secret").startswith(b"-ERR [IN-USE]")
                network("down")
                began = time.monotonic()
                wait_until(lambda: ends(office) == ["lost"], "the session is given up")
                assert GONE_SECONDS / 2 < time.monotonic() - began < 3 * GONE_SECONDS
                network("up")
            with Pop3Raw(office.ports["pop3"]) as again:
                assert again.log_in(BOB, "secret").startswith(b"+OK")
                assert again.ask("STAT").startswith(b"+OK 1 ")

    in_a_network_of_its_own(play)
