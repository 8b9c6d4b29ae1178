"""Without a key nothing of a locked mailbox can be read: not in the file, its log, what lies about while a command
works or after it was killed, nor in files that have no name any more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from postoffice.home.locking import holding
from postoffice.message.content import HEAD_OCTETS
from postoffice.store.model import CHUNK_OCTETS
from postoffice.testing.peer import PASSWORD, Leaves, Leaving, Pop3Peer, Session, wire

PROGRAM = [sys.executable, "-W", "error", "-c", "from postoffice.cli.main import main; main()"]
PASSPHRASE = "correct horse battery"
BODY, SENDER, SUBJECT, NAME, WHO = (f"{word}qzmarker" for word in ("body", "sender", "subject", "uid", "user"))
MARKS = [mark.encode() for mark in (BODY, SENDER, SUBJECT, NAME, WHO)]
SERVER = b"127.0.0.1"


def letter(number: int, octets: int) -> bytes:
    head = f"From: {SENDER} <{SENDER}@a.example>\r\nSubject: {SUBJECT} {number}\r\n\r\n"
    line = f"{BODY} {number} and some more words on a line\r\n"
    return (head + line * (octets // len(line) + 1)).encode()


SMALL = {f"{NAME}-{number}": letter(number, 2000) for number in range(40)}
LARGE = letter(99, 24 * CHUNK_OCTETS)
assert len(LARGE) > HEAD_OCTETS


class Stops(Session):
    """It says most of a large letter and then nothing any more."""

    def retrieved(self, index: int) -> bytes:
        name, octets = self.maildrop[index]
        if name != "large":
            return b"+OK\r\n" + wire(octets) + b".\r\n"
        self.peer.reached.set()
        raise Leaves(b"+OK\r\n" + wire(octets)[: 20 * CHUNK_OCTETS], Leaving.SILENT)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where all that is written lies: the mailbox, and what is temporary."""
    for name in ("run", "mail", "temporary", "config"):
        (tmp_path / name).mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "temporary"))
    for name in ("TMPDIR", "SQLITE_TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path / "temporary"))
    for name, secret in (("passphrase", PASSPHRASE), ("password", PASSWORD)):
        (tmp_path / "config" / name).write_text(f"{secret}\n")
        (tmp_path / "config" / name).chmod(0o600)
    yield tmp_path
    holding.forget()


def started(folder: Path, *words: object) -> subprocess.Popen[bytes]:
    said = ("--passphrase-file", folder / "config/passphrase")
    return subprocess.Popen(
        [*PROGRAM, *map(str, (*words, *said))], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder / "mail"
    )


def told(process: subprocess.Popen[bytes]) -> str:
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    return out.decode()


def fetch(folder: Path, port: int, file: Path) -> subprocess.Popen[bytes]:
    url = f"pop://{WHO}@127.0.0.1:{port}"
    return started(folder, "fetch", url, "--into", file, "--password-file", folder / "config/password")


def readable(folder: Path, process: int | None = None) -> list[tuple[str, bytes]]:
    """Where a mark stands: in files below the folder, and in what a process has open, whether or not it has a name."""
    places = [path for name in ("mail", "temporary", "run") for path in (folder / name).rglob("*") if path.is_file()]
    if process is not None:
        places += [path for path in Path(f"/proc/{process}/fd").iterdir() if is_on_disk(path)]
    found = []
    for path in places:
        try:
            octets = path.read_bytes()
        except FileNotFoundError:
            continue
        found += [(str(path), mark) for mark in (*MARKS, SERVER) if mark in octets]
    return found


def is_on_disk(descriptor: Path) -> bool:
    try:
        return descriptor.is_file() and not str(descriptor.readlink()).startswith("/memfd:")
    except OSError:
        return False


def looked_at(process: subprocess.Popen[bytes], folder: Path) -> tuple[list[tuple[str, bytes]], int]:
    """It is stopped again and again until its end; what could be read then, and how many files it had open below."""
    found: list[tuple[str, bytes]] = []
    opened = 0
    while process.poll() is None:
        process.send_signal(signal.SIGSTOP)
        while process.poll() is None and state(process.pid) not in "TtZ":
            pass
        if process.poll() is None:
            found += readable(folder, process.pid)
            opened += sum(str(folder) in target for target in targets(process.pid))
        process.send_signal(signal.SIGCONT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)  # it goes on a little, or ends
    return found, opened


def state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def targets(process: int) -> Iterator[str]:
    try:
        for path in Path(f"/proc/{process}/fd").iterdir():
            yield str(path.readlink())
    except OSError:
        return


@pytest.fixture
def locked(folder: Path) -> Path:
    file = folder / "mail" / "home.mailbox"
    assert "encrypted" in told(started(folder, "lock", "--create", file))
    return file


def test_the_marks_are_found_where_a_file_is_plain(folder: Path) -> None:
    """So the tests below can fail."""
    file = folder / "mail" / "home.mailbox"
    with Pop3Peer(dict(SMALL)).serving() as port:
        told(fetch(folder, port, file))
    assert {mark for _, mark in readable(folder)} == {*MARKS, SERVER}


def test_nothing_in_the_middle_of_a_pull_nor_after_its_death(folder: Path, locked: Path) -> None:
    peer = Pop3Peer({**SMALL, "large": LARGE}, session=Stops)
    with peer.serving() as port:
        process = fetch(folder, port, locked)
        assert peer.reached.wait(60)
        wal = locked.with_name(f"{locked.name}-wal")
        while sum(path.stat().st_size for path in (locked, wal) if path.exists()) < 12 * CHUNK_OCTETS:
            assert process.poll() is None  # until chunks of the large letter are written
        assert any(str(locked) in target for target in targets(process.pid))
        while_it_runs = readable(folder, process.pid)
        process.kill()
        process.wait()
        after_its_death = readable(folder)
    assert process.stdout is not None
    process.stdout.close()
    assert while_it_runs == []
    assert after_its_death == []
    peer.session = None
    peer.letters["large"] = LARGE
    with peer.serving() as port:
        told(fetch(folder, port, locked))
    assert SUBJECT in told(started(folder, "ls", locked))
    assert readable(folder) == []


COMMANDS: Sequence[Sequence[str]] = (
    ("search", "{file}", BODY),
    ("search", "{file}", "--rebuild"),
    ("ls", "{file}"),
    ("read", "{file}", "41"),
    ("check", "{file}"),
    ("pack", "{file}", "--into", "{new}"),
    ("repair", "{file}", "--into", "{new}"),
    ("merge", "{other}", "{file}"),
    ("merge", "{other}", "{pack}"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_nothing_while_a_command_works_nor_after_it(command: Sequence[str], folder: Path, locked: Path) -> None:
    with Pop3Peer({**SMALL, "large": LARGE}).serving() as port:
        told(fetch(folder, port, locked))
    mail = folder / "mail"
    places = {"file": locked, "new": mail / "new", "other": mail / "other.mailbox", "pack": mail / "one.po"}
    if "{pack}" in command:
        told(started(folder, "pack", locked, "--into", places["pack"]))
    if "{other}" in command:
        told(started(folder, "lock", "--create", places["other"]))
    process = started(folder, *(word.format(**places) for word in command))
    found, opened = looked_at(process, folder)
    assert process.stdout is not None
    out = process.stdout.read()
    process.stdout.close()
    assert process.returncode == 0, out
    assert found == []
    assert readable(folder) == []
    assert opened or command[0] in ("ls", "read"), "nothing was looked at"


def test_nothing_of_a_plain_file_once_it_is_locked(folder: Path) -> None:
    file = folder / "mail" / "home.mailbox"
    with Pop3Peer(dict(SMALL)).serving() as port:
        told(fetch(folder, port, file))
    told(started(folder, "search", file, BODY))
    assert readable(folder)
    told(started(folder, "lock", file))
    assert readable(folder) == []
    assert {path.name for path in (folder / "mail").iterdir()} == {"home.mailbox", "home.mailbox.keys"}


def test_no_secret_is_seen_from_outside(folder: Path, locked: Path) -> None:
    """Neither in arguments nor in the environment of a command and of the process that holds the key, nor in what is
    told."""
    command = started(folder, "unlock", locked)
    seen: dict[int, bytes] = {}
    while command.poll() is None:
        seen |= {process: octets for process in ours(folder) if (octets := shown(process))}
    out = told(command)
    loan = holding.held(locked.read_bytes()[:16])
    assert loan is not None
    keepers = [process for process in ours(folder) if b"postoffice.home.locking.agent" in shown(process)]
    assert len(keepers) == 1
    assert command.pid in seen
    for octets in (*seen.values(), shown(keepers[0])):
        assert loan.key.secret.hex().encode() not in octets
        assert PASSPHRASE.encode() not in octets
    assert loan.key.secret.hex() not in out
    assert all(loan.key.secret not in path.read_bytes() for path in (folder / "mail").iterdir())


def ours(folder: Path) -> Iterator[int]:
    """Processes that have the place of this test in their arguments, as all that it starts have."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and os.fsencode(folder) in shown(int(process.name)):
            yield int(process.name)


def shown(process: int) -> bytes:
    """Arguments and environment of a process as root sees them, nothing of one that is gone."""
    found = b""
    for name in ("cmdline", "environ"):
        with suppress(OSError):
            found += Path(f"/proc/{process}/{name}").read_bytes()
    return found
