"""What an administrator asks first: does the office run, since when, what waits, what went wrong.

Every section looks at one thing and knows how to say it to a person and to a program. It looks at the store and, where
the office runs, at its board; so it needs no open port and works without an office too. What somebody should see to is
a problem; the worst decides the exit status.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from postoffice import __version__
from postoffice.accounts.guard import Guard, Penalty
from postoffice.accounts.ledger import BOOK, open_book
from postoffice.app.board import Board
from postoffice.counts import SESSIONS_FAMILY
from postoffice.errors import StoreError
from postoffice.net.crowd import REFUSED_FAMILY
from postoffice.net.tls import pin_of
from postoffice.quantities import counted, size
from postoffice.store.base import Store

if TYPE_CHECKING:
    from cryptography import x509

COLUMNS = 66
"""How wide the lines of a section may be."""

PENALTIES = 5
"""How many are shown to a person."""

CERTIFICATE_DAYS = 7
"""How near the end of a certificate is a problem."""


@dataclass(frozen=True, slots=True)
class Look:
    """What sections look at. `board` is None where no office runs; the working directory is the data folder."""

    store: Store
    board: Board | None
    now: float


@dataclass(frozen=True, slots=True)
class Section:
    """`lines` for a person, at most 66 columns wide; `facts` for a program; `problems` for who should see to it."""

    name: str
    facts: Any
    lines: tuple[str, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    sections: tuple[Section, ...]
    is_running: bool

    @property
    def problems(self) -> tuple[str, ...]:
        return tuple(f"{section.name}: {problem}" for section in self.sections for problem in section.problems)

    @property
    def exit_status(self) -> int:
        """Of sysexits(3): 0 all is well, 69 no office runs, 75 it runs and somebody should look."""
        if not self.is_running:
            return os.EX_UNAVAILABLE
        return os.EX_TEMPFAIL if self.problems else os.EX_OK


async def look(store: Store, board: Board | None, now: float) -> Status:
    """Ask every section; one that cannot be told is a problem itself."""
    asked = Look(store, board, now)
    sections = []
    for name, section in SECTIONS.items():
        try:
            sections.append(await section(asked))
        except (StoreError, OSError) as error:
            sections.append(Section(name, None, tuple(wrap(f"cannot be told: {error}", COLUMNS)), (str(error),)))
    return Status(tuple(sections), board is not None)


async def _office(asked: Look) -> Section:
    domains = await asked.store.directory.domains()
    named = domains[0] if domains else "no domain"
    if asked.board is None:
        facts = {"running": False, "version": __version__, "domain": named}
        return Section("office", facts, (f"{named}, not running",), ("does not run",))
    [parent, *_] = asked.board.processes()
    version = asked.board.facts["version"]
    facts = {
        "running": True,
        "version": version,
        "domain": named,
        "pid": parent.pid,
        "since": moment(parent.started),
        "up_seconds": round(asked.now - parent.started),
    }
    up = f"{named}, version {version}, up for {span(asked.now - parent.started)}, process {parent.pid}"
    return Section("office", facts, (up,))


async def _processes(asked: Look) -> Section:
    facts, lines, problems = [], [], []
    for process in asked.board.processes()[1:] if asked.board else []:
        octets = resident_octets(process.pid)
        facts.append(
            {
                "name": process.name,
                "pid": process.pid,
                "since": moment(process.started),
                "restarts": process.restarts,
                "resident_octets": octets,
            }
        )
        again = f"  replaced {process.restarts} times" if process.restarts else ""
        if process.pid:
            age = f"{process.pid:>8}  for {span(asked.now - process.started):12}{size(octets):>9}"
        else:
            age = f"{'gone':>8}"
            problems.append(f"{process.name} is gone and not yet replaced")
        lines.append(f"{process.name:12}{age}{again}")
    return Section("processes", facts, tuple(lines), tuple(problems))


async def _doors(asked: Look) -> Section:
    if asked.board is None:
        return Section("doors", [], ())
    addresses: dict[str, list[str]] = asked.board.facts["doors"]
    [sessions] = [family for family in asked.board.families if family.name == SESSIONS_FAMILY]
    inside = {door: round(asked.board.total(place)) for ((_, door),), place in sessions.places.items()}
    facts = [{"name": name, "addresses": where, "sessions": inside.get(name)} for name, where in addresses.items()]
    lines = [_said_of_door(name, where, inside.get(name, 0)) for name, where in addresses.items()]
    return Section("doors", facts, tuple(lines))


def _said_of_door(name: str, where: list[str], sessions: int) -> str:
    now = f"  {counted(sessions, 'session')}" if sessions else ""
    return f"{name:12}{' '.join(where)}{now}"


async def _queue(asked: Look) -> Section:
    backlog = await asked.store.office.backlog(asked.now)
    if backlog.oldest is None:
        return Section("queue", {"letters": 0, "due": 0, "oldest_seconds": 0}, ("empty",))
    age = asked.now - backlog.oldest
    facts = {"letters": backlog.letters, "due": backlog.due, "oldest_seconds": round(age)}
    said = f"{counted(backlog.letters, 'letter')} on the way, {backlog.due} due now, the oldest for {span(age)}"
    return Section("queue", facts, (said,))


async def _people(asked: Look) -> Section:
    accounts = len(await asked.store.directory.accounts())
    domains = len(await asked.store.directory.domains())
    facts = {"accounts": accounts, "domains": domains}
    return Section("people", facts, (f"{counted(accounts, 'account')} in {counted(domains, 'domain')}",))


async def _kept_out(asked: Look) -> Section:
    """Whoever failed to log in lately, and for how many connections there was no room."""
    ledger = open_book(Path(BOOK))
    penalties = Guard(ledger=ledger, clock=lambda: asked.now).penalties() if ledger else []
    rooms: dict[str, int] = {}
    if asked.board is not None:
        [refused] = [family for family in asked.board.families if family.name == REFUSED_FAMILY]
        rooms = {limit: round(asked.board.total(place)) for ((_, limit),), place in refused.places.items()}
    facts = {
        "penalties": [
            {
                "kind": one.kind,
                "who": one.who,
                "points": round(one.points, 1),
                "failures": one.failures,
                "until": moment(one.until) if one.until else None,
            }
            for one in penalties
        ],
        "connections_refused": rooms,
    }
    lines = [_said_of(one, asked.now) for one in penalties[:PENALTIES]]
    if len(penalties) > PENALTIES:
        lines.append(f"and {len(penalties) - PENALTIES} more; all are in --json")
    lines += [f"{counted(n, 'connection')} beyond the limit of the {limit}" for limit, n in rooms.items() if n]
    return Section("kept out", facts, tuple(lines))


def _said_of(penalty: Penalty, now: float) -> str:
    who = "".join(letter if letter.isprintable() else "?" for letter in penalty.who)
    until = f"refused for {span(penalty.until - now)}, " if penalty.until else ""
    return f"{who[:28]}  {until}{counted(penalty.failures, 'failed login')}"


async def _disk(asked: Look) -> Section:
    free = await asked.store.office.free_octets()
    used = sum((Path(folder) / name).lstat().st_blocks * 512 for folder, _, names in os.walk(".") for name in names)
    facts = {"free_octets": free, "used_octets": used}
    return Section("disk", facts, (f"{size(free)} free, {size(used)} used by the office",))


async def _certificate(asked: Look) -> Section:
    """When each ends, and what clients may know its key by; the facts are of the first to end."""
    from cryptography.hazmat.primitives.serialization import Encoding

    paths = asked.board.facts["certificates"] if asked.board else ["tls/certificate.pem"]
    shown = {path: _read_certificate(Path(path)) for path in paths}
    ends = {path: certificate.not_valid_after_utc.timestamp() for path, certificate in shown.items()}
    pins = {path: pin_of(certificate.public_bytes(Encoding.DER)) for path, certificate in shown.items()}
    first = min(ends, key=ends.__getitem__)
    days = {path: (end - asked.now) / 86400 for path, end in ends.items()}
    facts = {"file": first, "ends": moment(ends[first]), "days": round(days[first], 1), "pin": pins[first]}
    whose = {path: f" {path}" if len(paths) > 1 else "" for path in paths}
    lines = [
        line
        for path, end in ends.items()
        for line in (f"until {moment(end)} ({days[path]:.0f} days){whose[path]}", f"pin {pins[path]}")
    ]
    problems = [f"ends {moment(end)}{whose[path]}" for path, end in ends.items() if days[path] < CERTIFICATE_DAYS]
    return Section(
        "certificate",
        facts,
        tuple(part for line in lines for part in wrap(line, COLUMNS, break_on_hyphens=False)),
        tuple(problems),
    )


def _read_certificate(path: Path) -> x509.Certificate:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise OSError(f"{path}: {error}") from error


async def _troubles(asked: Look) -> Section:
    notes = asked.board.troubles()[-5:] if asked.board else []
    facts = [{"at": moment(note.at), "process": note.process, "text": note.text} for note in notes]
    said = [f"{moment(note.at)} {note.process}: {note.text}" for note in notes]
    return Section("troubles", facts, tuple(line for one in said for line in wrap(one, COLUMNS)))


SECTIONS: dict[str, Callable[[Look], Awaitable[Section]]] = {
    "office": _office,
    "processes": _processes,
    "doors": _doors,
    "queue": _queue,
    "people": _people,
    "kept out": _kept_out,
    "disk": _disk,
    "certificate": _certificate,
    "troubles": _troubles,
}
"""Every section by its name, in the order in which they are shown."""


# --- how things are said


def moment(at: float) -> str:
    """`2026-11-23 09:26:05Z`."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}Z"


def span(seconds: float) -> str:
    """`3 h 12 min`, the two largest units."""
    whole = max(0, int(seconds))
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    first = next((index for index, (number, _) in enumerate(parts) if number), len(parts) - 1)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2])


def resident_octets(pid: int) -> int:
    """How much memory a process has in use; 0 where that cannot be seen."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
