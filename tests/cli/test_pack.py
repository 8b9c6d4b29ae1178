"""A mailbox file is packed, opened elsewhere, merged: the letters are the same, and a pull brings only what is new."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import apsw
import pytest

from postoffice.client.collect import Options, Report, collect
from postoffice.client.url import Source
from postoffice.database.migrate import prepare
from postoffice.database.sqlite import PAGE_OCTETS
from postoffice.home.mailbox import pulling_into
from postoffice.home.packing.container import FRONT_OCTETS
from postoffice.protocols.dots import stuff
from postoffice.store.embedded import MailboxFile
from postoffice.store.embedded.schema import MAILBOX
from postoffice.store.model import CHUNK_OCTETS, Flag, Letter
from postoffice.testing.check_store.walk import text
from postoffice.testing.command import COMMAND
from postoffice.testing.files import letters_of, put_into
from postoffice.testing.old_kinds import of_version
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer

LARGE = text("large", lines=3 * CHUNK_OCTETS // 14)
CAPABILITIES = ("UIDL", "USER", "TOP", "PIPELINING")


def postoffice(*words: object, stdin: bytes = b"") -> tuple[int, bytes, str]:
    """Status, standard output, standard error."""
    done = subprocess.run([*COMMAND, *map(str, words)], input=stdin, capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr.decode()


async def pull(file: Path, peer: Pop3Peer, port: int) -> Report:
    mailbox = MailboxFile.open(file, create=True)
    try:
        return await collect(Source("127.0.0.1", port, USER), mailbox, Options(PASSWORD))
    finally:
        await mailbox.close()


def commit_of(file: Path, after: str | None = None) -> str:
    """The last one of the chain of a file that is sound, and goes on from another commit."""
    status, told, _ = postoffice("verify", file, "--json", *(["--after", after] if after else []))
    found = json.loads(told)
    assert (status, found["found"]) == (0, [])
    number, _, link = found["commit"].partition("-")
    return f"{number}-{link[:16]}"


def tables(file: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table."""
    with closing(apsw.Connection(str(file))) as connection:
        names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
        return {str(name): connection.execute(f"SELECT * FROM {name}").fetchall() for (name,) in names}


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "mail.mailbox"
    asyncio.run(put_into(path, *(text(number) for number in range(20)), LARGE, flags=Flag.SEEN))
    asyncio.run(put_into(path, text("filed"), folder="Work"))
    yield path
    strays = [one.name for one in tmp_path.rglob(".*")]
    assert not strays, "nothing of ours lies about"


@pytest.fixture
def packed(file: Path) -> bytes:
    status, pack, said = postoffice("pack", file)
    assert (status, said.startswith("pack: 22 letters, ")) == (0, True), said
    assert said.endswith(f", commit {commit_of(file)}\n")
    return pack


def test_what_comes_out_is_what_went_in(file: Path, packed: bytes) -> None:
    new = file.with_name("new.mailbox")
    status, said, _ = postoffice("open", "-", "--into", new, stdin=packed)
    assert (status, said.startswith(b"%b: " % bytes(new))) == (0, True)
    assert tables(new) == tables(file)
    assert new.stat().st_mode & 0o777 == 0o600
    assert commit_of(new) == commit_of(file)
    into = file.with_name("one.po")
    assert postoffice("pack", file, "--into", into)[0] == 0
    assert into.read_bytes() == packed, "the same moment is the same pack"


def test_what_the_log_holds_is_packed_while_others_write(file: Path) -> None:
    async def run() -> bytes:
        mailbox = MailboxFile.open(file)
        stage = await mailbox.stage()
        await stage.write(stuff(text("late")))
        await mailbox.append([Letter(await stage.finish(), 0.0)])
        assert file.with_name(f"{file.name}-wal").stat().st_size
        status, pack, _ = await asyncio.to_thread(postoffice, "pack", file)
        await mailbox.close()
        assert status == 0
        return pack

    new = file.with_name("new.mailbox")
    assert postoffice("open", "-", "--into", new, stdin=asyncio.run(run()))[0] == 0
    assert text("late") in asyncio.run(letters_of(new))


