"""A pulled letter is seen only after its scan; what is found or cannot be scanned is kept where nobody is shown it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import pytest

from postoffice.client.collect import Options
from postoffice.client.rules import NOW, parse_rule
from postoffice.client.url import Source
from postoffice.errors import StoreUnavailable, UsageError
from postoffice.handing.target import InFile, InMaildir
from postoffice.handing.way import Way
from postoffice.home.hooks import Hooks
from postoffice.home.pulling import Outcome, Pull, pull_into
from postoffice.home.scanning.again import LookAgain
from postoffice.home.scanning.inspector import Inspector
from postoffice.home.scanning.outcome import Again
from postoffice.home.scanning.policy import Lack, Scanning
from postoffice.home.scanning.quiet import Quiet
from postoffice.home.scanning.withheld import release, waiting, withheld
from postoffice.home.search.face import Search
from postoffice.store.embedded import MailboxFile
from postoffice.store.model import INBOX, QUARANTINE, UNSCANNED, Scan, Verdict
from postoffice.testing.check_store.walk import keys, put, seen
from postoffice.testing.clamd import EICAR, ClamdPeer, Fault
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer


def letter(name: str, body: bytes = b"How are you?") -> bytes:
    return f"Message-ID: <{name}@a.example>\r\nSubject: {name}\r\n\r\n".encode() + body + b"\r\n.dot\r\n"


GOOD, BAD, LATER = letter("good"), letter("bad", EICAR), letter("later", b"New.Virus")


@dataclass(slots=True)
class Home:
    """A mailbox file, a server with letters, a scanner."""

    file: Path
    peer: Pop3Peer
    port: int
    clamd: ClamdPeer
    scanning: Scanning
    folder: dict[str, list[bytes]] = field(default_factory=dict)

    async def pull(self, scanning: Scanning | None = None, options: Options | None = None) -> Outcome:
        there = Way(self.file, InFile(self.file))
        source = Source("127.0.0.1", self.port, USER)
        try:
            how = options or Options(PASSWORD)
            return await pull_into(Pull(there, USER, source, how, scanning=scanning or self.scanning))
        finally:
            await self.look()

    async def look(self) -> None:
        """What is in which folder, as far as there is anything."""
        mailbox = MailboxFile.open(self.file)
        there = [folder.name for folder in await mailbox.folders()]
        self.folder = {name: letters for name in there if (letters := await seen(mailbox, folder=name))}
        assert await mailbox.check() == []
        await mailbox.close()

    async def again(self, everything: bool = False, scanning: Scanning | None = None) -> Again:
        mailbox = MailboxFile.open(self.file)
        try:
            inspector = Inspector(scanning or self.scanning)
            return await LookAgain(mailbox, inspector, everything=everything).at_all()
        finally:
            await mailbox.close()
            await self.look()

    async def scan_of(self, plain: bytes) -> Scan | None:
        mailbox = MailboxFile.open(self.file)
        [scan] = await mailbox.scans([sha256(plain).digest()])
        await mailbox.close()
        return scan

    async def quietly(self, quiet: Quiet, *, by: str = "") -> Again | None:
        mailbox = MailboxFile.open(self.file)
        try:
            inspector = Inspector(replace(self.scanning, by=by or self.scanning.by))
            return await quiet.look(mailbox, self.file, inspector, has_new=False)
        finally:
            await mailbox.close()

    async def release(self, folder: str, number: int) -> None:
        mailbox = MailboxFile.open(self.file)
        try:
            await release(mailbox, folder, number)
        finally:
            await mailbox.close()
            await self.look()


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    clamd = ClamdPeer()
    peer = Pop3Peer({"id-1": GOOD, "id-2": BAD, "id-3": LATER})
    async with peer.listening() as port, clamd.listening(tmp_path / "clamd") as name:
        yield Home(tmp_path / "home.mailbox", peer, port, clamd, Scanning(name))


# --- pulling ---------------------------------------------------------------------------------------------------


async def test_what_is_clean_is_seen_and_what_is_infected_is_in_quarantine(home: Home) -> None:
    outcome = await home.pull()
    assert home.folder == {INBOX: [GOOD, LATER], QUARANTINE: [BAD]}
    assert (outcome.report.letters, outcome.report.infected, outcome.report.held, outcome.status) == (3, 1, 0, 0)
    assert sorted(home.clamd.letters) == sorted([GOOD, BAD, LATER]), "other octets than those of letters were scanned"
    scan = await home.scan_of(BAD)
    assert scan is not None
    assert (scan.verdict, scan.name, scan.signatures) == (Verdict.INFECTED, "Test.Eicar", "ClamAV 1.4.3/1")
    assert scan.scanner == f"clamd at {home.file.parent / 'clamd'}"
    outcome = await home.pull()
    assert (outcome.report.letters, outcome.report.known) == (0, 3), "a letter in quarantine was fetched again"
    assert home.clamd.asked == 3


async def test_without_a_scanner_nothing_is_asked_and_nothing_remembered(home: Home) -> None:
    there, source = Way(home.file, InFile(home.file)), Source("127.0.0.1", home.port, USER)
    await pull_into(Pull(there, USER, source, Options(PASSWORD)))
    await home.look()
    assert home.folder == {INBOX: [GOOD, BAD, LATER]}
    assert home.clamd.asked == 0
    assert await home.scan_of(GOOD) is None


async def test_rules_for_the_server_take_a_letter_in_quarantine_for_kept(home: Home) -> None:
    await home.pull(options=Options(PASSWORD, rules=(parse_rule("removed"),)))
    assert home.peer.removed == [], "what is in quarantine was taken for removed"
    await home.pull(options=Options(PASSWORD, rules=(NOW,)))
    assert home.peer.letters == {}
    assert home.folder[QUARANTINE] == [BAD]


async def test_a_letter_that_moved_is_not_taken_for_removed(home: Home) -> None:
    await home.pull()
    home.clamd.signatures["New"], home.clamd.version = b"New.Virus", 2
    await home.again()
    await home.release(QUARANTINE, 1)
    assert home.folder == {INBOX: [GOOD, BAD], QUARANTINE: [LATER]}
    await home.pull(options=Options(PASSWORD, rules=(parse_rule("removed"),)))
    assert home.peer.removed == []


@pytest.mark.parametrize("fault", [Fault.NONSENSE, Fault.BREAKS_OFF, Fault.BREAKS_OFF_EARLY, Fault.ERROR])
async def test_a_scanner_that_fails_lets_nothing_be_seen(home: Home, fault: Fault) -> None:
    home.clamd.fault = fault
    outcome = await home.pull()
    assert home.folder == {UNSCANNED: [GOOD, BAD, LATER]}
    assert (outcome.report.letters, outcome.report.held, outcome.status) == (3, 3, 75)
    assert outcome.scanned.trouble
    home.clamd.fault = Fault.NONE
    outcome = await home.pull()
    assert home.folder == {INBOX: [GOOD, LATER], QUARANTINE: [BAD]}
    assert (outcome.report.letters, outcome.scanned.held.released, outcome.scanned.held.infected) == (0, 2, 1)
    assert outcome.status == 0


async def test_a_scanner_that_is_away_is_asked_once_and_letters_are_held(home: Home) -> None:
    home.peer.letters |= {f"more-{number}": letter(f"more {number}") for number in range(300)}
    away = replace(home.scanning, by=f"clamd:{home.file.parent}/nothing")
    outcome = await home.pull(away)
    assert (outcome.report.letters, outcome.report.held, outcome.status) == (303, 303, 75)
    assert "cannot be reached" in outcome.scanned.trouble
    assert len(home.folder[UNSCANNED]) == 303
    outcome = await home.pull(away)
    assert (outcome.report.letters, outcome.status) == (0, 75), "that letters wait is told once only"
    await home.pull()
    assert home.folder[INBOX] == [one for one in home.peer.letters.values() if one != BAD], "their order is another one"


async def test_a_scanner_that_hangs_costs_a_few_patiences_and_not_one_for_each_letter(home: Home) -> None:
    home.peer.letters |= {f"more-{number}": letter(f"more {number}") for number in range(300)}
    home.clamd.fault = Fault.HANGS
    outcome = await asyncio.wait_for(home.pull(replace(home.scanning, seconds=0.3)), 20)
    assert (outcome.report.held, outcome.status) == (303, 75)
    assert home.clamd.asked < 20


async def test_who_wants_it_sees_letters_that_could_not_be_scanned(home: Home) -> None:
    home.clamd.fault = Fault.ERROR
    passes = replace(home.scanning, unscanned=Lack.PASS)
    outcome = await home.pull(passes)
    assert home.folder == {INBOX: [GOOD, BAD, LATER]}
    assert (outcome.report.unscanned, outcome.report.held, outcome.status) == (3, 0, 0)
    scan = await home.scan_of(GOOD)
    assert scan is not None
    assert scan.verdict is Verdict.UNSCANNED
    home.clamd.fault = Fault.NONE
    await home.again(scanning=passes)
    assert home.folder == {INBOX: [GOOD, LATER], QUARANTINE: [BAD]}


async def test_a_letter_too_large_to_be_scanned_is_held_or_passed_but_never_lost(home: Home) -> None:
    home.clamd.limit = 100_000
    large = letter("large", b"as long as it takes\r\n" * 100_000)
    home.peer.letters["id-4"] = large
    outcome = await home.pull()
    assert home.folder == {INBOX: [GOOD, LATER], QUARANTINE: [BAD], UNSCANNED: [large]}
    assert (outcome.report.too_large, outcome.report.held, outcome.status) == (1, 1, 0)
    assert (outcome.scanned.waiting.unscanned, outcome.scanned.waiting.too_large) == (0, 1)
    asked = home.clamd.asked
    await home.pull()
    assert home.clamd.asked == asked, "what is too large is sent in each run"
    await home.pull(replace(home.scanning, too_large=Lack.PASS))
    assert home.folder == {INBOX: [GOOD, LATER, large], QUARANTINE: [BAD]}
    home.peer.letters["id-5"] = another = letter("another", b"as long as it takes\r\n" * 100_000)
    await home.pull(replace(home.scanning, too_large=Lack.PASS))
    assert home.folder[INBOX] == [GOOD, LATER, large, another]


async def test_a_command_scans_too(home: Home) -> None:
    command = "command:if grep -q EICAR; then echo 'stdin: Win.Test FOUND'; exit 1; fi"
    await home.pull(replace(home.scanning, by=command))
    assert home.folder == {INBOX: [GOOD, LATER], QUARANTINE: [BAD]}
    scan = await home.scan_of(BAD)
    assert scan is not None
    assert (scan.name, scan.signatures) == ("Win.Test", "")
    assert (await home.again(scanning=replace(home.scanning, by=command))).letters == 0
    assert (await home.again(everything=True, scanning=replace(home.scanning, by=command))).letters == 3


async def test_scanning_overlaps_with_the_network(home: Home) -> None:
    """While no letter of the first batch has its verdict, the whole next one comes."""
    home.peer.letters |= {f"more-{number}": letter(f"more {number}") for number in range(40)}
    home.clamd.may_answer.clear()
    pulling = asyncio.ensure_future(home.pull(options=Options(PASSWORD, batch_letters=10, window_letters=5)))
    while len(home.peer.given) < 20:
        await asyncio.sleep(0)
        assert not pulling.done()
    assert home.clamd.most_at_once == 4, "not several at once, or more than were to be"
    mailbox = MailboxFile.open(home.file)
    assert [await seen(mailbox, folder=folder.name) for folder in await mailbox.folders()] == [[]]
    await mailbox.close()
    home.clamd.may_answer.set()
    outcome = await pulling
    assert (outcome.report.letters, outcome.report.infected) == (43, 1)


async def test_who_stops_a_pull_waits_for_no_scan_and_loses_nothing(home: Home) -> None:
    home.clamd.may_answer.clear()
    pulling = asyncio.ensure_future(home.pull())
    while home.clamd.asked < 3:
        await asyncio.sleep(0)
    pulling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(pulling, 20)
    home.clamd.may_answer.set()
    assert INBOX not in home.folder, "a letter is seen that nobody scanned"
    await home.pull()
    assert home.folder == {INBOX: [GOOD, LATER], QUARANTINE: [BAD]}


async def test_a_server_that_breaks_off_takes_no_scan_with_it(home: Home) -> None:
    home.peer.says["RETR 3"] = b"+OK\r\nhalf of a let"
    outcome = await home.pull(options=Options(PASSWORD, patience_seconds=1.0))
    assert (outcome.report.letters, outcome.report.refused, outcome.report.infected) == (2, 1, 1)
    assert home.folder == {INBOX: [GOOD], QUARANTINE: [BAD]}


async def test_a_pull_that_has_no_room_ends_with_its_scans(home: Home) -> None:
    async def no_room(octets: int) -> None:
        raise StoreUnavailable(f"no room for {octets} octets")

    home.clamd.may_answer.clear()
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(home.pull(options=Options(PASSWORD, make_room=no_room)), 20)
    assert home.folder == {}
    home.clamd.may_answer.set()
    await home.pull()
    assert home.folder == {INBOX: [GOOD, LATER], QUARANTINE: [BAD]}


async def test_no_target_is_given_what_is_withheld(home: Home, tmp_path: Path) -> None:
    home.clamd.limit = 1000
    home.peer.letters["id-4"] = letter("large", b"x" * 5000)
    there = Way(home.file, InMaildir(tmp_path / "Mail"))
    source = Source("127.0.0.1", home.port, USER)
    outcome = await pull_into(Pull(there, USER, source, Options(PASSWORD), scanning=home.scanning))
    await home.look()
    assert outcome.handed.letters == 2
    given = [path.read_bytes().replace(b"\n", b"\r\n") for path in (tmp_path / "Mail" / "new").iterdir()]
    assert sorted(given) == sorted([GOOD, LATER])
    assert home.folder == {QUARANTINE: [BAD], UNSCANNED: [home.peer.letters["id-4"]]}


async def test_the_hook_hears_of_what_is_seen(home: Home, tmp_path: Path) -> None:
    there = Way(home.file, InFile(home.file))
    hooks = Hooks(new_mail=f"cat >> {tmp_path}/heard")
    source = Source("127.0.0.1", home.port, USER)
    await pull_into(Pull(there, USER, source, Options(PASSWORD), hooks, home.scanning))
    heard = (tmp_path / "heard").read_text()
    assert "good" in heard
    assert "bad" not in heard


async def test_search_finds_nothing_that_is_withheld(home: Home) -> None:
    await home.pull()

    async def found(word: str) -> int:
        search = Search(home.file)
        await search.catch_up(lambda *_: None)
        count = (await search.find(word, 20)).letters
        await search.close()
        return count

    assert (await found("subject:bad"), await found("subject:later")) == (0, 1)
    home.clamd.signatures["New"], home.clamd.version = b"New.Virus", 2
    await home.again()
    assert await found("subject:later") == 0
    await home.release(QUARANTINE, 1)
    assert await found("subject:bad") == 1


# --- again -----------------------------------------------------------------------------------------------------


async def test_new_signatures_find_an_old_letter(home: Home) -> None:
    await home.pull()
    assert (await home.again()).letters == 0, "what has a verdict by these signatures was scanned again"
    home.clamd.signatures["New"], home.clamd.version = b"New.Virus", 2
    report = await home.again()
    assert (report.letters, report.infected, report.released) == (3, 1, 0)
    assert home.folder == {INBOX: [GOOD], QUARANTINE: [BAD, LATER]}
    assert (await home.again()).letters == 0


async def test_what_was_let_out_stays_out_for_the_same_signature(home: Home) -> None:
    await home.pull()
    await home.release(QUARANTINE, 1)
    assert home.folder == {INBOX: [GOOD, LATER, BAD]}
    for home.clamd.version in (2, 3):
        assert (await home.again()).infected == 0
        assert home.folder == {INBOX: [GOOD, LATER, BAD]}
    home.clamd.signatures = {"Another.Name": EICAR}
    home.clamd.version = 4
    assert (await home.again()).infected == 1
    assert home.folder == {INBOX: [GOOD, LATER], QUARANTINE: [BAD]}


async def test_a_copy_of_what_was_let_out_is_seen(home: Home) -> None:
    await home.pull()
    await home.release(QUARANTINE, 1)
    home.peer.letters["id-9"] = BAD
    await home.pull()
    assert home.folder == {INBOX: [GOOD, LATER, BAD, BAD]}


async def test_what_is_not_found_any_more_stays_until_somebody_lets_it_out(home: Home) -> None:
    await home.pull()
    home.clamd.signatures, home.clamd.version = {}, 2
    assert (await home.again()).cleared == 1
    home.clamd.version = 3
    await home.again()
    assert home.folder == {INBOX: [GOOD, LATER], QUARANTINE: [BAD]}
    scan = await home.scan_of(BAD)
    assert scan is not None
    assert (scan.verdict, scan.name) == (Verdict.CLEAN, "Test.Eicar")
    await home.release(QUARANTINE, 1)
    home.clamd.signatures, home.clamd.version = {"Test.Eicar": EICAR}, 4
    await home.again()
    assert home.folder == {INBOX: [GOOD, LATER, BAD]}


async def test_letters_from_before_there_was_a_scanner_are_scanned(home: Home) -> None:
    mailbox = MailboxFile.open(home.file, create=True)
    await put(mailbox, GOOD, BAD, GOOD, BAD)
    await mailbox.close()
    report = await home.again()
    assert (report.letters, report.infected) == (2, 2), "a content is scanned once, and all its letters go"
    assert home.folder == {INBOX: [GOOD, GOOD], QUARANTINE: [BAD, BAD]}


async def test_a_scanner_that_fails_later_takes_nothing_out_of_sight(home: Home) -> None:
    await home.pull()
    home.clamd.fault, home.clamd.version = Fault.ERROR, 2
    report = await home.again()
    assert report.trouble
    assert home.folder == {INBOX: [GOOD, LATER], QUARANTINE: [BAD]}
    scan = await home.scan_of(BAD)
    assert scan is not None
    assert scan.verdict is Verdict.INFECTED


@pytest.mark.parametrize("change", ["DELETE FROM chunks", "UPDATE chunks SET data = zeroblob(length(data))"])
async def test_a_damaged_letter_keeps_no_other_from_being_scanned(home: Home, change: str) -> None:
    """And what was said of it stays: a verdict is one of octets that are there no more."""
    await home.pull()
    mailbox = MailboxFile.open(home.file)
    await mailbox.write(lambda connection: connection.execute(f"{change} WHERE chunk_id >> 20 = 2"))
    inspector = Inspector(home.scanning)
    report = await LookAgain(mailbox, inspector, everything=True).at_all()
    assert (report.letters, report.unreadable, report.cleared) == (2, 1, 0)
    await mailbox.close()
    scan = await home.scan_of(BAD)
    assert scan is not None
    assert scan.verdict is Verdict.INFECTED


async def test_in_quiet_moments_what_changed_is_looked_at_once(home: Home) -> None:
    await home.pull()
    quiet, now = Quiet(lambda: 0.0), home.clamd
    first = await home.quietly(quiet)
    assert first is not None
    assert first.letters == 0
    assert await home.quietly(quiet) is None
    now.signatures["New"], now.version = b"New.Virus", 2
    report = await home.quietly(quiet)
    assert report is not None
    assert (report.letters, report.infected) == (3, 1)
    assert await home.quietly(quiet) is None
    assert await home.quietly(quiet, by=f"clamd:{home.file.parent}/nothing") is None


async def test_a_quiet_moment_ends_and_the_next_one_goes_on(home: Home) -> None:
    mailbox = MailboxFile.open(home.file, create=True)
    await put(mailbox, *(letter(f"letter {number}") for number in range(200)))
    await mailbox.close()
    times = iter(range(0, 10_000, 20))
    quiet = Quiet(lambda: float(next(times)))
    left, rounds = 200, 0
    while report := await home.quietly(quiet):
        assert report.left < left or report.left == 0
        left, rounds = report.left, rounds + 1
    assert rounds > 1, "it did not end in between"
    assert home.clamd.asked == 200, "a letter was scanned twice, or not"


async def test_what_is_withheld_is_listed_and_only_that_is_let_out(home: Home) -> None:
    home.clamd.limit = 1000
    home.peer.letters["id-4"] = large = letter("large", b"x" * 5000)
    await home.pull()
    mailbox = MailboxFile.open(home.file)
    listed = await withheld(mailbox)
    assert [(one.folder, one.number) for one in listed] == [(QUARANTINE, 1), (UNSCANNED, 1)]
    assert (await waiting(mailbox)).too_large == 1
    for folder, number in ((QUARANTINE, 2), (UNSCANNED, 9)):
        with pytest.raises(UsageError, match=f"no letter {number} in {folder}; there is 1"):
            await release(mailbox, folder, number)
    await mailbox.close()
    await home.release(UNSCANNED, 1)
    assert home.folder == {INBOX: [GOOD, LATER, large], QUARANTINE: [BAD]}
    await home.again(everything=True)
    assert home.folder == {INBOX: [GOOD, LATER, large], QUARANTINE: [BAD]}, "it was held again"
    mailbox = MailboxFile.open(home.file)
    assert len(await keys(mailbox)) == 3
    await mailbox.close()
