"""Moving in from real servers, and out again: clients that pulled from the old one pull nothing from the new one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bench.contender import PASSWORD, Mail
from bench.peers.dovecot import Dovecot
from bench.peers.pop3 import MAIL_UID, Running, peers

from postoffice.conformance.post import MaildirPost, MboxPost, SmtpPost
from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office, open_folder
from postoffice.testing.programs import LETTERS, Program
from postoffice.testing.raw import Pop3Raw

pytestmark = [pytest.mark.peer, pytest.mark.skipif(os.geteuid() != 0, reason="the servers must be started by root")]

LATE = b"Subject: came after the clients looked\r\n\r\nFrom here on\r\n"
MANY = [*LETTERS, *(b"Subject: letter %d\r\n\r\n.\r\nbody\r\n" % number for number in range(12))]


@contextmanager
def old_server(name: str, home: Path) -> Iterator[Running]:
    """A server of Debian's by its name."""
    home.mkdir(mode=0o755)
    if name.startswith("Dovecot"):
        yield from dovecot(home, "mbox:~/mail:INBOX=~/inbox" if "mbox" in name else "maildir:~/Maildir")
        return
    [peer] = [peer for peer in peers() if peer.name == name]
    if (why := peer.absence()) is not None:
        pytest.skip(f"{name}: {why}")
    with peer.open(home) as running:
        yield running


def dovecot(home: Path, location: str) -> Iterator[Running]:
    server, mail = Dovecot("default"), Mail(1, [])
    if (why := server.absence()) is not None:
        pytest.skip(why)
    server.prepare(home, mail)
    server.refuse_tls()
    with (home / "dovecot.conf").open("a") as config:
        config.write(f"mail_location = {location}\n")
    [user] = mail.addresses()
    box = home / "mail" / user.partition("@")[0] / "inbox"
    box.touch()
    os.chown(box, MAIL_UID, MAIL_UID)
    server.start(None)
    try:
        post = MboxPost(box) if location.startswith("mbox") else MaildirPost(box.with_name("Maildir"))
        yield Running(server.ports()["pop3"], user, post)
    finally:
        server.stop()


def look(running: Running) -> None:
    """As a client does that only asks what is there: so the server numbers what is new."""
    with Pop3Raw(running.port) as client:
        assert client.log_in(running.user, PASSWORD).startswith(b"+OK")
        client.unique_ids()
        client.ask("QUIT")


# --- clients that leave letters on the server, and tell how many they pulled

Pull = Callable[[], int]


def mpop(program: Program, running: Running) -> Pull:
    maildir = program.home / "mpop"
    for place in ("cur", "new", "tmp"):
        (maildir / place).mkdir(parents=True)
    config = program.home / "mpoprc"
    config.write_text(
        f"account old\ntls off\nhost localhost\nport {running.port}\nuser {running.user}\nauth user\n"
        f"passwordeval echo {PASSWORD}\nkeep on\nuidls_file {program.home}/uidls\ndelivery maildir {maildir}\n"
    )
    config.chmod(0o600)
    return lambda: counted(maildir, lambda: program.run("mpop", "-C", config, "-Q", "old"))


def getmail(program: Program, running: Running) -> Pull:
    home = program.home / "getmail"
    (home / "new").mkdir(parents=True)
    deliver = home / "deliver"
    # getmail 6.18 misses the end of a child that ends before it begins to wait, and then waits for a minute.
    deliver.write_text(f'#!/bin/sh\nsleep 0.1\nexec cat > "{home}/new/$$"\n')
    deliver.chmod(0o700)
    (home / "getmailrc").write_text(
        f"[retriever]\ntype = SimplePOP3Retriever\nserver = localhost\nport = {running.port}\n"
        f"username = {running.user}\npassword = {PASSWORD}\n"
        f"[destination]\ntype = MDA_external\npath = {deliver}\nallow_root_commands = true\nunixfrom = false\n"
        "[options]\nread_all = false\ndelete = false\ndelivered_to = false\nreceived = false\n"
    )
    return lambda: counted(home, lambda: program.run("getmail", "--getmaildir", home))


def fetchmail(program: Program, running: Running) -> Pull:
    home = program.home / "fetchmail"
    (home / "new").mkdir(parents=True)
    config = home / "fetchmailrc"
    config.write_text(
        f"set invisible\npoll localhost service {running.port} protocol pop3 uidl no dns\n"
        f"user '{running.user}' password '{PASSWORD}' sslproto ''\n"
        f"keep no rewrite no mimedecode mda '/bin/sh -c \"cat > {home}/new/$$\"'\n"
    )
    config.chmod(0o700)
    words = ("fetchmail", "-f", config, "-i", home / "ids", "--pidfile", home / "pid", "--nosyslog")
    return lambda: counted(home, lambda: program.run(*words, fine=(0, 1)))


