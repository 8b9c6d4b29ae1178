"""The board: one piece of memory that all processes of an office see, and whoever asks for its status.

    header     who we are, which doors we have, what is counted where: JSON, written once by the parent
    row        one for each process: who it is, its sheet of counts, its last troubles

A row belongs to a place in the office (`worker 0`), not to a process: who replaces another counts on where that one
ended, so no sum ever goes backwards. Only gauges and troubles are the process's own: gauges go with it.
The memory is no file: a full disk cannot hurt it, and it ends with the office. The parent gives it to whoever
connects to `status.socket` in the data folder.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from postoffice import counts
from postoffice.counts import PLACES

STATUS_SOCKET = "status.socket"
ASK_SECONDS = 5.0

_PID, _STARTED, _STARTS, _NOTES = range(4)
_WHO_PLACES = 8
NOTES = 4
NOTE_OCTETS = 256
"""Of which eight say when."""

_ROW_OCTETS = 8 * (_WHO_PLACES + PLACES) + NOTES * NOTE_OCTETS


@dataclass(frozen=True, slots=True)
class Process:
    """Who has a row: `pid` 0 if nobody now; `restarts` counts those who came after the first."""

    name: str
    pid: int
    started: float
    restarts: int


@dataclass(frozen=True, slots=True)
class Note:
    """A trouble that a process had."""

    at: float
    process: str
    text: str


class Board:
    """`facts` are what the parent wrote into the header."""

    def __init__(self, descriptor: int) -> None:
        """The board in that memory; the descriptor is ours from now on."""
        self.descriptor = descriptor
        memory = mmap.mmap(descriptor, 0)
        self._octets = memoryview(memory)
        length = int.from_bytes(self._octets[:8], "big")
        header = json.loads(bytes(self._octets[8 : 8 + length]))
        self.facts: dict[str, Any] = header["facts"]
        self.names: list[str] = header["names"]
        self.families = [
            counts.Family(
                family["name"],
                family["kind"],
                family["says"],
                tuple(family["bounds"]),
                {tuple((key, value) for key, value in labels): place for labels, place in family["places"]},
            )
            for family in header["families"]
        ]
        self._start = _padded(8 + length)

    @classmethod
    def make(cls, names: Sequence[str], facts: Mapping[str, Any]) -> Board:
        """A board with a row for each name, and places for all that is declared now."""
        header = json.dumps({"names": list(names), "facts": dict(facts), "families": _families()}).encode()
        descriptor = os.memfd_create("postoffice", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, _padded(8 + len(header)) + len(names) * _ROW_OCTETS)
        os.pwrite(descriptor, len(header).to_bytes(8, "big") + header, 0)
        return cls(descriptor)

    # --- what a process does

    def enter(self, name: str) -> None:
        """Be the process of that name: count in its row."""
        row = self._row(name)
        row[_PID], row[_STARTED], row[_STARTS] = os.getpid(), time.time(), row[_STARTS] + 1
        counts.use(row[_WHO_PLACES : _WHO_PLACES + PLACES])

    def leave(self, name: str) -> None:
        """The process of that name is no more."""
        row = self._row(name)
        row[_PID] = 0
        for family in self.families:
            if family.kind == "gauge":
                for place in family.places.values():
                    row[_WHO_PLACES + place] = 0

    def note(self, name: str, text: str) -> None:
        """Keep a trouble among the last few of the process of that name."""
        row, index = self._row(name), self.names.index(name)
        number = int(row[_NOTES])
        start = self._notes(index) + number % NOTES * NOTE_OCTETS
        said = text.encode()[: NOTE_OCTETS - 8].ljust(NOTE_OCTETS - 8, b"\0")
        self._octets[start : start + NOTE_OCTETS] = int(time.time() * 1000).to_bytes(8, "big") + said
        row[_NOTES] = number + 1

    # --- what a reader does

    def total(self, place: int) -> float:
        """A number, summed over all processes."""
        return float(sum(self._row(name)[_WHO_PLACES + place] for name in self.names))

    def totals(self) -> list[float]:
        """Every number of the sheet, summed over all processes."""
        sheets = [self._row(name)[_WHO_PLACES:].tolist() for name in self.names]
        return [sum(numbers) for numbers in zip(*sheets, strict=True)]

    def processes(self) -> list[Process]:
        rows = [(name, self._row(name)) for name in self.names]
        return [Process(name, int(row[_PID]), row[_STARTED], max(0, int(row[_STARTS]) - 1)) for name, row in rows]

    def troubles(self) -> list[Note]:
        """The last troubles of all, oldest first."""
        return sorted(self._all_notes(), key=lambda note: note.at)

    def _all_notes(self) -> Iterator[Note]:
        for index, name in enumerate(self.names):
            for number in range(NOTES):
                start = self._notes(index) + number * NOTE_OCTETS
                octets = bytes(self._octets[start : start + NOTE_OCTETS])
                at = int.from_bytes(octets[:8], "big")
                if at:
                    yield Note(at / 1000, name, octets[8:].rstrip(b"\0").decode(errors="replace"))

    def _row(self, name: str) -> memoryview[float]:
        start = self._start + self.names.index(name) * _ROW_OCTETS
        return self._octets[start : start + 8 * (_WHO_PLACES + PLACES)].cast("d")

    def _notes(self, index: int) -> int:
        return self._start + index * _ROW_OCTETS + 8 * (_WHO_PLACES + PLACES)


def _padded(octets: int) -> int:
    return -(-octets // 64) * 64


def _families() -> list[dict[str, Any]]:
    return [
        {
            "name": family.name,
            "kind": family.kind,
            "says": family.says,
            "bounds": family.bounds,
            "places": list(family.places.items()),
        }
        for family in counts.families.values()
    ]


# --- from the parent to whoever asks


def give(listening: socket.socket, board: Board) -> None:
    """Give the board to one who came. Waits for nobody."""
    with suppress(OSError):
        reader, _ = listening.accept()
        with reader:
            reader.setblocking(False)
            socket.send_fds(reader, [b"board"], [board.descriptor])


def ask() -> Board | None:
    """The board of the office in the data folder, which is where we are; None if no office runs there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(ASK_SECONDS)
        try:
            asking.connect(STATUS_SOCKET)
            _, descriptors, _, _ = socket.recv_fds(asking, 16, 1)
        except OSError:
            return None
    return Board(descriptors[0]) if descriptors else None