async def test_each_pack_is_one_moment_of_a_file_that_others_write_all_the_time(file: Path) -> None:
    mailbox = MailboxFile.open(file)
    packing = asyncio.get_running_loop().run_in_executor(None, lambda: [postoffice("pack", file) for _ in range(3)])
    written: list[bytes] = []
    while not packing.done():
        written.append(text(f"late {len(written)}", lines=300))
        stage = await mailbox.stage()
        await stage.write(stuff(written[-1]))
        await mailbox.append([Letter(await stage.finish(), 0.0)])
    await mailbox.close()
    counts = []
    for number, (status, pack, said) in enumerate(await packing):
        assert status == 0, said
        new = file.with_name(f"new-{number}")
        assert (await asyncio.to_thread(lambda: postoffice("open", "-", "--into", new, stdin=pack)))[0] == 0  # noqa: B023
        found = await letters_of(new)
        counts.append(len(found) - 21)
        assert found[21:] == written[: counts[-1]]
    assert 0 < counts[0] < counts[1] < counts[2] <= len(written)


@pytest.mark.parametrize("region", ["line", "size", "slots", "front digest", "database", "last page", "digest"])
def test_one_wrong_bit_anywhere_is_noticed(file: Path, packed: bytes, region: str) -> None:
    bounds = {
        "line": (0, 64),
        "size": (64, 72),
        "slots": (72, FRONT_OCTETS - 32),
        "front digest": (FRONT_OCTETS - 32, FRONT_OCTETS),
        "database": (FRONT_OCTETS, len(packed) - 32),
        "last page": (len(packed) - 32 - PAGE_OCTETS, len(packed) - 32),
        "digest": (len(packed) - 32, len(packed)),
    }
    dice = random.Random(region)
    new = file.with_name("new.mailbox")
    for _ in range(3):
        wrong = bytearray(packed)
        wrong[dice.randrange(*bounds[region])] ^= 1 << dice.randrange(8)
        status, told, said = postoffice("open", "-", "--into", new, stdin=bytes(wrong))
        assert (status, told, said.count("\n")) == (os.EX_DATAERR, b"", 1), said
        assert not new.exists()


@pytest.mark.parametrize("octets", [0, 10, 64, FRONT_OCTETS - 1, FRONT_OCTETS, FRONT_OCTETS + 5000, -33, -32, -1])
def test_a_pack_that_is_cut_is_noticed_and_one_that_grew(file: Path, packed: bytes, octets: int) -> None:
    new = file.with_name("new.mailbox")
    for wrong in (packed[:octets], packed + b"x" * (octets % 7 + 1)):
        status, _, said = postoffice("open", "-", "--into", new, stdin=wrong)
        assert (status, said.count("\n"), new.exists()) == (os.EX_DATAERR, 1, False), said


def test_a_newer_pack_and_a_newer_mailbox_are_told_as_such(file: Path) -> None:
    pack = bytearray(postoffice("pack", file)[1])
    pack[16:17] = b"2"
    pack[FRONT_OCTETS - 32 : FRONT_OCTETS] = sha256(pack[: FRONT_OCTETS - 32]).digest()
    newer = pack
    database = bytearray(file.read_bytes())
    database[60:64] = (1000).to_bytes(4, "big")
    with_newer = bytearray(postoffice("pack", file)[1])
    with_newer[FRONT_OCTETS + 60 : FRONT_OCTETS + 64] = (1000).to_bytes(4, "big")
    with_newer[-32:] = sha256(with_newer[FRONT_OCTETS:-32]).digest()
    new = file.with_name("new.mailbox")
    for octets in (newer, with_newer):
        status, _, said = postoffice("open", "-", "--into", new, stdin=bytes(octets))
        assert (status, new.exists()) == (os.EX_DATAERR, False)
        assert said == "postoffice: standard input is from a newer version of postoffice than this one\n"
    file.write_bytes(database)
    status, pack_of_newer, said = postoffice("pack", file)
    assert (status, pack_of_newer) == (os.EX_DATAERR, b"")
    assert "newer version" in said


def test_a_damaged_letter_is_told_and_packed_as_it_is(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"line of 7\r\n", b"lime of 7\r\n"))
    status, pack, said = postoffice("pack", file)
    assert (status, said.count("DAMAGED")) == (os.EX_DATAERR, 1)
    new = file.with_name("new.mailbox")
    assert postoffice("open", "-", "--into", new, stdin=pack)[0] == 0
    other = file.with_name("other.mailbox")
    status, told, _ = postoffice("merge", other, new)
    assert status == os.EX_NOINPUT, "FILE is one that is there"
    asyncio.run(put_into(other, text("own")))
    status, told, _ = postoffice("merge", other, new)
    assert (status, told.count(b"LOST"), told.count(b"21 letters came")) == (os.EX_DATAERR, 1, 1)
    assert len(asyncio.run(letters_of(other))) == 21


