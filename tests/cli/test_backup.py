"""`postoffice backup` and `restore` as a person uses them, and what is said when something is wrong."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from postoffice.app.privilege import give_away
from postoffice.store.base import Store
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.embedded.backup import Vault, office_name
from postoffice.store.model import INBOX, REMOVED, Acceptance, Flag, LocalDelivery
from postoffice.testing.check_store.walk import PREFIX, seen, staged
from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office, open_folder
from postoffice.testing.raw import Pop3Raw

T = TypeVar("T")

ANNA, BOB = "anna@a.example", "bob@a.example"


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture
def data(folder: Path) -> Path:
    """Anna's first three letters are in her file, the last two have just arrived; bob has one of each."""
    data = folder / "office"
    make_office(data, {ANNA: "secret", BOB: "secret"})

    async def fill(store: Store) -> None:
        for number in range(5):
            content = await staged(store.office, text(number))
            local = tuple(LocalDelivery(account, PREFIX) for account in ((1, 2) if number % 2 == 0 else (1,)))
            await store.office.accept(Acceptance("x", content, "x@x.example", time.time(), local))
            if number == 2:
                await store.office.tidy()
                mailbox = await store.office.mailbox(1)
                await mailbox.flag((await mailbox.snapshot()).keys[:1], Flag.FLAGGED)

    work_in(data, fill)
    return data


def text(number: int) -> bytes:
    return b"Subject: %d\r\n\r\n.dot\r\n" % number


def work_in(data: Path, work: Callable[[Store], Awaitable[T]]) -> T:
    """Do something with the store, and leave the folder to its owner."""

    async def run() -> T:
        store = EmbeddedStore.open(data)
        try:
            return await work(store)
        finally:
            await store.close()

    done = asyncio.run(run())
    give_away(data)
    return done


