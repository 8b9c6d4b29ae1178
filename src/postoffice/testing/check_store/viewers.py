"""The promises of `Mailbox` about who looks at it: a letter stays until everybody who holds it back has removed it."""

from __future__ import annotations

from postoffice.errors import NotLooking
from postoffice.store.base import Mailbox
from postoffice.store.model import INBOX, OWNER, REMOVED, Sight, Viewer
from postoffice.testing.check_store.walk import (
    MailboxCheck,
    keys,
    look,
    must_be_sound,
    must_fail,
    put,
    seen,
    text,
    wire_of,
)

HOLDS, RESTS, GONE = Sight.HOLDS, Sight.RESTS, Sight.GONE


async def a_letter_stays_until_no_viewer_sees_it(mailbox: Mailbox) -> None:
    await look(mailbox, "laptop", "phone")
    one, two = await put(mailbox, text(1), text(2))
    await mailbox.remove([one], "laptop")
    assert await keys(mailbox, "laptop") == [two], "a viewer sees what it removed"
    assert await keys(mailbox, "phone") == [one, two], "one viewer's removal hides the letter from another"
    assert await keys(mailbox, OWNER) == [one, two], "one viewer's removal hides the letter from the owner"
    await mailbox.remove([one], "laptop")
    await mailbox.remove([one], OWNER)
    assert await wire_of(mailbox, one) == text(1), "a letter that one viewer still sees is gone"
    assert await keys(mailbox) == [one, two], "what one viewer sees is kept"
    await mailbox.remove([one], "phone")
    assert await wire_of(mailbox, one) is None, "a letter that no viewer sees any more must be gone"
    assert await keys(mailbox, "phone") == [two], "the other letter must stay"
    await mailbox.remove([two])
    assert await wire_of(mailbox, two) is None, "what is removed for everybody must be gone"
    await must_be_sound(mailbox)


async def all_viewers_see_the_same_unique_ids(mailbox: Mailbox) -> None:
    await put(mailbox, text(1), text(2))
    await look(mailbox, "phone")
    mine, phones = await mailbox.snapshot(OWNER), await mailbox.snapshot("phone")
    assert list(mine.unique_ids) == list(phones.unique_ids), "a letter has one unique id, whoever sees it"
    assert list(mine.octets) == list(phones.octets)


async def a_viewer_who_is_gone_holds_nothing_back(mailbox: Mailbox) -> None:
    await look(mailbox, "phone")
    one, two = await put(mailbox, text(1), text(2))
    await mailbox.remove([one], OWNER)
    before = await mailbox.snapshot(OWNER)
    await mailbox.set_viewer("phone", GONE)
    await mailbox.set_viewer("phone", GONE)
    assert await mailbox.viewers() == [Viewer(OWNER, HOLDS)], "the viewer did not leave"
    assert await wire_of(mailbox, one) is None, "a viewer who left holds a letter back"
    assert await keys(mailbox, OWNER) == [two] == list(before.keys), "what the owner sees must stay"
    await must_be_sound(mailbox)


async def a_new_viewer_sees_all(mailbox: Mailbox) -> None:
    await look(mailbox, "phone")
    one, two = await put(mailbox, text(1), text(2))
    await mailbox.remove([one], OWNER)
    await look(mailbox, "tablet")
    assert await mailbox.viewers() == [Viewer(OWNER, HOLDS), Viewer("phone", HOLDS), Viewer("tablet", HOLDS)]
    assert await keys(mailbox, "tablet") == [one, two], "a new viewer sees every letter that is there"
    assert await keys(mailbox, OWNER) == [two], "a new viewer must not bring letters back to another"
    await mailbox.remove([two], "phone")
    await mailbox.set_viewer("phone", GONE)
    await look(mailbox, "phone")
    assert await keys(mailbox, "phone") == [one, two], "who comes back after he was gone is new, and sees all"


async def who_rests_holds_nothing_back_and_sees_nothing_twice(mailbox: Mailbox) -> None:
    await look(mailbox, "phone")
    one, two, three = await put(mailbox, text(1), text(2), text(3))
    await mailbox.remove([one], OWNER)
    await mailbox.remove([two], "phone")
    await mailbox.set_viewer("phone", RESTS)
    assert await mailbox.viewers() == [Viewer(OWNER, HOLDS), Viewer("phone", RESTS)]
    assert await wire_of(mailbox, one) is None, "who rests holds a letter back"
    assert await keys(mailbox, OWNER) == [two, three], "what the owner sees must stay"
    await must_not_look(mailbox, "phone")
    (four,) = await put(mailbox, text(4))
    await mailbox.remove([four], OWNER)
    assert await wire_of(mailbox, four) is None, "a letter that came meanwhile is held back by who rests"
    await look(mailbox, "phone")
    assert await keys(mailbox, "phone") == [three], "who holds again sees what he had removed"
    await mailbox.remove([three], OWNER)
    assert await keys(mailbox, "phone") == [three], "who holds again holds nothing back"
    await must_be_sound(mailbox)


