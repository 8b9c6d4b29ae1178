"""Talking to an SMTP or LMTP server, in steps that a conversation is written with: say, ask, listen."""

from __future__ import annotations

from postoffice.errors import RemoteProtocolError
from postoffice.net.dialogue import Dialogue
from postoffice.protocols.lines import NEED_DATA
from postoffice.protocols.smtp import commands
from postoffice.protocols.smtp.client import Answer, SmtpClient
from postoffice.protocols.smtp.commands import Command
from postoffice.protocols.smtp.lmtp import LmtpClient
from postoffice.protocols.smtp.replies import Reply
from postoffice.protocols.smtp.table import State


class Talk:
    """One conversation with one server."""

    __slots__ = ("dialogue", "machine")

    def __init__(self, dialogue: Dialogue[SmtpClient]) -> None:
        self.dialogue = dialogue
        self.machine = dialogue.machine

    def say(self, command: Command) -> None:
        """It leaves with whatever else is said before we next listen."""
        self.dialogue.send(self.machine.send(command))

    async def ask(self, command: Command) -> Reply:
        self.say(command)
        return await self.reply()

    async def reply(self) -> Reply:
        """The answer to the oldest command that has none."""
        answer = await self.hear()
        if not isinstance(answer, Answer):
            raise RemoteProtocolError(f"not an answer: {answer}")
        return answer.reply

    async def hear(self) -> object:
        while (heard := self.machine.next_event()) is NEED_DATA:
            await self.dialogue.more()
        return heard

    async def introduce(self, name: bytes) -> Reply:
        """LHLO; or EHLO, and HELO to those who do not know it."""
        if isinstance(self.machine, LmtpClient):
            return await self.ask(commands.lhlo(name))
        reply = await self.ask(commands.ehlo(name))
        if not reply.is_positive and not reply.is_temporary:
            reply = await self.ask(commands.helo(name))
        return reply

    async def leave(self) -> None:
        """QUIT, where one may say it now; nobody waits for its answer."""
        if self.machine.state not in (State.DATA, State.CLOSED) and not self.machine.pending:
            self.say(commands.QUIT)
            await self.dialogue.flush()
