"""A line to another host: one conversation by SMTP or LMTP that carries letters, one after the other.

It speaks TLS wherever that is offered (RFC 3207; nobody's certificate is believed or disbelieved, RFC 7435), sends
MAIL, RCPT and DATA in one go where the other side can take it (RFC 2920), and tells for each recipient what was said.
When a letter was taken the line is kept for a moment: a handshake costs more than a letter, and where one goes others
often follow. It knows nothing of routes, retries and notices.

By LMTP (RFC 2033) the conversation is the same but for its greeting, and for the end: there each recipient that was
accepted has a last word of his own, and is settled by it as soon as it is heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from postoffice.errors import Disconnected, ProtocolError
from postoffice.events import event
from postoffice.message.notice import Fate
from postoffice.net.dial import dial
from postoffice.net.dialogue import Dialogue
from postoffice.net.switchboard import Switchboard
from postoffice.net.tls import describe
from postoffice.protocols.smtp import commands
from postoffice.protocols.smtp.client import Greeting, SmtpClient
from postoffice.protocols.smtp.lmtp import LmtpClient
from postoffice.protocols.smtp.replies import Reply
from postoffice.protocols.smtp.table import State
from postoffice.store.base import Office
from postoffice.store.model import QueueItem
from postoffice.transfer.talk import Talk

if TYPE_CHECKING:
    import ssl

CONNECT_SECONDS: Final = 30.0
"""How long another office may take to accept a connection."""

REPLY_SECONDS: Final = 300.0
"""How long to a reply; RFC 5321 §4.5.3.2 asks for that much at the beginning of a conversation."""

FINAL_SECONDS: Final = 600.0
"""How long to the reply to the final dot (RFC 5321 §4.5.3.2.6)."""

KEPT_SECONDS: Final = 2.0
"""How long a line is kept for the next letter."""

LETTERS_OF_A_LINE: Final = 100
"""How many letters it carries at most; others want to be called too."""


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


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line leads: a host by its name, at one of its addresses, in SMTP or LMTP."""

    host: str
    address: tuple[str, int] | str
    machine: type[SmtpClient]


class Errand:
    """A letter that is given to a line, and what became of it. `over` when that is known; raises what failed here.

    `is_unsaid`: the line had been kept, and its other end was gone or took no more. The letter is not there.
    """

    __slots__ = ("is_unsaid", "item", "outcome", "over")

    def __init__(self, item: QueueItem, host: str) -> None:
        self.item = item
        self.outcome = Outcome(host)
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_unsaid = False

    def end(self, error: BaseException | None = None) -> None:
        if self.over.done():
            return
        if error is None:
            self.over.set_result(None)
        else:
            self.over.set_exception(error)


