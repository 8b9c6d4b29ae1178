"""The submission doors, ports 587 and 465: letters of the people of this office to anybody (RFC 6409, RFC 8314)."""

from __future__ import annotations

from postoffice.errors import Refusal
from postoffice.message.address import Address
from postoffice.store.base import Directory
from postoffice.store.model import Account
from postoffice.transfer.intake import Recipient


class SubmissionPolicy:
    """Login first, and then only with an address of one's own."""

    offers_login = True

    def __init__(self, directory: Directory, name: str = "submission") -> None:
        self.name = name
        self._directory = directory

    async def sender(self, account: Account | None, path: Address | None) -> None:
        if account is None:
            raise Refusal(permanent=True, status="7.0", public="Log in first")
        if path is None:
            return  # read receipts go out like this (RFC 8098 §3)
        owner = await self._directory.find(path.normalized())
        if owner is None or owner.account_id != account.account_id:
            raise Refusal(permanent=True, status="7.1", public="This sender is not you", because=str(path))

    async def recipient(self, account: Account | None, recipient: Recipient) -> None:
        return None
