"""The door for programs of this machine: `postoffice sendmail` hands over what cron, monitors and PHP write.

It is a Unix socket and asks nobody to log in: whoever may reach its folder may send, to anybody and under any name, as
with every sendmail. So it is closed unless `office.sockets` names it. The kernel tells which user is at the other end,
and the trace and the log say so. The door calls itself by the office's first domain, where users of this machine live.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from postoffice.errors import Refusal
from postoffice.message.address import Address
from postoffice.message.received import Hop
from postoffice.net.dialogue import Dialogue
from postoffice.protocols.smtp.server import SmtpServer
from postoffice.store.base import Directory
from postoffice.store.model import Account
from postoffice.transfer.door import Session, SmtpDoor
from postoffice.transfer.intake import Intake, Recipient

SENDMAIL: Final = "sendmail"
"""The name of the door."""


THIS_MACHINE: Final = "localhost"
"""The domain of its users."""


class SendmailPolicy:
    """Everything: who gets here is trusted."""

    name = SENDMAIL
    offers_login = False

    def __init__(self, directory: Directory) -> None:
        self.directory = directory

    async def sender(self, account: Account | None, path: Address | None) -> None:
        return None

    async def recipient(self, account: Account | None, recipient: Recipient) -> None:
        return None


async def local_recipient(intake: Intake, address: Address, domain: str) -> Recipient:
    """Who takes letters for an address, of a user of this machine too.

    That is the account of his name in `domain`; for a name that is no account there, `root` and `www-data`, it is
    whoever answers for the domain.
    """
    if address.domain != THIS_MACHINE:
        return await intake.recipient(address)
    try:
        return await intake.recipient(Address(address.local, domain))
    except Refusal as refusal:
        if not refusal.permanent:
            raise
    return await intake.recipient(Address("postmaster", domain))


class SendmailDoor(SmtpDoor):
    """Answers connections. One per process."""

    policy: SendmailPolicy
    _domain = ""

    @property
    def host(self) -> str:
        return self._domain or self.intake.host

    async def recipient(self, address: Address) -> Recipient:
        return await local_recipient(self.intake, address, self.host)

    async def _converse(self, dialogue: Dialogue[SmtpServer]) -> None:
        self._domain = next(iter(await self.policy.directory.domains()), "")
        await super()._converse(dialogue)

    def _session(self, dialogue: Dialogue[SmtpServer]) -> Session:
        return _SendmailSession(self, dialogue)


class _SendmailSession(Session):
    """One conversation."""

    __slots__ = ()

    def __init__(self, door: SendmailDoor, dialogue: Dialogue[SmtpServer]) -> None:
        super().__init__(door, dialogue)
        self._credential = f"uid {dialogue.peer_user}"

    @property
    def _hop(self) -> Hop:
        return replace(super()._hop, user=self._dialogue.peer_user)