def test_what_stands_in_the_way_is_one_sentence(file: Path, packed: bytes) -> None:
    folder = file.parent
    one = folder / "one.po"
    one.write_bytes(packed)
    (folder / "stale-wal").write_bytes(b"x")
    before = sorted(folder.iterdir())
    for words, status, sentence in (
        (("open", one, "--into", file), os.EX_CANTCREAT, "is there already"),
        (("open", one, "--into", folder / "stale"), os.EX_CANTCREAT, "stale-wal lies there"),
        (("open", one, "--into", folder / "none" / "x"), os.EX_CANTCREAT, "there is no folder"),
        (("open", file, "--into", folder / "x"), os.EX_DATAERR, "a mailbox file needs no opening"),
        (("open", __file__, "--into", folder / "x"), os.EX_DATAERR, "is not a pack"),
        (("open", folder / "none", "--into", folder / "x"), os.EX_NOINPUT, "there is no such file"),
        (("pack", folder / "none"), os.EX_NOINPUT, "there is no such file"),
        (("pack", folder), os.EX_NOINPUT, "is a folder"),
        (("pack", __file__), os.EX_DATAERR, "is text, not a mailbox file"),
        (("pack", file, "--into", one), os.EX_CANTCREAT, "is there already"),
        (("merge", file, file), os.EX_USAGE, "is the file that the others are merged into"),
        (("merge", file, __file__), os.EX_DATAERR, "is text, not a mailbox file"),
        (("merge", file, folder / "none"), os.EX_NOINPUT, "there is no such file"),
    ):
        found, told, said = postoffice(*words)
        assert (found, told, said.count("\n")) == (status, b"", 1), (words, found, said)
        assert sentence in said
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    "words",
    [
        *(("ls", "{pack}"), ("check", "{pack}"), ("lock", "{pack}"), ("unlock", "{pack}"), ("pack", "{pack}")),
        *(("repair", "{pack}", "--into", "{new}"), ("merge", "{pack}", "{file}"), ("search", "{pack}", "word")),
        ("fetch", "pop://me@127.0.0.1:1", "--into", "{pack}", "--password-command", "echo x"),
    ],
    ids=lambda words: words[0],
)
def test_a_pack_is_not_called_a_damaged_mailbox(file: Path, packed: bytes, words: tuple[str, ...]) -> None:
    places = {"pack": file.with_name("one.po"), "file": file, "new": file.with_name("new.mailbox")}
    places["pack"].write_bytes(packed)
    found, told, said = postoffice(*(word.format(**places) for word in words))
    assert (found, told) == (os.EX_DATAERR, b"")
    because = f"is a pack; postoffice open {places['pack']} --into NEW makes a mailbox file of it"
    assert said == f"postoffice: {places['pack']}: {because}\n"
    assert places["pack"].read_bytes() == packed
    assert not places["new"].exists()


def test_a_terminal_gets_no_pack(file: Path) -> None:
    terminal, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [*COMMAND, "pack", str(file)], stdout=theirs, stderr=subprocess.PIPE, timeout=60, check=False
        )
    finally:
        os.close(theirs)
        os.close(terminal)
    assert (done.returncode, done.stderr.count(b"\n")) == (os.EX_USAGE, 1)
    assert b"no text for a terminal" in done.stderr


