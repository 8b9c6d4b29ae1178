"""Talking to a POP3 server, in steps that a conversation is written with: say, ask, listen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from postoffice.errors import Refused, RemoteProtocolError
from postoffice.message.printable import safe
from postoffice.net.dialogue import Dialogue
from postoffice.protocols.lines import NEED_DATA
from postoffice.protocols.pop3.client import Answer, Body, EndOfBody, Event, Pop3Client
from postoffice.protocols.pop3.commands import Command
from postoffice.protocols.pop3.replies import Code, Reply

LISTING_OCTETS: Final = 64 * 1024 * 1024
"""The longest listing that we take: some 800,000 letters."""

_LATER: Final = frozenset({Code.IN_USE.value, Code.LOGIN_DELAY.value, Code.SYS_TEMP.value})


class Endless(RemoteProtocolError):
    """What goes on and on."""


class Talk:
    """One conversation with one server.

    `trusts_pipelining`: who has another session to find out by says commands together where PIPELINING is announced.
    `has_gone_ahead`: a command was said before the one in front of it was answered.
    """

    __slots__ = ("dialogue", "has_gone_ahead", "host", "machine", "trusts_pipelining")

    def __init__(self, dialogue: Dialogue[Pop3Client], host: str, *, trusts_pipelining: bool = False) -> None:
        self.dialogue = dialogue
        self.machine = dialogue.machine
        self.host = host
        self.trusts_pipelining = trusts_pipelining
        self.has_gone_ahead = False

    def say(self, command: Command) -> None:
        """It leaves with whatever else is said before we next listen."""
        self.has_gone_ahead |= self.machine.pending > 0
        self.dialogue.send(self.machine.send(command))

    def say_all(self, commands: Sequence[Command]) -> None:
        """The same, of as many as there are; they are a flight together at most."""
        self.has_gone_ahead |= bool(commands) and self.machine.pending + len(commands) > 1
        self.dialogue.send_all([self.machine.send(command) for command in commands])

    async def hear(self) -> Event:
        while (heard := self.machine.next_event()) is NEED_DATA:
            await self.dialogue.more()
        return heard

    async def answer(self) -> Answer:
        """The answer to the oldest command that has none."""
        while (heard := self.machine.next_event()) is NEED_DATA:
            await self.dialogue.more()
        if not isinstance(heard, Answer):
            raise RemoteProtocolError(f"{self.host} sent something that is no answer")
        return heard

    async def ask(self, command: Command) -> Reply:
        """Of a command whose answer is one line."""
        self.say(command)
        return (await self.answer()).reply

    async def ask_listing(self, command: Command) -> list[bytes] | None:
        """The lines of a listing; None if the server says no."""
        self.say(command)
        answer = await self.answer()
        return await self.listing() if answer.has_body else None

    async def listing(self) -> list[bytes]:
        """The lines of the listing that follows an answer."""
        portions: list[bytes] = []
        octets = 0
        while isinstance(heard := await self.hear(), Body):
            portions.append(heard.wire)
            octets += len(heard.wire)
            if octets > LISTING_OCTETS:
                raise Endless("a listing that has no end")
        assert isinstance(heard, EndOfBody)
        return b"".join(portions).splitlines()

    def refused(self, what: str, reply: Reply, status: int = os.EX_UNAVAILABLE) -> Refused:
        """`what` is what we wanted; `status` holds where the server's response code does not say it better."""
        if reply.code in _LATER:
            status = os.EX_TEMPFAIL
        elif reply.code == Code.AUTH.value:
            status = os.EX_NOPERM
        elif reply.code == Code.SYS_PERM.value:
            status = os.EX_UNAVAILABLE
        code = said(reply.code) if reply.code else ""
        words = said(b"[%b] %b" % (reply.code, reply.text) if reply.code else reply.text)
        return Refused(f"{self.host} refused {what}: {words}", status, code=code, words=said(reply.text))


def said(text: bytes) -> str:
    """A server's words, safe to print and not too many."""
    return safe(text[:300].decode("utf-8", "replace")) or "without a word"
