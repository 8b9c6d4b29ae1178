"""`fetch`, `ls` and `read`: mail is pulled into a file, and read from it with no server anywhere."""

from __future__ import annotations

import asyncio
import re
import signal
import ssl
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from postoffice.net.tls import pin_of
from postoffice.protocols.dots import stuff
from postoffice.store.embedded import MailboxFile
from postoffice.store.memory import MemoryStore
from postoffice.store.model import Letter
from postoffice.testing.command import COMMAND
from postoffice.testing.office import TestOffice, run_office
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer

BOB = "bob@b.example"

VIETNAMESE = (
    "From: =?utf-8?q?B=C3=A1o_c=C3=A1o?= <alice@a.example>\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\n"
    "Subject: =?utf-8?b?Q8O0bmcgbuG7kw==?=\r\nMIME-Version: 1.0\r\n"
    "Content-Type: multipart/mixed; boundary=x\r\n\r\n"
    "--x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nXin chào Bob.\r\n.\r\n"
    "--x\r\nContent-Type: image/png\r\nContent-Disposition: attachment; filename=a.png\r\n"
    "Content-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n--x--\r\n"
).encode()
HOSTILE = b"From: \x1b]0;owned\x07 <x@x>\r\nSubject: a\x1b[2Jb\xe2\x80\xaec\r\n\r\n\x1b[31mred\x9b31m\r\n\xff\r\n"
NESTED = b"Subject: deep\r\n" + b"".join(
    b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (depth, depth) for depth in range(2000)
)
LETTERS = (VIETNAMESE, HOSTILE, NESTED, b"")


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a command."""

    status: int | None
    out: bytes
    errors: str

    @property
    def text(self) -> str:
        return self.out.decode()


async def run(*words: str | Path, stdin: bytes = b"secret\n") -> Run:
    """The program itself, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *map(str, words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate(stdin)
    return Run(process.returncode, out, errors.decode())


async def fill(mailbox: MailboxFile, letters: Sequence[bytes]) -> None:
    for letter in letters:
        stage = await mailbox.stage()
        await stage.write(stuff(letter))
        await mailbox.append([Letter(await stage.finish(), 1_000_000_000.0)])
    await mailbox.close()


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    path = tmp_path / "home.mailbox"
    await fill(MailboxFile.open(path, create=True), LETTERS)
    return path


async def deliver(office: TestOffice, letters: Sequence[bytes]) -> None:
    mailbox = await office.store.office.mailbox((await office.account(BOB)).account_id)
    for letter in letters:
        stage = await mailbox.stage()
        await stage.write(stuff(letter))
        await mailbox.append([Letter(await stage.finish(), 0.0)])


async def test_mail_is_fetched_over_tls_and_read_when_the_office_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "bob.mailbox"
    async with run_office(MemoryStore(), "b.example", people={BOB: "secret"}) as office:
        await deliver(office, LETTERS)
        url = f"pops://{BOB}@127.0.0.1:{office.port('pop3s')}"
        words = ("fetch", url, "--into", path, "--ca", office.certificate, "--password-stdin")
        first = await run(*words, "-v")
        again = await run(*words)
        gone = await run(*words, "--delete")
        assert await office.letters(BOB) == []
    octets = sum(map(len, LETTERS))
    assert (first.status, first.errors) == (0, "")
    *lines, summary = first.text.splitlines()
    assert len(lines) == len(LETTERS)
    assert summary == f"{len(LETTERS)} letters, {octets} octets, already had 0"
    assert (again.status, again.text) == (0, f"0 letters, 0 octets, already had {len(LETTERS)}\n")
    assert (gone.status, gone.errors) == (0, "")
    assert (again.errors, gone.errors) == ("", "")
    assert gone.text == f"0 letters, 0 octets, already had {len(LETTERS)}; {len(LETTERS)} deleted from the server\n"
    assert path.stat().st_mode & 0o777 == 0o600
    for number, letter in enumerate(LETTERS, 1):
        raw = await run("read", path, str(number), "--raw")
        assert (raw.status, raw.out) == (0, letter)


async def test_ls_shows_one_safe_line_for_each_letter(file: Path) -> None:
    listed = await run("ls", file)
    assert (listed.status, listed.errors) == (0, "")
    first, hostile, _, empty = listed.text.splitlines()
    assert re.match(r" +1  2026-11-2[123] \d\d:\d\d  Báo cáo <alice@a.exampl…  Công nồ", first)
    assert first.endswith(f" {len(VIETNAMESE)}")
    assert "owned" in hostile
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", listed.text)
    assert "(nobody)" in empty
    assert "2001-09-" in empty


async def test_read_shows_header_text_and_attachments(file: Path) -> None:
    shown = await run("read", file, "1")
    assert (shown.status, shown.errors) == (0, "")
    header, _, body = shown.text.partition("\n\n")
    assert header.splitlines() == [
        "From: Báo cáo <alice@a.example>",
        "Date: Sun, 22 Nov 2026 10:00:00 +0000",
        "Subject: Công nồ",
    ]
    assert body == "Xin chào Bob.\n.\n\nAttached:\n  1  a.png, image/png, 8 octets\n"


@pytest.mark.parametrize("number", [2, 3, 4])
async def test_no_letter_is_too_hostile_to_be_read(file: Path, number: int) -> None:
    shown = await run("read", file, str(number))
    assert (shown.status, shown.errors) == (0, "")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", shown.text)


async def test_a_large_letter_comes_out_of_its_file_exactly(tmp_path: Path) -> None:
    path = tmp_path / "large.mailbox"
    large = b"Subject: large\r\n\r\n" + b"".join(b".%d\r\n" % number for number in range(150_000))
    await fill(MailboxFile.open(path, create=True), [large])
    assert (await run("read", path, "1", "--raw")).out == large
    shown = await run("read", path, "1")
    assert shown.text.startswith("Subject: large\n\n.0\n.1\n")
    assert shown.text.endswith(".149999\n")


@pytest.mark.parametrize("scheme", ["pops", "pop"])
async def test_a_certificate_nobody_vouches_for_is_told_with_what_to_do(tmp_path: Path, scheme: str) -> None:
    async with run_office(MemoryStore(), "b.example", people={BOB: "secret"}) as office:
        url = f"{scheme}://{BOB}@127.0.0.1:{office.port('pop3s' if scheme == 'pops' else 'pop3')}"
        fetched = await run("fetch", url, "--into", tmp_path / "m", "--password-stdin")
    assert fetched.status == 69
    assert "its certificate is not trusted: " in fetched.errors
    assert fetched.errors.endswith("; if you know better, name who vouches for it with --ca\n")


@pytest.mark.parametrize("scheme", ["pops", "pop"])
async def test_a_pinned_key_opens_and_another_one_is_given_no_password(tmp_path: Path, scheme: str) -> None:
    async with run_office(MemoryStore(), "b.example", people={BOB: "secret"}) as office:
        await deliver(office, [VIETNAMESE])
        url = f"{scheme}://{BOB}@127.0.0.1:{office.port('pop3s' if scheme == 'pops' else 'pop3')}"
        pin = pin_of(ssl.PEM_cert_to_DER_cert(office.certificate.read_text()))
        words = ("fetch", url, "--into", tmp_path / "m", "--password-stdin", "--trace", "--pin")
        right = await run(*words, pin)
        wrong = await run(*words, f"sha256:{'A' * 43}=")
    assert (right.status, right.text) == (0, f"1 letter, {len(VIETNAMESE)} octets, already had 0\n")
    assert wrong.status == 69
    assert wrong.errors.endswith(
        f"its certificate is not trusted: its key is {pin}, and sha256:{'A' * 43}= is expected\n"
    )
    assert "C: AUTH" not in wrong.errors
    assert "C: USER" not in wrong.errors


async def test_a_door_without_tls_and_one_that_is_closed_are_told_in_plain_words(tmp_path: Path) -> None:
    words = ("--into", tmp_path / "m", "--password-stdin")
    async with Pop3Peer({}).listening() as port:
        plain = await run("fetch", f"pops://{USER}@127.0.0.1:{port}", *words)
    closed = await run("fetch", f"pops://{USER}@127.0.0.1:{port}", *words)
    assert plain.errors == f"postoffice: cannot reach 127.0.0.1 port {port}: what answers there does not speak TLS\n"
    assert closed.errors == f"postoffice: cannot reach 127.0.0.1 port {port}: Connection refused\n"
    assert plain.status == closed.status == 69


async def test_a_trace_holds_the_conversation_and_no_secret(tmp_path: Path) -> None:
    async with Pop3Peer({"id-1": VIETNAMESE}).listening() as port:
        fetched = await run(
            "fetch", f"pop://{USER}@127.0.0.1:{port}", "--into", tmp_path / "m", "--password-stdin", "--trace"
        )
    assert fetched.status == 0
    assert "C: UIDL\n" in fetched.errors
    assert "S: 1 id-1\n" in fetched.errors
    assert PASSWORD not in fetched.errors
    assert "Xin" not in fetched.errors


async def test_a_wrong_password_exits_77_in_one_sentence(tmp_path: Path) -> None:
    async with Pop3Peer({}).listening() as port:
        words = ("fetch", f"pop://{USER}@127.0.0.1:{port}", "--into", tmp_path / "m", "--password-stdin")
        refused = await run(*words, stdin=b"guess\n")
    assert (refused.status, refused.text) == (77, "")
    assert refused.errors == "postoffice: 127.0.0.1 refused the login of bob: [AUTH] no\n"


@pytest.mark.parametrize(
    ("reply", "status"),
    [("-ERR [IN-USE] busy", 75), ("-ERR [SYS/PERM] never", 69), ("what?", 76)],
)
async def test_what_a_server_says_becomes_a_status(tmp_path: Path, reply: str, status: int) -> None:
    async with Pop3Peer({}, says={"PASS": f"{reply}\r\n".encode()}).listening() as port:
        words = ("fetch", f"pop://{USER}@127.0.0.1:{port}", "--into", tmp_path / "m", "--password-stdin")
        fetched = await run(*words)
    assert fetched.status == status
    assert fetched.errors.count("\n") == 1


async def test_a_server_that_is_not_there_exits_69(tmp_path: Path) -> None:
    async with Pop3Peer({}).listening() as port:
        pass
    fetched = await run("fetch", f"pop://bob@127.0.0.1:{port}", "--into", tmp_path / "m", "--password-stdin")
    assert fetched.status == 69
    assert fetched.errors.startswith(f"postoffice: cannot reach 127.0.0.1 port {port}")


async def test_letters_that_were_not_given_exit_75(tmp_path: Path) -> None:
    peer = Pop3Peer({"a": VIETNAMESE, "b": HOSTILE}, says={"RETR 1": b"-ERR not now\r\n"})
    async with peer.listening() as port:
        fetched = await run("fetch", f"pop://{USER}@127.0.0.1:{port}", "--into", tmp_path / "m", "--password-stdin")
    assert fetched.status == 75
    assert fetched.text == f"1 letter, {len(HOSTILE)} octets, already had 0\n"


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("ls", "none"), 66, "none: there is no such file"),
        (("ls", "."), 66, "is a folder"),
        (("ls", "text"), 65, "postoffice: text is "),
        (("ls", "empty"), 65, "it is empty"),
        (("ls", "damaged"), 65, "damaged"),
        (("read", "none", "1"), 66, "there is no such file"),
        (("read", "home.mailbox", "9"), 66, "there is no letter 9; there are 4"),
        (("read", "home.mailbox", "0"), 64, "NUMBER"),
        (("fetch", "pop://b@127.0.0.1:1", "--into", "no/where", "--password-stdin"), 73, "there is no folder"),
        (("fetch", "pop://b@127.0.0.1:1", "--into", "text", "--password-stdin"), 65, "postoffice: text is "),
        (("fetch", "pop://b:pw@b.example", "--into", "m", "--password-stdin"), 64, "no place in a POP URL"),
        (("fetch", "http://b@b.example", "--into", "m", "--password-stdin"), 64, "begins with pop://"),
        (("fetch", "pop://b@b.example", "--into", "m"), 64, "use --password-stdin"),
        (("fetch", "pop://b@b.example", "--into", "m", "--ca", "none", "--password-stdin"), 78, "none"),
    ],
)
async def test_what_cannot_be_is_told_in_one_sentence(
    file: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], status: int, sentence: str
) -> None:
    monkeypatch.chdir(file.parent)
    Path("text").write_text("this is no mailbox")
    Path("empty").touch()
    octets = bytearray(file.read_bytes())
    octets[200:16000] = b"\xaa" * 15800
    Path("damaged").write_bytes(octets)
    failed = await run(*words)
    assert (failed.status, failed.text) == (status, "")
    assert sentence in failed.errors
    assert "Traceback" not in failed.errors


