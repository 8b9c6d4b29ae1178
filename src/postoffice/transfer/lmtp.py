"""The LMTP door: a neighbour that has a queue of its own hands letters to the people of this office (RFC 2033).

As at the MX door there is no login and no relaying. What is different is the last word: each recipient has one of
its own behind the final dot, 250 only behind the durable acceptance, which is the delivery. Who was accepted is asked
for once more when the whole letter is here, because that may be long after RCPT.

LMTP is not for the open network (RFC 2033 §5): the door is closed unless the settings name it, and then it is on
loopback or on a Unix socket, which whoever may reach its folder may use.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from postoffice.errors import Refusal
from postoffice.message.envelope import Envelope
from postoffice.message.received import Hop
from postoffice.net.dialogue import Dialogue
from postoffice.protocols.smtp import replies
from postoffice.protocols.smtp.lmtp import LmtpServer
from postoffice.protocols.smtp.replies import Reply
from postoffice.protocols.smtp.server import SmtpServer
from postoffice.store.base import Stage
from postoffice.store.model import Staged
from postoffice.transfer.door import Session, SmtpDoor, counted_commands
from postoffice.transfer.intake import Recipient
from postoffice.transfer.mx import MxPolicy


@dataclass(frozen=True, slots=True)
class LmtpSettings:
    """`addresses` is where the door is if `office.ports` names it."""

    addresses: tuple[str, ...] = ("127.0.0.1", "::1")


class LmtpPolicy(MxPolicy):
    """That of the MX door."""

    name = "lmtp"


class LmtpDoor(SmtpDoor):
    """Answers connections. One per process."""

    commands = counted_commands("lmtp")

    def _machine(self) -> SmtpServer:
        return LmtpServer()

    def _session(self, dialogue: Dialogue[SmtpServer]) -> Session:
        return _LmtpSession(self, dialogue)


class _LmtpSession(Session):
    """One conversation."""

    __slots__ = ()

    async def _take(self, stage: Stage, staged: Staged, envelope: Envelope, recipients: tuple[Recipient, ...]) -> bytes:
        """✍ 1 The letter is ours, for those who still live here; each of the others is refused by itself."""
        refused: dict[Recipient, Refusal] = {}
        for recipient in recipients:
            try:
                await self._door.policy.recipient(None, await self._door.intake.recipient(recipient.address))
                await self._door.intake.check_quota(recipient, staged.content.octets)
            except Refusal as refusal:
                refused[recipient] = refusal
        taking = tuple(recipient for recipient in recipients if recipient not in refused)
        letter_id = ""
        if taking:
            letter_id = await self._door.intake.accept(staged, envelope, taking, self._hop)
            self._accepted += 1
            self._served += len(taking)
        else:
            await stage.abandon()
        taken = Reply(250, (f"Taken as {letter_id}",), "2.0.0")
        machine = self._machine
        assert isinstance(machine, LmtpServer)
        return machine.reply_to_each([_said(refused.get(recipient), taken) for recipient in recipients])

    @property
    def _hop(self) -> Hop:
        return replace(super()._hop, is_lmtp=True)


def _said(refusal: Refusal | None, taken: Reply) -> Reply:
    return taken if refusal is None else replies.from_refusal(refusal)
