"""The promises of `Office` about letters on their way: one holder at a time, nothing half settled."""

from __future__ import annotations

from dataclasses import replace

from postoffice.errors import DamagedStore
from postoffice.protocols.dots import stuff
from postoffice.store.base import Store
from postoffice.store.model import Backlog, LocalDelivery, QueueItem, RecipientState, Settlement
from postoffice.testing.check_store.office import NOBODY
from postoffice.testing.check_store.walk import (
    NOON,
    PREFIX,
    Check,
    acceptance,
    keys,
    large_text,
    must_be_sound,
    must_fail,
    new_account,
    seen,
    text,
)

DELIVERED, FAILED = RecipientState.DELIVERED, RecipientState.FAILED
LEASE = 60.0


async def enqueue(store: Store, *remote: str, plain: bytes = text(1), accepted: float = NOON) -> None:
    letter = await acceptance(store.office, plain, remote=remote)
    await store.office.accept(replace(letter, accepted=accepted))


async def claim_one(store: Store, holder: str = "w1", now: float = NOON) -> QueueItem:
    claimed = await store.office.claim(holder, now, LEASE, 10)
    assert len(claimed) == 1, f"{len(claimed)} items were claimed where one is due"
    return claimed[0]


async def a_letter_waits_once_per_domain(store: Store) -> None:
    await enqueue(store, "carol@c.example", "dan@d.example", "cate@c.example")
    first, second = await store.office.queue()
    assert {first.domain, second.domain} == {"c.example", "d.example"}, "one item per domain"
    item = first if first.domain == "c.example" else second
    assert item.recipients == ("carol@c.example", "cate@c.example"), "recipients of one domain go together"
    facts = item.reverse_path, item.prefix, item.letter_id, item.accepted, item.expires
    expected = "alice@a.example", PREFIX, "letter1", NOON, NOON + 86_400
    assert facts == expected, "an item tells what was accepted"
    assert (item.attempts, item.leased_until, item.last_reply) == (0, 0.0, ""), "nobody has tried yet"
    assert item.due <= NOON, "a new letter is due at once"
    assert item.content.octets == len(text(1)), "an item tells its content"
    await must_be_sound(store.office)


async def a_renewed_lease_lasts_longer(store: Store) -> None:
    await enqueue(store, "carol@c.example", "dan@d.example")
    (mine,) = await store.office.claim("mine", NOON, LEASE, 1)
    (other,) = await store.office.claim("other", NOON, LEASE, 1)
    await store.office.renew("mine", NOON + 10 * LEASE)
    (again,) = await store.office.claim("third", NOON + LEASE, LEASE, 9)
    assert again.item_id == other.item_id, "a lease was renewed that is another's, or one's own was not"
    assert await store.office.settle(
        Settlement(mine.item_id, "mine", {mine.recipients[0]: RecipientState.DELIVERED})
    ), "who renewed his lease must be able to settle"


async def an_item_has_one_holder_while_the_lease_lasts(store: Store) -> None:
    await enqueue(store, "carol@c.example")
    item = await claim_one(store, "w1")
    assert item.leased_until == NOON + LEASE, "the lease ends when it was said to"
    assert await store.office.claim("w2", NOON + LEASE - 1, LEASE, 10) == [], "two holders carry one item"
    assert await store.office.claim("w1", NOON + 1, LEASE, 10) == [], "a holder is given its item twice"
    assert await store.office.next_due() == NOON + LEASE, "the next thing to happen is the lease's end"
    again = await claim_one(store, "w2", NOON + LEASE)
    assert again.item_id == item.item_id, "after the lease anyone may carry the item"
    late = Settlement(item.item_id, "w1", {"carol@c.example": DELIVERED})
    assert await store.office.settle(late) is False, "a holder whose lease went to another settles nothing"
    assert [found.recipients for found in await store.office.queue()] == [("carol@c.example",)], (
        "a settlement that was refused changed something"
    )


