"""How `fetch` says what happens: a bar and a summary on a terminal, a summary elsewhere, or one JSON object a line.

What a server says reaches nobody's terminal as it is: JSON is written in ASCII, and all else is made safe.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import click

from postoffice.errors import PostofficeError, status_of
from postoffice.events import Fact, listen
from postoffice.message.printable import safe
from postoffice.quantities import counted

if TYPE_CHECKING:
    from postoffice.home.preview import Preview
    from postoffice.home.pulling import Outcome

NOT_TOLD = frozenset({"home.arriving", "home.closed"})
"""Events of pieces of letters, and of the ends of sessions: letters are told, and the end of a pull when it is over."""

MOST_TROUBLES = 20
OF_EACH_LETTER = frozenset({"home.arriving", "home.fetched"})
"""What is told so often that nobody looks whether it is trouble."""


class Telling(Protocol):
    """Hears what happens while it is listened, and is told how it ended; of an account, where there are several."""

    def hear(self, name: str, facts: dict[str, Fact]) -> None: ...

    def previewed(self, preview: Preview, account: str = "") -> None: ...

    def closed(self, outcome: Outcome, account: str = "") -> None: ...

    def failed(self, error: PostofficeError, account: str = "") -> None: ...

    def end(self) -> None: ...


@contextmanager
def telling(*, as_json: bool, verbose: bool, shows_bar: bool) -> Iterator[Telling]:
    """One that hears every event inside the `with`, and learns of the error that ends it."""
    if as_json:
        told: Telling = AsJson()
    elif shows_bar and not verbose and sys.stderr.isatty():
        from postoffice.cli.fetch_bar import WithBar

        told = WithBar()
    else:
        told = InWords(verbose=verbose)
    stop = listen(told.hear)
    try:
        yield told
    except PostofficeError as error:
        told.failed(error)
        raise
    finally:
        stop()
        told.end()


class InWords:
    """A summary; before it, if that is wanted, a line for each letter."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._troubles = 0

    def hear(self, name: str, facts: dict[str, Fact]) -> None:
        if name in OF_EACH_LETTER:
            if self._verbose and name == "home.fetched":
                click.echo(f"{safe(str(facts['source_id']))}  {facts['octets']} octets")
            return
        if name == "home.hook_failed":
            click.echo(f"postoffice: the hook: {facts['because']}", err=True)
        if (trouble := trouble_of(name, facts)) and self._troubles <= MOST_TROUBLES:
            self._troubles += 1
            is_last = self._troubles > MOST_TROUBLES
            click.echo(f"postoffice: {'and so on: --json tells all' if is_last else safe(trouble)}", err=True)

    def previewed(self, preview: Preview, account: str = "") -> None:
        if self._verbose:
            deleted = {item.number for item in preview.deleted}
            for what, items in (("fetch", preview.fetched), ("know", preview.known), ("look at", preview.doubtful)):
                for item in items:
                    also = ", delete" if item.number in deleted else ""
                    click.echo(f"{safe(item.unique_id)}  {item.octets} octets: {what}{also}")
        octets = sum(item.octets for item in preview.fetched)
        new = counted(len(preview.fetched), "letter")
        words = [f"would fetch {new}, {counted(octets, 'octet')}, already had {len(preview.known)}"]
        if preview.doubtful:
            words.append(f"{len(preview.doubtful)} may be new: their header or their octets would tell")
        if preview.deleted:
            words.append(f"would delete {len(preview.deleted)} from the server")
        click.echo((f"{safe(account)}: " if account else "") + "; ".join(words))

    def closed(self, outcome: Outcome, account: str = "") -> None:
        who = f"{safe(account)}: " if account else ""
        click.echo(f"{who}{summary(outcome)}")
        if refused := outcome.report.refused:
            some = counted(refused, "letter")
            click.echo(f"postoffice: {who}the server did not give {some}; try again", err=True)
        if staying := outcome.handed.staying:
            wait = "letter waits" if staying == 1 else "letters wait"
            click.echo(f"postoffice: {who}{staying} {wait} to be handed over; the next run tries again", err=True)
        for sentence in held(outcome):
            click.echo(f"postoffice: {who}{safe(sentence)}", err=True)

    def failed(self, error: PostofficeError, account: str = "") -> None:
        """Whoever ends the program says it, unless others go on."""
        if account:
            click.echo(f"postoffice: {safe(account)}: {error}", err=True)

    def end(self) -> None:
        """It leaves nothing on the terminal but lines."""


