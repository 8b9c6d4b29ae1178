"""`fetch --into` a Maildir, an mbox, a command, a server: letters come there once, and the status says what waits."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from postoffice.moving.letters import Found
from postoffice.moving.mbox import Mbox
from postoffice.store.memory import MemoryStore
from postoffice.testing.command import COMMAND
from postoffice.testing.office import run_office
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer
from postoffice.testing.programs import TRAPS

LETTERS = {"id-0": b"Subject: 0\r\n\r\nx\r\n", "id-1": TRAPS, "id-2": b"Subject: 2\r\n\r\nx\r\n"}


@dataclass(slots=True)
class Person:
    folder: Path
    peer: Pop3Peer
    port: int

    async def run(self, *words: str, dies_after: float | None = None) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ
            | {"HOME": str(self.folder), "XDG_STATE_HOME": str(self.folder / "state"), "PASSWORD": PASSWORD},
            cwd=self.folder,
        )
        if dies_after is not None:
            asyncio.get_running_loop().call_later(dies_after, kill, process)
        out, errors = await process.communicate()
        return process.returncode, out.decode(), errors.decode()

    async def fetch(self, into: str, *words: str, dies_after: float | None = None) -> tuple[int | None, str, str]:
        url = f"pop://{USER}@127.0.0.1:{self.port}"
        return await self.run(
            "fetch", url, "--into", into, "--password-variable", "PASSWORD", *words, dies_after=dies_after
        )

    @property
    def spool(self) -> Path:
        [file] = (self.folder / "state" / "postoffice" / "spool").glob("*.mailbox")
        return file


def kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()


@pytest.fixture
async def person(tmp_path: Path) -> AsyncIterator[Person]:
    peer = Pop3Peer(dict(LETTERS))
    async with peer.listening() as port:
        yield Person(tmp_path, peer, port)


def letters_of(files: list[Path]) -> list[bytes]:
    return sorted(file.read_bytes().replace(b"\n", b"\r\n") for file in files)


async def test_into_a_maildir(person: Person) -> None:
    said = await person.fetch("maildir:Mail", "--delete")
    octets = sum(map(len, LETTERS.values()))
    assert said == (0, f"3 letters, {octets} octets, already had 0; 3 deleted from the server; 3 handed over\n", "")
    assert letters_of(list((person.folder / "Mail" / "new").iterdir())) == sorted(LETTERS.values())
    assert person.peer.letters == {}


async def test_what_was_handed_over_is_not_pulled_again(person: Person) -> None:
    for _ in range(2):
        status, out, errors = await person.fetch("mbox:mbox")
        assert (status, errors) == (0, "")
    assert out == "0 letters, 0 octets, already had 3\n"
    with closing(Mbox(person.folder / "mbox")) as box:
        assert box.total == 3
    assert (await person.run("ls", str(person.spool)))[1] == ""


async def test_what_only_passes_through_leaves_no_chain_of_commits(person: Person) -> None:
    await person.fetch("maildir:Mail")
    _, out, _ = await person.run("check", str(person.spool))
    assert "all is sound: 0 letters" in out
    assert "commit" not in out
    await person.fetch("kept.mailbox")
    _, out, _ = await person.run("check", "kept.mailbox")
    assert "commit" in out


async def test_a_letter_may_go_from_the_server_when_its_target_has_it(person: Person) -> None:
    """`removed` is a rule about letters that are not here any more; out of a spool they go no other way."""
    refuses_one = 'command:! grep -q "^Subject: 0"'
    assert (await person.fetch(refuses_one, "--delete-when", "removed"))[0] == 75
    assert (await person.fetch(refuses_one, "--delete-when", "removed"))[0] == 75
    assert list(person.peer.letters) == ["id-0"]


async def test_what_a_target_refuses_waits_and_is_told_each_time(person: Person) -> None:
    command = "command:if grep -q '^Subject: 0'; then echo no room for it; exit $(cat status); fi"
    for ends, status in ((75, 75), (69, 69)):
        (person.folder / "status").write_text(str(ends))
        found, out, errors = await person.fetch(command)
        assert found == status
        assert out.endswith("; 1 not taken\n")
        first, second = errors.splitlines()
        assert first.startswith("postoffice: letter ")
        assert first.endswith(f" is not taken: the command ended with status {ends}: no room for it")
        assert second == "postoffice: 1 letter waits to be handed over; the next run tries again"
    (person.folder / "status").write_text("0")
    assert (await person.fetch(command))[:2] == (0, "0 letters, 0 octets, already had 3; 1 handed over\n")


async def test_who_is_killed_while_a_command_runs_tells_it_the_next_time(person: Person) -> None:
    (person.folder / "kept").mkdir()
    command = "command:cat >> kept/$POSTOFFICE_LETTER_ID; echo x >> count; [ $(wc -l < count) != 2 ] || kill -9 $PPID"
    assert (await person.fetch(command))[0] == -9
    assert len(list((person.folder / "kept").iterdir())) == 2
    status, out, errors = await person.fetch(command, "--doubtful", "hold")
    assert status == 75
    assert out.endswith("; 1 handed over; 1 in doubt and held\n")
    assert "may have been handed over by a run that died; it is held; --doubtful again gives it\n" in errors
    status, out, errors = await person.fetch(command)
    assert (status, out) == (0, "0 letters, 0 octets, already had 3; 1 handed over; 1 in doubt and given again\n")
    assert errors.endswith("it is given again\n")
    octets = sorted(file.stat().st_size for file in (person.folder / "kept").iterdir())
    plain = sorted(len(letter.replace(b"\r\n", b"\n")) for letter in LETTERS.values())
    assert octets == sorted((plain[0], plain[1], 2 * plain[2]))  # doubled, and said so


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["maildir", "mbox"])
async def test_killed_at_random_moments_of_pulling_and_handing_over(person: Person, kind: str) -> None:
    """With everything that is between a maildrop and a target, until nothing is on the way any more."""
    letters = {f"id-{number}": b"Subject: %d\r\n\r\n" % number + b"x" * 5000 + b"\r\n" for number in range(400)}
    person.peer.letters = dict(letters)
    dice, killed = random.Random(7), 0
    while True:
        ended = await person.fetch(f"{kind}:place", "--delete", dies_after=dice.uniform(0.3, 2.0))
        killed += ended[0] == -9
        if ended[0] == 0 and not person.peer.letters:
            break
    place = person.folder / "place"
    if kind == "maildir":
        assert letters_of([file for name in ("new", "cur") for file in (place / name).iterdir()]) == sorted(
            letters.values()
        )
    else:
        with closing(Mbox(place)) as box:
            found = [b"".join(one.open().octets) for one in box.letters() if isinstance(one, Found)]
        assert sorted(found) == sorted(letters.values())
    assert (await person.run("ls", str(person.spool)))[1] == ""
    assert killed > 0


async def test_into_a_server(person: Person) -> None:
    async with run_office(MemoryStore(), "b.example", people={"bob@b.example": "secret"}) as office:
        status, out, _ = await person.fetch(f"lmtp://127.0.0.1:{office.port('lmtp')}/bob@b.example", "--json")
        assert len(await office.letters("bob@b.example")) == 3
    told = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [one["event"] for one in told if one["event"] == "handed"] == ["handed"] * 3
    assert (told[-1]["event"], told[-1]["letters"], told[-1]["handed_letters"]) == ("closed", 3, 3)


async def test_letters_that_wait_are_handed_over_also_when_nothing_can_be_pulled(person: Person) -> None:
    (person.folder / "status").write_text("75")
    assert (await person.fetch("command:cat >> mbox; exit $(cat status)"))[0] == 75
    (person.folder / "status").write_text("0")
    person.peer.greeting = b"-ERR [SYS/TEMP] not now\r\n"
    status, _, errors = await person.fetch("command:cat >> mbox; exit $(cat status)")
    assert status == 75
    assert "not now" in errors
    assert (await person.run("ls", str(person.spool)))[1] == ""


async def test_a_dry_run_hands_nothing_over(person: Person) -> None:
    status, out, _ = await person.fetch("maildir:Mail", "--dry-run")
    assert (status, out.split(",")[0]) == (0, "would fetch 3 letters")
    assert not (person.folder / "Mail").exists()


@pytest.mark.parametrize(
    ("into", "status", "because"),
    [
        ("imap://x/y", 64, "letters cannot go into imap"),
        ("smtp://me:hunter2@x/y@z", 64, "a password has no place in a URL"),
        ("maildir:/nowhere/Mail", 73, "cannot be written: No such file or directory"),
        ("mbox:home.toml", 65, "is no mbox"),
        ("command:/nowhere/procmail", 69, "the command ended with status 127"),
        ("lmtp://127.0.0.1:1/bob", 69, "cannot reach 127.0.0.1 port 1"),
    ],
)
async def test_what_is_wrong_is_told_in_one_sentence(person: Person, into: str, status: int, because: str) -> None:
    (person.folder / "home.toml").write_text("x")
    found, _, errors = await person.fetch(into)
    assert (found, errors.count("\n")) == (status, 1), errors
    assert because in errors
    assert "hunter2" not in errors
