"""The courier carries one queue item to the hosts of its domain, by SMTP (RFC 5321 §3.3, §5.1).

It tries the hosts in their order and the addresses of each, speaks TLS wherever that is offered (RFC 3207; nobody's
certificate is believed or disbelieved, RFC 7435), sends MAIL, RCPT and DATA in one go where the other side can take
it (RFC 2920), and tells for each recipient what was said. It decides nothing about retries and notices.

By LMTP (RFC 2033) the conversation is the same but for its greeting, and for the end: there each recipient that was
accepted has a last word of his own, and is settled by it as soon as it is heard.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from postoffice.errors import Disconnected, ProtocolError, Refusal
from postoffice.events import event
from postoffice.message.notice import Fate
from postoffice.net.dial import dial
from postoffice.net.dialogue import Dialogue
from postoffice.net.switchboard import Switchboard
from postoffice.net.tls import describe, opportunistic_context
from postoffice.protocols.smtp import commands
from postoffice.protocols.smtp.client import Greeting, SmtpClient
from postoffice.protocols.smtp.lmtp import LmtpClient
from postoffice.protocols.smtp.replies import Reply
from postoffice.store.base import Office
from postoffice.store.model import QueueItem
from postoffice.transfer.route import Router
from postoffice.transfer.talk import Talk

CONNECT_SECONDS: Final = 30.0
"""How long another office may take to accept a connection."""

REPLY_SECONDS: Final = 300.0
"""How long to a reply; RFC 5321 §4.5.3.2 asks for that much at the beginning of a conversation."""

FINAL_SECONDS: Final = 600.0
"""How long to the reply to the final dot (RFC 5321 §4.5.3.2.6)."""


@dataclass(slots=True)
class Outcome:
    """What became of each recipient; those in neither list may be tried again."""

    host: str = ""
    tls: str = ""
    last_reply: str = ""
    delivered: list[str] = field(default_factory=list)
    failed: dict[str, Fate] = field(default_factory=dict)

    is_uncertain: bool = False
    """The whole letter was there when the line broke: the host may have it."""

    @property
    def is_conclusive(self) -> bool:
        """Whether no other host is asked in this try: one has decided about a recipient, or may have the letter."""
        return bool(self.delivered or self.failed or self.is_uncertain)


class Courier:
    """One per process."""

    def __init__(self, host: str, office: Office, router: Router, switchboard: Switchboard) -> None:
        self._host = host
        self._office = office
        self._router = router
        self._switchboard = switchboard
        self._tls = opportunistic_context()

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
                outcome = await self._visit(item, host.name, place, LmtpClient if is_lmtp else SmtpClient)
                if outcome.is_conclusive:
                    return outcome
        return outcome

    async def _visit(
        self, item: QueueItem, host: str, address: tuple[str, int] | str, machine: type[SmtpClient]
    ) -> Outcome:
        """One host at one address. A TLS handshake that fails is followed by a try without."""
        for may_use_tls in (not isinstance(address, str), False):
            visit = _Visit(self, item, Outcome(host), may_use_tls=may_use_tls)
            try:
                await dial(address, machine(), visit.converse, self._switchboard, connect_seconds=CONNECT_SECONDS)
            except (Disconnected, ProtocolError) as problem:
                visit.outcome.last_reply = f"{host}: {problem}"
                event("courier.failed", letter=item.letter_id, host=host, because=str(problem))
                if visit.tls_failed:
                    continue
            return visit.outcome
        return visit.outcome


class _Visit:
    """One conversation."""

    def __init__(self, courier: Courier, item: QueueItem, outcome: Outcome, *, may_use_tls: bool) -> None:
        self.outcome = outcome
        self.tls_failed = False
        self._courier = courier
        self._item = item
        self._may_use_tls = may_use_tls

    async def converse(self, dialogue: Dialogue[SmtpClient]) -> None:
        self._dialogue = dialogue
        self._machine = dialogue.machine
        self._talk = talk = Talk(dialogue)
        dialogue.patience = REPLY_SECONDS
        greeting = await talk.hear()
        assert isinstance(greeting, Greeting)
        if not greeting.reply.is_positive:
            self._note(greeting.reply)
            return
        if await self._introduce() and await self._secure():
            await self._transact()
        await talk.leave()

    async def _introduce(self) -> bool:
        reply = await self._talk.introduce(self._courier._host.encode())
        self._note(reply)
        return reply.is_positive

    async def _secure(self) -> bool:
        """STARTTLS where it is offered; a refusal of it is no reason to keep the letter."""
        if "STARTTLS" not in self._machine.extensions or not self._may_use_tls:
            return True
        if not (await self._talk.ask(commands.STARTTLS)).is_positive:
            return True
        self.tls_failed = True
        await self._dialogue.start_tls(self._courier._tls)
        self._machine.begin_tls()
        self.tls_failed = False
        if self._dialogue.tls is not None:
            self.outcome.tls = describe(self._dialogue.tls)[0]
        return await self._introduce()

    async def _transact(self) -> None:
        """MAIL, RCPTs and DATA; in one flight where the other side offers PIPELINING."""
        item, extensions = self._item, self._machine.extensions
        if item.needs_smtputf8 and "SMTPUTF8" not in extensions:
            return self._conclude(Reply(553, ("the other side cannot take addresses outside ASCII",), "5.6.7"))
        parameters: dict[str, str | None] = {}
        if "SIZE" in extensions:
            parameters["SIZE"] = str(item.content.octets + len(item.prefix))
        if "8BITMIME" in extensions:
            parameters["BODY"] = "8BITMIME"
        if item.needs_smtputf8:
            parameters["SMTPUTF8"] = None
        envelope = [commands.mail(f"<{item.reverse_path}>".encode(), parameters)]
        envelope += [commands.rcpt(f"<{recipient}>".encode()) for recipient in item.recipients]
        if "PIPELINING" in extensions:
            for command in (*envelope, commands.DATA):
                self._talk.say(command)
            replies = [await self._talk.reply() for _ in range(len(envelope) + 1)]
        else:
            replies = [await self._talk.ask(envelope[0])]
            if replies[0].is_positive:
                replies += [await self._talk.ask(command) for command in envelope[1:]]
            if any(reply.is_positive for reply in replies[1:]):
                replies.append(await self._talk.ask(commands.DATA))
        return await self._content(replies)

    async def _content(self, replies: list[Reply]) -> None:
        """The letter itself, if anybody there takes it."""
        if not replies[0].is_positive:
            return self._conclude(replies[0])
        by_recipient = dict(zip(self._item.recipients, replies[1:], strict=False))
        for recipient, reply in by_recipient.items():
            if not reply.is_positive:
                self._refused(recipient, reply)
        taken = [recipient for recipient, reply in by_recipient.items() if reply.is_positive]
        go_ahead = replies[-1] if len(replies) > len(by_recipient) + 1 else None
        if go_ahead is None or not go_ahead.is_positive:
            for recipient in taken:
                self._refused(recipient, go_ahead or replies[-1])
            return None
        await self._send_letter(bool(taken))
        if isinstance(self._machine, LmtpClient):
            for recipient in taken:
                self._settle([recipient], await self._talk.reply())
        else:
            self._settle(taken, await self._talk.reply())
        self.outcome.is_uncertain = False
        return None

    async def _send_letter(self, somebody_takes_it: bool) -> None:
        """The content in wire form, piece by piece; nothing at all if every recipient was refused (RFC 2920 §3.1)."""
        index = 0
        while somebody_takes_it:
            piece = await self._courier._office.read_item(self._item, index)
            self._dialogue.send(self._machine.data(piece.wire))
            await self._dialogue.flush()
            index += 1
            if not piece.more:
                break
        self._dialogue.send(self._machine.end_of_data())
        self._dialogue.patience = FINAL_SECONDS
        self.outcome.is_uncertain = somebody_takes_it

    # --- what was said

    def _settle(self, taken: list[str], final: Reply) -> None:
        """The last word about those that were accepted."""
        for recipient in taken:
            if final.is_positive:
                self.outcome.delivered.append(recipient)
            else:
                self._refused(recipient, final)
        self._note(final)

    def _conclude(self, reply: Reply) -> None:
        for recipient in self._item.recipients:
            self._refused(recipient, reply)

    def _refused(self, recipient: str, reply: Reply) -> None:
        self._note(reply)
        if not reply.is_temporary:
            status = reply.enhanced or "5.0.0"
            host = self.outcome.host
            told = "" if host.startswith("/") else host  # a path of this machine is nobody's business
            self.outcome.failed[recipient] = Fate(recipient, status, str(reply), told)

    def _note(self, reply: Reply) -> None:
        self.outcome.last_reply = f"{self.outcome.host}: {reply}"


def _all(item: QueueItem, refusal: Refusal, host: str) -> Outcome:
    """The same refusal for every recipient."""
    outcome = Outcome(host, last_reply=str(refusal))
    if refusal.permanent:
        outcome.failed = {r: Fate(r, refusal.enhanced, str(refusal), host) for r in item.recipients}
    return outcome