async def the_earliest_goes_first(store: Store) -> None:
    for number, second in enumerate((30, 10, 20, 40)):
        await enqueue(store, f"r{number}@c.example", accepted=NOON + second)
    dues = [item.due for item in await store.office.queue()]
    assert dues == [NOON + 10, NOON + 20, NOON + 30, NOON + 40], "the queue is told by due time"
    assert await store.office.next_due() == NOON + 10, "the earliest item says when"
    assert await store.office.claim("w1", NOON + 9, LEASE, 10) == [], "nothing is carried before it is due"
    claimed = await store.office.claim("w1", NOON + 30, LEASE, 2)
    assert [item.due for item in claimed] == [NOON + 10, NOON + 20], "the earliest first, and no more than asked"
    claimed = await store.office.claim("w2", NOON + 30, LEASE, 10)
    assert [item.due for item in claimed] == [NOON + 30], "the rest that is due goes to the next"


async def the_backlog_is_counted(store: Store) -> None:
    assert await store.office.backlog(NOON) == Backlog(0, 0, None), "nothing is on its way"
    for number, second in enumerate((10, 20, 30)):
        await enqueue(store, f"r{number}@c.example", accepted=NOON + second)
    assert await store.office.backlog(NOON + 20) == Backlog(3, 2, NOON + 10), "what is due at that very moment is due"
    await store.office.claim("w1", NOON + 20, LEASE, 1)
    assert await store.office.backlog(NOON + 20) == Backlog(3, 1, NOON + 10), "what is carried is not due"


async def a_claimed_letter_is_read_whole(store: Store) -> None:
    plain = large_text("far")
    await enqueue(store, "carol@c.example", plain=plain)
    item, wire, more = await claim_one(store), b"", True
    index = 0
    while more:
        piece = await store.office.read_item(item, index)
        wire, more, index = wire + piece.wire, piece.more, index + 1
    assert wire == PREFIX + stuff(plain), "the letter leaves with other octets"
    assert item.content.wire_octets == len(stuff(plain)), "the content's wire octets are wrong"


async def what_is_finished_leaves_and_the_rest_waits(store: Store) -> None:
    await enqueue(store, "a@c.example", "b@c.example", "c@c.example")
    item = await claim_one(store)
    outcomes = {"a@c.example": DELIVERED, "b@c.example": FAILED}
    done = await store.office.settle(Settlement(item.item_id, "w1", outcomes, NOON + 900, "451 4.2.0 later"))
    assert done is True, "the holder must be able to settle"
    (waiting,) = await store.office.queue()
    assert waiting.recipients == ("c@c.example",), "only those not finished wait"
    facts = waiting.attempts, waiting.due, waiting.leased_until, waiting.last_reply
    assert facts == (1, NOON + 900, 0.0, "451 4.2.0 later"), "attempts, due, lease and last reply"
    assert await store.office.next_due() == NOON + 900, "it is due when it was said to be"
    again = Settlement(item.item_id, "w1", {"c@c.example": DELIVERED})
    assert await store.office.settle(again) is False, "who settled holds the item no more"
    item = await claim_one(store, "w2", NOON + 900)
    assert await store.office.settle(Settlement(item.item_id, "w2", {"c@c.example": FAILED})), "settle the last"
    assert await store.office.queue() == [], "an item without recipients must be gone"
    assert await store.office.next_due() is None, "an empty queue is never due"
    await must_be_sound(store.office)


async def only_the_holder_settles(store: Store) -> None:
    await enqueue(store, "carol@c.example")
    (item,) = await store.office.queue()
    outcome = {"carol@c.example": DELIVERED}
    notice = await acceptance(store.office, text("notice"), remote=("alice@a.example",))
    for holder in ("", "w1"):
        settlement = Settlement(item.item_id, holder, outcome, notice=notice)
        assert await store.office.settle(settlement) is False, "an item that nobody carries was settled"
    await claim_one(store, "w1")
    before = await store.office.queue()
    foreign = Settlement(item.item_id, "w2", outcome, notice=notice)
    assert await store.office.settle(foreign) is False, "a foreign holder settled"
    unknown = Settlement(item.item_id + 1, "w1", outcome, notice=notice)
    assert await store.office.settle(unknown) is False, "an item that is not there was settled"
    assert await store.office.queue() == before, "a settlement that was refused changed something"


