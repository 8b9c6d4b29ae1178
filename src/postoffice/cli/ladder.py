"""What `postoffice demo` shows: the road across the page, time down the page, one rung for each step observed.

Plain text in 80 columns without colour; or, for programs, one JSON object a line.
"""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from postoffice.testing.journey import Step, StepMissing
    from postoffice.testing.road import Road, RoadOffice

PICTURE = """\
alice's program ──SMTP──▶ a.example ──SMTP──▶ b.example ──POP3──▶ bob's machine
             submission  queue, relay  (MX)    mailbox    pull    a mailbox file
"""
COLUMNS = 80
MARGIN = 11
GAP = 7
PLACES = 4
TEXT_COLUMN = MARGIN + (PLACES - 1) * GAP + 3

DOORS = {
    "submission": "to send (STARTTLS)",
    "submissions": "to send (TLS)",
    "pop3": "to fetch (STLS)",
    "pop3s": "to fetch (TLS)",
    "smtp": "for other offices",
}


class Page:
    """For people. `since` is the moment from which seconds are counted."""

    def __init__(self, since: float) -> None:
        self._since = since

    def begin(self) -> None:
        click.echo(PICTURE)
        names = "".join(f"{name:^{GAP}}" for name in ("alice", "A", "B", "bob"))
        click.echo(f"seconds {names}".rstrip())

    def step(self, step: Step) -> None:
        rung = _rung(step)
        lines = textwrap.wrap(step.says, COLUMNS - TEXT_COLUMN, break_long_words=False, break_on_hyphens=False)
        click.echo(f"{step.at - self._since:8.3f}   {rung}  {lines[0]}")
        for line in lines[1:]:
            click.echo(f"{'':{MARGIN}}{_rails()}  {line}")

    def invite(self, road: Road) -> None:
        """How to come in with a mail program of one's own."""
        click.echo("\nBoth offices stay open for your own mail program, until Ctrl-C.\n")
        for office in road.offices:
            click.echo(f"  user {office.person.address}   password {office.person.password}   server 127.0.0.1")
            for door, what in DOORS.items():
                click.echo(f"      {what:<20} port {office.ports[door]}")
        click.echo(f"\n  the authority to trust: {road.ca}\n")

    def missing(self, missing: StepMissing) -> None:
        click.echo(f"postoffice: {missing}", err=True)
        for line in missing.log:
            click.echo(f"    {line}", err=True)

    def end(self) -> None:
        click.echo(f"\nThe whole road in {time.time() - self._since:.1f} s; every step was observed.")

    def conversations(self, road: Road) -> None:
        for heading, lines in conversations(road):
            click.echo(f"\n# {heading}")
            for line in lines:
                click.echo(line)


class JsonPage(Page):
    """For programs."""

    def begin(self) -> None:
        pass

    def step(self, step: Step) -> None:
        _write({"step": step.name, "at": round(step.at - self._since, 6), "says": step.says, **step.facts})

    def invite(self, road: Road) -> None:
        _write({"stay": [_described(office) for office in road.offices], "ca": str(road.ca)})

    def missing(self, missing: StepMissing) -> None:
        _write({"missing": missing.name, "because": str(missing), "log": list(missing.log)})

    def end(self) -> None:
        pass

    def conversations(self, road: Road) -> None:
        for heading, lines in conversations(road):
            _write({"conversation": heading, "lines": lines})


def conversations(road: Road) -> Iterator[tuple[str, list[str]]]:
    """Each conversation at a door of either office, as that office told it, with a heading; in order of beginning.

    The courier's own side of a conversation is left out: the other office told the same.
    """
    for office in road.offices:
        doors = {port: door for door, port in office.ports.items()}
        by_number: dict[str, tuple[str, list[str]]] = {}
        for one in office.watch.all("trace"):
            door = doors.get(int(one.facts["port"] or 0))
            if door is not None:
                heading = f"{office.host}, door {door}"
                _, lines = by_number.setdefault(str(one.facts["session"]), (heading, []))
                lines.append(str(one.facts["line"]))
        yield from by_number.values()


def _rung(step: Step) -> str:
    """The rails of the ladder, with an arrow or marks."""
    if not step.is_way:
        return _rails(dict.fromkeys(step.places, "●"))
    start, end = step.places
    rails = _rails({start: "├"})
    return rails[: start * GAP + 1] + "─" * ((end - start) * GAP - 2) + "▶" + rails[end * GAP :]


def _rails(marks: Mapping[int, str] | None = None) -> str:
    return (" " * (GAP - 1)).join((marks or {}).get(place, "│") for place in range(PLACES))


def _described(office: RoadOffice) -> dict[str, object]:
    return {
        "user": office.person.address,
        "password": office.person.password,
        "host": "127.0.0.1",
        "ports": dict(office.ports),
    }


def _write(what: dict[str, object]) -> None:
    click.echo(json.dumps(what, ensure_ascii=False))
