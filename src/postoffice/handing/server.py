"""Letters to a server, many on one connection: LMTP (RFC 2033), SMTP (RFC 5321), submission (RFC 6409).

The octets of a letter stay as they are: no field is put above it. Whose it was comes from its Return-Path, `<>` if it
has none, unless the person names a sender for all. A letter with line ends that DATA cannot carry (RFC 5321 §2.3.8) is
not offered. From the final dot to its answer the letter is in doubt, which the journal tells before.

TLS is used wherever it is offered, and the certificate looked at, but on this machine, where nobody listens: there it
is used if the person says whom to believe. Without TLS nothing goes over a network unless that is allowed.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from typing import Final

from postoffice.client.login import believed
from postoffice.errors import (
    Disconnected,
    LocalProtocolError,
    Refusal,
    Refused,
    RemoteProtocolError,
    UsageError,
)
from postoffice.handing.round import WORDS, Round
from postoffice.handing.stopping import finished
from postoffice.handing.target import ToServer
from postoffice.message import header
from postoffice.message.address import parse_reverse_path
from postoffice.message.content import HEAD_OCTETS
from postoffice.message.printable import safe
from postoffice.moving.giving import Given, GoneMeanwhile
from postoffice.net.dial import dial
from postoffice.net.dialogue import Dialogue
from postoffice.net.switchboard import Switchboard
from postoffice.protocols.dots import Stuffer
from postoffice.protocols.sasl import client as sasl
from postoffice.protocols.sasl.terms import Claim
from postoffice.protocols.smtp import commands
from postoffice.protocols.smtp.client import Answer, Greeting, SmtpClient
from postoffice.protocols.smtp.commands import Command
from postoffice.protocols.smtp.lmtp import LmtpClient
from postoffice.protocols.smtp.replies import Challenge, Reply
from postoffice.protocols.smtp.table import State
from postoffice.transfer.talk import Talk

REPLY_SECONDS: Final = 300.0
FINAL_SECONDS: Final = 600.0
"""RFC 5321 §4.5.3.2."""
CLOSE_SECONDS: Final = 2.0

_BARE: Final = re.compile(rb"(?<!\r)\n|\r(?!\n)")


class ServerHand:
    """A `Hand`."""

    def __init__(self, aim: ToServer) -> None:
        self._aim = aim

    def close(self) -> None:
        """Nothing: a connection is held for one round."""

    async def found(self, letters: Sequence[Given], length: int) -> frozenset[str] | None:
        return None

    async def take(self, round_: Round) -> None:
        aim = self._aim
        password = await asyncio.to_thread(aim.secret) if aim.user else ""
        visit = _Visit(aim, password, round_)
        switchboard = Switchboard()
        try:
            conversation = dial(
                aim.address,
                LmtpClient() if aim.is_lmtp else SmtpClient(is_encrypted=aim.implicit_tls),
                visit.converse,
                switchboard,
                tls=believed(aim.trust) if aim.implicit_tls else None,
                close_seconds=CLOSE_SECONDS,
            )
            await finished(conversation, visit.stop)
        except Disconnected as error:
            if isinstance(error.__cause__, ssl.SSLCertVerificationError) and not aim.trust.is_of_ones_own:
                sentence = f"{aim.host}: {error}; if you know better, say who vouches for it with ?ca= behind the URL"
                raise UsageError(sentence, os.EX_UNAVAILABLE) from error
            raise
        finally:
            await visit.ended()
            switchboard.close()


class _Visit:
    """One conversation."""

    def __init__(self, aim: ToServer, password: str, round_: Round) -> None:
        self._aim = aim
        self._password = password
        self._round = round_
        self._end: asyncio.Future[None] | None = None
        self._is_stopping = False

    def stop(self) -> None:
        """Behind the letter that is on its way."""
        self._is_stopping = True

    async def ended(self) -> None:
        """Wait for the end of the conversation, if it began: it finishes what it does to the spool."""
        if self._end is not None:
            await self._end

    async def converse(self, dialogue: Dialogue[SmtpClient]) -> None:
        self._end = asyncio.get_running_loop().create_future()
        self._dialogue, self._machine, self._talk = dialogue, dialogue.machine, Talk(dialogue)
        dialogue.patience = REPLY_SECONDS
        try:
            await self._arrive()
            async for [given] in self._round.flights(1):
                await self._offer(given)
                if self._is_stopping:
                    break
        except RemoteProtocolError as problem:
            raise RemoteProtocolError(f"{self._aim.host} broke the protocol: {problem}") from problem
        except (Refused, UsageError):
            await self._talk.leave()
            raise
        else:
            await self._talk.leave()
        finally:
            self._end.set_result(None)

    # --- the way in

    async def _arrive(self) -> None:
        """Greeting, TLS, login. Raises Refused, UsageError."""
        greeting = await self._talk.hear()
        assert isinstance(greeting, Greeting)
        if not greeting.reply.is_positive:
            raise self._refused("the conversation", greeting.reply)
        await self._introduce()
        if self._dialogue.tls is None:
            await self._secure()
        if self._aim.user:
            await self._log_in()

    async def _introduce(self) -> None:
        """Our name is our address: we have no other."""
        reply = await self._talk.introduce(_literal(self._dialogue.local[0]))
        if not reply.is_positive:
            raise self._refused("our greeting", reply)

    async def _secure(self) -> None:
        aim = self._aim
        if aim.is_on_this_machine and not aim.trust.is_of_ones_own:
            return
        if "STARTTLS" not in self._machine.extensions:
            if aim.trust.clear_text or aim.is_on_this_machine:
                return
            raise UsageError(
                f"{aim.host} offers no TLS, and letters do not go over a network without it: use smtps://, or allow it"
                " with ?clear-text behind the URL",
                os.EX_NOPERM,
            )
        reply = await self._talk.ask(commands.STARTTLS)
        if not reply.is_positive:
            raise self._refused("TLS", reply)
        await self._dialogue.start_tls(believed(aim.trust), aim.host)
        self._machine.begin_tls()
        await self._introduce()

    async def _log_in(self) -> None:
        aim = self._aim
        offered = self._machine.extensions.get("AUTH", "").upper().encode().split()
        claim = Claim("", aim.user, self._password)
        mechanism = sasl.choose(offered, claim, is_heard=self._dialogue.tls is None)
        if mechanism is None:
            raise UsageError(f"{aim.host} offers no login by a password", os.EX_UNAVAILABLE)
        try:
            exchange = sasl.begin(mechanism, claim)
        except LocalProtocolError as error:
            raise UsageError(str(error)) from error
        self._talk.say(commands.authenticate(mechanism, exchange.initial))
        while isinstance(heard := await self._talk.hear(), Challenge):
            self._dialogue.send(self._machine.respond(exchange.step(heard.encoded)))
        if not isinstance(heard, Answer):
            raise RemoteProtocolError(f"not an answer: {heard}")
        if not heard.reply.is_positive:
            raise self._refused(f"the login of {aim.user}", heard.reply, os.EX_NOPERM)
        if not exchange.is_satisfied:
            raise RemoteProtocolError("it did not show that it knows the password")

    # --- a letter

    async def _offer(self, given: Given) -> None:
        """MAIL, RCPT and DATA, in one go where the other side can take it (RFC 2920), and the letter."""
        try:
            if await _is_bare(given):
                because = "has a line end that is not CRLF, which SMTP cannot carry"
                self._round.declined(given, because, is_permanent=True)
                return
            envelope = self._envelope(given)
        except GoneMeanwhile:
            return
        except Refusal as refusal:
            self._round.declined(given, refusal.public, is_permanent=True)
            return
        replies = []
        if "PIPELINING" in self._machine.extensions:
            for command in envelope:
                self._talk.say(command)
            replies = [await self._talk.reply() for _ in envelope]
        else:
            for command in envelope:
                replies.append(await self._talk.ask(command))
                if not replies[-1].is_positive:
                    break
        refused = next((reply for reply in replies if not reply.is_positive), None)
        if refused is None:
            await self._bring(given)
        else:
            await self._withdraw(given, refused)

    def _envelope(self, given: Given) -> list[Command]:
        """Raises Refusal where this server cannot take the addresses."""
        extensions, sender = self._machine.extensions, self._sender(given)
        head = header.header_of(given.beginning[:HEAD_OCTETS])
        parameters: dict[str, str | None] = {}
        if "SIZE" in extensions:
            parameters["SIZE"] = str(given.entry.octets)
        if "8BITMIME" in extensions:
            parameters["BODY"] = "8BITMIME"
        if "SMTPUTF8" in extensions and not ((sender + self._aim.recipient).isascii() and not _is_utf8(head)):
            parameters["SMTPUTF8"] = None
        elif not (sender + self._aim.recipient).isascii():
            raise Refusal(permanent=True, status="6.7", public=f"{self._aim.host} cannot take addresses outside ASCII")
        return [
            commands.mail(f"<{sender}>".encode(), parameters),
            commands.rcpt(f"<{self._aim.recipient}>".encode()),
            commands.DATA,
        ]

    def _sender(self, given: Given) -> str:
        if self._aim.sender is not None:
            return self._aim.sender
        said = header.first(given.beginning[:HEAD_OCTETS], b"Return-Path") or b"<>"
        try:
            address, rest = parse_reverse_path(said, utf8=True)
        except Refusal:
            return ""
        return "" if address is None or rest else str(address)

    async def _bring(self, given: Given) -> None:
        stuffer = Stuffer()
        async for portion in given.octets():
            self._dialogue.send(self._machine.data(stuffer.feed(portion)))
            await self._dialogue.flush()
        self._dialogue.send(self._machine.data(stuffer.end()))
        await asyncio.to_thread(self._round.journal.begin, [given.entry.email_id])
        self._dialogue.send(self._machine.end_of_data())
        self._dialogue.patience = FINAL_SECONDS
        reply = await self._talk.reply()
        self._dialogue.patience = REPLY_SECONDS
        if reply.is_positive:
            await self._round.taken([given])
        else:
            self._round.journal.end()
            self._declined(given, reply)

    async def _withdraw(self, given: Given, refused: Reply) -> None:
        """It is not wanted. Who says 354 all the same gets nothing but the end (RFC 2920 §3.1)."""
        if self._machine.state is State.DATA:
            self._dialogue.send(self._machine.end_of_data())
            if self._machine.pending:
                await self._talk.reply()
        if self._machine.state in (State.MAIL, State.RCPT):
            await self._talk.ask(commands.RSET)
        self._declined(given, refused)

    def _declined(self, given: Given, reply: Reply) -> None:
        self._round.declined(given, f"{self._aim.host}: {reply}", is_permanent=not reply.is_temporary)
        if self._machine.state is State.CLOSED:
            raise self._refused("to go on", reply)

    def _refused(self, what: str, reply: Reply, status: int = os.EX_UNAVAILABLE) -> Refused:
        if reply.is_temporary:
            status = os.EX_TEMPFAIL
        return Refused(f"{self._aim.host} refused {what}: {safe(str(reply)[:WORDS])}", status)


async def _is_bare(given: Given) -> bool:
    """Whether a CR or LF in it stands alone. A portion never ends between the two."""
    async for portion in given.octets():
        if _BARE.search(portion):
            return True
    return False


def _is_utf8(head: bytes) -> bool:
    """Whether a header goes beyond ASCII, and is UTF-8 (RFC 6532)."""
    try:
        return not head.isascii() and bool(head.decode())
    except UnicodeDecodeError:
        return False


def _literal(host: str) -> bytes:
    """Ourselves, as EHLO wants it (RFC 5321 §4.1.3)."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return b"localhost"  # a Unix socket
    return f"[{'IPv6:' if isinstance(address, IPv6Address) else ''}{address}]".encode()