class Line:
    """One conversation. `on_free` hears that it is kept for the next letter, `on_end` that it is not any more."""

    def __init__(
        self,
        place: Place,
        host: str,
        office: Office,
        tls: ssl.SSLContext | None,
        *,
        on_free: Callable[[Line], None],
        on_end: Callable[[Line], None],
    ) -> None:
        self.place = place
        self.tls_failed = False
        self._host = host
        self._office = office
        self._context = tls
        self._on_free = on_free
        self._on_end = on_end
        self._carried = 0
        self._tls = ""
        self._next: asyncio.Future[Errand | None] | None = None

    async def hold(self, errand: Errand, switchboard: Switchboard) -> None:
        """From the call to the end of the conversation; every errand is over when this returns."""
        self._errand = errand
        try:
            await dial(
                self.place.address,
                self.place.machine(),
                self._converse,
                switchboard,
                connect_seconds=CONNECT_SECONDS,
            )
        except (Disconnected, ProtocolError) as problem:
            self._break_off(problem)
        except Exception as error:
            if self._errand.over.done():
                event("courier.failed", letter=self._errand.item.letter_id, host=self.place.host, because=repr(error))
            self._errand.end(error)
        finally:
            self._on_end(self)
            self._errand.end()

    def give(self, errand: Errand) -> None:
        """The next letter of a line that is kept."""
        assert self._next is not None
        self._errand = errand
        self._next.set_result(errand)

    def let_go(self) -> None:
        """Nobody has a letter for it any more."""
        if self._next is not None and not self._next.done():
            self._on_end(self)
            self._next.set_result(None)

    def _break_off(self, problem: Exception) -> None:
        errand = self._errand
        if errand.over.done():
            return
        outcome = errand.outcome
        errand.is_unsaid = self._carried > 0 and not outcome.is_conclusive
        outcome.last_reply = f"{self.place.host}: {problem}"
        if not errand.is_unsaid:
            event("courier.failed", letter=errand.item.letter_id, host=self.place.host, because=str(problem))

    async def _converse(self, dialogue: Dialogue[SmtpClient]) -> None:
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
            while self._may_go_on and await self._another():
                dialogue.patience = REPLY_SECONDS
                await self._transact()
        self._errand.end()
        await talk.leave()

    @property
    def _may_go_on(self) -> bool:
        """Whether all is as it was before the letter, which was taken."""
        is_at_rest = self._machine.state is State.READY and not self._machine.pending
        was_taken = bool(self._outcome.delivered) and not self._outcome.failed
        return is_at_rest and was_taken and not self._is_makeshift and self._carried < LETTERS_OF_A_LINE

    @property
    def _is_makeshift(self) -> bool:
        """Without TLS because that failed: the next letter tries again."""
        return self._context is None and not isinstance(self.place.address, str)

    async def _another(self) -> bool:
        """Wait for the next letter, for a moment."""
        loop = asyncio.get_running_loop()
        self._next = loop.create_future()
        timer = loop.call_later(KEPT_SECONDS, self.let_go)
        self._on_free(self)
        self._errand.end()
        try:
            return await self._next is not None
        finally:
            timer.cancel()
            self._next = None
            self._on_end(self)

    @property
    def _item(self) -> QueueItem:
        return self._errand.item

    @property
    def _outcome(self) -> Outcome:
        return self._errand.outcome

    async def _introduce(self) -> bool:
        reply = await self._talk.introduce(self._host.encode())
        self._note(reply)
        return reply.is_positive

    async def _secure(self) -> bool:
        """STARTTLS where it is offered; a refusal of it is no reason to keep the letter."""
        if "STARTTLS" not in self._machine.extensions or self._context is None:
            return True
        if not (await self._talk.ask(commands.STARTTLS)).is_positive:
            return True
        self.tls_failed = True
        await self._dialogue.start_tls(self._context)
        self._machine.begin_tls()
        self.tls_failed = False
        if self._dialogue.tls is not None:
            self._tls = describe(self._dialogue.tls)[0]
        return await self._introduce()

    async def _transact(self) -> None:
        """MAIL, RCPTs and DATA; in one flight where the other side offers PIPELINING."""
        item, extensions = self._item, self._machine.extensions
        self._outcome.tls = self._tls
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
            if self._carried and replies[0].is_temporary:
                self._errand.is_unsaid = True
                return None
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
        self._outcome.is_uncertain = False
        self._carried += 1
        return None

    async def _send_letter(self, somebody_takes_it: bool) -> None:
        """The content in wire form, piece by piece; nothing at all if every recipient was refused (RFC 2920 §3.1)."""
        index = 0
        while somebody_takes_it:
            piece = await self._office.read_item(self._item, index)
            self._dialogue.send(self._machine.data(piece.wire))
            await self._dialogue.flush()
            index += 1
            if not piece.more:
                break
        self._dialogue.send(self._machine.end_of_data())
        self._dialogue.patience = FINAL_SECONDS
        self._outcome.is_uncertain = somebody_takes_it

    # --- what was said

    def _settle(self, taken: list[str], final: Reply) -> None:
        """The last word about those that were accepted."""
        for recipient in taken:
            if final.is_positive:
                self._outcome.delivered.append(recipient)
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
            host = self._outcome.host
            told = "" if host.startswith("/") else host  # a path of this machine is nobody's business
            self._outcome.failed[recipient] = Fate(recipient, status, str(reply), told)

    def _note(self, reply: Reply) -> None:
        self._outcome.last_reply = f"{self._outcome.host}: {reply}"
