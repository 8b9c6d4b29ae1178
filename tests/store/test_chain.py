"""A mailbox file at home has a chain over its commits: what our programs do goes on with it, what others do is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postoffice.database.migrate import prepare
from postoffice.database.sqlite import open_reader
from postoffice.errors import DamagedStore
from postoffice.store.embedded import EmbeddedStore, MailboxFile
from postoffice.store.embedded.chain import Commit, everything, has_chain
from postoffice.store.embedded.following import Noted
from postoffice.store.embedded.inspection import inspect_mailbox
from postoffice.store.embedded.merging import merge
from postoffice.store.embedded.places import mailbox_path
from postoffice.store.embedded.salvage import repair
from postoffice.store.embedded.salvage.findings import Findings
from postoffice.store.embedded.salvage.gathering import Gathering
from postoffice.store.embedded.salvage.views import DamagedFile
from postoffice.store.embedded.schema import MAILBOX
from postoffice.store.embedded.soundness import Tally
from postoffice.store.model import OWNER, QUARANTINE, REMOVED, Damage, Flag, Letter, Scan, Verdict
from postoffice.testing.check_store.walk import (
    NOON,
    deliver,
    keys,
    letter,
    look,
    new_account,
    put,
    seen,
    staged,
    text,
)
from postoffice.testing.old_kinds import of_version

PREFIX = b"Received: from a by b\r\n"
LETTERS = 6

pytestmark = pytest.mark.usefixtures("page_octets")


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A mailbox at home in which each letter came by a commit of its own; one of them is removed. Closed."""
    mailbox = MailboxFile.open(tmp_path / "home.mailbox", create=True)
    for number in range(LETTERS + 1):
        await put(mailbox, text(number), prefix=PREFIX)
    await mailbox.remove((await keys(mailbox))[2:3])
    await mailbox.close()
    return tmp_path / "home.mailbox"


def found(path: Path, noted: str | None = None) -> list[Damage]:
    return list(inspect_mailbox(path, "home", noted=Noted.read(noted) if noted else None))


def commit_of(path: Path) -> Commit | None:
    """Of a file that is sound."""
    tally = Tally()
    assert list(inspect_mailbox(path, "home", tally)) == []
    return tally.commit


def commit_in(path: Path) -> Commit:
    commit = commit_of(path)
    assert commit is not None
    return commit


def change(path: Path, *statements: str) -> None:
    """As another program does it."""
    connection = apsw.Connection(str(path))
    for sql in statements:
        connection.execute(sql)
    connection.close()


