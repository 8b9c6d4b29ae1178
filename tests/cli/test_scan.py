"""`fetch --scan`, `scan` and `run`: what a person sees of scanning, and what is wrong with what he says."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from postoffice.store.embedded import MailboxFile
from postoffice.store.model import INBOX, QUARANTINE, UNSCANNED, Verdict
from postoffice.testing.check_store.walk import keys, seen
from postoffice.testing.clamd import EICAR, ClamdPeer, Fault
from postoffice.testing.command import COMMAND
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer

GOOD = b"From: an@a.example\r\nSubject: good\r\n\r\nhello\r\n"
BAD = b"From: an@a.example\r\nSubject: bad \x1b[31m\r\n\r\n" + EICAR + b"\r\n"
LATER = b"From: an@a.example\r\nSubject: later\r\n\r\nNew.Virus\r\n"

Said = tuple[int | None, str, str]


@dataclass(slots=True)
class Person:
    folder: Path
    peer: Pop3Peer
    port: int
    clamd: ClamdPeer

    @property
    def file(self) -> Path:
        return self.folder / "home.mailbox"

    async def begun(self, *words: str) -> asyncio.subprocess.Process:
        mine = {"HOME": str(self.folder), "XDG_STATE_HOME": str(self.folder / "state"), "PASSWORD": PASSWORD}
        mine["XDG_CONFIG_HOME"] = str(self.folder / "config")
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *COMMAND, *words, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, env=os.environ | mine,
            cwd=self.folder,
        )  # fmt: skip

    async def run(self, *words: str) -> Said:
        process = await self.begun(*words)
        out, errors = await process.communicate()
        return process.returncode, out.decode(), errors.decode()

    def url(self) -> str:
        return f"pop://{USER}@127.0.0.1:{self.port}"

    async def fetch(self, *words: str) -> Said:
        where = ("--into", "home.mailbox", "--password-variable", "PASSWORD")
        return await self.run("fetch", self.url(), *where, *words)

    def settings(self, text: str) -> Path:
        account = f'[accounts.bob]\nurl = "{self.url()}"\ninto = "home.mailbox"\npassword_variable = "PASSWORD"\n'
        path = self.folder / "home.toml"
        path.write_text(account + text)
        return path

    async def shown(self) -> dict[str, list[bytes]]:
        mailbox = MailboxFile.open(self.file)
        folders = {one.name: await seen(mailbox, folder=one.name) for one in await mailbox.folders()}
        await mailbox.close()
        return {name: letters for name, letters in folders.items() if letters}


@pytest.fixture
async def person(tmp_path: Path) -> AsyncIterator[Person]:
    peer, clamd = Pop3Peer({"id-1": GOOD, "id-2": BAD, "id-3": LATER}), ClamdPeer()
    async with peer.listening() as port, clamd.listening(tmp_path / "clamd"):
        yield Person(tmp_path, peer, port, clamd)


async def test_ls_does_not_show_what_is_in_quarantine_and_scan_does(person: Person) -> None:
    status, out, errors = await person.fetch("--scan", "clamd:" + str(person.folder / "clamd"))
    octets = len(GOOD + BAD + LATER)
    assert (status, out) == (0, f"3 letters, {octets} octets, already had 0; 1 infected and in quarantine\n")
    assert errors == f"postoffice: id-2: clamd at {person.folder}/clamd found Test.Eicar; it is in Quarantine\n"
    listed = (await person.run("ls", "home.mailbox"))[1]
    assert [line.split()[4] for line in listed.splitlines()] == ["good", "later"]
    assert "New.Virus" in (await person.run("read", "home.mailbox", "2"))[1]
    assert (await person.run("read", "home.mailbox", "3"))[0] == 66, "a quarantined letter is read by the way"
    _, shown, errors = await person.run("scan", "home.mailbox", "--list")
    first, second = shown.splitlines()
    assert first.split()[:4] == ["Quarantine", "1", "an@a.example", "bad"]
    assert "infected: Test.Eicar (clamd at" in second
    assert "\x1b" not in shown
    [line] = (await person.run("scan", "home.mailbox", "--list", "--json"))[1].splitlines()
    told = json.loads(line)
    assert (told["folder"], told["number"], told["said"], told["verdict"]) == (QUARANTINE, 1, "Test.Eicar", "infected")


async def test_why_tells_the_scan(person: Person) -> None:
    await person.fetch("--scan", "clamd:" + str(person.folder / "clamd"))
    out = (await person.run("why", "home.mailbox", "1"))[1]
    [line] = [line for line in out.splitlines() if line.startswith("scanned")]
    assert line.endswith(f"clean (clamd at {person.folder}/clamd, ClamAV 1.4.3/1)")
    for words in (("id-2",), ("1", "--folder", "Quarantine")):
        assert "infected: Test.Eicar" in (await person.run("why", "home.mailbox", *words))[1]
    told = json.loads((await person.run("why", "home.mailbox", "id-2", "--json"))[1])
    assert told["scan"]["verdict"] == "infected"
    assert (await person.run("why", "home.mailbox", "1", "--folder", "Nowhere"))[0] == 66


async def test_new_signatures_and_a_false_alarm(person: Person) -> None:
    by = ("--by", "clamd:" + str(person.folder / "clamd"))
    await person.fetch("--scan", by[1])
    assert (await person.run("scan", "home.mailbox", *by))[:2] == (0, "0 letters scanned\n")
    person.clamd.signatures["New"], person.clamd.version = b"New.Virus", 2
    status, out, errors = await person.run("scan", "home.mailbox", *by)
    assert (status, errors) == (0, "")
    assert out == "letter id-3: found New\n3 letters scanned; 1 found infected and put into quarantine\n"
    status, out, _ = await person.run("scan", "home.mailbox", "--release", "2")
    assert (status, out) == (0, "it is in INBOX now, and stays there if New is found in it again\n")
    status, out, _ = await person.run("verify", "home.mailbox")
    assert (status, ", commit 3-" in out) == (0, True), "a pull, a letter into quarantine, a letter out of it"
    assert (await person.run("scan", "home.mailbox", "--all", *by))[1] == "3 letters scanned\n"
    assert await person.shown() == {INBOX: [GOOD, LATER], QUARANTINE: [BAD]}
    status, out, _ = await person.run("scan", "home.mailbox", "--all", "--json", *by)
    assert json.loads(out) == {
        "event": "scanned", "letters": 3, "infected": 0, "released": 0, "cleared": 0, "unreadable": 0, "left": 0,
        "trouble": "",
    }  # fmt: skip


async def test_held_letters_are_told_in_each_run_until_somebody_scans_them(person: Person) -> None:
    nothing = f"clamd:{person.folder}/nothing"
    for letters in (3, 0):
        status, out, errors = await person.fetch("--scan", nothing)
        assert status == 75
        assert out.startswith(f"{letters} letters, ")
        assert errors == (
            f"postoffice: 3 letters wait to be scanned: clamd at {person.folder}/nothing cannot be reached: "
            "No such file or directory; the next run tries again\n"
        )
    assert (await person.run("ls", "home.mailbox"))[1] == ""
    status, _, errors = await person.fetch()
    assert (status, errors) == (75, "postoffice: 3 letters wait to be scanned: no scanner is named\n")
    status, out, errors = await person.run("scan", "home.mailbox", "--by", nothing)
    assert (status, out) == (75, "0 letters scanned\n")
    assert "cannot be reached" in errors
    status, out, _ = await person.run("scan", "home.mailbox", "--by", f"clamd:{person.folder}/clamd")
    assert (status, out.splitlines()[-1]) == (
        0, "3 letters scanned; 1 found infected and put into quarantine; 2 held before and seen now"
    )  # fmt: skip
    assert await person.shown() == {INBOX: [GOOD, LATER], QUARANTINE: [BAD]}


async def test_what_is_too_large_is_told_with_what_to_do(person: Person) -> None:
    person.clamd.limit = len(GOOD)
    status, _, errors = await person.fetch("--scan", f"clamd:{person.folder}/clamd", "--json")
    assert (status, errors) == (0, "")
    status, out, errors = await person.fetch("--scan", f"clamd:{person.folder}/clamd")
    assert "2 letters are held, too large to be scanned; postoffice scan home.mailbox --list shows them" in errors
    status, out, _ = await person.run("scan", "home.mailbox", "--release", "2", "--folder", "Unscanned")
    assert (status, out) == (0, "it is in INBOX now\n")
    assert await person.shown() == {INBOX: [GOOD, LATER], UNSCANNED: [BAD]}


async def test_the_settings_say_who_scans(person: Person) -> None:
    path = person.settings(f'[scan]\nby = "clamd:{person.folder}/clamd"\n')
    assert (await person.run("fetch", "bob", "--config", str(path)))[0] == 0
    assert await person.shown() == {INBOX: [GOOD, LATER], QUARANTINE: [BAD]}
    person.clamd.version = 2
    assert (await person.run("scan", "home.mailbox", "--config", str(path)))[1] == "3 letters scanned\n"
    person.peer.letters["id-4"] = BAD
    assert (await person.run("fetch", "bob", "--config", str(path), "--scan", "none"))[0] == 0
    assert (await person.shown())[INBOX] == [GOOD, LATER, BAD]


async def test_a_pull_from_a_url_is_scanned_as_the_settings_say(person: Person) -> None:
    """Who wants letters to be scanned wants that whichever way they come."""
    usual = person.folder / "config" / "postoffice" / "home.toml"
    usual.parent.mkdir(parents=True)
    usual.write_text(f'[scan]\nby = "clamd:{person.folder}/clamd"\n')
    assert (await person.fetch())[0] == 0
    assert await person.shown() == {INBOX: [GOOD, LATER], QUARANTINE: [BAD]}
    person.peer.letters["id-4"] = BAD + b"4\r\n"
    assert (await person.fetch("--scan", "none"))[0] == 0
    assert (await person.shown())[INBOX] == [GOOD, LATER, BAD + b"4\r\n"]
    target = f"maildir:{person.folder}/Maildir"
    words = ("fetch", person.url(), "--into", target, "--password-variable", "PASSWORD")
    (person.folder / "Maildir").mkdir()
    assert (await person.run(*words))[0] == 0
    given = [path.read_bytes() for path in (person.folder / "Maildir" / "new").iterdir()]
    assert len(given) == 2
    assert not any(EICAR in letter for letter in given)


async def test_a_pull_from_a_url_into_the_file_of_an_account_is_scanned_as_that_account_says(person: Person) -> None:
    path = person.settings(f'scan = "none"\n[scan]\nby = "clamd:{person.folder}/clamd"\n')
    assert (await person.fetch("--config", str(path)))[0] == 0
    assert await person.shown() == {INBOX: [GOOD, BAD, LATER]}
    path.write_text("[scan]\nby = 1\n")
    assert (await person.fetch("--config", str(path)))[0] == 78, "wrong settings are taken for none"


async def test_an_account_may_want_it_otherwise(person: Person) -> None:
    person.clamd.fault = Fault.ERROR
    general = f'[scan]\nby = "clamd:{person.folder}/clamd"\nunscanned = "hold"\n'
    path = person.settings('unscanned = "pass"\n' + general)
    assert (await person.run("fetch", "bob", "--config", str(path)))[0] == 0
    assert await person.shown() == {INBOX: [GOOD, BAD, LATER]}
    path = person.settings('scan = "none"\n' + general)
    asked = person.clamd.asked
    assert (await person.run("fetch", "bob", "--config", str(path)))[0] == 0
    assert person.clamd.asked == asked


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[scan]\nby = "clamav"\n', "scan.by: 'clamav' is no scanner: clamd:/path/of/its/socket, clamd:HOST:PORT"),
        ("[scan]\nby = 1\n", "scan.by: Expected str, got int"),
        ('[scan]\nunscanned = "drop"\n', "scan.unscanned: 'drop' is neither hold nor pass"),
        ('[scan]\npatience = "long"\n', "scan.patience: 'long' is no time, written like 30s or 2m"),
        ("[scan]\nspeed = 1\n", "scan.speed: there is no such setting; there are by, patience, unscanned, too_large"),
        ("scan = 'x'\n", "accounts.bob.scan: 'x' is no scanner"),
        ("too_large = 'x'\n", "accounts.bob.too_large: Invalid enum value 'x'"),
    ],
)
async def test_wrong_settings_are_one_sentence_with_their_line(person: Person, text: str, said: str) -> None:
    path = person.settings(text)
    status, _, errors = await person.run("fetch", "bob", "--config", str(path))
    assert status == 78
    [line] = errors.splitlines()
    assert line.startswith(f"postoffice: {path}:")
    assert said in line


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("scan", "nothing.mailbox"), 66, "nothing.mailbox: there is no such file"),
        (("scan", "home.mailbox"), 64, "nothing says who scans it"),
        (("scan", "home.mailbox", "--by", "clam"), 64, "'clam' is no scanner"),
        (("scan", "home.mailbox", "--by", "none"), 64, "nothing says who scans it"),
        (("scan", "home.mailbox", "--list", "--all"), 64, "one at a time"),
        (("scan", "home.mailbox", "--release", "1"), 66, "there is no letter 1 in Quarantine; there are 0"),
        (("fetch", "pop://x@127.0.0.1:1", "--into", "x", "--unscanned", "pass"), 64, "not by whom"),
        (("fetch", "pop://x@127.0.0.1:1", "--into", "x", "--scan", "y"), 64, "'y' is no scanner"),
    ],
)
async def test_wrong_use_is_one_sentence(person: Person, words: tuple[str, ...], status: int, said: str) -> None:
    await MailboxFile.open(person.file, create=True).close()
    found, out, errors = await person.run(*words)
    assert (found, out) == (status, "")
    [line] = errors.splitlines()
    assert line.startswith("postoffice: ")
    assert said in line


@pytest.mark.parametrize("patience", ["nan", "inf", "0", "-1", "x"])
async def test_a_patience_is_a_time(person: Person, patience: str) -> None:
    status, out, errors = await person.fetch("--scan", f"clamd:{person.folder}/clamd", "--scan-patience", patience)
    assert (status, out) == (64, "")
    assert "Invalid value for '--scan-patience'" in errors
    assert not person.file.exists()


async def test_run_scans_again_when_signatures_change(person: Person) -> None:
    path = person.settings(f'every = "1d"\n[scan]\nby = "clamd:{person.folder}/clamd"\n')
    process = await person.begun("run", "--json", "--config", str(path))
    try:
        assert process.stdout is not None

        async def heard(name: str) -> dict[str, object]:
            assert process.stdout is not None
            async with asyncio.timeout(30):
                while line := await process.stdout.readline():
                    told: dict[str, object] = json.loads(line)
                    if told["event"] == name:
                        return told
            raise AssertionError(f"it ended before it said {name}")

        assert (await heard("pulled"))["letters"] == 3
        person.clamd.signatures["New"], person.clamd.version = b"New.Virus", 2
        process.send_signal(signal.SIGUSR1)
        told = await heard("scanned_again")
        assert (told["letters"], told["infected"], told["left"]) == (3, 1, 0)
    finally:
        process.terminate()
        await process.communicate()
    assert await person.shown() == {INBOX: [GOOD], QUARANTINE: [BAD, LATER]}


async def test_packs_merges_and_exports_keep_quarantined_letters_where_they_are(person: Person) -> None:
    await person.fetch("--scan", f"clamd:{person.folder}/clamd")
    before = await person.shown()
    assert (await person.run("pack", "home.mailbox", "--into", "one.po"))[0] == 0
    assert (await person.run("open", "one.po", "--into", "there.mailbox"))[0] == 0
    await MailboxFile.open(person.folder / "merged.mailbox", create=True).close()
    assert (await person.run("merge", "merged.mailbox", "one.po"))[0] == 0
    for name in ("there.mailbox", "merged.mailbox"):
        by = ("--by", f"clamd:{person.folder}/clamd")
        assert (await person.run("scan", name, *by))[1] == "0 letters scanned\n", "verdicts did not come along"
    assert (await person.run("repair", "there.mailbox", "--into", "saved.mailbox"))[0] == 0
    for name in ("there.mailbox", "merged.mailbox", "saved.mailbox"):
        person.file.unlink(missing_ok=True)
        (person.folder / name).rename(person.file)
        assert await person.shown() == before
    for form in ("maildir", "eml"):
        assert (await person.run("export", form, form, "--file", "home.mailbox"))[0] == 0
    assert not any(EICAR in path.read_bytes() for path in (person.folder / "eml").rglob("*") if path.is_file())
    exported = [
        path.read_bytes() for path in (person.folder / "maildir").rglob("*") if path.parent.name in ("cur", "new")
    ]
    assert len(exported) == 2
    assert not any(EICAR in one for one in exported)


async def test_who_is_killed_at_any_moment_shows_nothing_unscanned_and_loses_nothing(person: Person) -> None:
    """At each thing that a pull tells: killed there, a letter that is seen was found clean."""
    letters = [(BAD if number % 5 == 0 else GOOD) + b"%d\r\n" % number for number in range(40)]
    person.peer.letters = {f"id-{number}": letter for number, letter in enumerate(letters)}
    words = ("--into", "home.mailbox", "--password-variable", "PASSWORD", "--json", "--delete")
    infected = {one for one in person.peer.letters.values() if EICAR in one}
    everything = set(person.peer.letters.values())
    for lines in (1, 2, 3, 12, 30, 42, 43, 44, 45, 60):
        process = await person.begun("fetch", person.url(), *words, "--scan", f"clamd:{person.folder}/clamd")
        assert process.stdout is not None
        for _ in range(lines):
            await process.stdout.readline()
        if process.returncode is None:
            process.kill()
        await process.communicate()
        if person.file.exists():
            await must_be_scanned(person, infected)
    status, _, _ = await person.fetch("--scan", f"clamd:{person.folder}/clamd")
    assert status == 0
    folders = await person.shown()
    assert sorted(folders[INBOX]) == sorted(everything - infected)
    assert sorted(folders[QUARANTINE]) == sorted(infected)


async def must_be_scanned(person: Person, infected: set[bytes]) -> None:
    mailbox = MailboxFile.open(person.file)
    entries = await mailbox.describe(await keys(mailbox))
    scans = await mailbox.scans([entry.sha256 for entry in entries if entry is not None])
    assert all(scan is not None and scan.verdict is Verdict.CLEAN for scan in scans)
    assert not infected.intersection(await seen(mailbox))
    await mailbox.close()
