"""An office is looked over as a whole: what is lost, what is somebody else's, and what housekeeping will take away."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from postoffice.errors import DamagedStore
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.embedded.inspection import inspect
from postoffice.store.embedded.places import mailbox_path
from postoffice.store.embedded.soundness import Tally
from postoffice.store.model import Account, Damage
from postoffice.testing.check_store.walk import acceptance, deliver, large_text, new_account, seen, text

HALF_A_DAY = 43_200.0


class Town:
    """An office with bob, whose letters are in his file, and carol, whose letters have just arrived."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.now = time.time()
        self.store = self.open()

    def open(self) -> EmbeddedStore:
        self.store = EmbeddedStore.open(self.data, clock=lambda: self.now)
        return self.store

    async def settle(self) -> None:
        self.bob = await new_account(self.store)
        await deliver(self.store, text(1), self.bob.account_id)
        await self.store.office.tidy()
        self.carol = await new_account(self.store, "carol@b.example")
        await deliver(self.store, large_text("large"), self.carol.account_id)
        await self.store.office.accept(await acceptance(self.store.office, text(2), remote=("x@c.example",)))

    def found(self, *only: Account) -> list[Damage]:
        return list(inspect(self.data, only=[account.account_id for account in only] or None))

    def damages(self) -> list[tuple[str, str]]:
        return [(one.where, one.what) for one in self.found() if not one.is_harmless]

    def untidy(self) -> list[tuple[str, str]]:
        return [(one.where, one.what) for one in self.found() if one.is_harmless]

    def file(self, account: Account) -> Path:
        return mailbox_path(self.data, account.account_id)

    def change(self, sql: str) -> None:
        connection = apsw.Connection(str(self.data / "office.db"))
        connection.execute(sql)
        connection.close()


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    town = Town(tmp_path / "data")
    await town.settle()
    yield town
    await town.store.close()


def take_away(path: Path) -> None:
    for side in ("", "-wal", "-shm"):
        path.with_name(path.name + side).unlink(missing_ok=True)


async def test_a_sound_office_is_sound_and_counted(town: Town) -> None:
    tally = Tally()
    assert list(inspect(town.data, tally)) == []
    assert (tally.accounts, tally.mailboxes, tally.letters) == (2, 1, 3)


# --- what is lost ----------------------------------------------------------------------------------------------


async def test_a_lost_spool_file_names_whose_letter_it_was(town: Town) -> None:
    (spooled,) = (town.data / "spool").iterdir()
    spooled.unlink()
    [damage] = town.found()
    assert damage.where == f"spool/{spooled.name}"
    assert damage.what.endswith("is not there")
    assert damage.means.startswith("cannot be read whole: carol@b.example (")


async def test_a_lost_mailbox_file_is_known_from_one_that_never_was(town: Town) -> None:
    await town.store.close()
    take_away(town.file(town.bob))
    assert town.damages() == [("mailboxes/01/1.mailbox of bob@b.example", "it is not there")]
    town.open()


async def test_a_lost_mailbox_is_not_made_anew_and_its_letters_wait_until_it_is_put_back(town: Town) -> None:
    path = town.file(town.bob)
    await town.store.close()
    path.rename(town.data / "elsewhere")
    town.open()
    await deliver(town.store, text(3), town.bob.account_id)
    await town.store.office.tidy()
    assert not path.exists()
    with pytest.raises(DamagedStore, match=r"1\.mailbox, the mailbox of account 1, is lost"):
        await (await town.store.office.mailbox(town.bob.account_id)).changes(0)
    (town.data / "elsewhere").rename(path)
    await town.store.office.tidy()
    mailbox = await town.store.office.mailbox(town.bob.account_id)
    assert [plain[-20:] for plain in await seen(mailbox)] == [text(1)[-20:], text(3)[-20:]]
    assert town.found() == []


async def test_a_mailbox_that_is_lost_while_it_is_open_is_not_made_anew(town: Town) -> None:
    mailbox = await town.store.office.mailbox(town.bob.account_id)
    keys = (await mailbox.snapshot()).keys
    await town.store.close()
    town.open()
    mailbox = await town.store.office.mailbox(town.bob.account_id)
    assert (await mailbox.snapshot()).keys == keys
    take_away(town.file(town.bob))
    with pytest.raises(DamagedStore, match="it is not there"):
        await mailbox.remove(keys)
    assert not town.file(town.bob).exists()


