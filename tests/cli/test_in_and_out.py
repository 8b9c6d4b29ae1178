"""Letters go out of a mailbox file at home and into one, as people do it: by words, pipes and exit statuses."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import sqlite3
import struct
import subprocess
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from tests.home.conftest import Fill

from postoffice.protocols.dots import stuff
from postoffice.store.embedded import MailboxFile
from postoffice.store.model import Letter
from postoffice.testing.command import COMMAND
from postoffice.testing.process import make_office, open_folder, wait_until


def run(*words: str | Path, home: Path | None = None) -> tuple[int, bytes, str]:
    """Status, standard output, standard error."""
    where = {**os.environ, "HOME": str(home)} if home else None
    done = subprocess.run([*COMMAND, *map(str, words)], capture_output=True, timeout=60, check=False, env=where)
    return done.returncode, done.stdout, done.stderr.decode()


LETTERS = [f"Subject: letter {number}\r\n\r\nbody\r\n".encode() for number in range(3)]


@pytest.fixture
def fill(tmp_path: Path) -> Fill:
    async def put(letters: Sequence[bytes]) -> Path:
        """A mailbox file with them in it."""
        path = tmp_path / "home.mailbox"
        mailbox = MailboxFile.open(path, create=True)
        kept = []
        for letter in letters:
            stage = await mailbox.stage()
            await stage.write(stuff(letter))
            kept.append(Letter(await stage.finish(), 1_000_000_000.0))
        await mailbox.append(kept)
        await mailbox.close()
        return path

    return put


@pytest.fixture
async def file(fill: Fill) -> Path:
    return await fill(LETTERS)


@pytest.mark.parametrize("form", ["eml", "zip", "maildir", "mbox"])
def test_each_form_goes_out_and_comes_in_once(file: Path, tmp_path: Path, form: str) -> None:
    out, new = tmp_path / "out", tmp_path / "new.mailbox"
    assert run("export", form, out, "--file", file) == (0, b"3 letters, 81 octets, already had 0\n", "")
    assert run("import", form, out, "--file", new) == (0, b"3 letters, 81 octets, already had 0\n", "")
    assert run("import", form, out, "--file", new) == (0, b"0 letters, 0 octets, already had 3\n", "")
    assert run("import", form, out, "--file", file)[1] == b"0 letters, 0 octets, already had 3\n"
    assert run("ls", new)[1] == run("ls", file)[1]


def test_every_form_is_the_same_letters(file: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.mailbox"
    said = []
    for form in ("maildir", "mbox", "eml", "zip"):
        run("export", form, tmp_path / form, "--file", file)
        said.append(run("import", form, tmp_path / form, "--file", new, "--json")[1])
    counts = [(one["letters"], one["known"]) for one in (json.loads(line.splitlines()[-1]) for line in said)]
    assert counts == [(3, 0), (0, 3), (0, 3), (0, 3)]


@pytest.mark.parametrize("form", ["eml", "zip", "maildir", "mbox", "html"])
@pytest.mark.parametrize(
    ("change", "letters", "said"),
    [
        ("UPDATE chunks SET data = zeroblob(length(data))", 3, "is damaged: its octets are not those that came"),
        ("DELETE FROM chunks", 2, "is damaged and left out: piece 0 of letter 2 is not there"),
    ],
)
def test_a_damaged_letter_is_named_and_keeps_no_other_from_going(
    file: Path, tmp_path: Path, form: str, change: str, letters: int, said: str
) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(f"{change} WHERE chunk_id >> 20 = 2")
    status, out, errors = run("export", form, tmp_path / "out", "--file", file)
    octets = letters * len(LETTERS[0])
    assert (status, out.decode().partition(",")[0]) == (65, f"{letters} letters")
    assert f"{octets} octets" in out.decode()
    named, last = errors.splitlines()
    assert said in named
    assert last == "postoffice: damaged here: 1 letter, each named above; docs/damage.md"
    new = tmp_path / "new.mailbox"
    assert run("import", form, tmp_path / "out", "--file", new)[0] == 0
    assert len(run("ls", new)[1].splitlines()) == letters


def test_a_zip_goes_to_standard_output_and_what_is_said_does_not(file: Path, tmp_path: Path) -> None:
    status, out, said = run("export", "zip", "-", "--file", file)
    assert (status, said) == (0, "3 letters, 81 octets, already had 0\n")
    (tmp_path / "x.zip").write_bytes(out)
    with zipfile.ZipFile(tmp_path / "x.zip") as archive:
        assert sum(name.endswith(".eml") for name in archive.namelist()) == 3
    with (tmp_path / "appended.zip").open("ab") as appended:
        appended.write(b"before")
        appended.flush()
        words = [*COMMAND, "export", "zip", "-", "--file", str(file)]
        subprocess.run(words, stdout=appended, stderr=subprocess.DEVNULL, check=True, timeout=60)
    assert (tmp_path / "appended.zip").read_bytes()[6:] == out


def test_a_pipe_that_closes_is_told(file: Path) -> None:
    words = [*COMMAND, "export", "zip", "-", "--file", str(file)]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(writing)
    assert (done.returncode, b"before the zip was whole" in done.stderr) == (os.EX_IOERR, True)


def test_thunderbirds_profile_is_found(tmp_path: Path) -> None:
    root = tmp_path / ".thunderbird"
    (root / "a.default" / "Mail" / "pop.example.org").mkdir(parents=True)
    (root / "profiles.ini").write_text("[Profile0]\nIsRelative=1\nPath=a.default\nDefault=1\n")
    line = "From - Mon Jan  1 10:00:00 2024\nX-Mozilla-Status: 0001\nX-Mozilla-Status2: 00000000\n"
    (root / "a.default" / "Mail" / "pop.example.org" / "Inbox").write_text(f"{line}Subject: one\n\nbody\n\n")
    new = tmp_path / "new.mailbox"
    assert run("import", "thunderbird", "--file", new, home=tmp_path)[:2] == (
        0,
        b"1 letter, 22 octets, already had 0\n",
    )
    assert b"one" in run("ls", new)[1]
    status, _, said = run("import", "thunderbird", "--file", new, home=tmp_path / "nobody")
    assert (status, "no profile of Thunderbird" in said) == (os.EX_NOINPUT, True)


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("import", "eml", "gone", "--file", "new"), os.EX_NOINPUT, "cannot be read"),
        (("import", "zip", "gone", "--file", "new"), os.EX_NOINPUT, "cannot be read"),
        (("import", "zip", "text", "--file", "new"), os.EX_DATAERR, "no zip"),
        (("import", "html", "folder", "--file", "new"), os.EX_DATAERR, "no HTML archive"),
        (("import", "thunderbird", "folder", "--file", "new"), os.EX_DATAERR, "no letters of Thunderbird"),
        (("import", "mbox", "text", "--file", "new"), os.EX_DATAERR, "no mbox"),
        (("import", "maildir", "folder", "--file", "new"), os.EX_DATAERR, "no Maildir"),
        (("import", "eml", "folder"), os.EX_USAGE, "either --account"),
        (("import", "eml", "folder", "--file", "new", "--account", "a@b.example"), os.EX_USAGE, "either --account"),
        (("export", "eml", "out", "--file", "gone"), os.EX_NOINPUT, "no such file"),
        (("export", "eml", "out", "--file", "text"), os.EX_DATAERR, "text"),
        (("export", "zip", "-", "--file", "gone"), os.EX_NOINPUT, "no such file"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], status: int, says: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("some text " * 100)
    monkeypatch.chdir(tmp_path)
    got, out, said = run(*words)
    assert (got, out, said.count("\n")) == (status, b"", 1)
    assert says in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "text"]


def test_while_somebody_pulls_nothing_comes_in(file: Path, tmp_path: Path) -> None:
    run("export", "eml", tmp_path / "out", "--file", file)
    descriptor = os.open(file, os.O_RDWR)
    lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 2**63 - 2, 1, 0)
    fcntl.fcntl(descriptor, getattr(fcntl, "F_OFD_SETLK", fcntl.F_SETLK), lock)
    status, _, said = run("import", "eml", tmp_path / "out", "--file", file)
    os.close(descriptor)
    assert (status, "pulls into it now" in said) == (os.EX_TEMPFAIL, True)


MANY = 10_000
"""So many letters that an export takes a while."""


async def test_an_export_that_is_killed_is_not_there_and_the_next_one_is(fill: Fill, tmp_path: Path) -> None:
    path = await fill([b"Subject: %d\r\n\r\n" % number + b"x" * 300 + b"\r\n" for number in range(MANY)])
    part = tmp_path / ".out.part" / "INBOX"
    process = subprocess.Popen(
        [*COMMAND, "export", "eml", str(tmp_path / "out"), "--file", str(path)], stdout=subprocess.DEVNULL
    )
    wait_until(lambda: part.exists() and any(part.iterdir()), "letters go out")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out").exists()
    status, _, said = run("export", "eml", tmp_path / "out", "--file", path)
    assert (status, "broken off" in said) == (0, True)
    assert len(list((tmp_path / "out" / "INBOX").iterdir())) == MANY


async def test_an_export_that_somebody_stops_takes_away_what_it_wrote(fill: Fill, tmp_path: Path) -> None:
    """Ctrl-C reaches all of a terminal, also the process that writes for root."""
    path = await fill([b"Subject: %d\r\n\r\n" % number + b"x" * 300 + b"\r\n" for number in range(MANY)])
    part = tmp_path / ".out.part" / "INBOX"
    words = [*COMMAND, "export", "eml", str(tmp_path / "out"), "--file", str(path)]
    for _ in range(5):
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        wait_until(lambda: part.exists() and any(part.iterdir()), "letters go out")
        os.killpg(process.pid, signal.SIGINT)
        out, errors = process.communicate(timeout=60)
        if process.returncode:
            break
        shutil.rmtree(tmp_path / "out")  # where much else goes on, all letters may be out before we come
    assert process.returncode == 130
    assert b"cannot be written" not in errors
    assert (out, [one.name for one in tmp_path.iterdir() if "out" in one.name]) == (b"", [])


BOB = "bob@a.example"


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


def test_an_archive_goes_out_and_its_letters_come_back(file: Path, tmp_path: Path) -> None:
    out, new = tmp_path / "out", tmp_path / "new.mailbox"
    assert run("export", "html", out, "--file", file) == (0, b"3 letters, 81 octets, already had 0\n", "")
    assert "<title>home</title>" in (out / "index.html").read_text()
    assert run("import", "html", out, "--file", new) == (0, b"3 letters, 81 octets, already had 0\n", "")
    assert run("import", "eml", out, "--file", new) == (0, b"0 letters, 0 octets, already had 3\n", "")
    status, _, said = run("export", "html", out, "--file", file)
    assert (status, "name a new folder" in said) == (os.EX_CANTCREAT, True)


@pytest.mark.parametrize("form", ["eml", "zip", "html"])
def test_an_account_gives_and_takes_them_too(file: Path, folder: Path, tmp_path: Path, form: str) -> None:
    make_office(folder / "office", {BOB: "secret"})
    where = ("--account", BOB, "--data", folder / "office")
    source = folder / "in"
    assert run("export", form, source, "--file", file)[0] == 0
    for path in (source, *source.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)  # for root alone, who reads it all the same
    assert run("import", form, source, *where) == (0, b"3 letters, 81 octets, already had 0\n", "")
    assert run("import", form, source, *where) == (0, b"0 letters, 0 octets, already had 3\n", "")
    home = folder / "home"
    home.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(home, 12345, 12346)
    assert run("export", form, home / "out", *where) == (0, b"3 letters, 81 octets, already had 0\n", "")
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in home.rglob("*")}
    assert owners == {(12345, 12346) if os.geteuid() == 0 else (os.geteuid(), os.getegid())}
    assert run("import", form, home / "out", "--file", tmp_path / "back.mailbox")[1].startswith(b"3 letters")
