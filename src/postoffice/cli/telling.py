"""How a command says what moves: one line that is renewed on a terminal, now and then a line elsewhere, or JSON."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import click

from postoffice.message.printable import safe
from postoffice.quantities import counted

if TYPE_CHECKING:
    from postoffice.moving.comparing import Comparison
    from postoffice.moving.letters import Complaint
    from postoffice.moving.taking import Report

LINE_SECONDS, PLAIN_SECONDS = 0.2, 10.0
"""How often progress is told: on a terminal, and elsewhere."""

KINDS = {
    "missing": "missing here",
    "unique-id": "under another unique-id",
    "order": "in another place",
    "octets": "of another size",
    "extra": "here alone",
}
"""Of differences, and what people are told."""

SHOWN_DIFFERENCES = 20
"""So many of each kind are told to a person."""


class Telling:
    """Says how it goes: one line that is renewed on a terminal, now and then a line elsewhere, or JSON."""

    def __init__(self, *, as_json: bool, is_piped: bool = False) -> None:
        """`is_piped`: standard output is for something else, and nothing is said there."""
        self._as_json = as_json
        self._is_piped = is_piped
        self._last: Report | None = None
        self._renews = sys.stderr.isatty() and not as_json
        self._began = self._told = time.monotonic()
        self._has_line = False

    def complain(self, complaint: Complaint) -> None:
        self._clear()
        if self._as_json:
            self._say("complaint", where=complaint.where, what=complaint.what, loses=complaint.loses)
        else:
            click.echo(f"postoffice: {safe(str(complaint))}", err=True)

    def progress(self, report: Report) -> None:
        now = time.monotonic()
        self._last = report
        if now - self._told < (LINE_SECONDS if self._renews else PLAIN_SECONDS):
            return
        self._told = now
        rate = report.done / max(now - self._began, 0.001)
        if self._as_json:
            self._say("progress", done=report.done, total=report.total, octets=report.octets)
            return
        text = f"{report.done} of {report.total} letters, {report.octets / 1e6:.1f} MB, {rate:.0f} letters/s"
        if self._renews:
            click.echo(f"\r{text:<70}", nl=False, err=True)
            self._has_line = True
        else:
            click.echo(text, err=True)

    def end(self, report: Report) -> None:
        """What came of it."""
        self._clear()
        if self._as_json:
            names = ("total", "letters", "octets", "known", "renamed", "unnamed", "lost", "damaged")
            self._say("done", **{name: getattr(report, name) for name in names})
            return
        came = counted(report.letters, "letter"), counted(report.octets, "octet")
        words = [f"{came[0]}, {came[1]}, already had {report.known}"]
        if report.unnamed:
            words.append(f"{report.unnamed} without a known unique-id")
        if report.renamed:
            words.append(f"{report.renamed} with a new unique-id")
        if report.lost:
            words.append(f"{report.lost} could not be read")
        if report.damaged:
            words.append(f"{report.damaged} damaged")
        click.echo("; ".join(words), err=self._is_piped)

    def broken_off(self) -> None:
        """It ended before its end. What was done is safe, and that is worth a word."""
        self._clear()
        if self._last is not None and not self._as_json:
            done, total = self._last.done, self._last.total
            click.echo(f"postoffice: {done} of {total} letters are done; run it again, and it goes on there", err=True)

    def compared(self, host: str, comparison: Comparison) -> None:
        """What an account here and a maildrop elsewhere do not have in common."""
        if self._as_json:
            for one in comparison.differences:
                self._say("difference", kind=one.kind, unique_id=one.unique_id, what=one.what)
            counts = {kind: comparison.count(kind) for kind in KINDS}
            self._say("compared", same=comparison.same, good=comparison.is_good, **counts)
            return
        told: Counter[str] = Counter()
        for one in comparison.differences:
            told[one.kind] += 1
            if told[one.kind] <= SHOWN_DIFFERENCES:
                click.echo(f"{KINDS[one.kind]}: {safe(one.unique_id[:100])} {one.what}")
        for kind, times in told.items():
            if times > SHOWN_DIFFERENCES:
                click.echo(f"{KINDS[kind]}: and {times - SHOWN_DIFFERENCES} more")
        words = [f"{comparison.same} letters are the same at {host}"]
        words += [f"{comparison.count(kind)} {KINDS[kind]}" for kind in KINDS if comparison.count(kind)]
        click.echo("; ".join(words))

    def _say(self, event: str, **facts: object) -> None:
        click.echo(json.dumps({"event": event, **facts}), err=self._is_piped)

    def _clear(self) -> None:
        if self._has_line:
            click.echo(f"\r{'':70}\r", nl=False, err=True)
            self._has_line = False