async def test_a_fetch_that_is_killed_leaves_nothing_doubled_and_nothing_lost(tmp_path: Path) -> None:
    path = tmp_path / "killed.mailbox"
    letters = {f"id-{number}": b"Subject: %d\r\n\r\n" % number + b".x\r\n" * 400 for number in range(600)}
    large = b"Subject: large\r\n\r\n" + b"x" * 70_000 * 40 + b"\r\n"
    letters |= {"large": large, "last": b"last\r\n"}
    expected = list(letters.values())
    peer = Pop3Peer(letters)
    async with peer.listening() as port:
        words = ("fetch", f"pop://{USER}@127.0.0.1:{port}", "--into", path, "--delete", "--password-stdin", "-v")
        killed = [await kill_after(lines, *words) for lines in (0, 1, 100, 255, 256, 257, 300, 80, 1)]
        last = await run(*words)
    assert any(killed)
    assert last.status == 0
    assert peer.letters == {}
    mailbox = MailboxFile.open(path)
    assert sorted((await mailbox.snapshot()).octets) == sorted(map(len, expected))
    assert await mailbox.check() == []
    await mailbox.close()


async def kill_after(lines: int, *words: str | Path) -> bool:
    """Kill the program when it has said so many lines; False if it had ended before."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *map(str, words), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"secret\n")
    for _ in range(lines):
        if not await process.stdout.readline():
            break
    if process.returncode is None:
        process.kill()
    await process.communicate()
    return process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("pops://b@localhost:1", "--client-certificate", "nothing.pem"), 78, "nothing.pem: cannot be read"),
        (("pops://b@localhost:1", "--client-key", "key.pem"), 64, "a login by certificate needs --client-certificate"),
        (("pops://b;AUTH=EXTERNAL@localhost:1",), 64, "a login by certificate needs --client-certificate"),
        (("pops://localhost:1", "--password-stdin"), 64, "whose maildrop at localhost?"),
    ],
)
def test_what_a_login_lacks_is_said(tmp_path: Path, words: tuple[str, ...], status: int, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "postoffice", "fetch", *words, "--into", "home.db"],
        cwd=tmp_path,
        input=b"secret\n",
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, said in done.stderr.decode()) == (status, True), done.stderr
    assert not (tmp_path / "home.db").exists()
