"""What `fetch` shows: a bar on a terminal, a JSON line for each event, what would be done; never a server's octets."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from postoffice.errors import UsageError
from postoffice.home.mailbox import pulling_into
from postoffice.store.embedded import MailboxFile
from postoffice.testing.command import COMMAND
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer

LETTERS = {f"id-{number}": b"Subject: %d\r\n\r\n" % number + b"x\r\n" * 1000 * number for number in range(1, 6)}
OCTETS = sum(map(len, LETTERS.values()))
SPEAKS_TO_TERMINALS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")


async def fetch(port: int, file: Path, *words: str, password: str = PASSWORD) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *("fetch", f"pop://{USER}@127.0.0.1:{port}", "--into", str(file), "--password-stdin", *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate(f"{password}\n".encode())
    return process.returncode, out.decode(), errors.decode()


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


async def test_each_event_is_one_json_line_and_the_last_one_has_the_status(tmp_path: Path) -> None:
    async with Pop3Peer(dict(LETTERS)).listening() as port:
        status, out, errors = await fetch(port, tmp_path / "m", "--json", "--delete")
    told = events(out)
    assert (status, errors) == (0, "")
    fetched = [(one["source_id"], one["octets"]) for one in told if one["event"] == "fetched"]
    assert fetched == [(name, len(letter)) for name, letter in LETTERS.items()]
    assert [one["source_id"] for one in told if one["event"] == "deleted"] == list(LETTERS)
    names = [one["event"] for one in told]
    assert names[:3] == ["connected", "entered", "listed"]
    assert "kept" in names
    assert names.count("closed") == 1
    assert told[-1]["event"] == "closed"
    assert {"status": 0, "letters": 5, "octets": OCTETS, "known": 0, "deleted": 5}.items() <= told[-1].items()
    for one in told:
        assert datetime.fromisoformat(one["at"]).tzinfo is not None


async def test_a_failure_is_the_last_json_line_and_a_sentence(tmp_path: Path) -> None:
    async with Pop3Peer(dict(LETTERS)).listening() as port:
        status, out, errors = await fetch(port, tmp_path / "m", "--json", password="guess")
    last = events(out)[-1]
    assert status == 77
    assert (last["event"], last["status"]) == ("failed", 77)
    assert errors == f"postoffice: {last['because']}\n"


async def test_letters_that_were_not_given_are_told_with_status_75(tmp_path: Path) -> None:
    async with Pop3Peer(dict(LETTERS), says={"RETR 2": b"-ERR no\r\n"}).listening() as port:
        status, out, _ = await fetch(port, tmp_path / "m", "--json")
    assert status == 75
    assert (events(out)[-1]["event"], events(out)[-1]["status"], events(out)[-1]["refused"]) == ("closed", 75, 1)


@pytest.mark.parametrize("words", [(), ("-v",), ("--json",), ("--dry-run",), ("--dry-run", "-v"), ("--trace",)])
async def test_nothing_of_a_server_steers_the_terminal(tmp_path: Path, words: tuple[str, ...]) -> None:
    hostile = "\x1b]0;owned\x07\x9b31m\u202e"
    letters = {f"id-{hostile}": b"Subject: a\r\n\r\n", "id-2": b"Subject: b\r\n\r\n"}
    peer = Pop3Peer(letters, says={"RETR 2": f"-ERR {hostile}\r\n".encode()})
    async with peer.listening() as port:
        _, out, errors = await fetch(port, tmp_path / "m", *words)
    assert not SPEAKS_TO_TERMINALS.search(out)
    assert not SPEAKS_TO_TERMINALS.search(errors)


async def test_a_dry_run_says_what_would_be_done_and_does_nothing(tmp_path: Path) -> None:
    file = tmp_path / "m"
    peer = Pop3Peer(dict(list(LETTERS.items())[:2]))
    async with peer.listening() as port:
        first = await fetch(port, file, "--dry-run")
        assert not file.exists()
        await fetch(port, file)
        before = file.read_bytes()
        peer.letters = dict(LETTERS)
        told = await fetch(port, file, "--dry-run", "--delete")
        listed = await fetch(port, file, "--dry-run", "--json", "--delete")
    new = OCTETS - sum(len(letter) for letter in list(LETTERS.values())[:2])
    assert first == (0, f"would fetch 2 letters, {OCTETS - new} octets, already had 0\n", "")
    assert told == (
        0,
        f"would fetch 3 letters, {new} octets, already had 2; would delete 5 from the server\n",
        "",
    )
    names = [(one["event"], one.get("source_id")) for one in events(listed[1])]
    assert [name for event, name in names if event == "would_fetch"] == ["id-3", "id-4", "id-5"]
    assert [name for event, name in names if event == "known"] == ["id-1", "id-2"]
    assert [name for event, name in names if event == "would_delete"] == list(LETTERS)
    assert events(listed[1])[-1]["status"] == 0
    assert file.read_bytes() == before
    assert peer.letters == LETTERS
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


async def test_a_dry_run_says_what_is_in_doubt(tmp_path: Path) -> None:
    peer = Pop3Peer(dict(LETTERS))
    async with peer.listening() as port:
        await fetch(port, tmp_path / "m")
        peer.letters["id-2"] = LETTERS["id-5"]  # the server has given a name to another letter
        told = await fetch(port, tmp_path / "m", "--dry-run", "--delete-when", "3 days")
    assert told[1] == (
        "would fetch 0 letters, 0 octets, already had 4; 1 may be new: their header or their octets would tell\n"
    )


async def test_a_dry_run_fetches_no_more_than_a_pull_would(tmp_path: Path) -> None:
    async with Pop3Peer(dict(LETTERS)).listening() as port:
        small = await fetch(port, tmp_path / "m", "--dry-run", "--delete", "--largest", "7000")
        one = await fetch(port, tmp_path / "m", "--dry-run", "--only", "id-4")
    octets = sum(len(LETTERS[name]) for name in ("id-1", "id-2"))
    assert small[1] == f"would fetch 2 letters, {octets} octets, already had 0; would delete 2 from the server\n"
    assert one[1] == f"would fetch 1 letter, {len(LETTERS['id-4'])} octets, already had 0\n"


async def test_a_terminal_sees_a_bar_and_standard_output_the_summary_alone(tmp_path: Path) -> None:
    async with Pop3Peer(dict(LETTERS)).listening() as port:
        shown, out = await asyncio.to_thread(on_terminal, *pulling(port, tmp_path / "m"))
    assert out == f"5 letters, {OCTETS} octets, already had 0\n"
    assert "5 of 5 letters" in shown
    assert "kB" in shown


async def test_the_bar_moves_within_a_letter(tmp_path: Path) -> None:
    half = b"x" * 998 + b"\r\n"
    peer = Pop3Peer({"a": half * 4000}, leaves_after=2_000_000)
    async with peer.listening() as port:
        shown, _ = await asyncio.to_thread(on_terminal, *pulling(port, tmp_path / "m"), status=75)
    assert re.search(r"0 of 1 letters [12]\.[0-9]/4\.0 MB", re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", shown))


async def test_one_bar_is_for_all_accounts(tmp_path: Path) -> None:
    settings = tmp_path / "home.toml"
    one, two = Pop3Peer(dict(LETTERS)), Pop3Peer(dict(LETTERS))
    async with one.listening() as first, two.listening() as second:
        settings.write_text(
            "\n".join(
                f'[accounts.{name}]\nurl = "pop://{USER}@127.0.0.1:{port}"\ninto = "{name}"\npassword = "{PASSWORD}"'
                for name, port in (("one", first), ("two", second))
            )
        )
        settings.chmod(0o600)
        shown, out = await asyncio.to_thread(on_terminal, "fetch", "--all", "--config", str(settings))
    assert sorted(out.splitlines()) == [f"{name}: 5 letters, {OCTETS} octets, already had 0" for name in ("one", "two")]
    assert "10 of 10 letters" in shown


def pulling(port: int, file: Path) -> tuple[str, ...]:
    return ("fetch", f"pop://{USER}@127.0.0.1:{port}", "--into", str(file), "--password-stdin")


def on_terminal(*words: str, status: int = 0) -> tuple[str, str]:
    """What a terminal at standard error, and standard output, got."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(theirs)
    out, _ = process.communicate(f"{PASSWORD}\n".encode(), timeout=60)
    shown = bytearray()
    with os.fdopen(ours, "rb", 0) as terminal:
        try:
            while octets := terminal.read(65536):
                shown += octets
        except OSError:
            pass  # so ends what a terminal that nobody has open any more gives
    assert process.returncode == status
    return shown.decode(), out.decode()