async def a_mailbox_always_keeps_letters_for_somebody(mailbox: Mailbox) -> None:
    await must_fail(mailbox.set_viewer(OWNER, RESTS), "nobody would hold")
    await must_fail(mailbox.set_viewer(OWNER, GONE), "the owner is never gone")
    await look(mailbox, "phone")
    await must_fail(mailbox.set_viewer(OWNER, GONE), "the owner is never gone")
    await mailbox.set_viewer(OWNER, RESTS)
    one, two = await put(mailbox, text(1), text(2))
    await mailbox.remove([one], "phone")
    assert await wire_of(mailbox, one) is None, "an owner who rests holds a letter back"
    await mailbox.set_viewer("phone", RESTS)
    assert await mailbox.viewers() == [Viewer(OWNER, HOLDS), Viewer("phone", RESTS)], "then the owner holds"
    assert await keys(mailbox, OWNER) == [two], "the last one who held let letters go"
    await look(mailbox, "phone")
    await mailbox.set_viewer(OWNER, RESTS)
    await mailbox.set_viewer("phone", GONE)
    assert await mailbox.viewers() == [Viewer(OWNER, HOLDS)], "then the owner holds"
    assert await keys(mailbox) == [two], "the last one who held let letters go"
    await must_be_sound(mailbox)


async def what_is_let_go_can_be_kept_aside(mailbox: Mailbox) -> None:
    for sight in (RESTS, GONE):
        await look(mailbox, "phone")
        (key,) = await put(mailbox, text(1))
        await mailbox.remove([key], OWNER, into=REMOVED)
        assert await keys(mailbox, "phone") == [key], "somebody sees it still"
        await mailbox.set_viewer("phone", sight, into=REMOVED)
        assert await keys(mailbox) == [], "nobody sees it any more"
        assert await seen(mailbox, folder=REMOVED) == [text(1)], "it is not kept aside"
        await mailbox.remove(await keys(mailbox, folder=REMOVED))
        assert await seen(mailbox, folder=REMOVED) == [], "it is not gone"
    await must_be_sound(mailbox)


async def a_letter_is_kept_aside_by_its_last_viewer(mailbox: Mailbox) -> None:
    await look(mailbox, "laptop", "phone")
    await mailbox.set_viewer(OWNER, RESTS)
    (key,) = await put(mailbox, text(1))
    await mailbox.remove([key], "laptop", into=REMOVED)
    assert REMOVED not in [folder.name for folder in await mailbox.folders()], "somebody sees it still"
    assert await keys(mailbox, "phone") == [key], "the other one does not see it any more"
    await mailbox.remove([key], "phone", into=REMOVED)
    for viewer in ("laptop", "phone"):
        assert await seen(mailbox, viewer, REMOVED) == [text(1)], f"it is not kept aside for the {viewer}"
    await mailbox.move(await keys(mailbox, "phone", REMOVED), INBOX)
    for viewer in ("laptop", "phone"):
        assert await seen(mailbox, viewer) == [text(1)], f"what came back is not shown to the {viewer}"


async def strangers_see_and_remove_nothing(mailbox: Mailbox) -> None:
    (key,) = await put(mailbox, text(1))
    await must_not_look(mailbox, "stranger")
    await must_fail(mailbox.remove([key], "stranger"), "only a viewer removes")
    await must_fail(mailbox.remove([], "stranger"), "only a viewer removes")
    assert await keys(mailbox) == [key], "what failed must change nothing"


async def must_not_look(mailbox: Mailbox, viewer: str) -> None:
    try:
        await mailbox.snapshot(viewer)
    except NotLooking:
        return
    raise AssertionError(f"{viewer} does not hold, and sees something")


VIEWER_CHECKS: list[MailboxCheck] = [
    a_letter_stays_until_no_viewer_sees_it,
    all_viewers_see_the_same_unique_ids,
    a_viewer_who_is_gone_holds_nothing_back,
    a_new_viewer_sees_all,
    who_rests_holds_nothing_back_and_sees_nothing_twice,
    a_mailbox_always_keeps_letters_for_somebody,
    what_is_let_go_can_be_kept_aside,
    a_letter_is_kept_aside_by_its_last_viewer,
    strangers_see_and_remove_nothing,
]
