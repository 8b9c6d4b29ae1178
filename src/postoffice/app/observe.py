"""Events become lines of the log, one event a line, as text or as JSON, on standard error.

Writing is never on the path of a conversation: lines are gathered and leave a few times a second from a thread, in
portions that the kernel keeps whole, so that the lines of several processes do not mix.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from datetime import UTC, datetime
from functools import lru_cache
from queue import Empty, SimpleQueue

from postoffice.events import Fact, listen

PORTION_OCTETS = 4096
"""What a pipe takes whole (PIPE_BUF)."""

GATHER_SECONDS = 0.05


class Log:
    """Writes every event of this process. `close` writes what is left."""

    def __init__(self, *, as_json: bool = False, descriptor: int = 2) -> None:
        self._format = _as_json if as_json else _as_text
        self._descriptor = descriptor
        self._lines: SimpleQueue[tuple[float, str, dict[str, Fact]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        self._thread.start()
        self._stop = listen(self._hear)

    def close(self) -> None:
        self._stop()
        self._lines.put(None)
        self._thread.join(timeout=2)

    def _hear(self, name: str, facts: dict[str, Fact]) -> None:
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
        portion = b""
        for line in lines:
            if portion and len(portion) + len(line) > PORTION_OCTETS:
                _write_all(self._descriptor, portion)
                portion = b""
            portion += line
        _write_all(self._descriptor, portion)


def _write_all(descriptor: int, octets: bytes) -> None:
    try:
        while octets:
            octets = octets[os.write(descriptor, octets) :]
    except OSError:
        pass  # nobody reads the log any more; the mail goes on


def _as_json(at: float, name: str, facts: dict[str, Fact]) -> bytes:
    return json.dumps({"time": round(at, 6), "event": name, "process": os.getpid(), **facts}).encode() + b"\n"


def _as_text(at: float, name: str, facts: dict[str, Fact]) -> bytes:
    words = " ".join([f"{key}={_quoted(value)}" for key, value in facts.items() if value is not None])
    return f"{_second(int(at))}.{int(at % 1 * 1000):03}Z [{os.getpid()}] {name} {words}\n".encode()


_PLAIN = re.compile(r"[!#-~]+").fullmatch


def _quoted(value: Fact) -> str:
    if type(value) is int:
        return str(value)
    text = str(value)
    return text if _PLAIN(text) else json.dumps(text)


@lru_cache(maxsize=4)
def _second(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S")