HOOK = "cat; echo $POSTOFFICE_ACCOUNT $POSTOFFICE_LETTERS $POSTOFFICE_FILE"


async def test_the_hook_hears_of_letters_and_no_sender_gets_into_the_command(tmp_path: Path) -> None:
    file, trap = tmp_path / "m", tmp_path / "trap"
    hostile = f"From: $(touch {trap}) <x@x>\r\nSubject: `touch {trap}`; touch {trap}\x1b[2J\r\n\r\n".encode()
    peer = Pop3Peer({"id-1": hostile, "id-2": LETTERS["id-2"]})
    async with peer.listening() as port:
        status, out, errors = await fetch(port, file, "--hook", HOOK)
        nothing = await fetch(port, file, "--hook", HOOK)
    *lines, facts = errors.splitlines()
    assert status == 0
    assert out.startswith("2 letters")
    assert [json.loads(line)["octets"] for line in lines] == [len(hostile), len(LETTERS["id-2"])]
    assert json.loads(lines[0])["from"] == f"$(touch {trap}) <x@x>"
    assert json.loads(lines[1])["subject"] == "2"
    assert facts == f"{USER} 2 {file}"
    assert not trap.exists()
    assert not SPEAKS_TO_TERMINALS.search(errors)
    assert nothing[2] == ""


