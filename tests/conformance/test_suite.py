"""The suite tells good servers from bad ones: ours passes every row, and each fault is named by its row."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from postoffice.conformance.crowd import Crowd
from postoffice.conformance.dialogue import Failed, NotApplicable, Server, survey
from postoffice.conformance.nasty import nasty_letters
from postoffice.conformance.post import MaildirPost, MboxPost, SmtpPost
from postoffice.conformance.rows import all_rows
from postoffice.conformance.run import Suite, Verdict
from postoffice.errors import UsageError
from postoffice.net.tls import opportunistic_context
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer
from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office, open_folder

LETTERS = {
    "one": b"Subject: 1\r\n\r\n.\r\n.two\r\n",
    "two": b"Subject: 2\r\n\r\nb\r\n",
    "three": b"Subject: 3\r\n\r\n",
}


@pytest.fixture(scope="module")
def office() -> Iterator[OfficeProcess]:
    with open_folder() as folder:
        make_office(folder / "office", {f"{name}@a.example": "tanstaaf" for name in ("mrose", "prog")}, scram=True)
        with OfficeProcess(folder / "office", CLEAR_TEXT) as office:
            yield office


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("tls", "door"), [("none", "pop3"), ("stls", "pop3"), ("implicit", "pop3s")])
def test_our_office_passes_every_row(office: OfficeProcess, tls: str, door: str) -> None:
    server = Server("127.0.0.1", office.ports[door], "mrose@a.example", "tanstaaf", tls, opportunistic_context())  # type: ignore[arg-type]
    crowd = Crowd(letters=60, octets=1 << 20)
    verdicts = list(Suite(server, SmtpPost("127.0.0.1", office.ports["smtp"], "mrose@a.example"), crowd))
    assert [verdict for verdict in verdicts if verdict.outcome == "fail"] == []
    passed = {verdict.name for verdict in verdicts if verdict.outcome == "pass"}
    assert len(passed) > 80
    assert passed > {"scram", "scram-wrong", "letter-large", "crowd"}


def test_the_program_writes_what_it_found(office: OfficeProcess, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "postoffice", "conformance", f"127.0.0.1:{office.ports['pop3']}"]
    words += ["--user", "prog@a.example", "--password-stdin", "--json", "-", "--html", str(tmp_path / "it.html")]
    done = subprocess.run(words, input=b"tanstaaf\n", capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["counts"]["pass"] > 15
    assert "fail" not in told["counts"]
    assert {row["name"] for row in told["rows"]} >= {row.name for row in all_rows()}
    assert "<title>POP3 conformance of" in (tmp_path / "it.html").read_text()


def test_a_wrong_password_is_one_sentence(office: OfficeProcess) -> None:
    words = [sys.executable, "-m", "postoffice", "conformance", f"127.0.0.1:{office.ports['pop3']}"]
    words += ["--user", "prog@a.example", "--password-stdin"]
    done = subprocess.run(words, input=b"not-it\n", capture_output=True, timeout=100, check=False)
    assert done.returncode == 69
    assert done.stderr.count(b"\n") == 1
    assert b"not-it" not in done.stderr


# --- servers with faults


@contextmanager
def listening(peer: Pop3Peer) -> Iterator[Server]:
    """A peer that answers from a thread of its own, for the suite waits where it stands."""
    import threading

    ports: list[int] = []
    ready = threading.Event()
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def answer() -> None:
        async with peer.listening() as port:
            ports.append(port)
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(answer()))
    thread.start()
    try:
        assert ready.wait(20)
        yield Server("127.0.0.1", ports[0], USER, PASSWORD, "none", ssl.create_default_context(), 1.0)
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


def verdicts_of(peer: Pop3Peer) -> dict[str, Verdict]:
    with listening(peer) as server:
        return {verdict.name: verdict for verdict in Suite(server, None)}


@pytest.mark.parametrize(
    ("said", "answer", "row"),
    [
        ("LIST 4294967297", b"+OK 1 30\r\n", "number-overflow"),
        ("LIST +1", b"+OK 1 30\r\n", "list-signs"),
        ("STAT", b"+OK 3 999\r\n", "stat"),
        ("NOOP x", b"+OK\r\n", "noop-argument"),
        ("LIST 2", b"+OK 2 1\r\n", "list-one"),
        ("UIDL 2", b"+OK 2 other\r\n", "uidl-one"),
    ],
)
def test_a_fault_fails_its_row(said: str, answer: bytes, row: str) -> None:
    verdict = verdicts_of(Pop3Peer(dict(LETTERS), says={"STAT": b"+OK 3 60\r\n", said: answer}))[row]
    assert verdict.outcome == "fail"
    assert answer.strip().decode() in verdict.heard


def test_a_login_that_proves_nothing_fails_its_row() -> None:
    """Whatever is said to AUTH and APOP, this server calls it good."""
    says = {"STAT": b"+OK 3 60\r\n", "AUTH": b"+OK\r\n", "APOP": b"+OK\r\n"}
    peer = Pop3Peer(dict(LETTERS), ("UIDL", "SASL SCRAM-SHA-256"), b"+OK <1.1@peer.example>\r\n", says)
    verdicts = verdicts_of(peer)
    assert {verdicts[name].outcome for name in ("scram", "scram-wrong", "apop")} == {"fail"}
    assert "signature" in verdicts["scram"].expected


def test_without_a_way_to_place_letters_none_is_removed() -> None:
    letters = dict(LETTERS)
    verdicts = verdicts_of(Pop3Peer(letters, says={"STAT": b"+OK 3 60\r\n"}))
    assert letters == LETTERS
    assert verdicts["quit-removes"].outcome == "not applicable"


def test_what_is_not_announced_is_not_asked() -> None:
    peer = Pop3Peer(dict(LETTERS), says={"STAT": b"+OK 3 60\r\n"})
    assert verdicts_of(peer)["auth-plain"].heard == "SASL PLAIN is not announced"
    assert not any(line.startswith("AUTH") for line in peer.heard)


def test_a_server_that_says_nothing_is_told_so() -> None:
    with (
        listening(Pop3Peer({}, greeting=b"+OK")) as server,
        pytest.raises(Failed, match=r"nothing for 1 s but b'\+OK'"),
    ):
        survey(server)


def test_letters_of_a_person_are_not_touched() -> None:
    peer = Pop3Peer(dict(LETTERS), says={"STAT": b"+OK 3 60\r\n"})
    with listening(peer) as server, pytest.raises(UsageError, match="want an empty one"):
        Suite(server, MboxPost(Path("/nowhere")))


# --- where letters are placed


def test_a_maildir_takes_every_letter(tmp_path: Path) -> None:
    for name in ("cur", "new", "tmp"):
        (tmp_path / name).mkdir()
    post = MaildirPost(tmp_path)
    letters = list(nasty_letters())
    for letter in letters:
        post.place(letter.octets, as_stored=letter.as_stored)
    stored = [path.read_bytes() for path in sorted((tmp_path / "new").iterdir())]
    assert len(stored) == len(letters)
    assert b"\r\n" in stored[[letter.as_stored for letter in letters].index(True)]
    assert b"body\r\n" not in stored[0]


def test_an_mbox_keeps_letters_apart(tmp_path: Path) -> None:
    post = MboxPost(tmp_path / "mrose")
    for letter in LETTERS.values():
        post.place(letter)
    assert (tmp_path / "mrose").read_bytes().count(b"From mrose@example.org ") == 3
    with pytest.raises(NotApplicable):
        post.place(b"", as_stored=True)
