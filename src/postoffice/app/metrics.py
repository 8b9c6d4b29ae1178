"""What is counted, for Prometheus: its text format, made when somebody reads.

Rooms count their commands themselves. Everything that also stands in the log is counted here, from the same events,
so that log and metrics cannot disagree. What is no sum (the queue, the disk, the processes) is looked at when
somebody reads. Any worker may answer: all of them see the board.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from postoffice import counts
from postoffice.app.board import Board
from postoffice.app.status import resident_octets
from postoffice.clock import Clock
from postoffice.counts import Family, Labels, counter
from postoffice.events import Fact, listen
from postoffice.store.base import Office

# --- counting what is told

_DOORS = ("smtp", "pop3", "submissions", "submission", "pop3s", "lmtp", "sendmail")
NO_TLS, OTHER_TLS = "none", "other"
_TLS = (NO_TLS, "TLSv1.2", "TLSv1.3", OTHER_TLS)
_FATES = ("accepted", "delivered", "relayed", "deferred", "failed", "bounced", "retrieved", "topped", "removed")
_BY_POP3 = ("retrieved", "topped", "removed")

_LETTERS = {
    fate: counter("postoffice_letters_total", "Letters, or recipients of one, by what became of them.", fate=fate)
    for fate in _FATES
}
_ACCEPTED_OCTETS = counter("postoffice_accepted_octets_total", "Octets of accepted letters.")
_SESSIONS: dict[Fact, dict[Fact, int]] = {
    door: {tls: counter("postoffice_sessions_total", "Sessions that ended.", door=door, tls=tls) for tls in _TLS}
    for door in _DOORS
}
_OCTETS: dict[Fact, list[int]] = {
    door: [
        counter("postoffice_octets_total", "Octets of sessions that ended.", door=door, direction=way)
        for way in ("in", "out")
    ]
    for door in _DOORS
}
TROUBLES = (
    *(
        "dialogue.crashed",
        "log.reopen_failed",
        "mailbox.failed",
        "pop3.failed",
        "pop3.update_failed",
        "queue.failed",
        "smtp.failed",
    ),
    *("quota.failed", "retention.failed", "store.sweep_failed", "tidy.failed", "tls.reload_failed"),
)
"""Events that an administrator should look at."""

_TOLD = {
    name: counter("postoffice_told_total", "Lines of the log that somebody may want to look at.", event=name)
    for name in (*TROUBLES, "pop3.refused", "smtp.refused")
}


def count_events(note: Callable[[str], None]) -> Callable[[], None]:
    """Count all that is told in this process from now on, and note troubles; the function returned ends that."""
    return listen(partial(_hear, note))


def _hear(note: Callable[[str], None], name: str, facts: dict[str, Fact]) -> None:
    sheet = counts.sheet
    match name:
        case "pop3.closed" | "pop3.left":
            _add_session(facts)
            for fate in _BY_POP3:
                if number := facts.get(fate):
                    sheet[_LETTERS[fate]] += _number(number)
        case "smtp.closed":
            _add_session(facts)
        case "letter.accepted":
            sheet[_LETTERS["accepted"]] += 1
            sheet[_ACCEPTED_OCTETS] += _number(facts.get("octets"))
        case "letter.delivered" | "letter.relayed" | "letter.deferred" | "letter.failed":
            sheet[_LETTERS[name[7:]]] += 1
        case "notice.made":
            sheet[_LETTERS["bounced"]] += 1
        case _ if name in _TOLD:
            sheet[_TOLD[name]] += 1
            if name in TROUBLES:
                because = str(facts.get("error") or facts.get("because") or "").rstrip().rpartition("\n")[2]
                note(f"{name}: {because}")  # of a trace its last line


def _add_session(facts: Mapping[str, Fact]) -> None:
    sheet, door = counts.sheet, facts.get("door")
    sessions = _SESSIONS.get(door)
    if sessions is None:
        return
    octets_in, octets_out = _OCTETS[door]
    sheet[sessions.get(facts.get("tls") or NO_TLS, sessions[OTHER_TLS])] += 1
    sheet[octets_in] += _number(facts.get("octets_in"))
    sheet[octets_out] += _number(facts.get("octets_out"))


def _number(fact: Fact) -> int:
    return fact if type(fact) is int else 0


# --- telling what was counted


@dataclass(frozen=True, slots=True)
class Metrics:
    """What there is to read in a process of an office."""

    board: Board
    office: Office
    clock: Clock

    async def read(self) -> str:
        """All of it in Prometheus' text format (version 0.0.4)."""
        totals = self.board.totals()
        lines = [line for family in self.board.families for line in _family(family, totals)]
        for name, kind, says, samples in (*self._processes(), *await self._now()):
            lines += _head(name, kind, says)
            lines += [_sample(name, labels, number) for labels, number in samples]
        return "\n".join(lines) + "\n"

    async def _now(self) -> list[_Looked]:
        """What is so at this moment."""
        now = self.clock()
        backlog = await self.office.backlog(now)
        oldest = 0.0 if backlog.oldest is None else now - backlog.oldest
        free = await self.office.free_octets()
        found = [
            ("postoffice_queue_letters", "gauge", "Items of the queue.", backlog.letters),
            ("postoffice_queue_due_letters", "gauge", "Items that somebody may carry now.", backlog.due),
            ("postoffice_queue_oldest_seconds", "gauge", "How long the first item is in the queue.", oldest),
            ("postoffice_disk_free_octets", "gauge", "Room that is left for letters.", free),
        ]
        return [(name, kind, says, [((), number)]) for name, kind, says, number in found]

    def _processes(self) -> list[_Looked]:
        """Who is there. One that is gone and not yet replaced has no memory and no start."""
        every = self.board.processes()
        there = [((("process", process.name),), process) for process in every if process.pid]
        version = (("version", self.board.facts["version"]),)
        return [
            ("postoffice_build_info", "gauge", "The version that runs.", [(version, 1)]),
            (
                "postoffice_process_start_time_seconds",
                "gauge",
                "When a process began, since the epoch.",
                [(labels, process.started) for labels, process in there],
            ),
            (
                "postoffice_process_resident_octets",
                "gauge",
                "Memory that a process has in use.",
                [(labels, resident_octets(process.pid)) for labels, process in there],
            ),
            (
                "postoffice_process_restarts_total",
                "counter",
                "How often a process was replaced.",
                [((("process", process.name),), process.restarts) for process in every],
            ),
        ]