async def test_an_empty_file_in_place_of_a_lost_one_begins_anew(town: Town) -> None:
    await town.store.close()
    take_away(town.file(town.bob))
    town.file(town.bob).touch(0o600)
    town.open()
    await deliver(town.store, text(3), town.bob.account_id)
    await town.store.office.tidy()
    assert len((await (await town.store.office.mailbox(town.bob.account_id)).snapshot()).keys) == 1
    assert town.found() == []


async def test_a_mailbox_that_cannot_be_opened_keeps_nobody_from_being_looked_at(town: Town) -> None:
    await town.store.office.tidy()
    await town.store.close()
    town.file(town.bob).write_bytes(b"?" * 8192)
    octets = bytearray(town.file(town.carol).read_bytes())
    octets[octets.index(b"0000100 ")] ^= 1
    town.file(town.carol).write_bytes(octets)
    first, second = town.found()
    assert (first.where, first.means) == (
        "mailboxes/01/1.mailbox of bob@b.example",
        "no letter in it can be read",
    )
    assert (second.where, second.what) == (
        "mailboxes/02/2.mailbox of carol@b.example, content 1",
        "chunk 0 has another checksum",
    )
    assert town.found(town.bob) == [first]
    town.open()


async def test_mailboxes_are_looked_at_where_the_offices_file_cannot_be_opened(town: Town) -> None:
    await town.store.close()
    office = (town.data / "office.db").read_bytes()
    (town.data / "office.db").write_bytes(b"?" * 8192)
    town.file(town.bob).write_bytes(b"?" * 8192)
    assert [where for where, _ in town.damages()] == ["office.db", "mailboxes/01/1.mailbox"]
    (town.data / "office.db").write_bytes(office)
    town.open()


@pytest.mark.parametrize(
    ("sql", "where", "what"),
    [
        ("DELETE FROM recipients", "office.db, queue, letter letter1", "it is for nobody"),
        ("DELETE FROM queue", "office.db, queue, item 1", "1 recipients wait for it, but it is not there"),
        ("UPDATE arrivals SET account_id = 77", "office.db, 1 arrivals of account 77", "the account is not here"),
        (
            "INSERT INTO credentials VALUES (77, 'password', 'x')",
            "office.db, 1 passwords of account 77",
            "the account is not here",
        ),
        (
            "INSERT INTO settings VALUES ('dan@b.example', 'retain', '1')",
            "office.db, 1 settings of dan@b.example",
            "neither an account nor a domain has this name",
        ),
        ("DELETE FROM domains", "office.db, account bob@b.example", "its domain is not here"),
        ("UPDATE contents SET holds = 5 WHERE spool IS NULL", "office.db, content 3", "1 letters refer to it, but it"),
        ("UPDATE office SET secret = NULL", "office.db, the table office", "it has no secret of 32 octets"),
        ("UPDATE chunks SET data = x'00'", "office.db, content 3", "chunk 0 has another checksum"),
    ],
)
async def test_what_breaks_a_rule_of_the_office_is_found(town: Town, sql: str, where: str, what: str) -> None:
    town.change(sql)
    assert any(at == where and said.startswith(what) for at, said in town.damages()), town.damages()


async def test_an_older_offices_file_beside_newer_mailboxes_is_found(town: Town) -> None:
    """It would give arrivals numbers that the mailbox takes for old ones, and ids that others had."""
    await town.store.close()
    older = (town.data / "office.db").read_bytes()
    town.open()
    dan = await new_account(town.store, "dan@b.example")
    for number in range(3):
        await deliver(town.store, text(number), town.bob.account_id, dan.account_id)
    await town.store.office.tidy()
    await town.store.close()
    (town.data / "office.db").write_bytes(older)
    lost, *others = town.damages()
    assert lost[0].startswith("spool/"), "the large letter is in carol's file by now"
    assert others == [
        ("mailboxes/01/1.mailbox of bob@b.example", "it took in arrival 7, but office.db knows of 2"),
        ("mailboxes/03/3.mailbox", "office.db does not know its account"),
    ]
    town.open()


async def test_a_file_in_the_wrong_folder_is_found(town: Town) -> None:
    await town.store.close()
    (town.data / "mailboxes" / "07").mkdir(0o700)
    town.file(town.bob).rename(town.data / "mailboxes" / "07" / "1.mailbox")
    assert town.damages() == [
        ("mailboxes/07/1.mailbox", "it is in the wrong folder: it belongs to mailboxes/01/1.mailbox"),
        ("mailboxes/01/1.mailbox of bob@b.example", "it is not there"),
    ]
    town.open()


# --- accounts that may come back -------------------------------------------------------------------------------