def asked(path: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = apsw.Connection(str(path))
    rows = connection.execute(sql).fetchall()
    connection.close()
    return rows


# --- how it begins and goes on ---------------------------------------------------------------------------------


async def test_each_commit_that_files_letters_or_removes_them_has_a_row(path: Path) -> None:
    rows = asked(path, "SELECT number, letters FROM chain ORDER BY number")
    assert rows == [(0, 0), *((number, number) for number in range(1, LETTERS + 2)), (LETTERS + 2, LETTERS)]
    assert commit_in(path)[:2] == (LETTERS + 2, LETTERS)


async def test_a_link_is_what_the_head_of_its_module_says(path: Path) -> None:
    before = bytes(32)
    for number, letters, total, link in asked(path, "SELECT number, letters, sum, link FROM chain ORDER BY number"):
        packed = b"".join((before, *(value.to_bytes(8, "big") for value in (number, letters)), total))
        before = sha256(packed).digest()
        assert link == before


async def test_letters_that_come_together_are_one_commit(tmp_path: Path) -> None:
    mailbox = MailboxFile.open(tmp_path / "home", create=True)
    await mailbox.create_folder("Sent")
    letters = [await letter(mailbox, text(number)) for number in range(4)]
    await mailbox.append([letters[0], letters[1]._replace(folder="Sent"), *letters[2:]])
    assert len(await keys(mailbox)) == 3
    await mailbox.close()
    assert commit_in(tmp_path / "home")[:2] == (1, 4)


async def test_what_changes_no_letter_is_no_commit(path: Path) -> None:
    before = commit_in(path)
    mailbox = MailboxFile.open(path)
    here = await keys(mailbox)
    await mailbox.flag(here, Flag.SEEN)
    await look(mailbox, "phone")
    await mailbox.remove(here[:1], "phone")
    await mailbox.create_folder("Sent")
    await mailbox.remove([])
    assert await mailbox.move([999], "Sent") == [0]
    await mailbox.close()
    assert commit_of(path) == before


async def test_letters_that_move_stay_as_many_and_are_others(path: Path) -> None:
    before = commit_in(path)
    mailbox = MailboxFile.open(path)
    await mailbox.move((await keys(mailbox))[:2], "Sent")
    await mailbox.remove((await keys(mailbox))[:1], into=REMOVED)
    await mailbox.close()
    after = commit_in(path)
    assert after[:2] == (before.number + 2, before.letters)
    assert after.sum != before.sum


async def test_a_letter_that_comes_and_goes_leaves_the_sum_as_it_was(path: Path) -> None:
    before = commit_in(path)
    mailbox = MailboxFile.open(path)
    added = await put(mailbox, text("passing"))
    await mailbox.remove(added)
    await mailbox.close()
    assert commit_in(path).sum == before.sum
    assert commit_in(path).number == before.number + 2


async def test_what_the_last_viewer_lets_go_is_a_commit(path: Path) -> None:
    mailbox = MailboxFile.open(path)
    await look(mailbox, "phone")
    for viewer in ("phone", OWNER):
        await mailbox.remove((await keys(mailbox, viewer))[:1], viewer)
    await mailbox.close()
    assert commit_in(path).letters == LETTERS - 1


async def test_quarantine_and_release_go_on_with_it(path: Path) -> None:
    mailbox = MailboxFile.open(path)
    [bad, *_] = await keys(mailbox)
    scan = Scan(Verdict.INFECTED, "clamd", NOON, "Eicar", "1")
    digest = sha256(text(0)).digest()
    await mailbox.judge({digest: scan}, {QUARANTINE: [bad]})
    [there] = await keys(mailbox, None, QUARANTINE)
    await mailbox.judge({digest: scan._replace(allowed=frozenset({"Eicar"}))}, {"INBOX": [there]})
    await mailbox.close()
    assert commit_in(path)[:2] == (LETTERS + 4, LETTERS)


async def test_a_transaction_that_fails_is_no_commit(path: Path) -> None:
    before = commit_in(path)
    mailbox = MailboxFile.open(path)
    letters = [await letter(mailbox, text("new")), (await letter(mailbox, text("nowhere")))._replace(folder="None")]
    with pytest.raises(Exception, match="there is no folder None"):
        await mailbox.append(letters)
    await mailbox.close()
    assert commit_of(path) == before


def without_chain(path: Path) -> None:
    change(path, "DROP TABLE chain")


async def test_a_file_without_one_begins_one_when_it_is_first_written_at_home(path: Path) -> None:
    last = commit_in(path)
    without_chain(path)
    assert commit_of(path) is None
    mailbox = MailboxFile.open(path)
    assert len(await seen(mailbox)) == LETTERS
    assert not mailbox.ask(has_chain)
    await mailbox.flag(await keys(mailbox), Flag.SEEN)
    await mailbox.close()
    begun = commit_in(path)
    assert (begun.number, begun.letters, begun.sum) == (0, LETTERS, last.sum)


async def test_a_file_of_an_older_version_begins_one(tmp_path: Path) -> None:
    path = tmp_path / "old.mailbox"
    prepare(path, of_version(MAILBOX, MAILBOX.version - 1), create=True)
    mailbox = MailboxFile.open(path)
    await put(mailbox, text(1))
    await mailbox.close()
    assert commit_in(path)[:2] == (1, 1)


async def test_an_older_program_refuses_a_file_that_may_have_one(path: Path) -> None:
    with pytest.raises(DamagedStore, match="is from a newer version of postoffice"):
        prepare(path, of_version(MAILBOX, MAILBOX.version - 1), create=False)


async def test_two_that_begin_it_at_the_same_time_begin_one(path: Path) -> None:
    without_chain(path)
    mailboxes = [MailboxFile.open(path) for _ in range(4)]
    await asyncio.gather(*(put(mailbox, text(f"of {number}")) for number, mailbox in enumerate(mailboxes)))
    for mailbox in mailboxes:
        await mailbox.close()
    assert commit_in(path)[:2] == (4, LETTERS + 4)


# --- an office -------------------------------------------------------------------------------------------------


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    store = EmbeddedStore.open(tmp_path / "data")
    yield store
    await store.close()


async def test_an_offices_mailbox_has_none_until_it_is_opened_at_home(store: EmbeddedStore, tmp_path: Path) -> None:
    account = await new_account(store)
    path = mailbox_path(tmp_path / "data", account.account_id)
    await deliver(store, text(1), account.account_id)
    await store.office.tidy()
    mailbox = await store.office.mailbox(account.account_id)
    await put(mailbox, text(2))
    await mailbox.remove((await keys(mailbox))[:1])
    assert commit_of(path) is None
    home = MailboxFile.open(path)
    await put(home, text(3))
    await home.close()
    assert commit_in(path)[:2] == (1, 2)


async def test_an_office_goes_on_with_the_chain_of_a_file_from_home(store: EmbeddedStore, tmp_path: Path) -> None:
    """Also one that had the file open before the chain began."""
    account = await new_account(store)
    mailbox = await store.office.mailbox(account.account_id)
    path = mailbox_path(tmp_path / "data", account.account_id)
    await put(mailbox, text(1))
    home = MailboxFile.open(path)
    await put(home, text(2))
    await home.close()
    await put(mailbox, text(3))
    assert commit_in(path)[:2] == (2, 3)
    await deliver(store, text(4), account.account_id)
    await store.office.tidy()
    assert commit_in(path)[:2] == (3, 4)
    await mailbox.remove((await keys(mailbox))[:2])
    assert commit_in(path)[:2] == (4, 2)


# --- what others do --------------------------------------------------------------------------------------------


THE_CHAIN = "home, the chain of commits"
OTHERS = "the letters are not those that were there after the last commit, 8"


DAY_BEFORE = "internal_date = internal_date - 86400"
ANOTHER_PREFIX = "prefix = CAST(replace(CAST(prefix AS TEXT), 'from a', 'from x') AS BLOB)"


@pytest.mark.parametrize(
    "what",
    [
        "uid = (SELECT uid_next FROM folders)",
        "email_id = 'another'",
        "unique_id = 'another'",
        "unique_id = CAST(x'ff' AS TEXT)",
        ANOTHER_PREFIX,
        DAY_BEFORE,
        "octets = octets + 1",
        "folder_id = 2",
        "content_id = 5",
        "content_id = 999",
    ],
)
async def test_a_letter_that_is_altered_is_told(path: Path, what: str) -> None:
    change(path, f"UPDATE entries SET {what} WHERE uid = 4")
    assert (THE_CHAIN, OTHERS) in [(one.where, one.what) for one in found(path)]


async def test_only_the_chain_tells_of_a_prefix_and_a_date(path: Path) -> None:
    for what in (ANOTHER_PREFIX, DAY_BEFORE):
        change(path, f"UPDATE entries SET {what} WHERE uid = 4")
        [damage] = found(path)
        assert (damage.where, damage.what, damage.is_harmless) == (THE_CHAIN, OTHERS, False)
        assert "postoffice repair" in damage.remedy


async def test_a_letter_that_is_taken_out_within_all_rules_is_told(path: Path) -> None:
    change(
        path,
        "INSERT INTO vanished SELECT folder_id, modseq, uid FROM entries WHERE uid = 4",
        "UPDATE contents SET holds = 0, sha256 = NULL WHERE content_id = 4",
        "DELETE FROM entries WHERE content_id = 4",
    )
    [damage] = [one for one in found(path) if not one.is_harmless]
    assert (damage.where, damage.what) == (THE_CHAIN, "there are 5 letters, and were 6 after the last commit, 8")


async def test_a_letter_that_is_put_in_within_all_rules_is_told(path: Path) -> None:
    columns = "folder_id, content_id, octets, surrogate_octets, has_dot_lines, flags, modseq, internal_date, prefix"
    change(
        path,
        f"INSERT INTO entries (uid, email_id, unique_id, {columns})"
        f" SELECT (SELECT uid_next FROM folders), 'new', 'new', {columns} FROM entries WHERE uid = 4",
        "UPDATE folders SET uid_next = uid_next + 1 WHERE folder_id = 1",
        "UPDATE contents SET holds = 2 WHERE content_id = (SELECT content_id FROM entries WHERE uid = 4)",
    )
    [damage] = found(path)
    assert (damage.where, damage.what) == (THE_CHAIN, "there are 7 letters, and were 6 after the last commit, 8")


async def test_flags_and_what_is_remembered_of_scans_are_nobodys_damage(path: Path) -> None:
    change(path, "UPDATE entries SET flags = 1, modseq = 2, arrival = 7")
    assert found(path) == []


NO_ROW = "it is not there"
NO_LINK = "it does not follow from the one before it"


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("UPDATE chain SET letters = letters + 1 WHERE number = 3", [("commit 3", NO_LINK)]),
        ("UPDATE chain SET sum = randomblob(32) WHERE number = 3", [("commit 3", NO_LINK)]),
        ("UPDATE chain SET link = randomblob(32) WHERE number = 3", [("commit 3", NO_LINK)]),
        ("UPDATE chain SET link = 'no link' WHERE number = 3", [("commit 3", NO_LINK)]),
        ("UPDATE chain SET letters = 7 WHERE number = 0", [("commit 0", NO_LINK)]),
        (
            "UPDATE chain SET link = randomblob(32) WHERE number IN (3, 4)",
            [("commit 3", NO_LINK), ("commit 4", NO_LINK)],
        ),
        ("DELETE FROM chain WHERE number = 3", [("commit 3", NO_ROW)]),
        ("DELETE FROM chain WHERE number BETWEEN 3 AND 5", [("commits 3 to 5", "they are not there")]),
        ("DELETE FROM chain WHERE number = 0", [("commit 0", NO_ROW)]),
        (
            "UPDATE chain SET number = 99 WHERE number = 3",
            [("commit 3", NO_ROW), ("commits 9 to 98", "they are not there")],
        ),
        ("UPDATE chain SET number = -1 WHERE number = 0", [("commit -1", NO_LINK), ("commit 0", NO_ROW)]),
        ("DELETE FROM chain", [("the chain of commits", "it is empty")]),
        ("DELETE FROM chain WHERE number = 8", [("the chain of commits", "there are 6 letters, and were 7 after")]),
        (
            "INSERT INTO chain SELECT 9, sum, link, letters FROM chain WHERE number = 8",
            [("commit 9", NO_LINK)],
        ),
    ],
)
async def test_a_row_that_is_altered_taken_out_or_put_in_is_told_by_its_number(
    path: Path, sql: str, told: list[tuple[str, str]]
) -> None:
    change(path, sql)
    damages = [(one.where.removeprefix("home, "), one.what) for one in found(path)]
    if "= 99" in sql:  # its letters are the last ones then
        damages.remove(("the chain of commits", "there are 6 letters, and were 3 after the last commit, 99"))
    assert len(damages) == len(told)
    assert all(at == where and what.startswith(said) for (at, what), (where, said) in zip(damages, told, strict=True))


