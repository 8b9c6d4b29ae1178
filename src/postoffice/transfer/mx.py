"""The MX door, port 25: letters from anybody to the people of this office, and to nobody else (RFC 5321 §3.6.2)."""

from __future__ import annotations

from postoffice.errors import Refusal
from postoffice.message.address import Address
from postoffice.store.model import Account
from postoffice.transfer.intake import Recipient


class MxPolicy:
    """No login, no relaying."""

    name = "smtp"
    offers_login = False

    async def sender(self, account: Account | None, path: Address | None) -> None:
        return None

    async def recipient(self, account: Account | None, recipient: Recipient) -> None:
        if recipient.account is None:
            raise Refusal(permanent=True, status="7.1", public="We do not relay", because=str(recipient.address))
