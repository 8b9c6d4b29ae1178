"""Events become lines of the log, one event a line, as text or as JSON, on standard error or in a file.

Writing is never on the path of a conversation: lines are gathered and leave a few times a second from a thread, in
portions that the kernel keeps whole, so that the lines of several processes do not mix. What cannot be written, because
the disk is full or nobody reads, is dropped: the mail goes on, and the log says how many lines it lacks.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue

from postoffice import counts
from postoffice.errors import UsageError
from postoffice.events import Fact, listen

PORTION_OCTETS = 4096
"""What a pipe takes whole (PIPE_BUF)."""

GATHER_SECONDS = 0.05


WAITING_LINES = 10_000
"""How many lines may wait to be written."""

STANDARD_ERROR = 2

_DROPPED = counts.counter("postoffice_log_dropped_total", "Lines of the log that could not be written.")


@dataclass(frozen=True, slots=True)
class LogSettings:
    """`leave_out` has events (`letter.delivered`) and kinds of events (`pop3`) that are not written; `format` is how
    the others are. Without a `file` they go to standard error."""

    leave_out: tuple[str, ...] = ()
    file: Path | None = None
    format: str = "text"

    def problems(self) -> list[str]:
        """What is wrong with them, each beginning with the setting's name."""
        if self.format in _FORMATS:
            return []
        return [f"format: there is no format {self.format!r}; there are {' and '.join(_FORMATS)}"]


def open_log(settings: LogSettings) -> int:
    """Where lines are written to; a file that cannot be is a `UsageError` (73)."""
    if settings.file is None:
        return STANDARD_ERROR
    try:
        return os.open(settings.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise UsageError(f"{settings.file}: cannot be the log: {error.strerror}", os.EX_CANTCREAT) from error


class Log:
    """Writes every event of this process to `descriptor`. `close` writes what is left."""

    def __init__(self, settings: LogSettings, descriptor: int) -> None:
        self._settings = settings
        self._format = _FORMATS[settings.format]
        self._leave_out = frozenset(settings.leave_out)
        self._descriptor = descriptor
        self._refused = 0
        self._told = self._counted = 0
        self._unwritten = 0
        self._lines: SimpleQueue[tuple[float, str, dict[str, Fact]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        self._thread.start()
        self._stop = listen(self._hear)

    def close(self) -> None:
        self._stop()
        self._lines.put(None)
        self._thread.join(timeout=2)

    def reopen(self) -> None:
        """Whoever rotates logs has renamed the file: go on in a new one. A `UsageError` leaves the old one."""
        if self._settings.file is None:
            return
        fresh = open_log(self._settings)
        os.dup2(fresh, self._descriptor, inheritable=False)  # in one step, also for a write that is just beginning
        os.close(fresh)

    def _hear(self, name: str, facts: dict[str, Fact]) -> None:
        if self._leave_out and (name in self._leave_out or name.partition(".")[0] in self._leave_out):
            return
        if self._lines.qsize() >= WAITING_LINES:
            self._refused += 1
            return
        self._lines.put((time.time(), name, facts))

    def _work(self) -> None:
        """Wait for a line, gather what comes with it, write."""
        is_open = True
        while is_open:
            first = self._lines.get()
            if first is None:
                return
            portion = [first]
            threading.Event().wait(GATHER_SECONDS)
            while True:
                try:
                    line = self._lines.get_nowait()
                except Empty:
                    break
                if line is None:
                    is_open = False
                else:
                    portion.append(line)
            self._write([self._format(*line) for line in portion])

    def _write(self, lines: list[bytes]) -> None:
        portion: list[bytes] = []
        room = PORTION_OCTETS
        for line in lines:
            if portion and len(line) > room:
                self._write_portion(portion)
                portion, room = [], PORTION_OCTETS
            portion.append(line)
            room -= len(line)
        self._write_portion(portion)
        self._count_dropped()

    def _write_portion(self, lines: list[bytes]) -> None:
        if not _write_all(self._descriptor, b"".join(lines)):
            self._unwritten += len(lines)

    def _count_dropped(self) -> None:
        """Count what is missing, and say it as soon as that can be written; only this thread does."""
        missing = self._refused + self._unwritten
        counts.sheet[_DROPPED] += missing - self._counted
        self._counted = missing
        line = self._format(time.time(), "log.dropped", {"lines": missing - self._told})
        if missing > self._told and _write_all(self._descriptor, line):
            self._told = missing


def _write_all(descriptor: int, octets: bytes) -> bool:
    try:
        while octets:
            octets = octets[os.write(descriptor, octets) :]
    except OSError:
        return False  # nobody reads the log any more, or the disk is full; the mail goes on
    return True


def _as_json(at: float, name: str, facts: dict[str, Fact]) -> bytes:
    return json.dumps({"time": round(at, 6), "event": name, "process": os.getpid(), **facts}).encode() + b"\n"


def _as_text(at: float, name: str, facts: dict[str, Fact]) -> bytes:
    words = " ".join(
        [
            f"{key}={value if type(value) is int else _quoted(str(value))}"
            for key, value in facts.items()
            if value is not None
        ]
    )
    return f"{_second(int(at))}.{int(at % 1 * 1000):03}Z [{os.getpid()}] {name} {words}\n".encode()


_PLAIN = re.compile(r"[!#-~]+").fullmatch


def _quoted(text: str) -> str:
    return text if _PLAIN(text) else json.dumps(text) if text else '""'


@lru_cache(maxsize=4)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")


_FORMATS = {"text": _as_text, "json": _as_json}
