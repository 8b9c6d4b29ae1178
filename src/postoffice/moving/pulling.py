"""Taking letters in from a POP3 server that runs: a pull that leaves everything there.

The server's unique-ids become ours, and its order ours; a letter's date is that of its topmost Received field, else
of its Date, else now. What was pulled from the same maildrop before is passed over, so it goes on where it ended.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from postoffice.client.collect import Options, collect
from postoffice.client.url import Source
from postoffice.errors import StoreUnavailable
from postoffice.events import Fact, listen
from postoffice.message.printable import safe
from postoffice.moving import dates
from postoffice.moving.letters import Complaint
from postoffice.moving.taking import FLOOR_OCTETS, FULL, Report, Witness
from postoffice.store.base import Mailbox


async def pull_in(
    source: Source,
    mailbox: Mailbox,
    options: Options,
    witness: Witness,
    free_octets: Callable[[], Awaitable[int]] | None = None,
) -> Report:
    """Everything that the server has and the mailbox has not; what the report counts is durable.

    Raises what `collect` raises; a disk without room is a `StoreUnavailable`.
    """

    async def make_room(octets: int) -> None:
        if free_octets is not None and await free_octets() < FLOOR_OCTETS + octets:
            raise StoreUnavailable(FULL)

    hearing = _Hearing(source, witness)
    stop = listen(hearing.hear)
    try:
        pulled = await collect(
            source, mailbox, options._replace(dated=dates.date_of, make_room=make_room, needs_unique_ids=True)
        )
    finally:
        stop()
    hearing.report.total, hearing.report.known = pulled.listed, pulled.known
    return hearing.report


class _Hearing:
    """Makes a report, and complaints, of what a pull tells."""

    def __init__(self, source: Source, witness: Witness) -> None:
        self.report = Report()
        self._source = source
        self._witness = witness
        self._octets = 0

    def hear(self, name: str, facts: dict[str, Fact]) -> None:
        report = self.report
        match name:
            case "home.listed":
                report.total = int(facts["letters"] or 0)
                report.known = report.total - int(facts["new"] or 0)
            case "home.fetched":
                self._octets += int(facts["octets"] or 0)
            case "home.kept":
                report.letters += int(facts["letters"] or 0)
                report.octets = self._octets
                self._witness.progress(report)
            case "home.refused":
                report.lost += 1
                self._complain(facts, f"the server does not give it: {facts['said']}", loses=True)
            case "home.different":
                self._complain(facts, f"the server said {facts['announced']} octets and gave {facts['octets']}")
            case "home.renamed":
                report.renamed += 1
                self._complain(facts, "cannot be its unique-id here, or is another letter's; it gets a new one")
            case _:
                pass

    def _complain(self, facts: dict[str, Fact], what: str, *, loses: bool = False) -> None:
        where = f"{self._source.host}, {safe(str(facts['source_id']))}"
        self._witness.complain(Complaint(where, what, loses))
