"""A letter of the office to one of its people: something he should know about his own mail.

It has the null reverse path (RFC 5321 §4.5.5), so that nothing ever answers it, and no quota refuses it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from postoffice.message.received import date_time, return_path
from postoffice.protocols.dots import stuff
from postoffice.store.base import Office
from postoffice.store.model import Acceptance, Account, LocalDelivery


async def tell(office: Office, host: str, account: Account, subject: str, lines: Sequence[str], now: float) -> None:
    """Put it into his mailbox. Durable. `host` signs it, `subject` is ASCII, `lines` may be any text."""
    letter_id = secrets.token_hex(8)
    head = (
        f"From: Mail Delivery System <postmaster@{host}>",
        f"To: <{account.address}>",
        f"Date: {date_time(now)}",
        f"Message-ID: <{letter_id}@{host}>",
        f"Subject: {subject}",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
        "",
    )
    stage = await office.stage()
    await stage.write(stuff("".join(f"{line}\r\n" for line in (*head, *lines)).encode()))
    local = (LocalDelivery(account.account_id, return_path(None)),)
    await office.accept(Acceptance(letter_id, await stage.finish(), "", now, local))
