"""`postoffice check` says what it found, what that means and what helps, and its status says whether all is sound."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from postoffice.app.privilege import give_away
from postoffice.store.embedded import EmbeddedStore, MailboxFile
from postoffice.store.embedded.places import mailbox_path
from postoffice.testing.check_store.walk import deliver, put, text
from postoffice.testing.process import make_office, open_folder

BOB, CAROL = "bob@a.example", "carol@a.example"


@pytest.fixture
def data() -> Iterator[Path]:
    """An office whose two accounts have a letter each in their files."""
    with open_folder() as folder:
        data = folder / "office"
        make_office(data, {BOB: "secret", CAROL: "secret"})

        async def fill() -> None:
            store = EmbeddedStore.open(data)
            await deliver(store, text(1), 1, 2)
            await store.office.tidy()
            await store.close()

        asyncio.run(fill())
        give_away(data)
        yield data


def check(*words: object, command: str = "check") -> tuple[int, list[str], str]:
    """Status, the lines of standard output, standard error."""
    program = "from postoffice.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, command, *map(str, words)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.decode().splitlines(), done.stderr.decode()


def flip(path: Path, where: bytes) -> None:
    octets = bytearray(path.read_bytes())
    octets[octets.index(where)] ^= 1
    path.write_bytes(octets)


def test_a_sound_office_is_said_to_be_sound_and_how_much_that_is(data: Path) -> None:
    status, [line], said = check("--data", data)
    assert (status, said) == (0, "")
    assert line.startswith("all is sound: 2 accounts, 2 letters, ")
    assert line.endswith(" s")


def test_damage_is_a_line_with_what_it_means_and_what_helps(data: Path) -> None:
    flip(mailbox_path(data, 1), b"line of 1\r\n")
    status, [line, summary], said = check("--data", data)
    assert (status, said) == (os.EX_DATAERR, "")
    where, means, remedy, _ = line.split("; ")
    assert where == (f"DAMAGED  mailboxes/01/1.mailbox of {BOB}, content 1: chunk 0 has another checksum")
    assert means.startswith("cannot be read whole: INBOX 1 (")
    assert remedy == "bring it back from a backup, as docs/operating.md says"
    assert summary.startswith("1 damaged: 2 accounts, ")


def test_what_is_only_untidy_is_told_and_is_no_damage(data: Path) -> None:
    (data / "mailboxes" / "notes.txt").touch()
    status, [line, summary], _ = check("--data", data)
    assert status == 0
    assert line.startswith("untidy   mailboxes/notes.txt: it is no file of this office; ")
    assert summary.startswith("all is sound, 1 untidy: ")


def test_addresses_are_looked_at_alone(data: Path) -> None:
    flip(mailbox_path(data, 1), b"line of 1\r\n")
    assert check("--data", data, CAROL)[0] == 0
    assert check("--data", data, BOB)[0] == os.EX_DATAERR
    status, out, said = check("--data", data, "dan@a.example")
    assert (status, out, said) == (os.EX_NOUSER, [], "postoffice: dan@a.example: there is no such account\n")


def test_a_program_reads_all_of_it(data: Path) -> None:
    (data / "mailboxes" / "01" / "1.mailbox").unlink()
    status, out, _ = check("--data", data, "--json")
    told = json.loads("\n".join(out))
    assert status == os.EX_DATAERR
    assert {name: told[name] for name in ("sound", "accounts", "mailboxes", "letters")} == {
        "sound": False,
        "accounts": 2,
        "mailboxes": 1,
        "letters": 1,
    }
    [found] = told["found"]
    assert set(found) == {"where", "what", "means", "remedy", "is_harmless"}
    assert (found["where"], found["what"]) == (f"mailboxes/01/1.mailbox of {BOB}", "it is not there")


@pytest.mark.parametrize(("name", "mode"), [(".", 0o750), ("tls/key.pem", 0o640)])
def test_who_else_may_look_is_told(data: Path, name: str, mode: int) -> None:
    (data / name).chmod(mode)
    status, lines, _ = check("--data", data)
    assert status == os.EX_DATAERR
    assert f"others may look into it ({mode:04o})" in lines[0]
    assert len(lines) == 2


def test_a_certificate_without_its_key_is_told(data: Path) -> None:
    (data / "tls" / "key.pem").unlink()
    status, lines, _ = check("--data", data)
    assert status == os.EX_DATAERR
    assert lines[0].startswith("DAMAGED  tls: tls/key.pem: cannot be read: No such file or directory; ")


def test_a_mailbox_file_at_home_is_looked_at_alone(tmp_path: Path) -> None:
    path = tmp_path / "home.mailbox"

    async def fill() -> None:
        mailbox = MailboxFile.open(path, create=True)
        await put(mailbox, text(1), text(2))
        await mailbox.close()

    asyncio.run(fill())
    status, [line], _ = check(path)
    assert status == 0
    assert line.startswith("all is sound: 2 letters, ")
    flip(path, b"line of 2\r\n")
    status, lines, _ = check(path)
    assert status == os.EX_DATAERR
    assert f"DAMAGED  {path}, content 2: " in lines[0]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A mailbox at home into which letters came twice."""
    path = tmp_path / "home.mailbox"
    grow(path, 1)
    grow(path, 2)
    return path


