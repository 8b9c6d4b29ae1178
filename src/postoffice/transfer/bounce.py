"""Telling the sender that a letter could not be delivered (RFC 5321 §6.1, RFC 3464).

A notice goes to the reverse path and has none itself, so a notice that cannot be delivered ends with an event and
never with another notice. It is accepted in the transaction that finishes the recipients it tells of.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from postoffice.clock import Clock
from postoffice.errors import DamagedStore, Refusal
from postoffice.events import event
from postoffice.message.address import parse_address
from postoffice.message.notice import Action, Fate, Notice, compose
from postoffice.message.received import return_path
from postoffice.protocols.dots import stuff, unstuff
from postoffice.store.base import Office
from postoffice.store.model import Acceptance, LocalDelivery, QueueItem
from postoffice.transfer.intake import Intake

NOTICE_DAYS = 5.0


async def make_notice(
    item: QueueItem, fates: Sequence[Fate], intake: Intake, office: Office, clock: Clock
) -> Acceptance | None:
    """The notice about these recipients, ready to be accepted; None if there is nobody to tell."""
    failed = " ".join(fate.recipient for fate in fates)
    if not item.reverse_path:
        event("notice.dropped", letter=item.letter_id, recipients=failed, because="it was a notice itself")
        return None
    now = clock()
    try:
        head = unstuff((await office.read_item(item)).wire)
    except DamagedStore as error:
        event("notice.without_header", letter=item.letter_id, because=str(error))
        head = b""
    notice = Notice(
        host=intake.host,
        sender=item.reverse_path,
        action=Action.FAILED,
        fates=tuple(fates),
        head=head,
        message_id=f"<{secrets.token_hex(12)}@{intake.host}>",
        now=now,
        accepted=item.accepted,
    )
    stage = await office.stage()
    await stage.write(stuff(compose(notice)))
    staged = await stage.finish()
    letter_id = intake.new_letter_id()
    try:
        recipient = await intake.recipient(parse_address(item.reverse_path))
    except Refusal as refusal:
        await stage.abandon()
        event("notice.dropped", letter=item.letter_id, recipients=failed, because=str(refusal))
        return None
    event("notice.made", letter=letter_id, about=item.letter_id, sender=item.reverse_path, recipients=failed)
    if recipient.account is not None:
        local = (LocalDelivery(recipient.account.account_id, return_path(None)),)
        return Acceptance(letter_id, staged, "", now, local)
    return Acceptance(
        letter_id,
        staged,
        "",
        now,
        remote=(item.reverse_path,),
        expires=now + NOTICE_DAYS * 86400,
        needs_smtputf8=notice.needs_smtputf8,
    )