async def test_nothing_is_written_behind_a_chain_that_has_no_end(path: Path) -> None:
    change(path, "UPDATE chain SET sum = x'00' WHERE number = 8")
    mailbox = MailboxFile.open(path)
    with pytest.raises(DamagedStore, match="no end to go on from"):
        await put(mailbox, text("new"))
    assert len(await seen(mailbox)) == LETTERS
    await mailbox.close()


async def test_a_damaged_page_of_it_is_damage_and_repair_saves_all(
    path: Path, tmp_path: Path, page_octets: int
) -> None:
    [(root,)] = asked(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'chain'")
    assert isinstance(root, int)
    octets = bytearray(path.read_bytes())
    octets[(root - 1) * page_octets : root * page_octets] = bytes(page_octets)
    path.write_bytes(octets)
    assert any("postoffice repair" in one.remedy for one in found(path))
    await repair(path, tmp_path / "new")
    assert commit_in(tmp_path / "new").letters == LETTERS


@pytest.mark.parametrize("octets", [0, 8], ids=["as it is", "without the heads of its pages"])
async def test_repair_takes_no_row_of_it_for_another(path: Path, octets: int, page_octets: int) -> None:
    with closing(open_reader(path)) as connection:
        chunks = {chunk_id for (chunk_id,) in connection.execute("SELECT chunk_id FROM chunks")}
        pages = [number for (number,) in connection.execute("SELECT pageno FROM dbstat WHERE name = 'chain'")]
    damaged = bytearray(path.read_bytes())
    for number in pages:
        damaged[(number - 1) * page_octets : (number - 1) * page_octets + octets] = b"\xff" * octets
    path.write_bytes(damaged)
    with closing(DamagedFile(path)) as file, closing(Findings()) as findings:
        Gathering(file, findings, lambda _: None).all()
        assert {chunk_id for (chunk_id,) in findings.ask("SELECT chunk_id FROM chunks WHERE grade < 2")} == chunks
        for table in ("mailbox", "folders", "viewers"):
            assert [*findings.ask(f"SELECT count(*) FROM {table} WHERE grade < 2")] == [
                *asked(path, f"SELECT count(*) FROM {table}")
            ]


# --- a commit that was noted -----------------------------------------------------------------------------------


async def test_a_file_goes_on_from_what_was_noted_of_it(path: Path) -> None:
    noted = [commit_in(path)]
    mailbox = MailboxFile.open(path)
    await put(mailbox, text("new"))
    await mailbox.close()
    noted.append(commit_in(path))
    for commit in noted:
        assert found(path, str(commit)) == []
        assert found(path, f"{commit.number}-{commit.link.hex().upper()}") == []


async def test_an_older_file_that_was_put_back_does_not(path: Path) -> None:
    older = path.read_bytes()
    mailbox = MailboxFile.open(path)
    await put(mailbox, text("new"))
    await mailbox.close()
    noted = str(commit_in(path))
    path.write_bytes(older)
    assert found(path) == []
    [damage] = found(path, noted)
    assert damage.what == f"it does not go on from commit {noted}: it ends at commit {commit_in(path)}"
    assert not damage.is_harmless


async def test_nor_when_it_went_on_otherwise(path: Path) -> None:
    older = path.read_bytes()
    commits = []
    for name in ("one", "other"):
        path.write_bytes(older)
        mailbox = MailboxFile.open(path)
        await put(mailbox, text(name))
        await mailbox.close()
        commits.append(str(commit_in(path)))
    [damage] = found(path, commits[0])
    assert damage.what == f"it does not go on from commit {commits[0]}: its commit 9 is another one"


async def test_nor_one_whose_chain_was_reckoned_anew(path: Path) -> None:
    noted = str(commit_in(path))
    change(path, "UPDATE entries SET internal_date = 0 WHERE uid = 4")
    without_chain(path)
    mailbox = MailboxFile.open(path)
    for number in range(9):
        await put(mailbox, text(f"later {number}"))
    await mailbox.close()
    assert commit_in(path).number == 9
    [damage] = found(path, noted)
    assert damage.what.endswith("its commit 8 is another one")


async def test_nor_one_that_has_no_chain(path: Path) -> None:
    noted = str(commit_in(path))
    without_chain(path)
    [damage] = found(path, noted)
    assert damage.what.endswith("it has no chain of commits")


@pytest.mark.parametrize("text", ["", "17", "17-", "17-3f9a", "-1-" + "0" * 16, "17-" + "0" * 65, "17-" + "g" * 16])
def test_what_is_no_commit_is_not_read_as_one(text: str) -> None:
    assert Noted.read(text) is None


# --- files that come and go ------------------------------------------------------------------------------------


async def test_merged_letters_go_on_with_it(path: Path, tmp_path: Path) -> None:
    other = MailboxFile.open(tmp_path / "other", create=True)
    await put(other, text(1), text("there"))
    await put(other, text("also"), prefix=PREFIX)
    await other.close()
    mailbox = MailboxFile.open(path)
    with closing(open_reader(tmp_path / "other")) as theirs:
        merged = await merge(theirs, mailbox, NOON, lambda _: None)
    await mailbox.close()
    assert commit_in(path)[:2] == (LETTERS + 3, LETTERS + merged.letters)
    assert merged.letters == 3


async def test_a_repaired_file_has_a_chain_of_its_own(path: Path, tmp_path: Path) -> None:
    change(path, "DELETE FROM chain WHERE number = 3")
    await repair(path, tmp_path / "new")
    assert commit_in(tmp_path / "new").letters == LETTERS
    assert commit_in(tmp_path / "new").number < LETTERS


Step = tuple[str, int]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(("put", "remove", "move", "aside")), st.integers(0, 5)), max_size=12))
async def test_the_sum_is_that_of_the_letters_whatever_was_done(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    path = tmp_path_factory.mktemp("chain") / "home"
    mailbox = MailboxFile.open(path, create=True)
    for number, (verb, many) in enumerate(steps):
        here = await keys(mailbox)
        match verb:
            case "put":
                plain = [await staged(mailbox, text(f"{number}.{one}")) for one in range(many)]
                await mailbox.append([Letter(one, NOON, prefix=PREFIX) for one in plain])
            case "remove":
                await mailbox.remove(here[:many])
            case "move":
                await mailbox.move(here[-many:] if many else [], "Sent")
            case "aside":
                await mailbox.remove(here[1 : many + 1], into=REMOVED)
    await mailbox.close()
    if commit := commit_of(path):
        with closing(open_reader(path)) as connection:
            assert everything(connection) == (commit.letters, commit.sum)