def po(*words: object, status: int = 0) -> tuple[str, str]:
    """What the program said, on both ways."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "postoffice", *map(str, words)],
        input="secret\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


async def anna(store: Store, folder: str = INBOX) -> list[bytes]:
    account = await store.directory.find(ANNA)
    assert account is not None
    return await seen(await store.office.mailbox(account.account_id), folder=folder)


# --- one mailbox -----------------------------------------------------------------------------------------------


def test_what_is_missing_in_a_mailbox_comes_back_once(data: Path, folder: Path) -> None:
    async def lose(store: Store) -> tuple[str, ...]:
        mailbox = await store.office.mailbox(1)
        snapshot = await mailbox.snapshot()
        await mailbox.remove([snapshot.keys[0], snapshot.keys[3]])
        return tuple(snapshot.unique_ids)

    async def look(store: Store) -> None:
        mailbox = await store.office.mailbox(1)
        assert [plain.removeprefix(PREFIX) for plain in await seen(mailbox)] == [text(n) for n in (1, 2, 4, 0, 3)]
        changes = (await mailbox.changes(0)).entries
        assert sorted(entry.unique_id for entry in changes) == sorted(unique_ids)
        assert [entry.flags for entry in changes if entry.unique_id == unique_ids[0]] == [Flag.FLAGGED]
        assert all(entry.prefix == PREFIX and entry.internal_date > time.time() - 600 for entry in changes)
        assert await store.office.check() == []

    po("backup", folder / "vault", "--data", data)
    unique_ids = work_in(data, lose)
    said, _ = po("restore", folder / "vault", "--account", ANNA, "--data", data)
    assert said == f"2 letters, {len(text(0) + text(3))} octets, already had 3\n"
    work_in(data, look)
    assert po("restore", folder / "vault", "--account", ANNA, "--data", data)[0].startswith("0 letters, 0 octets")
    work_in(data, look)
    work_in(data, lose)
    assert po("restore", folder / "vault", "--account", ANNA, "--data", data)[0].startswith("2 letters")


def test_a_removed_letter_that_can_be_recovered_comes_back_too(data: Path, folder: Path) -> None:
    """And one that was removed before the backup does not."""

    def remove(index: int) -> Callable[[Store], Awaitable[None]]:
        async def work(store: Store) -> None:
            mailbox = await store.office.mailbox(1)
            await mailbox.remove([(await mailbox.snapshot()).keys[index]], into=REMOVED)

        return work

    work_in(data, remove(0))
    po("backup", folder / "vault", "--data", data)
    work_in(data, remove(0))
    assert po("restore", folder / "vault", "--account", ANNA, "--data", data)[0].startswith("1 letter,")
    plains = work_in(data, anna)
    assert sorted(plain.removeprefix(PREFIX) for plain in plains) == [text(n) for n in (1, 2, 3, 4)]


def test_an_account_that_is_gone_is_made_again_with_its_password(data: Path, folder: Path) -> None:
    """In the office that serves: whoever logs in sees the letters at once."""
    po("account", "set", ANNA, "retain=90", "--data", data)
    po("backup", folder / "vault", "--data", data)
    with OfficeProcess(data, CLEAR_TEXT) as office:
        po("account", "remove", ANNA, "--yes", "--data", data)
        _, said = po("restore", folder / "vault", "--account", ANNA, "--data", data)
        assert said == f"{ANNA} was gone, and is made again with its passwords\n"
        with Pop3Raw(office.ports["pop3"]) as client:
            assert client.log_in(ANNA, "secret").startswith(b"+OK")
            assert len(client.unique_ids()) == 5
        assert re.search(r"retain +90", po("account", "show", ANNA, "--data", data)[0])
        office.stop()


def test_a_mailbox_comes_into_another_office_without_its_password(data: Path, folder: Path) -> None:
    po("backup", folder / "vault", "--data", data)
    make_office(folder / "other", {BOB: "secret"})
    _, said = po("restore", folder / "vault", "--account", ANNA, "--data", folder / "other")
    assert "give it a password" in said
    plains = work_in(folder / "other", anna)
    assert len(plains) == 5


def test_a_damaged_letter_is_named_and_the_others_come_back(data: Path, folder: Path) -> None:
    po("backup", folder / "vault", "--data", data)
    [spoiled] = [path for path in (folder / "vault/contents").glob("??/*") if b"Subject: 1" in path.read_bytes()]
    spoiled.chmod(0o600)
    spoiled.write_bytes(text(7))
    _, said = po("restore", folder / "vault", "--check", status=os.EX_DATAERR)
    assert f"postoffice: {ANNA}: the letter m" in said
    po("account", "remove", ANNA, "--yes", "--data", data)
    said, complaint = po("restore", folder / "vault", "--account", ANNA, "--data", data, status=os.EX_DATAERR)
    assert said.startswith("4 letters")
    assert f"postoffice: {ANNA}: the letter m" in complaint
    said, complaint = po("restore", folder / "vault", "--data", folder / "new", status=os.EX_DATAERR)
    assert "6 letters" not in said
    assert "7 letters" in said
    assert complaint.count("the letter m") == 1


# --- all of it -------------------------------------------------------------------------------------------------


def test_backups_are_listed_and_one_of_them_is_restored_with_its_certificate(data: Path, folder: Path) -> None:
    first = po("backup", folder / "vault", "--data", data)[0].partition(":")[0]
    po("account", "remove", BOB, "--yes", "--data", data)
    second = po("backup", folder / "vault", "--data", data)[0].partition(":")[0]
    listed, _ = po("restore", folder / "vault", "--list")
    assert [line.split()[:2] for line in listed.splitlines()] == [[first, "2"], [second, "1"]]
    po("restore", folder / "vault", "--backup", first, "--data", folder / "new")
    assert po("account", "list", "--data", folder / "new")[0] == f"{ANNA}\n{BOB}\n"
    for name in ("certificate.pem", "key.pem"):
        restored = folder / "new" / "tls" / name
        assert restored.read_bytes() == (data / "tls" / name).read_bytes()
        assert restored.stat().st_mode & 0o777 == 0o600
    assert (folder / "new").stat().st_mode & 0o777 == 0o700


def test_only_the_newest_are_kept(data: Path, folder: Path) -> None:
    for _ in range(3):
        said, _ = po("backup", folder / "vault", "--data", data, "--keep", 2)
    assert said.endswith("dropped 1 backups, 0 letters\n")
    assert len(po("restore", folder / "vault", "--list")[0].splitlines()) == 2


def test_nothing_is_dropped_while_the_office_is_damaged(data: Path, folder: Path) -> None:
    po("backup", folder / "vault", "--data", data)
    (data / "mailboxes/01/1.mailbox").write_bytes(b"nonsense" * 2000)
    said, complaint = po("backup", folder / "vault", "--data", data, "--keep", 1, status=os.EX_DATAERR)
    assert "2 accounts" in said
    assert f"postoffice: {ANNA}: the mailbox cannot be read" in complaint
    assert len(po("restore", folder / "vault", "--list")[0].splitlines()) == 2


# --- what goes wrong -------------------------------------------------------------------------------------------


def test_what_is_no_place_for_backups_is_refused_and_left_alone(data: Path, folder: Path) -> None:
    (folder / "full").mkdir()
    (folder / "full" / "letter.txt").touch()
    (folder / "file").touch()
    before = sorted(data.rglob("*"))
    for place, words in (
        (data / "vault", "lies with the office in one folder"),
        (folder, "lies with the office in one folder"),
        (folder / "full", "is not empty and has no backups"),
        (folder / "file", "is no folder"),
    ):
        _, said = po("backup", place, "--data", data, status=os.EX_CANTCREAT)
        assert words in said
    assert sorted(data.rglob("*")) == before
    assert list((folder / "full").iterdir()) == [folder / "full" / "letter.txt"]
    _, said = po("backup", folder / "vault", "--data", folder / "nowhere", status=os.EX_NOINPUT)
    assert "there is no office here" in said
    assert not (folder / "vault").exists()


def test_the_backups_of_another_office_are_left_alone(data: Path, folder: Path) -> None:
    po("backup", folder / "vault", "--data", data)
    make_office(folder / "other", {BOB: "secret"})
    _, said = po("backup", folder / "vault", "--data", folder / "other", status=os.EX_CANTCREAT)
    assert said == f"postoffice: {folder / 'vault'}: has the backups of another office\n"


def test_a_second_backup_at_once_is_for_later(data: Path, folder: Path) -> None:
    po("backup", folder / "vault", "--data", data)
    with Vault.to_work_in(folder / "vault", office_name(data)):
        _, said = po("backup", folder / "vault", "--data", data, status=os.EX_TEMPFAIL)
        assert "another backup into it" in said
        po("restore", folder / "vault", "--check", status=os.EX_TEMPFAIL)


def test_what_cannot_be_restored_is_said_and_nothing_is_made(data: Path, folder: Path) -> None:
    vault, new = folder / "vault", folder / "new"
    po("restore", folder / "nowhere", "--data", new, status=os.EX_NOINPUT)
    po("backup", vault, "--data", data)
    po("restore", vault, "--data", new, "--backup", "1999", status=os.EX_NOINPUT)
    po("restore", vault, "--data", data, status=os.EX_CANTCREAT)
    po("restore", vault, "--data", data, "--account", "carl@a.example", status=os.EX_NOUSER)
    po("restore", vault, "--data", new, "--account", ANNA, status=os.EX_NOINPUT)
    po("restore", vault, "--list", "--check", status=os.EX_USAGE)
    assert not new.exists()
    new.mkdir()
    (new / "letter.txt").touch()
    _, said = po("restore", vault, "--data", new, status=os.EX_CANTCREAT)
    assert "is not an empty folder" in said
    assert list(new.iterdir()) == [new / "letter.txt"]


def test_an_office_file_that_is_damaged_in_the_backup_is_no_office(data: Path, folder: Path) -> None:
    po("backup", folder / "vault", "--data", data)
    [file] = (folder / "vault").glob("*Z/office.db")
    file.write_bytes(file.read_bytes()[:-4096])
    _, said = po("restore", folder / "vault", "--data", folder / "new", status=os.EX_DATAERR)
    assert "office.db is damaged" in said
    assert not (folder / "new").exists()