async def test_what_was_set_aside_is_looked_at_too(town: Town) -> None:
    await town.store.attic.set_aside(town.bob.account_id, town.now, town.now + HALF_A_DAY)
    await town.store.attic.set_aside(town.carol.account_id, town.now, town.now + HALF_A_DAY)
    assert town.found() == []
    copy = town.data / "removed" / "1.mailbox"
    octets = bytearray(copy.read_bytes())
    octets[octets.index(b"line of 1\r\n")] ^= 1
    copy.write_bytes(octets)
    (town.data / "removed" / "2.json").write_text("{}")
    first, second = town.damages()
    assert first == ("removed/1.mailbox of bob@b.example, content 1", "chunk 0 has another checksum")
    assert second[0] == "removed/2.json"
    assert "2.json is damaged: Object missing required field" in second[1]
    copy.unlink()
    assert ("removed/1.mailbox", "it is not there") in town.damages()
    with pytest.raises(DamagedStore, match=r"1\.mailbox is not there"):
        await town.store.attic.bring_back(town.bob.account_id)


async def test_two_who_remove_one_account_at_once_keep_it_once(town: Town) -> None:
    other = EmbeddedStore.open(town.data)
    letters = await seen(await other.office.mailbox(town.bob.account_id))
    tries = [store.attic.set_aside(town.bob.account_id, 1.0, 2.0) for store in (town.store, other) for _ in range(3)]
    ends = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["NoneType", *["StoreError"] * 5]
    back = await town.store.attic.bring_back(town.bob.account_id)
    assert await seen(await town.store.office.mailbox(back.account_id)) == letters
    await other.close()
    assert town.found() == []


# --- what is untidy, and who tidies ----------------------------------------------------------------------------


async def test_leftovers_are_untidy_and_gone_after_a_day(town: Town) -> None:
    data = town.data
    gone = await new_account(town.store, "dan@b.example")
    await town.store.directory.remove_account(gone.account_id)
    town.file(gone).parent.mkdir(0o700, exist_ok=True)
    town.file(gone).touch(0o600)
    (data / "removed").mkdir(0o700)
    (data / "removed" / "3.mailbox").touch(0o600)
    (data / "removed" / f"{town.bob.account_id}.json").write_text("{}")
    for name in ("mailboxes/01/1.mailbox.0123.new", "removed/7.mailbox.0123.new-journal"):
        (data / name).touch(0o600)
    (data / "mailboxes" / "notes.txt").touch()
    assert town.damages() == []
    whats = dict(town.untidy())
    assert whats == {
        "mailboxes/03/3.mailbox": "its account is gone",
        "removed/3.mailbox": "its account is here, or gone",
        "removed/1.json": "its account is here, or gone",
        "mailboxes/notes.txt": "it is no file of this office",
    }, "what is being made just now is not told"
    for name in ("mailboxes/01/1.mailbox.0123.new", "removed/7.mailbox.0123.new-journal"):
        os.utime(data / name, (0, 0))
    assert len(town.untidy()) == 6
    town.now += 2 * HALF_A_DAY
    await town.store.office.tidy()
    assert town.untidy() == [("mailboxes/notes.txt", "it is no file of this office")]
    assert sorted(path.name for path in (data / "mailboxes").rglob("*.mailbox")) == ["1.mailbox", "2.mailbox"]


async def test_lost_property_is_told_and_never_thrown_away(town: Town) -> None:
    """An account whose row was lost by damage was removed by nobody."""
    town.change("DELETE FROM accounts WHERE account_id = 1; DELETE FROM settings")
    (town.data / "removed").mkdir(0o700)
    (town.data / "removed" / "9.mailbox").touch(0o600)
    lost = [
        ("mailboxes/01/1.mailbox", "office.db does not know its account"),
        ("removed/9.mailbox", "its deed is not there"),
    ]
    assert town.damages() == lost
    town.now += 2 * HALF_A_DAY
    await town.store.office.tidy()
    assert town.damages()[:1] == lost[:1]
    assert town.file(town.bob).exists()
    assert (town.data / "removed" / "9.mailbox").exists()


async def test_a_spool_file_that_nothing_names_is_untidy(town: Town) -> None:
    (town.data / "spool" / "orphan").write_bytes(b"x")
    assert (town.damages(), town.untidy()) == ([], [("spool/orphan", "no letter has it")])
    stage = await town.store.office.stage()
    await stage.write(b"x" * 3_000_000)
    assert town.untidy() == [("spool/orphan", "no letter has it")]
    await stage.abandon()
