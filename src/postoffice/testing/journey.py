"""One letter's journey over the whole road, step by step, each step told when it was observed and never before.

What counts as observed: what a server tells in its log, what the DNS was asked, the replies that alice's program (the
standard library's, not ours) got, what bob's pull tells, processes that ended, doors where nobody answers, and the
octets themselves. A step that does not come in time is `StepMissing`.
"""

from __future__ import annotations

import asyncio
import smtplib
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import SMTP
from enum import IntEnum
from typing import cast

from postoffice import events
from postoffice.client.collect import Options, collect
from postoffice.client.rules import NOW
from postoffice.client.url import Source
from postoffice.errors import PostofficeError
from postoffice.events import Fact
from postoffice.message.header import fields
from postoffice.message.printable import safe
from postoffice.net.tls import client_context
from postoffice.protocols.dots import Unstuffer
from postoffice.store.embedded.mailbox import MailboxFile
from postoffice.testing.letter import write_letter
from postoffice.testing.road import ASKED, ENDED, Road, to_its_end
from postoffice.testing.watch import PATIENCE_SECONDS, NotSeen, Sighting, Watch

NOT_RELAYED = ("letter.failed", "letter.deferred", ENDED)


class Place(IntEnum):
    """The four places on the road, in the letter's order."""

    ALICE = 0
    A = 1
    B = 2
    BOB = 3


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was observed, at one place or at several, or (`is_way`) on the way from the first place to the
    second. `at` is in seconds since the epoch."""

    name: str
    at: float
    places: tuple[Place, ...]
    says: str
    facts: Mapping[str, Fact] = field(default_factory=dict)
    is_way: bool = False


class StepMissing(PostofficeError):
    """The step `name` was not observed; `log` is what was told instead."""

    def __init__(self, name: str, because: str, log: tuple[str, ...]) -> None:
        super().__init__(f"the step {name!r} was not observed: {because}")
        self.name = name
        self.log = log


class Journey:
    """Alice's letter to bob on an open road. `is_taken`: bob's pull removes it from his office."""

    def __init__(self, road: Road, *, is_taken: bool = True) -> None:
        self._road = road
        self._is_taken = is_taken
        self._smtp: smtplib.SMTP | None = None
        self._home = Watch("bob's machine")
        self._file = road.folder / "bob.mailbox"

    async def travel(self) -> AsyncIterator[Step]:
        """From the opening of the offices to the letter in bob's file."""
        stop = events.listen(lambda name, facts: self._home.tell(Sighting(name, time.time(), dict(facts))))
        try:
            async for step in self._walk(_ON_THE_ROAD):
                yield step
        finally:
            stop()
            if self._smtp is not None:
                self._smtp.close()

    async def arrive(self) -> AsyncIterator[Step]:
        """Everything is switched off, and the letter is read."""
        async for step in self._walk(_AT_HOME):
            yield step

    async def _walk(self, steps: Mapping[str, Callable[[Journey], Awaitable[Step]]]) -> AsyncIterator[Step]:
        for name, observe in steps.items():
            try:
                step = await observe(self)
            except NotSeen as problem:
                raise StepMissing(name, str(problem), problem.log) from problem
            except (PostofficeError, smtplib.SMTPException, OSError) as problem:
                log = tuple(line for office in self._road.offices for line in office.watch.log)
                raise StepMissing(name, f"{type(problem).__name__}: {problem}", log) from problem
            assert step.name == name
            yield step

    # --- written and submitted

    async def _opened(self) -> Step:
        a, b = [await office.ready() for office in self._road.offices]
        ports = {f"{one.domain} {door}": port for one in self._road.offices for door, port in one.ports.items()}
        return Step("opened", max(a.at, b.at), (Place.A, Place.B), "both offices open their doors", ports)

    async def _written(self) -> Step:
        a, b = (office.person.address for office in self._road.offices)
        self._letter = letter = write_letter(a, b, time.time())
        says = f"alice writes to {b}, {len(letter.octets)} octets with a picture (PNG) of {len(letter.picture)}"
        return Step("written", time.time(), (Place.ALICE,), says, {"octets": len(letter.octets)})

    async def _admitted(self) -> Step:
        tls = await to_its_end(asyncio.to_thread(self._log_in))
        says = f"her program: STARTTLS ({tls}), a certificate she trusts, AUTH PLAIN"
        return Step("admitted", time.time(), (Place.ALICE, Place.A), says, {"tls": tls}, is_way=True)

    def _log_in(self) -> str:
        """In a thread: smtplib waits."""
        a = self._road.a
        context = ssl.create_default_context(cafile=self._road.ca)
        self._smtp = smtp = smtplib.SMTP("127.0.0.1", a.ports["submission"], "[127.0.0.1]", PATIENCE_SECONDS)
        _expect(220, smtp.starttls(context=context))
        smtp.ehlo_or_helo_if_needed()
        smtp.user, smtp.password = a.person.address, a.person.password
        _expect(235, smtp.auth("PLAIN", smtp.auth_plain))
        return str(cast(ssl.SSLSocket, smtp.sock).version())

    async def _queued(self) -> Step:
        reply = await to_its_end(asyncio.to_thread(self._submit))
        kept = await self._road.a.watch.first("letter.accepted", unless=(ENDED,), sender=self._letter.sender, remote=1)
        self._letter_id = str(kept.facts["letter"])
        says = f"submitted: it is safe in the queue of {self._road.a.domain}, which says 250"
        facts = {"letter": self._letter_id, "reply": reply}
        return Step("queued", kept.at, (Place.ALICE, Place.A), says, facts, is_way=True)

    def _submit(self) -> str:
        smtp = self._smtp
        assert smtp is not None
        _expect(250, smtp.mail(self._letter.sender))
        _expect(250, smtp.rcpt(self._letter.recipient))
        reply = _expect(250, smtp.data(self._letter.octets))
        smtp.quit()
        return f"250 {reply}"

    # --- relayed

    async def _asked(self) -> Step:
        a, domain = self._road.a.watch, self._road.b.domain
        answer = await a.first("dns.mail_hosts", unless=NOT_RELAYED, domain=domain)
        question = await self._road.dns.watch.first(ASKED, name=domain, type="MX")
        hosts = str(answer.facts["hosts"])
        says = f"asks the DNS for the MX of {domain}: {hosts}"
        return Step("asked", question.at, (Place.A,), says, {"domain": domain, "hosts": hosts})

    async def _accepted(self) -> Step:
        await self._told_relayed()
        b = self._road.b
        kept = await b.watch.first("letter.accepted", sender=self._letter.sender, local=1)
        facts = {name: kept.facts[name] for name in ("letter", "octets")}
        says = f"relayed: {b.domain} has taken the letter and says 250"
        return Step("accepted", kept.at, (Place.A, Place.B), says, facts, is_way=True)

    async def _delivered(self) -> Step:
        account = self._road.b.person.address
        there = await self._road.b.watch.first("letter.delivered", account=account)
        says = f"it is in the mailbox of {account}"
        return Step("delivered", there.at, (Place.B,), says, {"account": account})

    async def _relayed(self) -> Step:
        relayed = await self._told_relayed()
        tls = str(relayed.facts["tls"])
        if not tls.startswith("TLS"):
            raise NotSeen(f"the letter was relayed without TLS ({tls!r})", tuple(self._road.a.watch.log))
        says = f"heard that 250, all over STARTTLS ({tls}): the letter leaves the queue"
        return Step("relayed", relayed.at, (Place.A,), says, {"letter": self._letter_id, "tls": tls})

    async def _told_relayed(self) -> Sighting:
        return await self._road.a.watch.first("letter.relayed", unless=NOT_RELAYED, letter=self._letter_id)

    # --- pulled

    async def _pulled(self) -> Step:
        b = self._road.b
        source = Source("127.0.0.1", b.ports["pop3s"], b.person.address, implicit_tls=True)
        options = Options(
            b.person.password,
            client_context(self._road.ca),
            rules=(NOW,) if self._is_taken else (),
            patience_seconds=PATIENCE_SECONDS,
        )
        mailbox = MailboxFile.open(self._file, create=True)
        try:
            report = await collect(source, mailbox, options)
        finally:
            await mailbox.close()
        tls = (await self._home.first("home.connected", seconds=0)).facts["tls"]
        kept = await self._home.first("home.kept", seconds=0, letters=1)
        says = f"pulled by POP3 over TLS ({tls}): {report.octets} octets, safe in bob's file"
        facts: dict[str, Fact] = {"octets": report.octets, "tls": tls}
        return Step("pulled", kept.at, (Place.B, Place.BOB), says, facts, is_way=True)

    async def _parted(self) -> Step:
        b, removed = self._road.b, int(self._is_taken)
        closed = await b.watch.first(
            "pop3.closed", unless=(ENDED,), account=b.person.address, end="quit", retrieved=1, removed=removed
        )
        says = "bob said DELE and QUIT: no copy stays here" if removed else "bob said QUIT: a copy stays here"
        return Step("parted", closed.at, (Place.B,), says, {"end": "quit", "removed": removed})

    # --- read

    async def _stopped(self) -> Step:
        offices = self._road.offices
        ended = await asyncio.gather(*(office.close() for office in offices))
        for office, end in zip(offices, ended, strict=True):
            if end.facts["status"] != 0:
                raise NotSeen(f"{office.host} ended with status {end.facts['status']}", tuple(office.watch.log))
            if office.answers():
                raise NotSeen(f"somebody still answers at {office.host}", tuple(office.watch.log))
        says = "both offices are closed: nobody answers at any door"
        return Step("stopped", max(end.at for end in ended), (Place.A, Place.B), says, {"processes": 0})

    async def _read(self) -> Step:
        self._octets = await self._read_file()
        message = message_from_bytes(self._octets, policy=SMTP)
        subject = safe(str(message["Subject"]))
        pictures = [part.get_payload(decode=True) for part in message.iter_attachments()]
        if pictures != [self._letter.picture]:
            raise NotSeen("the letter in bob's file does not have alice's picture", ())
        says = f"bob reads: “{subject}”, with the picture"
        return Step("read", time.time(), (Place.BOB,), says, {"subject": subject})

    async def _read_file(self) -> bytes:
        """The one letter of the file, opened again."""
        mailbox = MailboxFile.open(self._file)
        try:
            keys = list((await mailbox.snapshot()).keys)
            if len(keys) != 1:
                raise NotSeen(f"bob's file has {len(keys)} letters", ())
            unstuffer, plain, index, more = Unstuffer(), [], 0, True
            while more:
                [piece] = await mailbox.read(keys, index)
                if piece is None:
                    raise NotSeen("the letter in bob's file has no octets", ())
                plain.append(unstuffer.feed(piece.wire))
                index, more = index + 1, piece.more
            return b"".join(plain)
        finally:
            await mailbox.close()

    async def _unchanged(self) -> Step:
        written = self._letter.octets
        if not self._octets.endswith(written):
            raise NotSeen("the letter in bob's file does not end with the octets that alice wrote", ())
        above = self._octets.removesuffix(written)
        trace = check_trace(above, self._letter.sender, [office.host for office in reversed(self._road.offices)])
        says = f"it ends with exactly alice's {len(written)} octets; above them only {', '.join(trace)}"
        facts: dict[str, Fact] = {
            "octets": len(written),
            "trace_octets": len(above),
            "trace": ", ".join(trace),
        }
        return Step("unchanged", time.time(), (Place.BOB,), says, facts)