async def test_the_hook_hears_of_what_came_before_a_pull_failed(tmp_path: Path) -> None:
    peer = Pop3Peer({"a": b"Subject: a\r\n\r\n", "b": b"Subject: b\r\n\r\n"}, says={"RETR 2": b"what?\r\n"})
    async with peer.listening() as port:
        status, _, errors = await fetch(port, tmp_path / "m", "--hook", HOOK)
    assert status != 0
    assert errors.splitlines()[0] == '{"from": "", "subject": "a", "octets": 14}'


@pytest.mark.parametrize(("hook", "said"), [("exit 3", "it ended with status 3"), ("nonesuch", "status 127")])
async def test_a_hook_that_fails_is_told_and_the_pull_went_well(tmp_path: Path, hook: str, said: str) -> None:
    async with Pop3Peer(dict(LETTERS)).listening() as port:
        status, _, errors = await fetch(port, tmp_path / "m", "--hook", hook)
    assert (status, errors.endswith(f"{said}\n")) == (0, True), errors


def test_no_command_pays_for_the_bar_but_on_a_terminal() -> None:
    looked = "import sys, postoffice.cli.fetch; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", looked], check=False).returncode == 0


async def test_who_comes_while_somebody_pulls_into_the_file_is_told_so(tmp_path: Path) -> None:
    file = tmp_path / "m"
    peer = Pop3Peer(dict(LETTERS))
    async with peer.listening() as port:
        async with pulling_into(file):
            status, out, errors = await fetch(port, file)
            with pytest.raises(UsageError):
                async with pulling_into(file):
                    pass
            reader = MailboxFile.open(file)  # readers are in nobody's way
            await reader.close()
        after = await fetch(port, file)
    assert (status, out) == (75, "")
    assert errors == f"postoffice: {file}: somebody else pulls into it now\n"
    assert after[0] == 0


async def test_a_letter_that_is_asked_for_and_not_listed_is_told(tmp_path: Path) -> None:
    async with Pop3Peer(dict(LETTERS)).listening() as port:
        status, out, errors = await fetch(port, tmp_path / "m", "--only", "id-9", "--only", "id-2")
    assert (status, out[:9]) == (os.EX_NOINPUT, "1 letter,")
    assert errors == "postoffice: id-9: the server lists no letter of that unique-id\n"


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
async def test_nothing_goes_because_the_mailbox_file_is_a_copy_of_itself(tmp_path: Path, more: tuple[str, ...]) -> None:
    peer = Pop3Peer(dict(LETTERS))
    async with peer.listening() as port:
        status, _, errors = await fetch(port, tmp_path / "m", "--delete-when", f"copied to {tmp_path}/./m", *more)
    assert (status, peer.sessions, len(peer.letters)) == (os.EX_USAGE, 0, 5)
    assert "no copy of it" in errors
