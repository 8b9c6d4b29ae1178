"""The promises of `Scans`: verdicts by content, and letters that lie where their verdict says."""

from __future__ import annotations

from hashlib import sha256

from postoffice.protocols.dots import stuff
from postoffice.store.base import Mailbox
from postoffice.store.model import INBOX, QUARANTINE, UNSCANNED, Letter, Origin, Scan, Verdict
from postoffice.testing.check_store.walk import (
    NOON,
    MailboxCheck,
    keys,
    large_text,
    must_be_sound,
    put,
    seen,
    staged,
    text,
)

CLEAN = Scan(Verdict.CLEAN, "clamd", NOON, signatures="1")
FOUND = Scan(Verdict.INFECTED, "clamd", NOON, "Test.Eicar", "1")
NOT_YET = Scan(Verdict.UNSCANNED, "clamd", NOON, "it is away")


async def come(mailbox: Mailbox, plain: bytes, scan: Scan, folder: str, origin: Origin | None = None) -> int:
    letter = Letter(await staged(mailbox, plain), NOON, folder=folder, scan=scan, origin=origin)
    (key,) = await mailbox.append([letter])
    return key


async def a_verdict_comes_with_its_letter(mailbox: Mailbox) -> None:
    await come(mailbox, text(1), CLEAN, INBOX)
    await come(mailbox, text(2), FOUND, QUARANTINE)
    await come(mailbox, text(3), NOT_YET, UNSCANNED)
    assert await seen(mailbox) == [text(1)], "INBOX shows what is withheld"
    assert await seen(mailbox, folder=QUARANTINE) == [text(2)]
    assert await seen(mailbox, folder=UNSCANNED) == [text(3)]
    names = [sha256(text(number)).digest() for number in (1, 2, 3, 4)]
    assert await mailbox.scans(names) == [CLEAN, FOUND, NOT_YET, None], "a verdict is not that of its content"
    await must_be_sound(mailbox)


async def what_is_to_be_scanned_is_known(mailbox: Mailbox) -> None:
    first, *_ = await put(mailbox, text(1))
    second = await come(mailbox, text(2), CLEAN, INBOX)
    third = await come(mailbox, text(3), NOT_YET, INBOX)
    assert await mailbox.to_scan(INBOX, "1") == [first, third], "what has a verdict of these signatures is not to be"
    assert await mailbox.to_scan(INBOX, "2") == [first, second, third], "other signatures may find something"
    assert await mailbox.to_scan(INBOX, None) == [first, second, third]
    assert await mailbox.to_scan(QUARANTINE, None) == [], "a folder that is not there has no letters"


async def judging_moves_letters_and_remembers_why(mailbox: Mailbox) -> None:
    first, second = await put(mailbox, text(1), large_text("two"))
    held = await come(mailbox, text(3), NOT_YET, UNSCANNED)
    name, other = sha256(large_text("two")).digest(), sha256(text(3)).digest()
    await mailbox.judge({name: FOUND, other: CLEAN}, {QUARANTINE: [second, 2**40], INBOX: [held]})
    assert await seen(mailbox) == [text(1), text(3)]
    assert (await keys(mailbox))[0] == first, "a letter moved that nobody spoke of"
    assert await seen(mailbox, folder=QUARANTINE) == [large_text("two")]
    assert await seen(mailbox, folder=UNSCANNED) == []
    assert await mailbox.scans([name, other]) == [FOUND, CLEAN]
    await must_be_sound(mailbox)


async def what_was_allowed_stays_allowed(mailbox: Mailbox) -> None:
    await come(mailbox, text(1), FOUND, QUARANTINE)
    name = sha256(text(1)).digest()
    allowed = FOUND._replace(allowed=frozenset({FOUND.name}))
    await mailbox.judge({name: allowed}, {INBOX: await keys(mailbox, folder=QUARANTINE)})
    await mailbox.judge({name: CLEAN}, {})
    await mailbox.judge({name: FOUND}, {})
    assert await mailbox.scans([name]) == [allowed], "what a person allowed was forgotten"
    await come(mailbox, text(1), FOUND, QUARANTINE)
    assert await seen(mailbox) == [text(1), text(1)], "what was allowed comes into quarantine again"
    await come(mailbox, text(1), FOUND._replace(name="Another"), QUARANTINE)
    assert await seen(mailbox, folder=QUARANTINE) == [text(1)], "another signature was not allowed"


async def who_could_not_look_takes_nothing_back(mailbox: Mailbox) -> None:
    name = sha256(text(1)).digest()
    await come(mailbox, text(1), CLEAN, INBOX)
    await mailbox.judge({name: NOT_YET}, {})
    assert await mailbox.scans([name]) == [CLEAN], "that nobody could look counts more than that it was clean"
    await mailbox.judge({name: FOUND}, {})
    for scan in (NOT_YET, NOT_YET._replace(verdict=Verdict.TOO_LARGE)):
        await mailbox.judge({name: scan}, {})
        assert await mailbox.scans([name]) == [FOUND], "what was found is forgotten"
    await come(mailbox, text(1), NOT_YET, INBOX)
    assert await seen(mailbox, folder=QUARANTINE) == [text(1)], "what is known to be infected is seen"


async def a_withheld_letter_is_pulled_all_the_same(mailbox: Mailbox) -> None:
    origin = Origin("pop3", "id-1")
    await come(mailbox, text(1), NOT_YET, UNSCANNED, origin)
    await mailbox.judge({}, {QUARANTINE: await keys(mailbox, folder=UNSCANNED)})
    pulled = (await mailbox.pulled("pop3"))["id-1"]
    assert pulled.is_here, "a letter that moved is taken for removed"
    assert await come(mailbox, text(1), CLEAN, INBOX, origin) == 0, "it was pulled twice"
    assert await seen(mailbox) == []


async def a_stage_that_is_finished_can_be_read(mailbox: Mailbox) -> None:
    for plain in (text(1), b".dot\r\n", large_text("two") * 20):
        stage = await mailbox.stage()
        wire = stuff(plain)
        await stage.write(wire)
        await stage.finish()
        pieces = [await stage.read(0)]
        while pieces[-1].more:
            pieces.append(await stage.read(len(pieces)))
        assert b"".join(piece.wire for piece in pieces) == wire, "its pieces are not the letter"
        await stage.abandon()


SCAN_CHECKS: list[MailboxCheck] = [
    a_verdict_comes_with_its_letter,
    what_is_to_be_scanned_is_known,
    judging_moves_letters_and_remembers_why,
    what_was_allowed_stays_allowed,
    who_could_not_look_takes_nothing_back,
    a_withheld_letter_is_pulled_all_the_same,
    a_stage_that_is_finished_can_be_read,
]
