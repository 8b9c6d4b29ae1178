"""`import` and `export` as people run them: what is wrong is said by name, and a second run goes on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from postoffice.app.privilege import give_away
from postoffice.store.embedded import EmbeddedStore
from postoffice.testing.command import COMMAND
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer
from postoffice.testing.process import check_office, make_office, open_folder, resident_peak, wait_until

BOB = "bob@a.example"
LINE = "From alice@a.example Mon Jan  1 10:00:00 2024\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture
def data(folder: Path) -> Path:
    make_office(folder / "office", {BOB: "secret"})
    return folder / "office"


def run(*words: str | Path) -> tuple[int, str, str]:
    """Status, standard output, standard error."""
    done = subprocess.run(
        [*COMMAND, *map(str, words)], input=f"{PASSWORD}\n", capture_output=True, timeout=60, check=False, text=True
    )
    return done.returncode, done.stdout, done.stderr


def shown(data: Path) -> list[str]:
    """The unique-ids that bob's maildrop has; every letter is looked at."""

    async def look() -> list[str]:
        store = EmbeddedStore.open(data)
        try:
            account = await store.directory.find(BOB)
            assert account is not None
            return list((await (await store.office.mailbox(account.account_id)).snapshot()).unique_ids)
        finally:
            await store.close()

    assert check_office(data) == []
    unique_ids = asyncio.run(look())
    give_away(data)
    return unique_ids


