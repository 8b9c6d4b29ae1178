"""Letters are handed to programs that everybody has, and read there by others: each is there once, octet for octet."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bench.contender import PASSWORD, Mail
from bench.peers.dovecot import Dovecot
from bench.peers.postfix import Postfix
from tests.handing.conftest import Spool
from tests.handing.test_maildir import letters_in as letters_in_maildir
from tests.handing.test_mbox import letters_in as letters_in_mbox

from postoffice.testing.process import wait_until
from postoffice.testing.programs import LARGE, SMALL, TRAPS, Program, unlike
from postoffice.testing.raw import Pop3Raw

pytestmark = pytest.mark.peer

LETTERS = (
    b"Return-Path: <x@a.example>\r\n" + TRAPS,
    TRAPS.replace(b"<traps@", b"<large@") + LARGE,
    TRAPS.replace(b"<traps@", b"<small@") + SMALL,
)
"""Letters with all fields that Postfix would add."""
[USER] = Mail(1, []).addresses()


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


@pytest.fixture
async def spool(tmp_path: Path) -> Spool:
    (tmp_path / "spool").mkdir()
    spool = Spool(tmp_path / "spool" / "bob.mailbox")
    await spool.put(*LETTERS)
    return spool


@contextmanager
def running(peer: Postfix | Dovecot) -> Iterator[tuple[dict[str, int], Path]]:
    absence = peer.absence()
    if absence:
        pytest.skip(absence)
    with tempfile.TemporaryDirectory(prefix="peer-") as name:
        home = Path(name)
        home.chmod(0o755)
        peer.prepare(home, Mail(1, []))
        try:
            peer.start(None)
            yield peer.ports(), home
        finally:
            peer.stop()


def pulled(port: int) -> list[bytes]:
    with Pop3Raw(port) as client:
        assert client.log_in(USER, PASSWORD).startswith(b"+OK")
        letters = [client.retrieve(number) for number in client.unique_ids()]
        client.ask("QUIT")
    return letters


# --- who takes letters


@needs("procmail")
async def test_procmail(spool: Spool, tmp_path: Path) -> None:
    handed = await spool.hand_over(f"command:procmail DEFAULT={tmp_path}/M/ LOGFILE={tmp_path}/log /dev/null")
    assert (handed.letters, await spool.left()) == (3, 0)
    assert letters_in_maildir(tmp_path / "M") == sorted(LETTERS)


@needs("procmail")
async def test_procmail_and_we_write_to_one_mbox_at_once(spool: Spool, tmp_path: Path) -> None:
    """Both take both locks, in different orders."""
    mbox = tmp_path / "mbox"
    words = ("procmail", "-f-", "LOCKSLEEP=1", f"DEFAULT={mbox}", f"LOGFILE={tmp_path}/log", "/dev/null")
    theirs = [b"From: p@a.example\nSubject: %d\n\n" % number + (b"x" * 70 + b"\n") * 400 for number in range(12)]
    processes = [await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.PIPE) for _ in theirs]
    given = asyncio.gather(*(one.communicate(letter) for one, letter in zip(processes, theirs, strict=True)))
    for _ in range(4):
        await spool.hand_over(f"mbox:{mbox}")
        await spool.put(*LETTERS)
    await spool.hand_over(f"mbox:{mbox}")
    await given
    assert [process.returncode for process in processes] == [0] * len(theirs)
    ours = [letter for letter in LETTERS for _ in range(5)]
    assert letters_in_mbox(mbox) == sorted([*ours, *(letter.replace(b"\n", b"\r\n") for letter in theirs)])


@needs("maildrop")
async def test_maildrop(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "rc").write_text(f'to "{tmp_path}/mbox"\n')
    (tmp_path / "rc").chmod(0o600)
    assert (await spool.hand_over(f"command:maildrop {tmp_path}/rc")).letters == 3
    assert letters_in_mbox(tmp_path / "mbox") == sorted(LETTERS)


async def test_dovecot_by_its_program_and_by_lmtp(spool: Spool) -> None:
    with running(Dovecot("default")) as (ports, home):
        program = "/usr/lib/dovecot/dovecot-lda"
        assert (await spool.hand_over(f"command:{program} -e -c {home}/dovecot.conf -d {USER}")).letters == 3
        await spool.put(*LETTERS)
        assert (await spool.hand_over(f"lmtp://127.0.0.1:{ports['lmtp']}/{USER}")).letters == 3
        await spool.put(*LETTERS)
        assert (await spool.hand_over(f"lmtp://{home}/run/lmtp/{USER}")).letters == 3
        assert unlike(pulled(ports["pop3"]), [bare(letter) for letter in LETTERS * 3]) == []
        await spool.put(LETTERS[0])
        handed = await spool.hand_over(f"lmtp://127.0.0.1:{ports['lmtp']}/nobody@b.example")
        assert (handed.declined, handed.status) == (1, os.EX_UNAVAILABLE)


async def test_postfix(spool: Spool) -> None:
    with running(Postfix("virtual")) as (ports, home):
        assert (await spool.hand_over(f"smtp://127.0.0.1:{ports['smtp']}/{USER}")).letters == 3
        new = home / "mail" / USER.partition("@")[0] / "Maildir" / "new"
        wait_until(lambda: new.is_dir() and len(list(new.iterdir())) == 3, "Postfix has delivered all")
        assert unlike([file.read_bytes() for file in new.iterdir()], [bare(letter) for letter in LETTERS]) == []


def bare(letter: bytes) -> bytes:
    """What stays of a letter where the Return-Path is written anew (RFC 5321 §4.4)."""
    return letter.removeprefix(b"Return-Path: <x@a.example>\r\n")


# --- who reads them


@needs("neomutt")
@needs("script")
@pytest.mark.parametrize("kind", ["maildir", "mbox"])
async def test_neomutt_reads_them(spool: Spool, program: Program, kind: str) -> None:
    place = program.home / "place"
    await spool.hand_over(f"{kind}:{place}")
    (program.home / "rc").write_text("set quit=yes pipe_split=yes wait_key=no mark_old=no folder=. pipe_sep=''\n")
    (program.home / "out").mkdir()
    keys = "<tag-pattern>~A<enter><tag-prefix><pipe-message>cat > out/$$<enter><quit>"
    command = f"neomutt -n -F rc -f {place} -e 'push \"{keys}\"'"
    program.run("env", "TERM=xterm", "script", "-qec", command, "/dev/null")
    read = [file.read_bytes() for file in (program.home / "out").iterdir()]
    if kind == "mbox":  # it shows the mark that an mbox puts before such a line
        read = [letter.replace(b"\n>From ", b"\nFrom ") for letter in read]
    assert unlike(read, LETTERS) == []


@needs("mail")
async def test_mail_counts_them_in_an_mbox(spool: Spool, program: Program) -> None:
    mbox = program.home / "mbox"
    await spool.hand_over(f"mbox:{mbox}")
    listed = program.run("mail", "-N", "-f", mbox, given=b"from *\nx\n").stdout
    assert len(re.findall(rb"(?m)^[ >][A-Z ] +\d+ x@elsewhere", listed)) == len(LETTERS), listed


@needs("mail")
async def test_a_letter_that_was_read_meanwhile_is_known_again(spool: Spool, program: Program) -> None:
    """A mail program opened the mbox between the end of a run that died and the next one, and took one letter out."""
    mbox = program.home / "mbox"
    whole = spool.file.read_bytes()
    await spool.hand_over(f"mbox:{mbox}")
    journal = spool.file.with_suffix(".journal").read_bytes()
    program.run("mail", "-N", "-f", mbox, given=b"delete 2\ntype 3\nquit\n")
    assert b"Status: RO" in mbox.read_bytes()
    spool.file.write_bytes(whole)
    spool.file.with_suffix(".journal").write_bytes(journal)
    handed = await spool.hand_over(f"mbox:{mbox}")
    assert (handed.recognised, handed.letters) == (2, 1)  # nobody knows that the one was there
    assert letters_in_mbox(mbox) == sorted(LETTERS)
