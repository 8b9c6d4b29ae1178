"""A mailbox file that is made anew is made in memory and gets its name when it is whole and durable."""

import os
from pathlib import Path

import pytest

from postoffice.database.migrate import prepare
from postoffice.database.sqlite import open_reader, open_untouched, shut
from postoffice.store.embedded import MailboxFile
from postoffice.store.embedded.schema import MAILBOX
from postoffice.testing.check_store.walk import must_be_sound, put, text

SETTINGS = ("journal_mode", "page_size", "auto_vacuum", "application_id", "user_version", "integrity_check", "encoding")
SCHEMA = "SELECT type, name, tbl_name, rootpage, sql FROM sqlite_schema ORDER BY rootpage, name"


def facts(path: Path) -> list[object]:
    connection = open_reader(path)
    try:
        settings = [connection.execute(f"PRAGMA {name}").get for name in SETTINGS]
        return [*settings, connection.execute(SCHEMA).fetchall()]
    finally:
        shut(connection)


def made_in_place(path: Path) -> None:
    """As where a file cannot be without a name."""
    path.touch(0o600)
    prepare(path, MAILBOX, create=True)


async def must_take_a_letter(path: Path) -> None:
    mailbox = MailboxFile.open(path, create=True)
    try:
        await put(mailbox, text(1))
        await must_be_sound(mailbox)
    finally:
        await mailbox.close()


def test_it_is_the_same_file_as_one_that_is_made_step_by_step(tmp_path: Path) -> None:
    prepare(tmp_path / "anew", MAILBOX, create=True)
    made_in_place(tmp_path / "in place")
    assert facts(tmp_path / "anew") == facts(tmp_path / "in place")


def test_nobody_else_may_read_it_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    prepare(tmp_path / "anew", MAILBOX, create=True)
    assert [path.name for path in tmp_path.iterdir()] == ["anew"]
    assert (tmp_path / "anew").stat().st_mode & 0o777 == 0o600


def test_all_of_it_is_in_the_file_itself(tmp_path: Path) -> None:
    prepare(tmp_path / "anew", MAILBOX, create=True)
    connection = open_untouched(tmp_path / "anew")
    try:
        assert connection.execute("SELECT name FROM folders").get == "INBOX"
    finally:
        shut(connection)


async def test_what_a_link_names_is_made_where_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mail").symlink_to(tmp_path / "elsewhere" / "mail")
    await must_take_a_letter(tmp_path / "mail")
    assert (tmp_path / "mail").is_symlink()
    assert (tmp_path / "elsewhere" / "mail").stat().st_size


async def test_where_no_file_can_be_without_a_name_it_is_made_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY | os.O_CREAT)  # which the kernel refuses, as other systems do
    await must_take_a_letter(tmp_path / "mail")
    assert [path.name for path in tmp_path.iterdir()] == ["mail"]
