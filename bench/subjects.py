"""Every subject that can be asked for, and how it is measured and told."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bench import home, memory, start
from bench.contender import Contender
from bench.figures import Summary, summaries, table
from bench.floor import Floor
from bench.measurement import Measurement, Plan
from bench.offices import OurOffices, PostfixOffices
from bench.ours import Ours
from bench.peers.dovecot import CONFIGURATIONS, Dovecot
from bench.peers.postfix import Postfix
from bench.peers.unpacked import Courier, Cyrus
from bench.pullers import pullers
from bench.rows import SUBJECTS as SCENES
from bench.rows import Row, Scene, scenes
from bench.run import run_scene

SUBJECTS = (*SCENES[:-1], "home", "start", "memory", SCENES[-1])
"""In the order in which all of them are measured: the one that takes longest comes last."""


def contenders() -> list[Contender]:
    """Every server that can be measured, the floor first."""
    dovecots = [Dovecot(configuration) for configuration in reversed(CONFIGURATIONS)]
    ours = [Ours(), Ours("forgetful"), Ours("clear")]
    return [Floor(), *ours, *dovecots, Courier(), Cyrus(), Postfix("lmtp"), Postfix("virtual")]


def offices() -> list[Contender]:
    """Those that hand letters on."""
    return [OurOffices(), PostfixOffices()]


def fit(what: Scene, able: Sequence[Contender]) -> list[Contender]:
    """Those who do what the scene is about, and are not left out of it."""
    left_out = dict(what.without)
    return [one for one in able if _does(what, one) and one.name not in left_out]


def _does(what: Scene, contender: Contender) -> bool:
    if what.with_scram:
        return contender.does_logins
    if what.mode == "day":
        return contender.does_day
    return contender.does_pop3 if what.protocol == "pop3" else contender.does_smtp


def show(
    rows: Sequence[Row], measurements: Sequence[Measurement], accounts: int = 0, letters: int = 0
) -> list[Summary]:
    """Print the table of each row."""
    lines = summaries(measurements)
    for row in rows:
        words = row.what.format(accounts=accounts, letters=letters)
        print(f"\n{row.name}: {words}\n{table(row, [line for line in lines if line.row == row.name])}", flush=True)
    return lines


def measure(subject: str, able: Sequence[Contender], plan: Plan, *, quick: bool) -> list[Measurement]:
    """One subject, printed as it is measured. `able` are those that can run here."""
    special: dict[str, Callable[[], list[Measurement]]] = {
        "home": lambda: _home(plan, quick=quick),
        "start": lambda: _told(start.ROWS, start.measure(plan, able), plan, 10, 0),
        "memory": lambda: _memory(plan, quick=quick),
    }
    if subject in special:
        return special[subject]()
    everything: list[Measurement] = []
    for what in scenes(subject, quick=quick):
        those = [one for one in offices() if not one.absence()] if subject == "relay" else fit(what, able)
        measurements = list(run_scene(what, those, plan))
        plan.checksums.clear()
        everything += _told(what.rows, measurements, plan, what.accounts, what.letters)
    return everything


def _told(
    rows: Sequence[Row], measurements: list[Measurement], plan: Plan, accounts: int, letters: int
) -> list[Measurement]:
    plan.tell("")
    show(rows, measurements, accounts, letters)
    return measurements


def _home(plan: Plan, *, quick: bool) -> list[Measurement]:
    able = [one for one in pullers() if not one.absence()]
    return home.subject(plan, able, home.smaller(home.ROWS) if quick else home.ROWS)


def _memory(plan: Plan, *, quick: bool) -> list[Measurement]:
    octets = memory.size(plan.folder, 1_000_000 if quick else memory.OCTETS)
    return _told(memory.ROWS, memory.measure(plan, octets), plan, 0, memory.LETTERS)


def versions(able: Sequence[Contender]) -> dict[str, str]:
    """Of everybody who can take part in anything, by name."""
    programs = [one for one in pullers() if not one.absence()]
    relaying = [one for one in offices() if not one.absence()]
    found = {one.name: one.version() for one in programs} | {one.name: one.version() for one in (*able, *relaying)}
    return {"python": "python -c pass", **found}
