"""From a damaged mailbox file every letter is saved whose octets are intact, none with other octets, and what was
removed does not come back; the file itself is never written."""

from __future__ import annotations

import asyncio
import random
import shutil
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from proof.damage import FILE, KINDS, SOURCE, Files, Outcome, Pattern, judge, pattern

from postoffice.database.key import RESERVED_OCTETS, new_key
from postoffice.database.sqlite import PAGE_OCTETS
from postoffice.errors import DamagedStore, StoreUnavailable
from postoffice.home.locking.transcribing import transcribe
from postoffice.home.mailbox import pulling_into
from postoffice.store.embedded import EmbeddedStore, MailboxFile
from postoffice.store.embedded.index import Document, Index
from postoffice.store.embedded.inspection import inspect_mailbox
from postoffice.store.embedded.places import office_path
from postoffice.store.embedded.salvage import FOUND, repair
from postoffice.store.model import REMOVED, Flag, Letter, Origin, Pulled, Sight
from postoffice.testing.check_store.walk import NOON, entry, keys, large_text, look, put, seen, staged, text
from postoffice.testing.pages import BEFORE, NOW


@pytest.fixture(scope="module", params=(NOW, BEFORE))
def patterns(request: pytest.FixtureRequest) -> dict[bool, Pattern]:
    async def both() -> dict[bool, Pattern]:
        return {at_rest: await pattern(60, at_rest=at_rest, page_octets=request.param) for at_rest in (True, False)}

    return asyncio.run(both())


def must_be_right(outcome: Outcome, sound: Pattern) -> None:
    saved = outcome.saved | outcome.found
    assert not outcome.intact - saved, "an intact letter was not saved"
    assert not outcome.wrong, "a letter was saved with other octets"
    assert not outcome.knows_removals or not outcome.saved & sound.gone, "a letter that was removed came back"
    assert outcome.is_sound, "the new file is not sound"


