"""The matrix of peers says what was found, and nothing about where."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from bench.conformance import Column, matrix
from bench.peers import inetd
from bench.process import Server, free_ports

from postoffice.conformance.run import Verdict

ROWS = ("one", "RFC 1939 §5", "the first claim"), ("two", "RFC 1939 §7", "the second claim")


def column(name: str, *outcomes: str) -> Column:
    verdicts = [Verdict(*row, outcome, "-ERR", "+OK `1`") for row, outcome in zip(ROWS, outcomes, strict=True)]
    return Column(name, "1.0", "Maildir", verdicts)


def test_every_claim_has_a_sign_for_every_server() -> None:
    page = matrix(
        [column("ours", "pass", "pass"), column("theirs", "fail", "not applicable")], ["gone, why"], "2026-01-01"
    )
    assert "| RFC 1939 §5 | the first claim | ✓ | **✗** |" in page
    assert "| RFC 1939 §7 | the second claim | ✓ | – |" in page
    assert "| theirs | 1.0 | 0 | 1 | 1 | Maildir |" in page
    assert "Not asked: gone, why." in page


def test_a_failure_is_told_with_what_was_heard() -> None:
    page = matrix([column("ours", "pass", "pass"), column("theirs", "fail", "pass")], [], "2026-01-01")
    assert "### theirs 1.0" in page
    assert "### ours" not in page
    assert "- the first claim (RFC 1939 §5): expected `-ERR`, heard `+OK '1'`" in page


def test_the_listener_gives_each_connection_a_program(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    server = Server([sys.executable, inetd.__file__, str(port), "cat"], tmp_path / "said.log", None)
    try:
        server.wait_for_port(port)
        for said in (b"one\r\n", b"two\r\n"):
            with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
                client.sendall(said)
                client.shutdown(socket.SHUT_WR)
                assert b"".join(iter(lambda: client.recv(100), b"")) == said
    finally:
        server.stop()


def test_nobody_is_asked_who_is_not_named(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "bench", "conformance", "--peers", "none", "--into", str(tmp_path / "page.md")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert not (tmp_path / "page.md").exists()