async def a_notice_goes_in_the_same_step(store: Store) -> None:
    sender = await new_account(store, "alice@a.example")
    await enqueue(store, "carol@c.example")
    item = await claim_one(store)
    local = (LocalDelivery(sender.account_id, b"Return-Path: <>\r\n"),)
    notice = await acceptance(store.office, text("notice"), local, remote=("owner@l.example",))
    notice = replace(notice, reverse_path="", letter_id="notice1")
    lost = replace(notice, local=(*local, LocalDelivery(NOBODY, b"")))
    failed = {"carol@c.example": FAILED}
    bad = Settlement(item.item_id, "w1", failed, notice=lost)
    await must_fail(store.office.settle(bad), "a notice that cannot be accepted must be a StoreError")
    mailbox = await store.office.mailbox(sender.account_id)
    assert await seen(mailbox) == [], "a notice was sent by half"
    assert [found.recipients for found in await store.office.queue()] == [("carol@c.example",)], (
        "the item was settled without its notice"
    )
    notice = replace(notice, staged=(await acceptance(store.office, text("notice"))).staged)
    assert await store.office.settle(Settlement(item.item_id, "w1", failed, notice=notice)), "settle with notice"
    assert await seen(mailbox) == [b"Return-Path: <>\r\n" + text("notice")], "the notice was not delivered"
    (queued,) = await store.office.queue()
    assert (queued.letter_id, queued.reverse_path) == ("notice1", ""), "the notice's remote part is not queued"
    again = Settlement(item.item_id, "w1", failed, notice=notice)
    assert await store.office.settle(again) is False, "a finished item was settled again"
    assert len(await keys(mailbox)) == 1, "a notice was sent twice"
    await must_be_sound(store.office)


async def a_settled_letter_stays_where_it_was_delivered(store: Store) -> None:
    account = await new_account(store)
    plain = large_text("both ways")
    local = (LocalDelivery(account.account_id, PREFIX),)
    await store.office.accept(await acceptance(store.office, plain, local, ("carol@c.example",)))
    item = await claim_one(store)
    await store.office.settle(Settlement(item.item_id, "w1", {"carol@c.example": DELIVERED}))
    await store.office.tidy()
    mailbox = await store.office.mailbox(account.account_id)
    assert await seen(mailbox) == [PREFIX + plain], "the queue took a content with it that a mailbox shows"
    try:
        await store.office.read_item(item)
    except DamagedStore:
        pass
    else:
        raise AssertionError("reading a letter that is not in the queue must be a DamagedStore")
    await must_be_sound(store.office)


async def a_removed_letter_stays_in_the_queue(store: Store) -> None:
    account = await new_account(store)
    plain = large_text("still to go")
    local = (LocalDelivery(account.account_id, PREFIX),)
    await store.office.accept(await acceptance(store.office, plain, local, ("carol@c.example",)))
    mailbox = await store.office.mailbox(account.account_id)
    await store.office.tidy()
    await mailbox.remove(await keys(mailbox))
    await store.office.tidy()
    item = await claim_one(store)
    piece = await store.office.read_item(item)
    assert piece.wire.startswith(PREFIX + stuff(plain)[:1000]), "a mailbox took a content with it that is queued"
    await must_be_sound(store.office)


async def waiting_letters_may_be_hurried(store: Store) -> None:
    await enqueue(store, "a@c.example", accepted=NOON + 500)
    await enqueue(store, "b@d.example", accepted=NOON + 600)
    await enqueue(store, "c@e.example", accepted=NOON)
    carried = await claim_one(store)
    assert await store.office.expedite(NOON + 1) == 2, "expedite tells how many it made due"
    dues = {item.domain: item.due for item in await store.office.queue()}
    assert dues == {"c.example": NOON + 1, "d.example": NOON + 1, "e.example": NOON}, "waiting items are due now"
    claimed = await store.office.claim("w2", NOON + 1, LEASE, 10)
    assert len(claimed) == 2, "hurried items must be claimed"
    assert carried.item_id not in {item.item_id for item in claimed}, "an item that is carried was given away"


QUEUE_CHECKS: list[Check] = [
    a_letter_waits_once_per_domain,
    an_item_has_one_holder_while_the_lease_lasts,
    a_renewed_lease_lasts_longer,
    the_earliest_goes_first,
    the_backlog_is_counted,
    a_claimed_letter_is_read_whole,
    what_is_finished_leaves_and_the_rest_waits,
    only_the_holder_settles,
    a_notice_goes_in_the_same_step,
    a_settled_letter_stays_where_it_was_delivered,
    a_removed_letter_stays_in_the_queue,
    waiting_letters_may_be_hurried,
]
