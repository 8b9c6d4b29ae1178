"""Cyrus announces SCRAM-…-PLUS and binds by tls-unique, which we do not speak: a pull gets in all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench.contender import PASSWORD
from bench.peers.pop3 import peers

from postoffice.testing.process import open_folder

pytestmark = [pytest.mark.peer, pytest.mark.skipif(os.geteuid() != 0, reason="the server must be started by root")]

LETTER = b"Subject: over TLS\r\n\r\n.\r\nhello\r\n"


def fetch(url: str, file: Path, authority: Path, password: str) -> subprocess.CompletedProcess[str]:
    words = ("fetch", url, "--into", file, "--ca", authority, "--password-stdin", "--trace")
    program = [sys.executable, "-m", "postoffice", *map(str, words)]
    return subprocess.run(program, input=f"{password}\n", capture_output=True, text=True, timeout=60, check=False)


def test_who_is_refused_with_a_binding_gets_in_without() -> None:
    [cyrus] = [peer for peer in peers() if peer.name == "Cyrus"]
    if (why := cyrus.absence()) is not None:
        pytest.skip(f"Cyrus: {why}")
    with open_folder() as folder:
        home = folder / "cyrus"
        home.mkdir(mode=0o755)
        with cyrus.open(home) as running:
            running.post.place_all([LETTER])
            url, authority = f"pop://{running.user}@localhost:{running.port}", home / "tls" / "certificate.pem"
            right = fetch(url, folder / "m", authority, PASSWORD)
            wrong = fetch(url, folder / "n", authority, "wrong")
    assert "C: AUTH SCRAM-SHA-256-PLUS" in right.stderr
    assert "C: AUTH SCRAM-SHA-256 " in right.stderr
    assert "C: AUTH PLAIN" not in right.stderr
    assert (right.returncode, right.stdout[:10]) == (0, "1 letter, "), right.stderr
    assert wrong.returncode == 77
    assert "by SCRAM-SHA-256-PLUS, then SCRAM-SHA-256" in wrong.stderr
    assert wrong.stderr.count("C: AUTH") == 2, wrong.stderr
