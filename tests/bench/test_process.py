"""A server that was started is ended with everything it started."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from bench.measure import session
from bench.process import Server, ServerFailed, free_ports

LISTEN = """
import socket, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("hello\\nready", child.pid, flush=True)
while True:
    listener.accept()
"""


def test_a_server_is_up_when_it_is_ready_and_leaves_nothing_behind(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    server = Server([sys.executable, "-c", LISTEN, str(port)], tmp_path / "log", None)
    try:
        child = int(server.read_ready().split()[1])
        server.wait_for_port(port)
        assert sorted(session(server.pid)) == sorted([server.pid, child])
    finally:
        server.stop()
    assert session(server.pid) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


def test_a_server_that_dies_is_named_with_its_last_words(tmp_path: Path) -> None:
    server = Server([sys.executable, "-c", "raise SystemExit('no such folder')"], tmp_path / "log", None)
    with pytest.raises(ServerFailed, match=r"ended with status 1\n  no such folder"):
        server.read_ready()
    server.stop()


def test_free_ports_differ_and_can_be_bound() -> None:
    ports = free_ports(3)
    assert len(set(ports)) == 3
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()