_ON_THE_ROAD: Mapping[str, Callable[[Journey], Awaitable[Step]]] = {
    "opened": Journey._opened,
    "written": Journey._written,
    "admitted": Journey._admitted,
    "queued": Journey._queued,
    "asked": Journey._asked,
    "accepted": Journey._accepted,
    "delivered": Journey._delivered,
    "relayed": Journey._relayed,
    "pulled": Journey._pulled,
    "parted": Journey._parted,
}
_AT_HOME: Mapping[str, Callable[[Journey], Awaitable[Step]]] = {
    "stopped": Journey._stopped,
    "read": Journey._read,
    "unchanged": Journey._unchanged,
}
STEPS = (*_ON_THE_ROAD, *_AT_HOME)
"""The name of every step, in the order in which one causes the next."""


def check_trace(above: bytes, sender: str, hosts: list[str]) -> list[str]:
    """That these octets are a Return-Path of `sender`, one Received of each host, last first, and nothing else.

    Gives each as a few words. Raises NotSeen.
    """
    found = list(fields(above))
    if b"".join(name + b":" + value + b"\r\n" for name, value in found) != above:
        raise NotSeen("what stands above the letter is not made of fields", ())
    expected = [("Return-Path", f"<{sender}>"), *(("Received", f"by {host}") for host in hosts)]
    words = []
    for one, (name, mark) in zip(found, expected, strict=False):
        text = " ".join(one.value.decode().split())
        if one.name.decode() != name or f" {mark} " not in f" {text} ":
            raise NotSeen(f"above the letter stands {one.name.decode()}: {text}, not {name} with {mark}", ())
        words.append(f"{name} {mark}")
    if len(found) != len(expected):
        raise NotSeen(f"{len(found)} fields stand above the letter, not {len(expected)}", ())
    return words


def _expect(code: int, reply: tuple[int, bytes]) -> str:
    """The text of a reply that must have this code."""
    text = reply[1].decode(errors="replace")
    if reply[0] != code:
        raise smtplib.SMTPResponseException(reply[0], text)
    return text