def counted(maildir: Path, pull: Callable[[], object]) -> int:
    before = len(list((maildir / "new").iterdir()))
    pull()
    return len(list((maildir / "new").iterdir())) - before


def clients(program: Program, running: Running) -> dict[str, Pull]:
    """Those that are installed here; two are what is asked for."""
    made = {client.__name__: client(program, running) for client in (mpop, getmail, fetchmail)}
    there = {name: pull for name, pull in made.items() if shutil.which(name)}
    if len(there) < 2:
        pytest.skip("of mpop, getmail and fetchmail, two are not installed here")
    return there


# --- the move


def postoffice(*words: str | Path, fine: int = 0) -> str:
    """The command; gives what it wrote to standard output."""
    program = [sys.executable, "-m", "postoffice", *map(str, words)]
    done = subprocess.run(program, input=f"{PASSWORD}\n", capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == fine, (words, done.returncode, done.stdout, done.stderr)
    return done.stdout


@pytest.mark.parametrize(
    ("name", "kind", "is_checked"),
    [
        ("Dovecot", "dovecot", True),
        ("Dovecot", "pop3", True),
        ("Dovecot with an mbox", "dovecot", True),
        ("Courier", "courier", True),
        ("Courier", "pop3", True),
        ("Mailutils", "mbox", False),  # it shows the fields that it notes in letters
    ],
)
def test_clients_pull_nothing_again(program: Program, name: str, kind: str, is_checked: bool) -> None:
    with open_folder() as folder:
        data = folder / "office"
        with old_server(name, folder / "old") as running:
            address = running.user if "@" in running.user else f"{running.user}@a.example"
            running.post.place_all(MANY)
            pulls = clients(program, running)
            assert {client: pull() for client, pull in pulls.items()} == dict.fromkeys(pulls, len(MANY))
            running.post.place_all([LATE])
            look(running)
            make_office(data, {address: PASSWORD})
            url = f"pop://{running.user}@localhost:{running.port}"
            assert isinstance(running.post, MaildirPost | MboxPost)
            from_where = url if kind == "pop3" else running.post.path
            check = [] if not is_checked else ["--check"] if kind == "pop3" else ["--check", url]
            authority = folder / "old" / "tls" / "certificate.pem"
            trusted = ("--ca", authority) if authority.exists() else ()
            words = (
                "import",
                kind,
                from_where,
                "--account",
                address,
                "--data",
                data,
                *check,
                "--password-stdin",
                *trusted,
            )
            said = postoffice(*words)
            assert said.startswith(f"{len(MANY) + 1} letters, ")
            assert "unique-id" not in said
            assert postoffice(*words).startswith(f"0 letters, 0 octets, already had {len(MANY) + 1}")
        with OfficeProcess(data, CLEAR_TEXT, ("--port", f"pop3={running.port}")):
            assert {client: pull() for client, pull in pulls.items()} == dict.fromkeys(pulls, 1)
            assert {client: pull() for client, pull in pulls.items()} == dict.fromkeys(pulls, 0)


def test_clients_pull_nothing_again_where_dovecot_serves_what_was_given_out(program: Program) -> None:
    dovecot, mail = Dovecot("default"), Mail(1, [])
    if (why := dovecot.absence()) is not None:
        pytest.skip(why)
    [address] = mail.addresses()
    with open_folder() as folder:
        home, data = folder / "new", folder / "office"
        home.mkdir(mode=0o755)
        dovecot.prepare(home, mail)
        port = dovecot.ports()["pop3"]
        make_office(data, {address: PASSWORD})
        with OfficeProcess(data, CLEAR_TEXT, ("--port", f"pop3={port}")) as office:
            post = SmtpPost("127.0.0.1", office.ports["smtp"], address)
            post.place_all(MANY)
            pulls = clients(program, Running(port, address, post))
            assert {client: pull() for client, pull in pulls.items()} == dict.fromkeys(pulls, len(MANY))
            maildir = home / "mail" / address.partition("@")[0] / "Maildir"
            said = postoffice("export", "maildir", maildir, "--account", address, "--data", data)
        assert said.startswith(f"{len(MANY)} letters, ")
        assert {path.stat().st_uid for path in maildir.rglob("*")} == {MAIL_UID}
        dovecot.start(None)
        try:
            assert {client: pull() for client, pull in pulls.items()} == dict.fromkeys(pulls, 0)
        finally:
            dovecot.stop()
