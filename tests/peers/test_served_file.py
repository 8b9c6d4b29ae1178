"""Mail programs of the system pull from a mailbox file at home: what they get is what is in it, and it stays there."""

from __future__ import annotations

import asyncio
import poplib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from postoffice.testing.files import letters_of, put_into
from postoffice.testing.programs import LETTERS, Program, as_sent, unlike
from postoffice.testing.served import ServedFiles

pytestmark = pytest.mark.peer


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed here")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedFiles]:
    """It ends with all letters in the file, whatever a program deleted."""
    file = tmp_path / "mail.mailbox"
    asyncio.run(put_into(file, *LETTERS))
    with ServedFiles(file) as served:
        yield served
    assert asyncio.run(letters_of(file)) == list(LETTERS)


@pytest.fixture
def maildir(program: Program) -> Path:
    for name in ("new", "cur", "tmp"):
        (program.home / "mail" / name).mkdir(parents=True)
    return program.home / "mail"


def _twice(served: ServedFiles, program: Program, maildir: Path, *words: str | Path) -> None:
    """The first run brings everything, the second nothing, and is shown nothing: the program deleted what it had."""
    for _ in range(2):
        program.run(*words, fine=(0, 1))
        assert unlike([path.read_bytes() for path in (maildir / "new").iterdir()], LETTERS) == []
    client = poplib.POP3("127.0.0.1", served.ports["pop3"], timeout=20)
    client.user("mail")
    client.pass_(served.users["mail"])
    assert client.stat() == (0, 0)
    client.quit()


@needs("curl")
def test_curl(served: ServedFiles, program: Program) -> None:
    call = ("curl", "-sS", "--user", f"mail:{served.users['mail']}")
    url = f"pop3://127.0.0.1:{served.ports['pop3']}/"
    assert [program.run(*call, f"{url}{number}").stdout for number in (1, 2, 3)] == list(LETTERS)


def test_python(served: ServedFiles) -> None:
    client = poplib.POP3("127.0.0.1", served.ports["pop3"], timeout=20)
    client.user("mail")
    client.pass_(served.users["mail"])
    assert [b"\r\n".join((*client.retr(number)[1], b"")) for number in (1, 2, 3)] == list(LETTERS)
    client.quit()


@needs("mpop")
def test_mpop(served: ServedFiles, program: Program, maildir: Path) -> None:
    config = program.home / "mpoprc"
    config.write_text(
        f"account home\nhost 127.0.0.1\nport {served.ports['pop3']}\ntls off\nuser mail\nreceived_header off\n"
        f"passwordeval echo {served.users['mail']}\nkeep off\ndelivery maildir {maildir}\n"
        f"uidls_file {program.home}/uidls\n"
    )
    config.chmod(0o600)
    _twice(served, program, maildir, "mpop", "-C", config, "-Q", "home")


@needs("getmail")
def test_getmail(served: ServedFiles, program: Program, maildir: Path) -> None:
    deliver = program.home / "deliver"
    deliver.write_text(f'#!/bin/sh\nexec cat > "{maildir}/new/$$"\n')
    deliver.chmod(0o700)
    (program.home / "getmailrc").write_text(
        f"[retriever]\ntype = SimplePOP3Retriever\nserver = 127.0.0.1\nport = {served.ports['pop3']}\n"
        f"username = mail\npassword = {served.users['mail']}\n"
        f"[destination]\ntype = MDA_external\npath = {deliver}\nallow_root_commands = true\nunixfrom = false\n"
        f"[options]\nread_all = false\ndelete = true\ndelivered_to = false\nreceived = false\n"
    )
    _twice(served, program, maildir, "getmail", "--getmaildir", program.home)


@needs("fetchmail")
def test_fetchmail(served: ServedFiles, program: Program, maildir: Path) -> None:
    deliver = program.home / "deliver"
    deliver.write_text(f'#!/bin/sh\nexec cat > "{maildir}/new/$$"\n')
    deliver.chmod(0o700)
    config = program.home / "fetchmailrc"
    config.write_text(
        f"set invisible\npoll 127.0.0.1 service {served.ports['pop3']} protocol pop3 no dns\n"
        f"user 'mail' password '{served.users['mail']}' sslproto ''\n"
        f"nokeep no rewrite no mimedecode mda '{deliver}'\n"
    )
    config.chmod(0o700)
    words = ("fetchmail", "-f", config, "-i", program.home / "ids", "--pidfile", program.home / "pid", "--nosyslog")
    _twice(served, program, maildir, *words)


@needs("neomutt")
@needs("script")
def test_neomutt(served: ServedFiles, program: Program) -> None:
    """It copies all letters into a Maildir; what it adds to their headers is its own."""
    (program.home / "rc").write_text(
        f'set pop_user="mail"\nset pop_pass="{served.users["mail"]}"\nset folder="{program.home}"\n'
        "set ssl_force_tls=no\nset sort=unsorted\nset delete=yes\nset mbox_type=Maildir\n"
        "set confirmappend=no\nset confirmcreate=no\n"
    )
    push = f"push '<tag-pattern>~A<enter><tag-prefix><copy-message><kill-line>{program.home}/kept<enter><quit>'"
    url = f"pop://127.0.0.1:{served.ports['pop3']}"
    program.run("env", "TERM=xterm", "script", "-qec", f'neomutt -n -F rc -f {url} -e "{push}"', "/dev/null")
    kept = [as_sent(path.read_bytes()) for path in (program.home / "kept").glob("*/*")]
    assert sorted(map(_body, kept)) == sorted(map(_body, LETTERS))


def _body(letter: bytes) -> bytes:
    return letter.partition(b"\r\n\r\n")[2]