def trouble_of(name: str, facts: dict[str, Fact]) -> str:
    """Of a letter that goes nowhere, or perhaps a second time; empty for all else."""
    match name:
        case "handing.declined":
            return f"letter {facts['letter']} is not taken: {facts['because']}"
        case "handing.in_doubt":
            ends = "held; --doubtful again gives it" if facts["is_held"] else "given again"
            return f"letter {facts['letter']} may have been handed over by a run that died; it is {ends}"
        case "home.absent":
            return f"{facts['source_id']}: the server lists no letter of that unique-id"
        case "home.infected":
            return f"{facts['source_id']}: {facts['scanner']} found {facts['said']}; it is in {facts['folder']}"
        case "home.found":
            return f"letter {facts['letter']}: {facts['scanner']} found {facts['said']}; it is in Quarantine now"
        case "home.too_large":
            return f"{facts['source_id']}: too large for {facts['scanner']}: {facts['said']}"
        case "handing.failed":
            return f"letters wait to be handed over: {facts['because']}"
        case _:
            return ""


class AsJson:
    """`{"event": "fetched", "at": ..., ...}`: each event under its name, then `closed` or `failed` with the status."""

    def __init__(self) -> None:
        from postoffice.home.pulling import account_pulled

        self._account = account_pulled

    def hear(self, name: str, facts: dict[str, Fact]) -> None:
        if name not in NOT_TOLD:
            say(name.removeprefix("home.").removeprefix("handing."), **_of(self._account.get()) | facts)

    def previewed(self, preview: Preview, account: str = "") -> None:
        kinds = {
            "would_fetch": preview.fetched,
            "known": preview.known,
            "doubtful": preview.doubtful,
            "would_delete": preview.deleted,
        }
        for name, items in kinds.items():
            for item in items:
                say(name, **_of(account), source_id=item.source_id, octets=item.octets)
        say("previewed", **_of(account), status=0, **{name: len(items) for name, items in kinds.items()})

    def closed(self, outcome: Outcome, account: str = "") -> None:
        report, handed = outcome.report, outcome.handed
        facts = vars(report) | {f"handed_{name}": value for name, value in vars(handed).items()}
        if (waiting := outcome.scanned.waiting).unscanned or waiting.too_large:
            facts |= {"waiting_unscanned": waiting.unscanned, "waiting_too_large": waiting.too_large}
            facts |= {"scanner_trouble": outcome.scanned.trouble}
        say("closed", **_of(account), status=outcome.status, **facts)

    def failed(self, error: PostofficeError, account: str = "") -> None:
        say("failed", **_of(account), status=status_of(error), because=str(error))

    def end(self) -> None:
        """There is nothing to take away."""


def _of(account: str) -> dict[str, Fact]:
    return {"account": account} if account else {}


def say(name: str, **facts: object) -> None:
    import json

    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    click.echo(json.dumps({"event": name, "at": at, **facts}))


def held(outcome: Outcome) -> Iterator[str]:
    """What a person should know of letters that he does not see."""
    waiting = outcome.scanned.waiting
    if waiting.unscanned:
        wait = "letter waits" if waiting.unscanned == 1 else "letters wait"
        yield f"{waiting.unscanned} {wait} to be scanned: {outcome.scanned.trouble}"
    if waiting.too_large:
        shown = f"postoffice scan {outcome.scanned.file} --list"
        are = "letter is" if waiting.too_large == 1 else "letters are"
        yield f"{waiting.too_large} {are} held, too large to be scanned; {shown} shows them"


def summary(outcome: Outcome) -> str:
    """What came of a pull, and of handing over, in one line."""
    report, handed = outcome.report, outcome.handed
    came = counted(report.letters, "letter"), counted(report.octets, "octet")
    words = [f"{came[0]}, {came[1]}, already had {report.known}"]
    if report.deleted:
        words.append(f"{report.deleted} deleted from the server")
    if report.different:
        words.append(f"{report.different} of another size than the server had said")
    if report.relinked:
        words.append(f"{report.relinked} known under new unique-ids")
    if report.infected:
        words.append(f"{report.infected} infected and in quarantine")
    if report.held:
        words.append(f"{report.held} held unscanned")
    if seen := report.unscanned + report.too_large - report.held:
        words.append(f"{seen} not scanned")
    if released := outcome.scanned.held.released:
        words.append(f"{released} held before and seen now")
    if report.left:
        words.append(f"{report.left} left there (ls --there)")
    if handed.letters:
        words.append(f"{handed.letters} handed over")
    if handed.recognised:
        words.append(f"{handed.recognised} had been handed over before")
    if handed.doubtful:
        words.append(f"{handed.doubtful} in doubt {'and held' if handed.held else 'and given again'}")
    if handed.declined:
        words.append(f"{handed.declined} not taken")
    return "; ".join(words)
