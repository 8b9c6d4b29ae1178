"""LMTP, by which a letter is handed to where mailboxes are, without a queue on that side (RFC 2033).

Three things are different from SMTP, for both machines:

    LHLO                greets, and EHLO and HELO are no commands (§4.1)
    DATA                without a recipient is 503 (§4.2)
    the final dot       is owed one reply for each recipient that was accepted, in their order (§4.2): whoever takes
                        the letter for one may refuse it for the next
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from postoffice.errors import LocalProtocolError, RemoteProtocolError
from postoffice.protocols.lines import Oddity
from postoffice.protocols.smtp.client import Answer, SmtpClient
from postoffice.protocols.smtp.commands import END_OF_DATA, Command, Invalid
from postoffice.protocols.smtp.replies import Reply, format_reply
from postoffice.protocols.smtp.server import NO_RECIPIENTS, SmtpServer
from postoffice.protocols.smtp.table import Keyword

LMTP_PORT = 24
"""Any private mail system's; LMTP has no port of its own, and 25 is forbidden to it (RFC 2033 §5)."""

_FOREIGN: Final = frozenset({Keyword.EHLO, Keyword.HELO})
_NOBODY_TAKES_IT: Final = Invalid(503, "5.5.1", "No valid recipients")


class LmtpServer(SmtpServer):
    """The machine of the side that has the mailboxes. `recipients` counts those accepted in this transaction."""

    __slots__ = ("recipients",)

    foreign = _FOREIGN

    def _begin(self, is_encrypted: bool) -> None:
        super()._begin(is_encrypted)
        self.recipients = 0

    def greet(self, host: str, text: str = "LMTP") -> bytes:
        return super().greet(host, text)

    def _read(self, line: bytes | Oddity) -> Command | Invalid:
        read = super()._read(line)
        return _NOBODY_TAKES_IT if read is NO_RECIPIENTS else read

    def reply(self, reply: Reply) -> bytes:
        """As in SMTP; at the final dot the same to every recipient."""
        if self._owed is END_OF_DATA:
            return self.reply_to_each([reply] * self.recipients)
        return super().reply(reply)

    def reply_to_each(self, replies: Sequence[Reply]) -> bytes:
        """The replies to the final dot, one for each recipient that was accepted, in their order."""
        if self._owed is not END_OF_DATA or not replies or len(replies) != self.recipients:
            raise LocalProtocolError(f"{len(replies)} replies to {self.recipients} recipients")
        *others, last = replies
        for reply in others:
            self._settle(END_OF_DATA, reply.code)
        return b"".join(map(format_reply, others)) + super().reply(last)

    def _settle(self, command: Command, code: int) -> None:
        super()._settle(command, code)
        if command.keyword is Keyword.RCPT:
            self.recipients += code // 100 == 2
        elif command.keyword is Keyword.MAIL:
            self.recipients = 0


class LmtpClient(SmtpClient):
    """The machine of the side that brings letters. The final dot is answered by one `Answer` for each recipient."""

    __slots__ = ("recipients",)

    foreign = _FOREIGN

    def _begin(self, is_encrypted: bool) -> None:
        super()._begin(is_encrypted)
        self.recipients = 0

    def end_of_data(self) -> bytes:
        octets = super().end_of_data()
        self._pending.extend([END_OF_DATA] * (self.recipients - 1))
        if not self.recipients:
            self._pending.clear()  # a server that said 354 all the same has nobody to answer for
            self.state = self._ahead
        return octets

    def _answer(self, command: Command, reply: Reply) -> Answer:
        if command is END_OF_DATA and self._pending and self._pending[0] is END_OF_DATA:
            # One of several: not even 421 is the end before all have been told.
            if reply.code < 400 and reply.code // 100 != 2:
                raise RemoteProtocolError(f"{reply.code} in reply to the final dot")
            return Answer(command, reply)
        if reply.code // 100 == 2:
            if command.keyword is Keyword.RCPT:
                self.recipients += 1
            elif command.keyword is Keyword.MAIL:
                self.recipients = 0
        return super()._answer(command, reply)
