"""The promise of durable engines: what a verb returned from is there after close and open at the same place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from postoffice.store.base import Mailbox, Store
from postoffice.store.model import (
    OWNER,
    Credential,
    Flag,
    LocalDelivery,
    Origin,
    Pulled,
    RecipientState,
    RemovedAccount,
    Settlement,
    Sight,
    Viewer,
)
from postoffice.testing.check_store.walk import (
    NOON,
    PREFIX,
    acceptance,
    deliver,
    entry,
    keys,
    large_text,
    letter,
    look,
    must_be_sound,
    new_account,
    put,
    seen,
    staged,
    text,
)

Opener = Callable[[], AbstractAsyncContextManager[Store]]
"""Opens the store, always the same one; closes it at the end of the `async with`."""

MailboxOpener = Callable[[], AbstractAsyncContextManager[Mailbox]]


async def letters_and_their_facts_last(reopen: MailboxOpener) -> None:
    plains = [text(1), large_text("large"), b"", text(4)]
    async with reopen() as mailbox:
        given = await put(mailbox, *plains, prefix=PREFIX)
        await mailbox.flag(given[:1], Flag.SEEN)
        await mailbox.remove(given[3:])
        before, entries = await mailbox.snapshot(), await mailbox.describe(given[:3])
    async with reopen() as mailbox:
        assert await seen(mailbox) == [PREFIX + plain for plain in plains[:3]], "letters are lost or back"
        after = await mailbox.snapshot()
        assert list(after.unique_ids) == list(before.unique_ids), "unique ids changed (RFC 1939 §7)"
        again = await mailbox.describe(after.keys)
        kept = [one._replace(key=0) for one in entries if one]
        assert [one._replace(key=0) for one in again if one] == kept, "an entry changed"
        (new,) = await put(mailbox, text(5))
        last = entries[-1]
        assert last is not None, "the last letter is not described"
        assert (await entry(mailbox, new)).uid > last.uid + 1, "a uid was used again"
        await must_be_sound(mailbox)


async def viewers_folders_and_pulls_last(reopen: MailboxOpener) -> None:
    async with reopen() as mailbox:
        await look(mailbox, "phone", "tablet")
        await mailbox.set_viewer("tablet", Sight.RESTS)
        await mailbox.create_folder("Archive")
        pulled = (await letter(mailbox, text(1)))._replace(origin=Origin("pop://b", "1", 77))
        archived = (await letter(mailbox, text(2)))._replace(folder="Archive")
        given = await mailbox.append([pulled, archived])
        met = await mailbox.pulled("pop://b")
        await mailbox.note("pop://b", {"2": Pulled(octets=5, tries=1, words="no")})
        await mailbox.remove(given[:1], "phone")
        folders, changes = await mailbox.folders(), await mailbox.changes(0)
    async with reopen() as mailbox:
        viewers = [Viewer(OWNER, Sight.HOLDS), Viewer("phone", Sight.HOLDS), Viewer("tablet", Sight.RESTS)]
        assert await mailbox.viewers() == viewers, "a viewer is lost"
        assert await seen(mailbox, OWNER) == [text(1)], "the owner's letter is lost"
        assert await seen(mailbox, "phone") == [], "the phone sees again what it removed"
        assert await seen(mailbox, OWNER, "Archive") == [text(2)], "a folder's letter is lost"
        assert await mailbox.folders() == folders, "a folder changed"
        assert (await mailbox.changes(0)).highest_modseq == changes.highest_modseq, "a modseq changed"
        assert await mailbox.pulled("pop://b") == met | {"2": Pulled(octets=5, tries=1, words="no")}, (
            "what was pulled is forgotten"
        )
        again = pulled._replace(staged=await staged(mailbox, text(1)))
        assert await mailbox.append([again]) == [0], "a letter is pulled twice"
        await must_be_sound(mailbox)


async def what_was_not_taken_leaves_no_trace(reopen: MailboxOpener) -> None:
    async with reopen() as mailbox:
        await put(mailbox, text(1))
        stage = await mailbox.stage()
        await stage.write(b"Subject: half\r\n")
        await staged(mailbox, large_text("never taken"))
    async with reopen() as mailbox:
        assert await seen(mailbox) == [text(1)], "a letter that nothing took is shown"
        await must_be_sound(mailbox)


async def deliveries_last_exactly_once(reopen: Opener) -> None:
    async with reopen() as store:
        bob = await new_account(store)
        await deliver(store, text(1), bob.account_id)
        await deliver(store, large_text("large"), bob.account_id)
        await deliver(store, text(3), bob.account_id)
        mailbox = await store.office.mailbox(bob.account_id)
        await mailbox.remove((await keys(mailbox))[2:])
        unique_ids = list((await mailbox.snapshot()).unique_ids)
    expected = [PREFIX + text(1), PREFIX + large_text("large")]
    for _ in range(2):
        async with reopen() as store:
            mailbox = await store.office.mailbox(bob.account_id)
            assert await seen(mailbox) == expected, "deliveries are lost, doubled or back"
            await store.office.tidy()
            assert await seen(mailbox) == expected, "tidying lost, doubled or brought back a delivery"
            assert list((await mailbox.snapshot()).unique_ids) == unique_ids, "unique ids changed"
            await must_be_sound(store.office)


async def the_queue_lasts(reopen: Opener) -> None:
    async with reopen() as store:
        letter_ = await acceptance(
            store.office, large_text("far"), remote=("a@c.example", "b@c.example", "c@d.example", "d@e.example")
        )
        await store.office.accept(letter_)
        claimed = await store.office.claim("w1", NOON, 60, 2)
        outcome = {claimed[0].recipients[0]: RecipientState.DELIVERED}
        await store.office.settle(Settlement(claimed[0].item_id, "w1", outcome, NOON + 900, "later"))
        before = await store.office.queue()
    async with reopen() as store:
        assert await store.office.queue() == before, "the queue changed, or a lease was lost"
        again = await store.office.claim("w2", NOON + 1, 60, 10)
        assert claimed[1].item_id not in {item.item_id for item in again}, "a lease did not last"
        for item in again:
            assert (await store.office.read_item(item)).wire.startswith(PREFIX), "a queued letter is lost"
        await must_be_sound(store.office)


async def a_notice_lasts_with_its_cause(reopen: Opener) -> None:
    async with reopen() as store:
        alice = await new_account(store, "alice@a.example")
        await store.office.accept(await acceptance(store.office, text(1), remote=("a@c.example",)))
        (item,) = await store.office.claim("w1", NOON, 60, 1)
        local = (LocalDelivery(alice.account_id, PREFIX),)
        notice = await acceptance(store.office, text("notice"), local)
        failed = {"a@c.example": RecipientState.FAILED}
        await store.office.settle(Settlement(item.item_id, "w1", failed, notice=notice))
    async with reopen() as store:
        assert await store.office.queue() == [], "what was settled is queued again"
        mailbox = await store.office.mailbox(alice.account_id)
        assert await seen(mailbox) == [PREFIX + text("notice")], "the notice is lost or doubled"


async def who_lives_here_lasts(reopen: Opener) -> None:
    async with reopen() as store:
        bob, carol = await new_account(store), await new_account(store, "carol@b.example")
        credential = Credential(bob.account_id, "password", "$argon2id$one")
        await store.directory.set_credential(credential)
        await store.directory.remove_account(carol.account_id)
        generation, secret = await store.directory.generation(), await store.directory.secret()
    async with reopen() as store:
        assert await store.directory.domains() == ["b.example"], "a domain is lost"
        assert await store.directory.accounts() == [bob], "an account is lost or back"
        assert await store.directory.credentials(bob.account_id) == [credential], "a credential is lost"
        assert await store.directory.generation() >= generation, "the generation went back"
        assert await store.directory.secret() == secret, "the office has another secret"
        again = await new_account(store, "carol@b.example")
        assert again.account_id > carol.account_id, "the id of a removed account was used again"


async def what_is_set_aside_lasts(reopen: Opener) -> None:
    async with reopen() as store:
        bob = await new_account(store)
        await deliver(store, text(1), bob.account_id)
        await store.attic.set_aside(bob.account_id, NOON, NOON + 60)
    async with reopen() as store:
        assert await store.directory.accounts() == [], "an account that was removed is back"
        (removed,) = await store.attic.accounts()
        assert removed == RemovedAccount(bob, NOON, NOON + 60), "what was set aside is lost or another"
        back = await store.attic.bring_back(bob.account_id)
    async with reopen() as store:
        assert await store.directory.accounts() == [back], "an account that came back is lost"
        assert await seen(await store.office.mailbox(back.account_id)) == [PREFIX + text(1)], "a letter is lost"
        await must_be_sound(store.office)


MAILBOX_REOPEN_CHECKS: list[Callable[[MailboxOpener], Awaitable[None]]] = [
    letters_and_their_facts_last,
    viewers_folders_and_pulls_last,
    what_was_not_taken_leaves_no_trace,
]

REOPEN_CHECKS: list[Callable[[Opener], Awaitable[None]]] = [
    deliveries_last_exactly_once,
    the_queue_lasts,
    a_notice_lasts_with_its_cause,
    who_lives_here_lasts,
    what_is_set_aside_lasts,
]
