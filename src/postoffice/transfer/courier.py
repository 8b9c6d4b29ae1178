"""The courier carries one queue item to the hosts of its domain, by SMTP (RFC 5321 §3.3, §5.1) or LMTP.

It tries the hosts in their order and the addresses of each, by a line that is open already or by a new one (`line`). It
decides nothing about retries and notices.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from postoffice.errors import Refusal
from postoffice.message.notice import Fate
from postoffice.net.switchboard import Switchboard
from postoffice.net.tls import opportunistic_context
from postoffice.protocols.smtp.client import SmtpClient
from postoffice.protocols.smtp.lmtp import LmtpClient
from postoffice.store.base import Office
from postoffice.store.model import QueueItem
from postoffice.transfer.line import Errand, Line, Outcome, Place
from postoffice.transfer.route import Router


class Courier:
    """One per process."""

    def __init__(self, host: str, office: Office, router: Router, switchboard: Switchboard) -> None:
        self._host = host
        self._office = office
        self._router = router
        self._switchboard = switchboard
        self._tls = opportunistic_context()
        self._kept: defaultdict[Place, list[Line]] = defaultdict(list)
        self._held: dict[Line, asyncio.Task[None]] = {}
        self._is_closing = False

    def close(self) -> None:
        """Keep no line any longer for a next letter; what is carried now comes to its end."""
        self._is_closing = True
        for lines in tuple(self._kept.values()):
            for line in tuple(lines):
                line.let_go()

    async def carry(self, item: QueueItem) -> Outcome:
        """Bring a letter to the first host that takes a decision about it."""
        outcome = Outcome()
        try:
            hosts, port, is_lmtp = await self._router.way(item.domain)
        except Refusal as refusal:
            return _all(item, refusal, "")
        for host in hosts:
            try:
                addresses = await self._router.addresses(host)
            except Refusal as refusal:
                outcome.last_reply = str(refusal)
                continue
            for address in addresses:
                place = address if address.startswith("/") else (address, port)
                outcome = await self._visit(item, Place(host.name, place, LmtpClient if is_lmtp else SmtpClient))
                if outcome.is_conclusive:
                    return outcome
        return outcome

    async def _visit(self, item: QueueItem, place: Place) -> Outcome:
        """One host at one address. A TLS handshake that fails is followed by a try without."""
        while lines := self._kept.get(place):
            errand, line = Errand(item, place.host), lines.pop()
            line.give(errand)
            await self._over(errand, line)
            if not errand.is_unsaid:
                return errand.outcome
        errand, line = self._call(item, place, may_use_tls=not isinstance(place.address, str))
        await self._over(errand, line)
        if line.tls_failed:
            errand, line = self._call(item, place, may_use_tls=False)
            await self._over(errand, line)
        return errand.outcome

    def _call(self, item: QueueItem, place: Place, *, may_use_tls: bool) -> tuple[Errand, Line]:
        """A new line, with its first letter."""
        errand = Errand(item, place.host)
        line = Line(
            place,
            self._host,
            self._office,
            self._tls if may_use_tls else None,
            on_free=self._keep,
            on_end=self._forget,
        )
        task = asyncio.create_task(line.hold(errand, self._switchboard), name="line")
        self._held[line] = task
        task.add_done_callback(lambda _: self._held.pop(line, None))
        return errand, line

    async def _over(self, errand: Errand, line: Line) -> None:
        """Wait until it is known what became of a letter. Who is cancelled breaks its line off."""
        try:
            await errand.over
        except asyncio.CancelledError:
            if task := self._held.get(line):
                task.cancel()
                await asyncio.wait([task])
            raise

    def _keep(self, line: Line) -> None:
        if self._is_closing:
            line.let_go()
        else:
            self._kept[line.place].append(line)

    def _forget(self, line: Line) -> None:
        lines = self._kept.get(line.place, [])
        if line in lines:
            lines.remove(line)
        if not lines:
            self._kept.pop(line.place, None)


def _all(item: QueueItem, refusal: Refusal, host: str) -> Outcome:
    """The same refusal for every recipient."""
    outcome = Outcome(host, last_reply=str(refusal))
    if refusal.permanent:
        outcome.failed = {r: Fate(r, refusal.enhanced, str(refusal), host) for r in item.recipients}
    return outcome