def test_who_reads_half_of_it_is_not_told_that_it_is_whole(file: Path) -> None:
    process = subprocess.Popen([*COMMAND, "pack", str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(100)
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == os.EX_IOERR
    assert b"was closed before the pack was whole" in said


# --- on it goes ---------------------------------------------------------------------------------------------------


async def test_a_pull_after_open_and_after_merge_fetches_only_what_is_new(tmp_path: Path) -> None:
    peer = Pop3Peer({f"id-{number}": text(number) for number in range(6)}, capabilities=CAPABILITIES)
    async with peer.listening() as port:
        home, away, third = (tmp_path / name for name in ("home", "away", "third"))
        assert (await pull(home, peer, port)).letters == 6
        pulled = await asyncio.to_thread(commit_of, home)
        pack = (await asyncio.to_thread(postoffice, "pack", home))[1]
        assert (await asyncio.to_thread(lambda: postoffice("open", "-", "--into", away, stdin=pack)))[0] == 0
        peer.letters["id-6"] = text(6)
        report = await pull(away, peer, port)
        assert (report.letters, report.known) == (1, 6)
        peer.letters["id-7"] = text(7)
        assert (await pull(home, peer, port)).letters == 2
        assert (await pull(third, peer, port)).letters == 8
        del peer.letters["id-0"]
        await put_into(away, text("written away"))
        status, told, said = await asyncio.to_thread(postoffice, "merge", home, away, third)
        assert (status, said) == (0, "")
        assert told.count(b"1 letter came") == 1
        assert told.count(b"0 letters came") == 1
        peer.letters["id-8"] = text(8)
        report = await pull(home, peer, port)
        assert (report.letters, report.known) == (1, 7)
        expected = [text(number) for number in range(9)] + [text("written away")]
        assert sorted(await letters_of(home)) == sorted(expected)
        for one in (home, away):
            assert await asyncio.to_thread(commit_of, one, pulled) != pulled, "each goes on from where it was packed"


async def test_what_only_the_other_one_pulled_is_known_here_also_where_it_was_removed(tmp_path: Path) -> None:
    peer = Pop3Peer({f"id-{number}": text(number) for number in range(6)}, capabilities=CAPABILITIES)
    async with peer.listening() as port:
        home, away = tmp_path / "home", tmp_path / "away"
        await put_into(home, text(2), text("own"))
        assert (await pull(away, peer, port)).letters == 6
        mailbox = MailboxFile.open(away)
        await mailbox.remove([(await mailbox.snapshot()).keys[0]])
        await mailbox.close()
        assert (await asyncio.to_thread(postoffice, "merge", home, away))[0] == 0
        assert sorted(await letters_of(home)) == sorted([text(number) for number in range(1, 6)] + [text("own")])
        mailbox = MailboxFile.open(home)
        [source] = await mailbox.sources()
        here = {name: one.is_here for name, one in (await mailbox.pulled(source)).items()}
        await mailbox.close()
        assert sorted(here.values()) == [False] + [True] * 5, "the one that was here already is linked, the removed not"
        report = await pull(home, peer, port)
        assert (report.letters, report.known) == (0, 6)


def test_merging_keeps_folders_flags_dates_and_counts_and_merging_again_changes_nothing(tmp_path: Path) -> None:
    home, away = tmp_path / "home", tmp_path / "away"
    asyncio.run(put_into(home, text(1), text(1), text(2)))
    asyncio.run(put_into(away, text(1), text(2), text(2), LARGE, flags=Flag.FLAGGED | Flag.ANSWERED, date=123.0))
    asyncio.run(put_into(away, text("filed"), folder="Work", flags=Flag.SEEN, date=7.0))
    before = {path.name: path.read_bytes() for path in [away]}
    status, told, _ = postoffice("merge", home, away)
    assert (status, b"3 letters came" in told, b"2 were here" in told) == (0, True, True)
    assert {path.name: path.read_bytes() for path in [away]} == before
    found = sorted(asyncio.run(letters_of(home)))
    assert found == sorted([text(1), text(1), text(2), text(2), LARGE])
    rows = tables(home)
    with closing(apsw.Connection(str(home))) as connection:
        came = connection.execute(
            "SELECT name, flags, internal_date FROM entries JOIN folders USING (folder_id) ORDER BY entry_id LIMIT -1"
            " OFFSET 3"
        ).fetchall()
    marked = int(Flag.FLAGGED | Flag.ANSWERED)
    assert came == [("INBOX", marked, 123.0), ("INBOX", marked, 123.0), ("Work", int(Flag.SEEN), 7.0)]
    with closing(apsw.Connection(str(away))) as connection:
        theirs = {row[0] for row in connection.execute("SELECT unique_id FROM entries")}
    assert {row[5] for row in rows["entries"][3:]} <= theirs, "unique-ids stay where they are free"
    status, told, _ = postoffice("merge", home, away)
    assert (status, b"0 letters came" in told, b"0 pulls remembered" in told) == (0, True, True)
    assert tables(home) == rows
    assert postoffice("check", home)[0] == 0


def test_a_unique_id_that_is_taken_becomes_another_one(tmp_path: Path) -> None:
    home, away = tmp_path / "home", tmp_path / "away"
    asyncio.run(put_into(home, text(1)))
    shutil.copy(home, away)
    for path, number in ((home, 2), (away, 3)):
        asyncio.run(put_into(path, text(number)))
        with closing(apsw.Connection(str(path))) as connection:
            connection.execute("UPDATE entries SET unique_id = 'same', email_id = 'name' WHERE entry_id = 2")
    status, told, _ = postoffice("merge", home, away)
    assert (status, b"1 with a new unique-id" in told) == (0, True)
    entries = tables(home)["entries"]
    assert len({row[4] for row in entries}) == len({row[5] for row in entries}) == 3
    rows = tables(home)
    assert postoffice("merge", home, away)[0] == 0
    assert tables(home) == rows


def test_nobody_merges_into_a_file_that_somebody_pulls_into(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    asyncio.run(put_into(other, text("new")))

    async def run() -> tuple[int, bytes, str]:
        async with pulling_into(file):
            return await asyncio.to_thread(postoffice, "merge", file, other)

    status, _, said = asyncio.run(run())
    assert (status, "somebody else pulls into it" in said) == (os.EX_TEMPFAIL, True)


def test_killed_at_any_moment_a_merge_goes_on_where_it_was(tmp_path: Path) -> None:
    """Letters of 36 KB: a batch is 4 MiB, so there are a dozen commits; it is killed after some of them."""
    home, away = tmp_path / "home", tmp_path / "away"
    letters = [text(number, lines=32000 // 12) for number in range(1500)]
    asyncio.run(put_into(home, text("own"), *letters[:3]))

    async def fill() -> None:
        mailbox = MailboxFile.open(away, create=True)
        for start in range(0, len(letters), 250):
            batch = []
            for letter in letters[start : start + 250]:
                stage = await mailbox.stage()
                await stage.write(stuff(letter))
                batch.append(Letter(await stage.finish(), 0.0))
            await mailbox.append(batch)
        await mailbox.close()

    asyncio.run(fill())
    octets = away.read_bytes()
    kills = 0
    for wanted in (300, 700, 1200):
        process = subprocess.Popen([*COMMAND, "merge", str(home), str(away)], stdout=subprocess.DEVNULL)
        with closing(apsw.Connection(str(home))) as connection:
            connection.set_busy_timeout(10_000)
            while process.poll() is None and connection.execute("SELECT count(*) FROM entries").get < wanted:
                pass
        process.send_signal(signal.SIGKILL)
        kills += process.wait(timeout=60) == -signal.SIGKILL
        assert postoffice("check", home)[0] == 0
    assert kills, "none was killed in the middle"
    assert postoffice("merge", home, away)[0] == 0
    assert sorted(asyncio.run(letters_of(home))) == sorted([text("own"), *letters])
    assert away.read_bytes() == octets


def test_a_killed_open_leaves_no_mailbox_and_the_next_one_works(tmp_path: Path, file: Path, packed: bytes) -> None:
    new = tmp_path / "new.mailbox"
    process = subprocess.Popen([*COMMAND, "open", "-", "--into", str(new)], stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(packed[:-1])
    process.stdin.flush()
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    process.stdin.close()
    assert not new.exists()
    for stray in tmp_path.glob(".new.mailbox.*"):
        stray.unlink()
    assert postoffice("open", "-", "--into", new, stdin=packed)[0] == 0
    assert tables(new) == tables(file)


def test_an_older_file_and_its_pack_are_merged_and_stay_as_they_are(tmp_path: Path) -> None:
    home, old = tmp_path / "home", tmp_path / "old"
    asyncio.run(put_into(home, text(1)))
    prepare(old, of_version(MAILBOX, 3), create=True)
    with closing(apsw.Connection(str(old))) as connection:
        connection.execute("INSERT INTO pulled VALUES ('pop3://x', 'id-1')")
    octets = old.read_bytes()
    pack = tmp_path / "old.po"
    pack.write_bytes(postoffice("pack", old)[1])
    for other, news in ((old, b"1 pulls remembered"), (pack, b"0 pulls remembered")):
        status, told, said = postoffice("merge", home, other)
        assert (status, news in told) == (0, True), said
    assert old.read_bytes() == octets
    assert [row[:2] for row in tables(home)["pulled"]] == [("pop3://x", "id-1")]


def test_a_file_whose_tables_are_torn_is_one_sentence_and_what_came_stays(file: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    asyncio.run(put_into(home, text("own")))
    with closing(apsw.Connection(str(file))) as connection:
        root = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'entries'").get
    octets = bytearray(file.read_bytes())
    octets[(root - 1) * PAGE_OCTETS : root * PAGE_OCTETS] = b"x" * PAGE_OCTETS
    file.write_bytes(octets)
    status, _, said = postoffice("merge", home, file)
    assert (status, said.count("\n"), "is damaged" in said) == (os.EX_DATAERR, 1, True), said
    assert asyncio.run(letters_of(home)) == [text("own")]
    status, pack, said = postoffice("pack", file)
    assert (status, bool(pack), "DAMAGED" in said) == (os.EX_DATAERR, True, True)
