"""`postoffice serve --from FILE` as people run it, for tests: a process, its ports, its password."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from postoffice.testing.command import PROGRAM
from postoffice.testing.process import START_SECONDS, STOP_SECONDS, ServerFailed

FREE = ("--port", "pop3=0", "--port", "pop3s=0")


class ServedFiles:
    """Entering starts it at free ports, leaving ends it. `words` are more of the command, `program` is what runs it.

    `said` are its lines of standard output, `users` the passwords by name; standard error is there once it has ended.
    """

    def __init__(self, *files: Path, words: tuple[str | Path, ...] = (), program: str = PROGRAM) -> None:
        named = [word for file in files for word in ("--from", str(file))]
        self._words = [sys.executable, "-W", "error", "-c", program, "serve", *named, *FREE, *map(str, words)]
        self._process: subprocess.Popen[bytes] | None = None
        self.said: list[str] = []
        self.ports: dict[str, int] = {}
        self.users: dict[str, str] = {}
        self.errors = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self._process.stdout is not None
        try:
            said = b""
            while b"ready " not in said or not said.endswith(b"\n"):
                if not select.select([self._process.stdout], [], [], START_SECONDS)[0]:
                    raise ServerFailed("it is not ready")
                part = os.read(self._process.stdout.fileno(), 4096)
                if not part:
                    self.stop()
                    raise ServerFailed(self.errors)
                said += part
            self.said = said.decode().splitlines()
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        for door, port in re.findall(r"(\w+)=127\.0\.0\.1:(\d+)", self.said[-1]):
            self.ports[door] = int(port)
        for line in self.said[:-1]:
            if found := re.search(r"user (\S+), password (\S+)$", line):
                self.users[found[1]] = found[2]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status. Also a second time."""
        process = self._process
        assert process is not None
        if process.poll() is None:
            process.send_signal(number)
        if not self.errors:
            try:
                self.errors = process.communicate(timeout=STOP_SECONDS)[1].decode()
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return process.wait()
