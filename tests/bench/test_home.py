"""The bench of programs that pull: all bring the same letters home, and one that does not ends it."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from bench.home import Pull, measure, run, table
from bench.measurement import UnequalWork
from bench.process import Server
from bench.pullers import Digests, Fetch, Mpop, Puller

from bench import programs

needs_a_compiler = pytest.mark.skipif(programs.compiler() is None, reason="no C compiler here")


@contextmanager
def echo() -> Iterator[int]:
    """Gives back to one caller what it says, to its end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as talk:
                while octets := talk.recv(1 << 16):
                    talk.sendall(octets)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def say(talk: socket.socket, octets: bytes) -> None:
    talk.sendall(octets)
    talk.shutdown(socket.SHUT_WR)


def test_what_goes_through_the_relay_takes_its_time_and_is_not_held_up(tmp_path: Path) -> None:
    said = b"".join(b"%d\r\n" % number for number in range(200_000))
    with echo() as port:
        relay = Server([sys.executable, "-m", "bench.relay", str(port), "50"], tmp_path / "log", None)
        try:
            with socket.create_connection(("127.0.0.1", int(relay.read_ready().split()[1])), timeout=20) as talk:
                began = time.monotonic()
                sending = threading.Thread(target=say, args=(talk, said))
                sending.start()
                heard = b""
                while octets := talk.recv(1 << 16):
                    heard += octets
                sending.join()
                assert heard == said
                assert 0.1 <= time.monotonic() - began < 5, "there and back, and many portions at a time"
        finally:
            relay.stop()


class Forgetful(Fetch):
    """Loses a letter."""

    name = "forgetful"

    def kept(self, home: Path) -> Digests:
        found = super().kept(home)
        found.popitem()
        return found


@pytest.mark.slow
@needs_a_compiler
def test_everybody_brings_the_same_home_and_what_it_costs_is_told(tmp_path: Path) -> None:
    able: list[Puller] = [Fetch(), *([Mpop()] if Mpop().absence() is None else [])]
    for row in (Pull(30, 2048, 20), Pull(2, 3_000_000)):
        costs = measure(row, able, 2, tmp_path)
        assert [len(rounds) for rounds in costs.values()] == [2] * len(able)
        assert all(cost.cpu_seconds > 0 and cost.memory_octets > 0 for rounds in costs.values() for cost in rounds)
        assert min(cost.seconds for cost in costs["ours"]) > row.round_trip_ms / 1000
        assert table(row, costs).startswith(f"home {row.letters} x ")
    with pytest.raises(UnequalWork, match="forgetful brought other letters"):
        measure(Pull(3, 1024), [Forgetful()], 1, tmp_path)


def test_a_program_that_fails_ends_the_bench_with_its_words(tmp_path: Path) -> None:
    words: Sequence[str] = [sys.executable, "-c", "raise SystemExit('no such maildrop')"]
    with pytest.raises(UnequalWork, match="status 1: no such maildrop"):
        run(words, tmp_path, None)


MEMORY = 300 * 2**20


@pytest.mark.slow
@needs_a_compiler
@pytest.mark.timeout(900)
def test_a_hundred_thousand_letters_come_home_in_little_memory(tmp_path: Path) -> None:
    costs = measure(Pull(100_000, 512), [Fetch()], 1, tmp_path)
    assert costs["ours"][0].memory_octets < MEMORY
