"""Starting servers and ending them, by pid and with everything they started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from bench.measure import on_core, session

START_SECONDS = 60.0
STOP_SECONDS = 15.0


class ServerFailed(Exception):
    """A server did not come up, or died. Says what it wrote last."""


class Server:
    """One server process in a session of its own, so that Ctrl-C reaches us and not it; what it says goes to files."""

    def __init__(self, words: Sequence[str], log: Path, core: int | None) -> None:
        self._log = log
        self._said = log.with_suffix(".out")
        with log.open("ab") as errors, self._said.open("wb") as said, on_core(core):
            self._process = subprocess.Popen(
                list(words), stdin=subprocess.DEVNULL, stdout=said, stderr=errors, start_new_session=True
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def failed(self, why: str) -> ServerFailed:
        """The error for `why`, with the end of the log."""
        last = self._log.read_text(errors="replace").strip().splitlines()[-5:]
        return ServerFailed("\n  ".join([f"{self._process.args!r}: {why}", *last]))

    def read_ready(self) -> str:
        """The line on standard output that begins with `ready`."""
        for _ in self._attempts("is not ready"):
            for line in self._said.read_text().splitlines(keepends=True):
                if line.startswith("ready") and line.endswith("\n"):
                    return line
        raise AssertionError

    def wait_for_port(self, port: int) -> None:
        """Return once the server accepts connections."""
        for _ in self._attempts(f"does not listen on {port}"):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                continue

    def _attempts(self, what_failed: str) -> Iterator[None]:
        """One turn every 20 ms, until it takes too long or the server is dead."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            yield
            if self._process.poll() is not None:
                raise self.failed(f"ended with status {self._process.returncode}")
            time.sleep(0.02)
        raise self.failed(f"{what_failed} after {START_SECONDS:.0f} s")

    def stop(self) -> None:
        """End it and everything it started; nothing runs any more when this returns."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        while orphans := session(self.pid):
            for pid in orphans:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody uses now, for servers that cannot choose their own."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
