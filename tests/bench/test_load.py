"""The load counts what it does, to the octet, and stops at the first reply that is not the expected one."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bench.contender import Mail
from bench.floor import Floor
from bench.letters import letters
from bench.measurement import UnequalWork, load
from bench.rows import Row

from bench import idle, programs

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(programs.compiler() is None, reason="no C compiler here"),
]


@contextmanager
def floor(home: Path, contents: list[bytes]) -> Iterator[Floor]:
    server = Floor()
    server.prepare(home, Mail(8, contents))
    try:
        server.start(None)
        yield server
    finally:
        server.stop()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Floor]:
    with floor(tmp_path, letters(300)) as running:
        yield running


def test_sessions_are_counted(server: Floor) -> None:
    said = load(server.ports()["pop3"], ["sessions", "--connections", "4", "--accounts", "8", "--seconds", "0.2"])
    assert said["operations"] == said["sessions"] > 4
    assert said["counted"] == said["sessions"] * 300
    assert 0 < said["p50_ms"] <= said["p99_ms"]
    assert said["errors"] == 0


@pytest.mark.parametrize("window", ["1", "2", "64", "1000"])
def test_a_pull_brings_every_octet_whatever_the_window(server: Floor, window: str) -> None:
    said = load(server.ports()["pop3"], ["pull", "--window", window, "--seconds", "0"])
    assert (said["sessions"], said["operations"]) == (1, 300)
    assert said["octets"] == said["session_octets"] == sum(map(len, letters(300)))


def test_the_sum_does_not_depend_on_the_window_and_tells_other_letters_apart(tmp_path: Path) -> None:
    contents = letters(20)
    reordered = contents[10:] + contents[:10]
    altered = [*contents[:19], contents[19].replace(b"dull", b"dUll", 1)]
    sums = []
    for name, these in (("same", contents), ("reordered", reordered), ("altered", altered)):
        (tmp_path / name).mkdir()
        with floor(tmp_path / name, these) as running:
            sums += [load(running.ports()["pop3"], ["pull", "--window", w, "--seconds", "0"]) for w in ("1", "64")]
    sums_told = [said["checksum"] for said in sums]
    assert len(set(sums_told[:4])) == 1
    assert sums_told[4] == sums_told[5] != sums_told[0]
    assert len({said["session_octets"] for said in sums}) == 1


def test_every_account_is_pulled_once_with_dele(server: Floor) -> None:
    words = ["pull-dele", "--accounts", "5", "--first", "2", "--connections", "2", "--seconds", "0"]
    said = load(server.ports()["pop3"], words)
    assert (said["sessions"], said["operations"]) == (5, 1500)


def test_maildrops_are_listed_and_greetings_heard(server: Floor) -> None:
    listed = load(server.ports()["pop3"], ["list", "--accounts", "8", "--seconds", "0.1"])
    assert listed["counted"] == listed["operations"] * 300 > 0
    greeted = load(server.ports()["pop3"], ["greet", "--connections", "4", "--accounts", "8", "--seconds", "0.1"])
    assert greeted["operations"] == greeted["sessions"] >= 4
    assert greeted["counted"] == 0


@pytest.mark.parametrize("window", ["1", "64"])
def test_inside_tls_everything_is_the_same(server: Floor, window: str) -> None:
    if not programs.knows_tls():
        pytest.skip("the programs were compiled without TLS, because OpenSSL's headers are not here")
    words = ["pull", "--window", window, "--seconds", "0"]
    in_clear, inside = load(server.ports()["pop3"], words), load(server.ports()["pop3s"], [*words, "--tls", "1"])
    for name in ("operations", "octets", "checksum", "session_octets"):
        assert inside[name] == in_clear[name]


def test_connections_rest_until_whoever_measures_has_seen_them(server: Floor) -> None:
    row = Row("idle", "", "connection")
    words = ["idle", "--accounts", "150", "--connections", "150"]
    measured = idle.measure(row, server, 0, words, None)
    assert measured.operations == 150
    assert measured.more["descriptors each"] == 1
    assert measured.more["octets each"] > 4096


def test_letters_are_limited_and_may_be_large(server: Floor) -> None:
    words = ["deliver", "--connections", "4", "--accounts", "2", "--kept", "3", "--limit", "7", "--octets", "3000000"]
    said = load(server.ports()["smtp"], words)
    assert said["operations"] == 7
    assert said["octets"] / 7 == pytest.approx(3_000_000, rel=0.03)


def test_accounts_come_in_any_order_and_each_once(server: Floor) -> None:
    words = ["pull-dele", "--accounts", "40", "--connections", "8", "--shuffle", "1", "--seed", "3"]
    assert load(server.ports()["pop3"], words)["sessions"] == 40


def test_letters_are_counted_without_being_read(server: Floor) -> None:
    said = load(server.ports()["pop3"], ["count", "--accounts", "8", "--connections", "8"])
    assert (said["sessions"], said["counted"]) == (8, 2400)


@pytest.mark.parametrize("kept", ["1", "7"])
def test_letters_are_delivered(server: Floor, kept: str) -> None:
    words = ["deliver", "--connections", "4", "--accounts", "8", "--kept", kept, "--seconds", "0.2"]
    said = load(server.ports()["smtp"], words)
    assert said["sessions"] <= said["operations"] <= said["sessions"] * int(kept)
    assert 9_500 < said["octets"] / said["operations"] < 10_500


@contextmanager
def answering(*replies: bytes) -> Iterator[int]:
    """A server for one connection that says these replies, whatever it is told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as talk:
                for reply in replies:
                    talk.sendall(reply)
                    if not talk.recv(65536):
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(
    ("mode", "replies", "why"),
    [
        ("sessions", (b"-ERR busy\r\n",), "the greeting was answered: -ERR busy"),
        ("pull", (b"+OK\r\n", b"+OK\r\n", b"-ERR [AUTH] no\r\n"), r"PASS was answered: -ERR \[AUTH\] no"),
        ("pull", (b"+OK\r\n",) * 3 + (b"+OK 1 9\r\n", b"+OK 9 octets\r\nabc\r\n.\r\n"), "told 9 octets and sent 5"),
        ("sessions", (b"+OK\r\n",), "the server closed in step CAPA"),
        ("deliver", (b"220 x\r\n", b"250 x\r\n", b"550 5.1.1 nobody\r\n"), "MAIL was answered: 550 5.1.1 nobody"),
    ],
)
def test_an_unexpected_reply_ends_the_run(mode: str, replies: tuple[bytes, ...], why: str) -> None:
    with answering(*replies) as port, pytest.raises(UnequalWork, match=why):
        load(port, [mode, "--seconds", "0"])


def test_nobody_listening_ends_the_run() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UnequalWork, match="Connection refused"):
        load(port, ["sessions"])
