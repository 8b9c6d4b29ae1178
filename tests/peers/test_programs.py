"""The mail programs of the system send through an office and pull from it, with every way to TLS and without."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from postoffice.testing.programs import LETTERS, PASSWORD, PostOffice, Program, unlike

pytestmark = pytest.mark.peer


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed here")


# --- curl


@needs("curl")
@pytest.mark.parametrize(
    ("door", "scheme", "words"),
    [("submission", "smtp", []), ("submission", "smtp", ["--ssl-reqd"]), ("submissions", "smtps", [])],
)
def test_curl_submits_what_comes_out_unchanged(
    post: PostOffice, program: Program, door: str, scheme: str, words: list[str]
) -> None:
    sender, recipient = post.account(), post.account()
    for index, letter in enumerate(LETTERS):
        (program.home / f"{index}.eml").write_bytes(letter)
        program.run(
            *("curl", "-sS", *words, "--cacert", str(post.ca), f"{scheme}://localhost:{post.port(door)}"),
            *("--user", f"{sender}:{PASSWORD}", "--mail-from", sender, "--mail-rcpt", recipient),
            *("--upload-file", program.home / f"{index}.eml"),
        )
    assert unlike(post.letters(recipient), LETTERS) == []


@needs("curl")
@pytest.mark.parametrize(
    ("door", "scheme", "words"), [("pop3", "pop3", []), ("pop3", "pop3", ["--ssl-reqd"]), ("pop3s", "pop3s", [])]
)
def test_curl_pulls_and_removes_what_was_sent(
    post: PostOffice, program: Program, door: str, scheme: str, words: list[str]
) -> None:
    address = post.account()
    post.deliver(address, *LETTERS)
    call = ("curl", "-sS", *words, "--cacert", str(post.ca), "--user", f"{address}:{PASSWORD}")
    url = f"{scheme}://localhost:{post.port(door)}/"
    listing = program.run(*call, url).stdout.split()
    assert listing[::2] == [b"1", b"2", b"3"]
    pulled = [program.run(*call, f"{url}{number}").stdout for number in (1, 2, 3)]
    assert [len(letter) for letter in pulled] == [int(octets) for octets in listing[1::2]]
    assert unlike(pulled, LETTERS) == []
    program.run(*call, "--list-only", "--request", "DELE", f"{url}2")
    assert unlike(post.letters(address), (LETTERS[0], LETTERS[2])) == []


# --- swaks


# A letter that ends with a dot line is for swaks one whose end of data is there already.
SWAKS_LETTERS = (LETTERS[0] + b"the end\r\n", *LETTERS[1:])


@needs("swaks")
@pytest.mark.parametrize(
    ("door", "words"),
    [
        ("submission", []),
        ("submission", ["--tls", "--auth", "PLAIN"]),
        ("submission", ["--tls", "--auth", "LOGIN"]),
        ("submissions", ["--tls-on-connect", "--pipeline"]),
    ],
)
def test_swaks_submits_what_comes_out_unchanged(
    post: PostOffice, program: Program, door: str, words: list[str]
) -> None:
    sender, recipient = post.account(), post.account()
    if words:
        words = [*words, "--tls-verify", "--tls-ca-path", str(post.ca)]
    for index, letter in enumerate(SWAKS_LETTERS):
        (program.home / f"{index}.eml").write_bytes(letter.removesuffix(b"\r\n"))  # it adds one line end itself
        program.run(
            *("swaks", "--server", "localhost", "--port", str(post.port(door)), "--from", sender, "--to", recipient),
            *(*words, "--auth-user", sender, "--auth-password", PASSWORD),
            *("--data", f"@{program.home / f'{index}.eml'}", "--silent", "2"),
        )
    assert unlike(post.letters(recipient), SWAKS_LETTERS) == []


@needs("swaks")
def test_the_mx_door_takes_a_letter_from_swaks_and_relays_none(post: PostOffice, program: Program) -> None:
    recipient = post.account()
    call = ("swaks", "--server", "localhost", "--port", str(post.port("smtp")), "--silent", "2")
    program.run(*call, "--from", "x@elsewhere.example", "--to", recipient, "--tls")
    assert len(post.letters(recipient)) == 1
    program.run(*call, "--from", "x@elsewhere.example", "--to", "y@elsewhere.example", fine=(24,))


# --- programs that pull into a folder: a first run, a second one, and one that removes

WAYS = ["plain", "stls", "implicit"]


@needs("mpop")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("keep", [True, False], ids=["keep", "delete"])
def test_mpop_pulls_every_letter_once(post: PostOffice, program: Program, way: str, keep: bool) -> None:
    address = post.account()
    post.deliver(address, *LETTERS)
    maildir = _maildir(program.home)
    tls = {"plain": "tls off", "stls": "tls on\ntls_starttls on", "implicit": "tls on\ntls_starttls off"}[way]
    config = program.home / "mpoprc"
    config.write_text(
        f"defaults\n{tls}\ntls_trust_file {post.ca}\nreceived_header off\nuidls_file {program.home}/uidls_%U_at_%H\n"
        f"account office\nhost localhost\nport {_port(post, way)}\nuser {address}\nauth user\n"
        f"passwordeval echo {PASSWORD}\nkeep {'on' if keep else 'off'}\ndelivery maildir {maildir}\n"
    )
    config.chmod(0o600)
    _pull_twice(post, program, address, ("mpop", "-C", str(config), "-Q", "office"), maildir, keep=keep)


@needs("getmail")
@pytest.mark.parametrize("way", ["plain", "implicit"])
@pytest.mark.parametrize("keep", [True, False], ids=["keep", "delete"])
def test_getmail_pulls_every_letter_once(post: PostOffice, program: Program, way: str, keep: bool) -> None:
    address = post.account()
    post.deliver(address, *LETTERS)
    maildir = _maildir(program.home)
    deliver = _deliverer(program.home, maildir)
    kind, tls = ("SimplePOP3Retriever", "") if way == "plain" else ("SimplePOP3SSLRetriever", f"ca_certs = {post.ca}\n")
    (program.home / "getmailrc").write_text(
        f"[retriever]\ntype = {kind}\nserver = localhost\nport = {_port(post, way)}\nusername = {address}\n"
        f"password = {PASSWORD}\n{tls}"
        f"[destination]\ntype = MDA_external\npath = {deliver}\nallow_root_commands = true\nunixfrom = false\n"
        f"[options]\nread_all = false\ndelete = {str(not keep).lower()}\ndelivered_to = false\nreceived = false\n"
    )
    _pull_twice(post, program, address, ("getmail", "--getmaildir", str(program.home)), maildir, keep=keep)


@needs("fetchmail")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("keep", [True, False], ids=["keep", "delete"])
def test_fetchmail_pulls_every_letter_once(post: PostOffice, program: Program, way: str, keep: bool) -> None:
    address = post.account()
    post.deliver(address, *LETTERS)
    maildir = _maildir(program.home)
    deliver = _deliverer(program.home, maildir)
    tls = {"plain": "sslproto ''", "stls": "sslproto 'TLS1.2+'", "implicit": "ssl"}[way]
    config = program.home / "fetchmailrc"
    config.write_text(
        f"set invisible\npoll localhost service {_port(post, way)} protocol pop3 uidl no dns\n"
        f"user '{address}' password '{PASSWORD}' {tls} sslcertck sslcertfile {post.ca}\n"
        f"{'keep' if keep else 'nokeep'} no rewrite no mimedecode mda '{deliver}'\n"
    )
    config.chmod(0o700)
    words = ("fetchmail", "-f", str(config), "-i", str(program.home / "ids"), "--pidfile", str(program.home / "pid"))
    _pull_twice(post, program, address, (*words, "--nosyslog", "-v"), maildir, keep=keep, fine=(0, 1))


def _port(post: PostOffice, way: str) -> int:
    return post.port("pop3s" if way == "implicit" else "pop3")


def _maildir(home: Path) -> Path:
    for name in ("new", "cur", "tmp"):
        (home / "mail" / name).mkdir(parents=True)
    return home / "mail"


def _deliverer(home: Path, maildir: Path) -> Path:
    """A program that keeps what it is given as a file of its own."""
    deliver = home / "deliver"
    deliver.write_text(f'#!/bin/sh\nexec cat > "{maildir}/new/$$"\n')
    deliver.chmod(0o700)
    return deliver


def _pull_twice(
    post: PostOffice,
    program: Program,
    address: str,
    words: tuple[str, ...],
    maildir: Path,
    *,
    keep: bool,
    fine: tuple[int, ...] = (0,),
) -> None:
    """After the first run everything is there, after the second nothing more; removed is what was to be removed."""
    for _ in range(2):
        program.run(*words, fine=fine)
        assert unlike([path.read_bytes() for path in (maildir / "new").iterdir()], LETTERS) == []
    assert unlike(post.letters(address), LETTERS if keep else ()) == []
