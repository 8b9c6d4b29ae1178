"""`./po bench tui`: how long the terminal reader takes until a large file can be read, and until a key is answered.

python -m bench tui [--letters 100000] [--rounds 10] [--folder DIR]

The program runs on a terminal of its own of 80x24, and the time is taken from the start of its process until what it
wrote has the first screen of letters; then from a key until its answer is written. The letters are those of `bench
search`. Memory is the most that the process had (`VmHWM`).
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import pty
import select
import shutil
import struct
import sys
import tempfile
import termios
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.figures import Figure, number
from bench.machine import machine
from bench.search import fill

SECONDS: Final = 60.0
KEYS: Final = (
    ("one letter down", b"j", "2/{count:,}"),
    ("to the oldest letter", b"G", "{count:,}/{count:,}"),
    ("to the latest again", b"g", "1/{count:,}"),
    ("the letter is opened", b"\r", "Subject"),
)
FIRST: Final = "from the start to the first screen"


class Terminal:
    """The reader on a terminal of its own."""

    def __init__(self, file: Path) -> None:
        self.began = time.perf_counter()
        self._process, self._terminal = pty.fork()
        if not self._process:
            os.environ["TERM"] = "xterm-256color"
            os.execv(sys.executable, [sys.executable, "-m", "postoffice", "tui", str(file)])
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    def press(self, key: bytes) -> None:
        self.began = time.perf_counter()
        os.write(self._terminal, key)

    def seconds_until(self, words: str) -> float:
        """From the start, or the last key, until these words are written; RuntimeError after a minute."""
        written = b""
        while time.perf_counter() - self.began < SECONDS:
            if select.select([self._terminal], [], [], 0.1)[0]:
                written += os.read(self._terminal, 65536)
                if words.encode() in written:
                    return time.perf_counter() - self.began
        raise RuntimeError(f"{words} was not shown")

    def most_octets(self) -> int:
        lines = Path(f"/proc/{self._process}/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

    def leave(self) -> int:
        """Its exit status."""
        os.write(self._terminal, b"\x03")
        try:
            while os.read(self._terminal, 65536):
                pass
        except OSError:  # so a terminal ends whose other end is closed
            pass
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])


def measure(file: Path, count: int, rounds: int) -> tuple[list[tuple[str, Figure]], int]:
    """Milliseconds of each step, and the most octets of memory."""
    times: dict[str, list[float]] = {}
    memory = 0
    for _ in range(rounds):
        terminal = Terminal(file)
        try:
            times.setdefault(FIRST, []).append(terminal.seconds_until(f"1/{count:,}") * 1000)
            for what, key, answer in KEYS:
                terminal.press(key)
                times.setdefault(what, []).append(terminal.seconds_until(answer.format(count=count)) * 1000)
            memory = max(memory, terminal.most_octets())
        finally:
            status = terminal.leave()
        if status:
            raise RuntimeError(f"the reader ended with {status}")
    return [(what, Figure.of(some)) for what, some in times.items()], memory


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./po bench tui", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--letters", type=int, default=100_000, help="how many (%(default)s)")
    parser.add_argument("--rounds", type=int, default=10, help="how often it is opened (%(default)s)")
    parser.add_argument("--folder", type=Path, help="where the mail lies (the system's choice)")
    parser.add_argument("--quick", action="store_true", help="few letters, one round: does it run at all?")
    options = parser.parse_args(words)
    count, rounds = (500, 1) if options.quick else (options.letters, options.rounds)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder))
    try:
        print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine(folder).items()))
        path = folder / "home.mailbox"
        asyncio.run(fill(path, count))
        rows, memory = measure(path, count, rounds)
        weight = path.stat().st_size
        print(f"\n{count} letters, {number(weight / 2**20)} MiB; memory {number(memory / 2**20)} MiB; milliseconds\n")
        width = max(len(what) for what, _ in rows)
        for what, figure in rows:
            print(f"{what.ljust(width)}  {figure}")
    except KeyboardInterrupt:
        print("bench: stopped", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0