_Looked = tuple[str, str, str, list[tuple[Labels, float]]]


def _family(family: Family, totals: list[float]) -> Iterator[str]:
    """A family with all its numbers. A histogram in which nothing is yet is left out: there are many commands."""
    is_histogram = family.kind == "histogram"
    places = family.places
    if is_histogram:
        width = len(family.bounds) + 2
        places = {labels: place for labels, place in places.items() if any(totals[place + 1 : place + width])}
    if places:
        yield from _head(family.name, family.kind, family.says)
    for labels, place in places.items():
        if not is_histogram:
            yield _sample(family.name, labels, totals[place])
            continue
        reached = 0.0
        for index, bound in enumerate((*family.bounds, "+Inf")):
            reached += totals[place + 1 + index]
            yield _sample(f"{family.name}_bucket", (*labels, ("le", str(bound))), reached)
        yield _sample(f"{family.name}_sum", labels, totals[place])
        yield _sample(f"{family.name}_count", labels, reached)


def _head(name: str, kind: str, says: str) -> list[str]:
    return [f"# HELP {name} {says}", f"# TYPE {name} {kind}"]


def _sample(name: str, labels: Labels, number: float) -> str:
    written = ",".join(f"{key}={json.dumps(value)}" for key, value in labels)
    said = str(int(number)) if number == int(number) else repr(float(number))
    return f"{name}{{{written}}} {said}" if written else f"{name} {said}"
