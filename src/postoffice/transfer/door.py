"""What is the same at every SMTP door: the conversation in which a letter is taken (RFC 5321 §3.3).

    EHLO ─▶ (STARTTLS) ─▶ (AUTH) ─▶ MAIL ─▶ RCPT ... ─▶ DATA ─▶ content ─▶ intake ✍ 1 ─▶ 250

Whom a door lets in and whose letters it takes is a `Policy`: `mx`, `submission` and `lmtp` have one each. The content
is streamed into a stage as it comes, never whole in memory, with no lock held while the sender is slow.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, Protocol

from postoffice import counts
from postoffice.accounts import attempts
from postoffice.accounts.channel import channel_of
from postoffice.accounts.guard import is_failed_login
from postoffice.accounts.login import LOGIN_PATIENCES, Login
from postoffice.counts import SESSIONS_FAMILY, Commands, Outcome, gauge
from postoffice.errors import Disconnected, Draining, PatienceLost, Refusal, StoreError, temporary
from postoffice.events import event
from postoffice.message.address import Address, parse_forward_path, parse_reverse_path
from postoffice.message.envelope import Envelope
from postoffice.message.received import Hop
from postoffice.net.dialogue import Dialogue
from postoffice.net.switchboard import Switchboard
from postoffice.net.tls import describe
from postoffice.protocols.lines import NEED_DATA
from postoffice.protocols.sasl import server as sasl
from postoffice.protocols.sasl.server import Channel
from postoffice.protocols.smtp import replies
from postoffice.protocols.smtp.commands import Command, Invalid
from postoffice.protocols.smtp.replies import Reply
from postoffice.protocols.smtp.server import Chunk, Response, SmtpServer
from postoffice.protocols.smtp.table import Keyword, State
from postoffice.store.base import Stage
from postoffice.store.model import Account, Staged
from postoffice.transfer.intake import Intake, Recipient

PORTS = frozenset({465, 587})
"""What a client may believe to speak to, wherever a router leads it."""
BAD_COMMANDS = 20
ROOM_CHECK_OCTETS = 16 * 1024 * 1024

_DOORS = ("smtp", "submission", "submissions", "lmtp", "sendmail")
_OPEN = {name: gauge(SESSIONS_FAMILY, "Sessions open now.", door=name) for name in _DOORS}

_CLOSED: Final = State.CLOSED
_IDLE = Reply(421, ("Silent for too long, closing",), "4.4.2")
_NO_LOGIN = Reply(421, ("No login for too long, closing",), "4.4.2")
_CLOSING = Reply(421, ("This office is closing, come back",), "4.3.2")
_TOO_MANY = Reply(421, ("Too many connections, try again later",), "4.7.0")
_TOO_MANY_LOGINS = Reply(421, ("Too many failed logins, closing",), "4.7.0")
_TOO_MANY_ERRORS = Reply(421, ("Too many errors, closing",), "4.7.0")


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """`patience_seconds` is the silence that ends a session (RFC 5321 §4.5.3.2.7 asks for 300). Where people log in,
    they may take `LOGIN_PATIENCES` times as long for that."""

    patience_seconds: float = 300.0
    max_recipients: int = 1000


class Policy(Protocol):
    """Whom a door lets in. Says no by a Refusal."""

    name: str
    offers_login: bool

    async def sender(self, account: Account | None, path: Address | None) -> None:
        """May this client send letters with this reverse path?"""

    async def recipient(self, account: Account | None, recipient: Recipient) -> None:
        """May it send letters to this recipient?"""


def counted_commands(protocol: str) -> Commands[Keyword | None]:
    """The commands of SMTP, or of LMTP by the same names; None is what is no command."""
    names: dict[Keyword | None, str] = {word: word.name for word in Keyword}
    return Commands(protocol, names | {None: "invalid"})


class SmtpDoor:
    """Answers connections. One per process and port."""

    commands = counted_commands("smtp")

    def __init__(
        self,
        policy: Policy,
        intake: Intake,
        login: Login,
        switchboard: Switchboard,
        *,
        tls: ssl.SSLContext | None = None,
        settings: SmtpSettings | None = None,
    ) -> None:
        self.policy = policy
        self.intake = intake
        self.login = login
        self.tls = tls
        self.settings = settings or SmtpSettings()
        self._switchboard = switchboard

    @property
    def host(self) -> str:
        """What the door calls itself."""
        return self.intake.host

    async def recipient(self, address: Address) -> Recipient:
        """Who takes letters for an address."""
        return await self.intake.recipient(address)

    def __call__(self) -> Dialogue[SmtpServer]:
        return Dialogue(self._machine(), self._converse, self._switchboard)

    def _machine(self) -> SmtpServer:
        return SmtpServer()

    def _session(self, dialogue: Dialogue[SmtpServer]) -> Session:
        return Session(self, dialogue)

    def _converse(self, dialogue: Dialogue[SmtpServer]) -> Coroutine[Any, Any, None]:
        return _turn_away(dialogue) if dialogue.limit is not None else self._session(dialogue).talk()


async def _turn_away(dialogue: Dialogue[SmtpServer]) -> None:
    """There is no room for him."""
    dialogue.send(dialogue.machine.hang_up(_TOO_MANY))


class Session:
    """One conversation. A transaction is `_path`, `_recipients` and what MAIL declared."""

    __slots__ = (
        "_accepted",
        "_account",
        "_bad",
        "_credential",
        "_declared",
        "_dialogue",
        "_door",
        "_ending",
        "_failures",
        "_is_8bit",
        "_machine",
        "_mechanism",
        "_path",
        "_recipients",
        "_served",
        "_tries",
        "_unknown_from",
        "_utf8",
    )

    def __init__(self, door: SmtpDoor, dialogue: Dialogue[SmtpServer]) -> None:
        self._door = door
        self._dialogue = dialogue
        self._machine = dialogue.machine
        self._account: Account | None = None
        self._credential: str | None = None
        self._unknown_from = 0.0
        self._bad = self._failures = 0
        self._accepted = self._served = 0
        self._mechanism = ""
        self._tries = False
        self._ending = "lost"
        self._forget()

    def _forget(self) -> None:
        """No transaction."""
        self._path: Address | None = None
        self._recipients: list[Recipient] = []
        self._declared: int | None = None
        self._utf8 = self._is_8bit = False

    async def talk(self) -> None:
        dialogue, machine = self._dialogue, self._machine
        has_login = self._door.policy.offers_login
        dialogue.patience = self._door.settings.patience_seconds
        machine.is_encrypted = dialogue.is_encrypted
        counts.sheet[_OPEN[self._door.policy.name]] += 1
        dialogue.send(machine.greet(self._door.host))
        try:
            while machine.state is not _CLOSED:
                received = machine.next_command()
                if has_login and self._is_late(received):
                    self._ending = "no login"
                    dialogue.send(machine.hang_up(_NO_LOGIN))
                elif isinstance(received, Command):
                    begun = perf_counter()
                    try:
                        answering = _ANSWERS[received.keyword](self, received)
                        if answering is not None:
                            await answering
                    except Exception as problem:
                        self._excuse(received, problem)
                    self._door.commands.add(received.keyword, machine.outcome, perf_counter() - begun)
                    if self._tries:
                        self._tries = False
                        attempts.count_attempt(self._mechanism, machine.outcome)
                elif isinstance(received, Invalid):
                    if not self._scold(received):
                        self._ending = "too many errors"
                        break
                else:
                    await dialogue.more()
                if dialogue.is_full:
                    await dialogue.flush()
            await dialogue.flush()
        except PatienceLost:
            self._ending = "idle"
            dialogue.send(machine.hang_up(_IDLE))
            raise
        except Draining:
            self._ending = "drained"
            dialogue.send(machine.hang_up(_CLOSING))
            raise
        finally:
            counts.sheet[_OPEN[self._door.policy.name]] -= 1
            self._leave()

    def _leave(self) -> None:
        """One line tells of the session."""
        dialogue = self._dialogue
        cipher = describe(dialogue.tls)[1] if dialogue.tls else ""
        event(
            "smtp.closed",
            door=self._door.policy.name,
            account=self._account.address if self._account else None,
            credential=self._credential,
            mechanism=self._mechanism,
            peer=dialogue.peer[0],
            client=self._machine.client_name.decode("ascii", "backslashreplace"),
            tls=dialogue.tls_version,
            cipher=cipher,
            accepted=self._accepted,
            recipients=self._served,
            octets_in=dialogue.octets_in,
            octets_out=dialogue.octets_out,
            seconds=round(dialogue.seconds, 3),
            end=self._ending,
        )

    def _is_late(self, received: object) -> bool:
        """Whether somebody who has not logged in has spoken for long enough at a door where he must. QUIT may come."""
        if self._account is not None:
            return False
        if self._dialogue.seconds - self._unknown_from <= LOGIN_PATIENCES * self._door.settings.patience_seconds:
            return False
        if isinstance(received, Command):
            return received.keyword is not Keyword.QUIT
        return isinstance(received, Invalid)

    # --- commands

    def _excuse(self, command: Command, problem: Exception) -> None:
        """Answer a command that failed: what is not known is temporary. Raises what ends the session."""
        match problem:
            case Refusal():
                self._tell(command, problem)
                self._say(replies.from_refusal(problem))
                self._tire_of(problem)
            case Disconnected():
                raise problem
            case StoreError():
                event("smtp.failed", command=command.keyword.name, peer=self._dialogue.peer[0], error=str(problem))
                self._say(replies.from_refusal(temporary(str(problem))))
            case _:
                self._ending = "bug"
                self._say(replies.from_refusal(temporary(str(problem))))
                raise problem

    def _tell(self, command: Command, refusal: Refusal) -> None:
        """Who was refused what, and why: what a sender asks about, and what a guard against guessers reads."""
        has_path = command.keyword in (Keyword.MAIL, Keyword.RCPT)
        event(
            "smtp.refused",
            door=self._door.policy.name,
            peer=self._dialogue.peer[0],
            account=self._account.address if self._account else None,
            command=command.keyword.name,
            path=command.path.decode("utf-8", "backslashreplace") if has_path else None,
            reply=str(refusal),
        )

    def _scold(self, invalid: Invalid) -> bool:
        """The reply to what is no command; False when there were too many of them."""
        self._bad += 1
        self._door.commands.add(None, Outcome.REFUSED, 0.0)
        if self._bad >= BAD_COMMANDS:
            self._dialogue.send(self._machine.hang_up(_TOO_MANY_ERRORS))
            return False
        self._dialogue.send(self._machine.reject(invalid))
        return True

    def _tire_of(self, refusal: Refusal) -> None:
        """A few failed logins end the connection."""
        self._failures += is_failed_login(refusal)
        if self._failures >= self._door.login.guard.settings.login_tries:
            self._dialogue.send(self._machine.hang_up(_TOO_MANY_LOGINS))

    def _say(self, reply: Reply) -> None:
        self._dialogue.send(self._machine.reply(reply))

    async def _hello(self, _: Command) -> None:
        self._forget()
        limit = self._door.intake.settings.max_octets
        capabilities = [
            "PIPELINING",
            f"SIZE {limit}" if limit else "SIZE",
            "8BITMIME",
            "SMTPUTF8",
            "ENHANCEDSTATUSCODES",
        ]
        if self._door.tls is not None and not self._dialogue.is_encrypted:
            capabilities.append("STARTTLS")
        if self._door.policy.offers_login and self._is_private and self._account is None:
            mechanisms = await self._door.login.mechanisms(self._channel)
            capabilities.append("AUTH " + b" ".join(mechanisms).decode())
        self._dialogue.send(self._machine.hello(self._door.host, capabilities))

    async def _starttls(self, _: Command) -> None:
        if self._door.tls is None:
            raise Refusal(permanent=True, status="5.1", public="No TLS here")
        if self._machine.unread_octets:
            self._dialogue.send(self._machine.hang_up(Reply(421, ("Nothing may follow STARTTLS before TLS",), "4.7.0")))
            return
        self._say(Reply(220, ("Begin TLS",), "2.0.0"))
        await self._dialogue.start_tls(self._door.tls)
        self._machine.begin_tls()
        if self._account is not None:
            self._unknown_from = self._dialogue.seconds
        self._account = self._credential = None
        self._forget()

    async def _auth(self, command: Command) -> None:
        if not self._door.policy.offers_login:
            raise Refusal(permanent=True, status="5.1", public="No AUTH at this door")
        if not self._is_private:
            raise Refusal(permanent=True, status="7.11", public="TLS first: passwords are not taken in clear")
        exchange = await self._door.login.begin(command.mechanism, command.initial, self._channel)
        if exchange is None:
            self._say(Reply(504, ("No such mechanism here",), "5.5.4"))
            return
        self._mechanism, self._tries = command.mechanism.decode(), True
        try:
            outcome = await self._door.login.by_exchange(exchange, self._ask, self._dialogue.peer[0])
        except _NoResponse as problem:
            self._dialogue.send(self._machine.reject(problem.invalid))
            return
        if isinstance(outcome, sasl.Failed):
            self._say(replies.from_failed(outcome))
            return
        await self._door.login.bylaws.admit(outcome.account, "submission", self._dialogue.peer[0])
        self._account, self._credential, _ = outcome
        self._say(Reply(235, ("Welcome",), "2.7.0"))

    async def _ask(self, challenge: bytes) -> bytes:
        self._dialogue.send(self._machine.challenge(challenge))
        while (response := self._machine.next_command()) is NEED_DATA:
            await self._dialogue.more()
        if isinstance(response, Invalid):
            raise _NoResponse(response)
        assert isinstance(response, Response)
        return response.encoded

    async def _mail(self, command: Command) -> None:
        self._forget()
        utf8 = "SMTPUTF8" in command.parameters
        path, _ = parse_reverse_path(command.path, utf8=utf8)
        await self._door.policy.sender(self._account, path)
        size = command.parameters.get("SIZE")
        await self._door.intake.check_room(int(size) if size else 0)
        self._path = path
        self._utf8 = utf8
        self._declared = int(size) if size else None
        self._is_8bit = (command.parameters.get("BODY") or "").upper() == "8BITMIME"
        self._dialogue.send(self._machine.ok("Sender is fine", "2.1.0"))

    async def _rcpt(self, command: Command) -> None:
        if len(self._recipients) >= self._door.settings.max_recipients:
            raise Refusal(permanent=False, status="5.3", public="Too many recipients in one go")
        address, _ = parse_forward_path(command.path, utf8=self._utf8)
        recipient = await self._door.recipient(address)
        await self._door.policy.recipient(self._account, recipient)
        if recipient.has_quota:
            await self._door.intake.check_quota(recipient, self._declared or 0)
        self._recipients.append(recipient)
        self._dialogue.send(self._machine.ok("Recipient is fine", "2.1.5"))

    async def _data(self, _: Command) -> None:
        recipients, envelope = tuple(self._recipients), self._envelope
        stage = await self._door.intake.stage()
        self._dialogue.send(self._machine.begin_data())
        self._dialogue.is_amid = True
        try:
            staged = await self._receive(stage)
        except BaseException:
            await stage.abandon()
            raise
        finally:
            self._dialogue.is_amid = False
            self._forget()
        try:
            reply = await self._take(stage, staged, envelope, recipients)
        except Refusal:
            await stage.abandon()  # after any other failure it may have been accepted all the same
            raise
        self._dialogue.send(reply)

    async def _take(self, stage: Stage, staged: Staged, envelope: Envelope, recipients: tuple[Recipient, ...]) -> bytes:
        """✍ 1 The letter is ours; gives what to say then."""
        letter_id = await self._door.intake.accept(staged, envelope, recipients, self._hop)
        self._accepted += 1
        self._served += len(recipients)
        return self._machine.ok(f"Taken as {letter_id}", "2.0.0")

    async def _receive(self, stage: Stage) -> Staged:
        """The content, up to its end whatever happens: only then can anything be said about it."""
        problem: Exception | None = None
        octets = unchecked = 0
        limit = self._door.intake.settings.max_octets
        while True:
            part = self._machine.next_command()
            if isinstance(part, Chunk):
                # The dots that the protocol adds do not count (RFC 1870 §3); one in front of all is not seen here.
                octets += len(part.wire) - (part.wire.count(b"\r\n.") if limit else 0)
                unchecked += len(part.wire)
                try:
                    if limit and octets > limit + 1:
                        raise _too_large(limit)
                    if unchecked >= ROOM_CHECK_OCTETS:
                        await self._door.intake.check_room(octets)
                        unchecked = 0
                    await stage.write(part.wire)
                except (Refusal, StoreError) as error:
                    problem = error
                    self._machine.refuse_data()
            elif part is NEED_DATA:
                await self._dialogue.more()
            else:
                break
        if problem is not None:
            raise problem
        staged = await stage.finish()
        if limit and staged.content.octets > limit:
            raise _too_large(limit)
        return staged

    def _rset(self, _: Command) -> None:
        self._forget()
        self._dialogue.send(self._machine.ok("Forgotten"))

    def _noop(self, _: Command) -> None:
        self._dialogue.send(self._machine.ok("Nothing done"))

    def _vrfy(self, _: Command) -> None:
        self._say(Reply(252, ("We do not tell, but take letters",), "2.5.2"))

    def _quit(self, _: Command) -> None:
        self._ending = "quit"
        self._say(Reply(221, (f"{self._door.intake.host} says goodbye",), "2.0.0"))

    # --- facts

    @property
    def _is_private(self) -> bool:
        return self._dialogue.is_encrypted or self._door.login.may_speak_clearly(self._dialogue.peer[0])

    @property
    def _channel(self) -> Channel:
        return channel_of(self._dialogue, self._door.intake.host, PORTS)

    @property
    def _envelope(self) -> Envelope:
        addresses = tuple(recipient.address for recipient in self._recipients)
        return Envelope(self._path, addresses, self._utf8, self._is_8bit, self._declared)

    @property
    def _hop(self) -> Hop:
        return Hop(
            self._machine.client_name.decode("ascii", "replace"),
            self._dialogue.peer[0],
            self._door.intake.host,
            self._machine.is_extended,
            self._dialogue.is_encrypted,
            self._account is not None,
        )


class _NoResponse(Exception):
    """What came in the middle of an exchange is no response."""

    def __init__(self, invalid: Invalid) -> None:
        super().__init__(invalid)
        self.invalid = invalid


def _too_large(limit: int) -> Refusal:
    return Refusal(permanent=True, status="3.4", public=f"A letter may have {limit} octets here")


_ANSWERS: dict[Keyword, Callable[[Session, Command], Awaitable[None] | None]] = {
    Keyword.AUTH: Session._auth,
    Keyword.DATA: Session._data,
    Keyword.EHLO: Session._hello,
    Keyword.HELO: Session._hello,
    Keyword.LHLO: Session._hello,
    Keyword.MAIL: Session._mail,
    Keyword.NOOP: Session._noop,
    Keyword.QUIT: Session._quit,
    Keyword.RCPT: Session._rcpt,
    Keyword.RSET: Session._rset,
    Keyword.STARTTLS: Session._starttls,
    Keyword.VRFY: Session._vrfy,
}