def grow(path: Path, *numbers: int) -> None:
    async def fill() -> None:
        mailbox = MailboxFile.open(path, create=True)
        await put(mailbox, *(text(number) for number in numbers))
        await mailbox.close()

    asyncio.run(fill())


def change(path: Path, sql: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(sql)
    connection.close()


def noted(path: Path) -> str:
    """The commit that the last line names."""
    _, lines, _ = check(path)
    return lines[-1].partition(", commit ")[2]


def test_the_last_line_names_the_last_commit_and_a_program_gets_all_of_it(home: Path) -> None:
    assert re.fullmatch("2-[0-9a-f]{16}", noted(home))
    status, lines, _ = check(home, "--json")
    told = json.loads("\n".join(lines))
    assert (status, told["commit"].startswith(noted(home)), len(told["commit"])) == (0, True, 66)


def test_an_office_has_no_commits(data: Path) -> None:
    for words in ((), (BOB,)):
        _, [line], _ = check("--data", data, *words)
        assert "commit" not in line
    _, lines, _ = check("--data", data, "--json")
    assert json.loads("\n".join(lines))["commit"] is None


def test_verify_is_another_name_for_it(home: Path) -> None:
    status, [line], said = check(home, command="verify")
    assert (status, said) == (0, "")
    assert line.startswith("all is sound: 2 letters, ")
    assert check("--help", command="verify")[1][0].endswith(" verify [OPTIONS] [ADDRESS... | FILE]")


@pytest.mark.parametrize(
    ("sql", "where", "what"),
    [
        ("DELETE FROM entries WHERE uid = 1", "the chain of commits", "there are 1 letters, and were 2 after the last"),
        (
            "UPDATE entries SET prefix = x'41'",
            "the chain of commits",
            "the letters are not those that were there after",
        ),
        ("UPDATE entries SET internal_date = 0", "the chain of commits", "the letters are not those that were there"),
        ("UPDATE chain SET letters = 5 WHERE number = 1", "commit 1", "it does not follow from the one before it"),
        ("DELETE FROM chain WHERE number = 1", "commit 1", "it is not there"),
    ],
)
def test_what_was_written_past_our_programs_is_damage(home: Path, sql: str, where: str, what: str) -> None:
    change(home, sql)
    status, lines, _ = check(home, command="verify")
    assert status == os.EX_DATAERR
    assert any(line.startswith(f"DAMAGED  {home}, {where}: {what}") for line in lines)


def test_whether_a_file_goes_on_from_what_was_noted_of_it(home: Path, tmp_path: Path) -> None:
    first, older = noted(home), home.read_bytes()
    grow(home, 3)
    second = noted(home)
    for commit in (first, second):
        assert check(home, "--after", commit)[0] == 0
    home.write_bytes(older)
    assert check(home)[0] == 0
    status, [line, summary], _ = check(home, "--after", second)
    assert status == os.EX_DATAERR
    assert line.startswith(
        f"DAMAGED  {home}: it does not go on from commit {second}: it ends at commit {first}; an older"
    )
    assert summary.startswith("1 damaged: ")
    assert json.loads("\n".join(check(home, "--after", second, "--json")[1]))["sound"] is False


def test_after_wants_a_commit_and_a_file(home: Path, data: Path) -> None:
    for words in (
        (home, "--after", "yesterday"),
        (home, "--after", "2-3f9a"),
        ("--after", noted(home), "--data", data),
    ):
        status, out, said = check(*words)
        assert (status, out, said.count("\n")) == (os.EX_USAGE, [], 1)
        assert said.startswith("postoffice: --after ")


def test_what_cannot_be_looked_at_is_said(data: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    status, lines, _ = check(tmp_path / "text")
    assert (status, len(lines)) == (os.EX_DATAERR, 2)
    assert check(tmp_path / "none")[::2] == (
        os.EX_NOINPUT,
        f"postoffice: {tmp_path / 'none'}: there is no such mailbox file, and it is no address\n",
    )
    assert check(data)[0] == os.EX_USAGE
    assert check(tmp_path / "text", BOB)[0] == os.EX_USAGE
    assert check("--data", tmp_path)[0] == os.EX_NOINPUT