def mbox(path: Path, count: int, octets: int = 10) -> Path:
    body = f"{'x' * 70}\n" * (octets // 71 + 1)
    with path.open("w", encoding="ascii") as file:
        for number in range(count):
            file.write(f"{LINE}X-UIDL: id-{number}\nSubject: letter {number}\n\n{body}\n")
    return path


def test_an_mbox_comes_in_and_goes_out_again(folder: Path, data: Path) -> None:
    where = ("--account", BOB, "--data", data)
    assert run("import", "mbox", mbox(folder / "in", 3), *where) == (0, "3 letters, 279 octets, already had 0\n", "")
    assert run("import", "mbox", folder / "in", *where) == (0, "0 letters, 0 octets, already had 3\n", "")
    assert shown(data) == ["id-0", "id-1", "id-2"]
    assert run("export", "mbox", folder / "out", *where) == (0, "3 letters, 279 octets, already had 0\n", "")
    assert run("export", "maildir", folder / "Maildir", *where)[0] == 0
    assert len(list((folder / "Maildir" / "cur").iterdir())) == 3
    status, _, said = run("export", "mbox", folder / "out", *where)
    assert (status, "--replace" in said) == (os.EX_CANTCREAT, True)
    assert run("export", "mbox", folder / "out", *where, "--folder", "None")[0] == os.EX_NOINPUT


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_what_root_gives_out_belongs_to_whom_the_place_belongs(folder: Path, data: Path) -> None:
    run("import", "mbox", mbox(folder / "in", 3), "--account", BOB, "--data", data)
    home = folder / "home"
    home.mkdir(mode=0o700)
    os.chown(home, 12345, 12346)
    for kind in ("maildir", "mbox"):
        assert run("export", kind, home / kind, "--account", BOB, "--data", data)[0] == 0
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in home.rglob("*")}
    assert owners == {(12345, 12346)}
    os.chown(home / "maildir", 12347, 12347)
    status, _, said = run("export", "maildir", home / "maildir", "--account", BOB, "--data", data)
    assert (status, "Permission denied" in said) == (os.EX_CANTCREAT, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root reads what others may not")
def test_root_reads_what_is_somebodys_own(folder: Path, data: Path) -> None:
    path = mbox(folder / "in", 2)
    maildir = folder / "Maildir"
    for place in ("cur", "new", "tmp"):
        (maildir / place).mkdir(parents=True)
    (maildir / "cur" / "1.a:2,").write_bytes(b"Subject: one\n")
    for one in (path, maildir / "cur" / "1.a:2,"):
        one.chmod(0o600)
    maildir.chmod(0o700)
    assert run("import", "mbox", path, "--account", BOB, "--data", data)[0] == 0
    assert run("import", "maildir", maildir, "--account", BOB, "--data", data)[:2] == (
        0,
        "1 letter, 14 octets, already had 0; 1 without a known unique-id\n",
    )


def test_a_mailbox_at_home_goes_out_too(folder: Path) -> None:
    async def fetch() -> None:
        async with Pop3Peer({"id-1": b"Subject: one\r\n\r\n"}).listening() as port:
            url = f"pop://{USER}@127.0.0.1:{port}"
            words = ("fetch", url, "--into", folder / "home.mailbox", "--password-stdin")
            assert (await asyncio.to_thread(run, *words))[0] == 0

    asyncio.run(fetch())
    assert run("export", "mbox", folder / "out", "--file", folder / "home.mailbox")[0] == 0
    assert "\nX-UIDL: id-1\nStatus: O\nSubject: one\n" in (folder / "out").read_text()
    status, _, said = run("export", "mbox", folder / "out2")
    assert (status, "--account" in said) == (os.EX_USAGE, True)


@pytest.mark.parametrize(
    ("says", "status", "line"),
    [
        ({}, 0, "3 letters are the same at 127.0.0.1"),
        (
            {"UIDL": b"+OK\r\n1 id-0\r\n2 other\r\n3 id-2\r\n.\r\n"},
            os.EX_DATAERR,
            "2 letters are the same at 127.0.0.1; 1 under another unique-id",
        ),
        ({"UIDL": b"-ERR what\r\n"}, os.EX_UNAVAILABLE, ""),
        ({"PASS": b"-ERR [AUTH] no\r\n"}, os.EX_NOPERM, ""),
    ],
)
def test_an_import_is_compared_with_the_old_server(
    folder: Path, data: Path, says: dict[str, bytes], status: int, line: str
) -> None:
    octets = f"Subject: letter {{}}\r\n\r\n{'x' * 70}\r\n"
    peer = Pop3Peer({f"id-{number}": octets.format(number).encode() for number in range(3)}, says=says)
    path = mbox(folder / "in", 3)

    async def check() -> None:
        async with peer.listening() as port:
            url = f"pop://{USER}@127.0.0.1:{port}"
            where = ("--account", BOB, "--data", data, "--password-stdin")
            for words in (("import", "mbox", path, "--check", url), ("import", "check", url)):
                got, out, _ = await asyncio.to_thread(run, *words, *where)
                assert (got, out.splitlines()[-1] if line else "") == (status, line)

    asyncio.run(check())
    assert shown(data) == ["id-0", "id-1", "id-2"]


def test_a_second_import_into_an_account_waits_for_its_turn(folder: Path, data: Path) -> None:
    with importing(folder, data) as first:
        first.send_signal(signal.SIGSTOP)
        status, out, said = run("import", "mbox", mbox(folder / "other", 1), "--account", BOB, "--data", data)
        first.send_signal(signal.SIGCONT)
        assert (status, out) == (os.EX_TEMPFAIL, "")
        assert said == f"postoffice: {BOB}: another import into this account is under way\n"
        assert first.wait(60) == 0
    assert len(shown(data)) == 3000


def test_an_import_that_was_killed_goes_on_where_it_ended(folder: Path, data: Path) -> None:
    with importing(folder, data) as first:
        first.kill()
        first.wait()
    came = shown(data)
    assert came == [f"id-{number}" for number in range(len(came))]
    assert 0 < len(came) < 3000
    status, out, _ = run("import", "mbox", folder / "many", "--account", BOB, "--data", data, "--json")
    done = json.loads(out.splitlines()[-1])
    assert (status, done["letters"], done["known"]) == (0, 3000 - len(came), len(came))
    assert shown(data) == [f"id-{number}" for number in range(3000)]


@contextmanager
def importing(folder: Path, data: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An import of 3,000 letters that has taken in some, and not all."""
    path = mbox(folder / "many", 3000, 10_000)
    words = (*COMMAND, "import", "mbox", str(path), "--account", BOB, "--data", str(data))
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    boxes = data / "mailboxes"
    try:
        wait_until(lambda: octets_in(boxes) > 4 << 20, "letters come in")
        yield process
    finally:
        process.kill()
        process.wait()


def octets_in(folder: Path) -> int:
    """Of all its files, some of which come and go meanwhile."""
    octets = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            octets += path.stat().st_size if path.is_file() else 0
    return octets


def test_a_disk_that_is_full_is_said_and_nothing_is_half_done(
    folder: Path, small_disk: Callable[[Path, str], None]
) -> None:
    disk = folder / "disk"
    small_disk(disk, "300M")
    disk.chmod(0o711)
    data = disk / "office"
    make_office(data, {BOB: "secret"})
    path = mbox(folder / "in", 6000, 10_000)
    status, _, said = run("import", "mbox", path, "--account", BOB, "--data", data)
    assert (status, "the disk is full" in said) == (os.EX_TEMPFAIL, True)
    came = shown(data)
    assert came == [f"id-{number}" for number in range(len(came))]
    assert 0 < len(came) < 6000
    (disk / "ballast").write_bytes(b"x" * (230 << 20))
    status, _, said = run("export", "maildir", disk / "out", "--account", BOB, "--data", data)
    assert (status, said.startswith("postoffice: ")) == (os.EX_CANTCREAT, True)
    assert "No space left on device" in said
    status, _, said = run("export", "mbox", disk / "mbox", "--account", BOB, "--data", data)
    assert (status, (disk / "mbox").exists()) == (os.EX_CANTCREAT, False)
    (disk / "ballast").unlink()
    status, _, _ = run("export", "maildir", disk / "out", "--account", BOB, "--data", data)
    assert status == 0
    assert len(list((disk / "out" / "cur").iterdir())) == len(came)
    assert list((disk / "out" / "tmp").iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["mbox", "maildir"])
def test_a_hundred_thousand_letters_come_in_with_progress_and_little_memory(
    folder: Path, data: Path, kind: str
) -> None:
    many = 100_000
    if kind == "mbox":
        mbox(folder / "in", many)
    else:
        for place in ("cur", "new", "tmp"):
            (folder / "in" / place).mkdir(parents=True)
        for number in range(many):
            (folder / "in" / "cur" / f"{number:06}.a:2,").write_bytes(b"Subject: one of many\n\nbody\n")
    words = (*COMMAND, "import", kind, str(folder / "in"), "--account", BOB, "--data", str(data), "--json")
    with (folder / "said").open("wb") as said:
        process, peak = subprocess.Popen(words, stdout=said), 0
        while process.poll() is None:
            with suppress(OSError):
                peak = max(peak, resident_peak(process.pid))
            time.sleep(0.1)
    lines = [json.loads(line) for line in (folder / "said").read_text().splitlines()]
    assert (process.returncode, lines[-1]["letters"]) == (0, many)
    assert [line["done"] for line in lines[:-1]] == sorted(line["done"] for line in lines[:-1])
    assert all(line["total"] == many for line in lines)
    assert 0 < peak < 200 << 20
