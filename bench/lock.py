"""`./po bench lock`: what it costs that a mailbox file is locked: on pull, read, search and opening.

python -m bench lock [--letters 2000] [--rounds 5] [--folder DIR]

A plain file and a locked one take turns in every round. Processor time is that of the whole program that pulls; where
letters are read and searched, that of the process in which they are, with the file in the kernel's memory.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench import programs
from bench.figures import Figure
from bench.home import Pull, run, serving
from bench.letters import letters
from bench.machine import machine
from bench.measurement import UnequalWork
from bench.process import ServerFailed
from bench.search import fill, questions
from postoffice.database.key import Key
from postoffice.home.locking import holding
from postoffice.home.locking.changing import lock_first, make_locked
from postoffice.home.locking.finding import key_by
from postoffice.home.search.face import Search
from postoffice.store.embedded import MailboxFile

PASSPHRASE: Final = "a passphrase that only measures"
OCTETS: Final = 10 * 1024
ROWS: Final = (
    "pull, CPU µs a letter",
    "pull, letters/s",
    "read a letter, CPU µs",
    "search, CPU ms a question",
    "open the file, CPU ms",
    "size, KiB a letter",
)
LOCK_ROWS: Final = ("lock the file, s", "passphrase to key, ms")


@dataclass(slots=True)
class Table:
    """Values by row, for the plain file and for the locked one."""

    plain: dict[str, list[float]] = field(default_factory=dict)
    locked: dict[str, list[float]] = field(default_factory=dict)

    def put(self, row: str, key: Key | None, value: float) -> None:
        (self.plain if key is None else self.locked).setdefault(row, []).append(value)

    def lines(self) -> list[str]:
        cells = [("", "plain", "locked", "locked / plain")]
        for row in (*ROWS, *LOCK_ROWS):
            locked = Figure.of(self.locked[row])
            if row not in self.plain:
                cells.append((row, "", str(locked), ""))
                continue
            plain = Figure.of(self.plain[row])
            cells.append((row, str(plain), str(locked), f"{locked.median / plain.median:.2f}"))
        widths = [max(len(line[column]) for line in cells) for column in range(4)]
        return [
            "  ".join(
                [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
            ).rstrip()
            for line in cells
        ]


def pull(table: Table, key: Key | None, port: int, count: int, folder: Path) -> None:
    """By the program, into an empty file; a locked one is unlocked already."""
    home = folder / "home"
    home.mkdir()
    file = home / "mail.mailbox"
    try:
        if key is not None:
            make_locked(file, PASSPHRASE)
            key = key_by(file, PASSPHRASE)
            holding.hold(key, 600)
        (home / "password").write_text("password\n")
        (home / "password").chmod(0o600)
        url = f"pop://account0@127.0.0.1:{port}"
        os.sync()  # what others wrote before is not paid for by this one
        words = [sys.executable, "-m", "postoffice", "fetch", url, "--into", str(file)]
        cost = run([*words, "--password-file", str(home / "password")], home, None)
        table.put(ROWS[0], key, cost.cpu_seconds / count * 1e6)
        table.put(ROWS[1], key, count / cost.seconds)
        came = asyncio.run(_count(file, key))
        if came != count:
            raise UnequalWork(f"{came} letters came, and {count} were there")
    finally:
        holding.forget()
        shutil.rmtree(home)


async def _count(file: Path, key: Key | None) -> int:
    mailbox = MailboxFile.open(file, key=key)
    try:
        return len((await mailbox.snapshot()).keys)
    finally:
        await mailbox.close()


def look(table: Table, file: Path, key: Key | None) -> None:
    """Open it, read every letter by itself, ask every question."""
    table.put(ROWS[4], key, _cpu_of(lambda: asyncio.run(_count(file, key))) * 1e3)
    table.put(ROWS[2], key, asyncio.run(_read(file, key)) * 1e6)
    table.put(ROWS[3], key, asyncio.run(_search(file, key)) * 1e3)
    table.put(ROWS[5], key, file.stat().st_size / asyncio.run(_count(file, key)) / 1024)


def _cpu_of(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


async def _read(file: Path, key: Key | None) -> float:
    mailbox = MailboxFile.open(file, key=key)
    try:
        keys = (await mailbox.snapshot()).keys
        began = time.process_time()
        for one in keys:
            await mailbox.read([one])
        return (time.process_time() - began) / len(keys)
    finally:
        await mailbox.close()


async def _search(file: Path, key: Key | None) -> float:
    search = Search(file, key)
    try:
        began = time.process_time()
        for _, question in questions():
            await search.find(question)
        return (time.process_time() - began) / len(questions())
    finally:
        await search.close()


async def _index(file: Path) -> None:
    search = Search(file)
    try:
        await search.catch_up()
    finally:
        await search.close()


def measure(folder: Path, count: int, rounds: int) -> Table:
    """Every row, in turns."""
    table = Table()
    plain, locked = folder / "plain.mailbox", folder / "locked.mailbox"
    asyncio.run(fill(plain, count))
    asyncio.run(_index(plain))
    for _ in range(rounds):
        for path in folder.glob("locked.mailbox*"):
            path.unlink()
        shutil.copy(plain, locked)
        began = time.monotonic()
        lock_first(locked, PASSPHRASE, lambda _: None)
        seconds = time.monotonic() - began
        began = time.monotonic()
        key = key_by(locked, PASSPHRASE)
        table.put(LOCK_ROWS[1], key, (time.monotonic() - began) * 1e3)
        table.put(LOCK_ROWS[0], key, seconds)
        look(table, plain, None)
        look(table, locked, key)
    row = Pull(count, OCTETS)
    with serving(row, letters(count, OCTETS), folder) as port:
        for _ in range(rounds):
            pull(table, None, port, count, folder)
            pull(table, key, port, count, folder)
    return table


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./po bench lock", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--letters", type=int, default=2000, help="how many (%(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (%(default)s)")
    parser.add_argument("--folder", type=Path, help="where the mail lies; a disk, for what is durable is measured")
    parser.add_argument("--quick", action="store_true", help="few letters, one round: does it run at all?")
    options = parser.parse_args(words)
    count, rounds = (100, 1) if options.quick else (options.letters, options.rounds)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder))
    os.environ["XDG_RUNTIME_DIR"] = str(folder)  # what is unlocked here is nobody else's
    try:
        programs.program("floor")
        print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine(folder).items()))
        table = measure(folder, count, rounds)
        print(f"\n{count} letters\n\n" + "\n".join(table.lines()))
    except (programs.NoCompiler, ServerFailed, UnequalWork) as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 69 if isinstance(failure, programs.NoCompiler) else 1
    except KeyboardInterrupt:
        print("bench: stopped", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0