@pytest.mark.parametrize("kind", KINDS)
async def test_every_intact_letter_is_saved_and_none_wrongly(
    kind: str, patterns: dict[bool, Pattern], tmp_path: Path
) -> None:
    sound = patterns["log" not in kind]
    for seed in (101, 102):
        folder = tmp_path / str(seed)
        folder.mkdir()
        must_be_right(await judge(sound, KINDS[kind], seed, folder), sound)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from((True, False)),
    st.lists(
        st.tuples(
            st.sampled_from(("flip", "zero", "noise", "swap", "cut")), st.integers(0, 1 << 30), st.integers(0, 1 << 30)
        ),
        max_size=12,
    ),
)
async def test_nothing_is_saved_wrongly_whatever_was_done_to_the_file(
    patterns: dict[bool, Pattern], tmp_path: Path, at_rest: bool, blows: list[tuple[str, int, int]]
) -> None:
    def damage(files: Files, chance: random.Random) -> None:
        size = files.page_octets
        for kind, where, what in blows:
            octets = list(files.values())[what % len(files)]
            page = where % max(1, len(octets) // size) * size
            match kind:
                case "flip" if octets:
                    octets[where % len(octets)] ^= 1 << what % 8
                case "zero":
                    octets[page : page + size] = bytes(len(octets[page : page + size]))
                case "noise":
                    octets[page : page + what % 64] = chance.randbytes(len(octets[page : page + what % 64]))
                case "swap":
                    octets[page : page + size] = octets[:size]
                case _ if what % 7 == 0:
                    del octets[max(size, where % (len(octets) + 1)) :]

    sound = patterns[at_rest]
    folder = tmp_path / "one"
    folder.mkdir()
    try:
        must_be_right(await judge(sound, damage, 1, folder), sound)
    finally:
        shutil.rmtree(folder)


async def test_what_the_log_hides_is_saved_where_the_log_is_noise(
    patterns: dict[bool, Pattern], tmp_path: Path
) -> None:
    saved: list[set[bytes]] = []
    for kind in ("the log missing", "every frame of the log overwritten but for its head"):
        folder = tmp_path / str(len(saved))
        folder.mkdir()
        outcome = await judge(patterns[False], KINDS[kind], 1, folder)
        saved.append(outcome.saved | outcome.found)
    assert saved[0]
    assert saved[0] <= saved[1]


async def test_of_what_was_removed_no_octet_comes_over(tmp_path: Path) -> None:
    old, new = tmp_path / "old.mailbox", tmp_path / "new.mailbox"
    mailbox = MailboxFile.open(old, create=True)
    await put(mailbox, *(text(number, lines=290) for number in range(30)))  # a page for each
    await mailbox.remove((await keys(mailbox))[19:23])
    await mailbox.close()
    assert b"line of 21\r\n" in old.read_bytes(), "it does not lie on a free page any more"
    report = await repair(old, new)
    assert (report.letters, report.found, report.lost) == (26, 0, [])
    assert b"line of 21\r\n" not in new.read_bytes()


# --- all that a mailbox knows ----------------------------------------------------------------------------------


async def full(path: Path) -> MailboxFile:
    """Letters with prefixes, flags and origins in two folders, a device, letters removed by both or one of them."""
    mailbox = MailboxFile.open(path, create=True)
    for number in range(20):
        origin = Origin(SOURCE, f"uid-{number}", 100 + number, b"header", NOON)
        content = await staged(mailbox, text(number, lines=100))
        letter = Letter(
            content, NOON + number, b"X-Above: it\r\n" * (number % 2), f"old-{number}", Flag(number), origin
        )
        await mailbox.append([letter])
    await put(mailbox, large_text("large"))
    await look(mailbox, "phone")
    for viewer in ("phone", ""):
        await mailbox.remove((await keys(mailbox, viewer))[:4], viewer, into=REMOVED)
    await mailbox.remove((await keys(mailbox, "phone"))[:2], "phone")
    await mailbox.remove((await keys(mailbox))[3:5])
    await mailbox.note(
        SOURCE, {"uid-99": Pulled(octets=5, seen=NOON, tries=2, words="no", head=b"Subject: x\r\n" * 900)}
    )
    return mailbox


async def told(path: Path) -> list[object]:
    """All of it, but for uids and modseqs."""
    mailbox = MailboxFile.open(path)
    try:
        letters = []
        for folder in sorted(await mailbox.folders(), key=lambda folder: folder.name):
            for key in await keys(mailbox, folder=folder.name):
                one = await entry(mailbox, key)
                name = (folder.name, one.email_id, one.unique_id, one.sha256, one.octets, one.surrogate_octets)
                letters.append((*name, one.flags, one.internal_date, one.saved, one.prefix, one.has_dot_lines))
        phone = (await mailbox.snapshot("phone")).unique_ids
        return [letters, phone, await mailbox.viewers(), await mailbox.pulled(SOURCE), await mailbox.check()]
    finally:
        await mailbox.close()


async def test_of_a_sound_file_all_that_it_knows_comes_over(tmp_path: Path) -> None:
    old, new = tmp_path / "old.mailbox", tmp_path / "new.mailbox"
    await (await full(old)).close()
    report = await repair(old, new)
    assert await told(new) == await told(old)
    assert (report.found, report.lost, report.damaged_pages, report.wrong_frames) == (0, [], 0, 0)
    assert list(inspect_mailbox(new, "new")) == []
    assert new.stat().st_mode & 0o777 == 0o600


async def test_an_office_that_gets_its_mailbox_back_delivers_into_it_as_before(tmp_path: Path) -> None:
    old, new = tmp_path / "old.mailbox", tmp_path / "new.mailbox"
    await (await full(old)).close()
    facts = "SELECT incarnation, watermark, (SELECT group_concat(arrival) FROM entries) FROM mailbox"
    connection = apsw.Connection(str(old))
    connection.execute("UPDATE mailbox SET incarnation = 1 << 62, watermark = 77; UPDATE entries SET arrival = uid")
    before = connection.execute(facts).get
    connection.close()
    await repair(old, new)
    connection = apsw.Connection(str(new))
    (life, watermark, arrivals), known = connection.execute(facts).get, before
    connection.close()
    assert (life, watermark) == known[:2]
    assert sorted(arrivals.split(",")) == sorted(known[2].split(","))


async def test_an_index_for_searching_is_in_nobodys_way(tmp_path: Path) -> None:
    old = tmp_path / "old.mailbox"
    await (await full(old)).close()
    before = await told(old)
    index = Index(old)
    while await index.add(lambda octets: Document("me", "you", "", "letter", "", octets.decode("latin-1"), 0, NOON)):
        pass
    await index.close()
    connection = apsw.Connection(str(old))
    connection.execute("UPDATE mailbox SET incarnation = 1 << 62, watermark = 77")
    connection.close()
    for octets in (0, 100, PAGE_OCTETS):
        damaged, new = tmp_path / f"{octets}.damaged", tmp_path / f"{octets}.new"
        damaged.write_bytes(bytes(octets) + old.read_bytes()[octets:])
        assert (await repair(damaged, new)).lost == []
        letters, _, _, memory, damages = await told(new)
        assert [letters, memory, damages] == [before[0], before[3], []]
        connection = apsw.Connection(str(new))
        assert connection.execute("SELECT incarnation, watermark FROM mailbox").get == (1 << 62, 77)
        connection.close()


async def test_uids_begin_anew_and_say_so(tmp_path: Path) -> None:
    old, new = tmp_path / "old.mailbox", tmp_path / "new.mailbox"
    mailbox = await full(old)
    before = (await mailbox.folders())[0].uid_validity
    await mailbox.close()
    await repair(old, new)
    mailbox = MailboxFile.open(new)
    assert (await mailbox.folders())[0].uid_validity > before
    await mailbox.close()


async def test_a_letter_whose_octets_are_damaged_is_named_and_its_pull_forgotten(tmp_path: Path) -> None:
    old, new = tmp_path / "old.mailbox", tmp_path / "new.mailbox"
    await (await full(old)).close()
    octets = bytearray(old.read_bytes())
    octets[octets.index(b"line of 15\r\n")] ^= 1
    old.write_bytes(octets)
    report = await repair(old, new)
    (line,) = report.lost
    assert "(old-15)" in line
    assert line.startswith("INBOX ")
    mailbox = MailboxFile.open(new)
    memory = await mailbox.pulled(SOURCE)
    await mailbox.close()
    assert "uid-15" not in memory
    assert {"uid-14", "uid-16", "uid-99"} <= set(memory)


async def test_a_letter_whose_entry_is_lost_is_in_found_under_its_name(tmp_path: Path) -> None:
    old, new = tmp_path / "old.mailbox", tmp_path / "new.mailbox"
    mailbox = MailboxFile.open(old, create=True)
    origin = Origin(SOURCE, "uid-1")
    await mailbox.append([Letter(await staged(mailbox, text(1)), NOON, origin=origin)])
    email_id = (await entry(mailbox, (await keys(mailbox))[0])).email_id
    await mailbox.close()
    connection = apsw.Connection(str(old))
    connection.execute("DELETE FROM entries")
    connection.close()
    await repair(old, new)
    mailbox = MailboxFile.open(new)
    assert await seen(mailbox, folder=FOUND) == [text(1)]
    assert (await entry(mailbox, (await keys(mailbox, folder=FOUND))[0])).email_id == email_id
    assert (await mailbox.pulled(SOURCE))["uid-1"].is_here
    await mailbox.close()


async def test_what_a_letter_holds_is_never_taken_for_rows(tmp_path: Path) -> None:
    other, old, new = (tmp_path / name for name in ("other", "old", "new"))
    mailbox = MailboxFile.open(other, create=True)
    await put(mailbox, text("forged"))
    await mailbox.close()
    carried = b"Subject: a file\r\n\r\n" + (other.read_bytes() * 3).replace(b"\r", b" ").replace(b"\n", b" ") + b"\r\n"
    mailbox = MailboxFile.open(old, create=True)
    await put(mailbox, text(1), carried, text(2))
    await mailbox.close()
    octets = bytearray(old.read_bytes())
    octets[:100] = bytes(100)
    old.write_bytes(octets)
    await repair(old, new)
    mailbox = MailboxFile.open(new)
    assert [folder.name for folder in await mailbox.folders()] == ["INBOX"]
    assert await seen(mailbox) == [text(1), carried, text(2)]
    await mailbox.close()


# --- when it cannot be done ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "octets", [b"", b"not a mailbox" * 1000, bytes(3 * PAGE_OCTETS)], ids=("empty", "text", "zeros")
)
async def test_a_file_with_nothing_of_a_mailbox_makes_none(octets: bytes, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(octets)
    with pytest.raises(DamagedStore, match="nothing of a mailbox"):
        await repair(old, new)
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


async def test_an_office_is_told_apart(tmp_path: Path) -> None:
    await EmbeddedStore.open(tmp_path).close()
    with pytest.raises(DamagedStore, match="backup"):
        await repair(office_path(tmp_path), tmp_path / "new")


async def test_a_file_in_use_is_left_alone(tmp_path: Path) -> None:
    async with pulling_into(tmp_path / FILE) as mailbox:
        await mailbox.set_viewer("", Sight.HOLDS)
        with pytest.raises(StoreUnavailable, match="in use"):
            await repair(tmp_path / FILE, tmp_path / "new")
    assert not (tmp_path / "new").exists()


# --- locked -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locked_patterns() -> dict[bool, Pattern]:
    key = new_key()

    async def both() -> dict[bool, Pattern]:
        return {at_rest: await pattern(60, at_rest=at_rest, key=key) for at_rest in (True, False)}

    return asyncio.run(both())


@pytest.mark.parametrize("kind", KINDS)
async def test_every_intact_letter_of_a_locked_file_is_saved_and_none_wrongly(
    kind: str, locked_patterns: dict[bool, Pattern], tmp_path: Path
) -> None:
    must_be_right(await judge(locked_patterns["log" not in kind], KINDS[kind], 101, tmp_path), locked_patterns[True])
    assert not any(b"line of" in path.read_bytes() for path in tmp_path.iterdir())


async def test_another_key_saves_nothing_and_says_so(locked_patterns: dict[bool, Pattern], tmp_path: Path) -> None:
    file = tmp_path / FILE
    file.write_bytes(locked_patterns[True].files[FILE])
    with pytest.raises(DamagedStore, match="nothing of a mailbox"):
        await repair(file, tmp_path / "new", key=new_key())
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


@pytest.mark.parametrize("kind", ["none", "its first page destroyed", "100 bits flipped in the file"])
async def test_a_file_that_was_locked_once_is_saved_like_one_that_never_was(
    kind: str, locked_patterns: dict[bool, Pattern], tmp_path: Path
) -> None:
    """Its pages keep the room that HMACs had."""
    sound = locked_patterns[True]
    file = tmp_path / FILE
    file.write_bytes(sound.files[FILE])
    transcribe(file, sound.key, None, lambda _: None, lambda _: None)
    files = Files(replace(sound, files={FILE: file.read_bytes()}))
    assert files[FILE][20] == RESERVED_OCTETS
    KINDS[kind](files, random.Random(7))
    file.write_bytes(files[FILE])
    report = await repair(file, tmp_path / "new")
    letters = len(sound.letters)
    assert report.letters + report.found == letters if "bits" not in kind else report.letters > letters // 2
