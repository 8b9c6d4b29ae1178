"""`add`: an account is found by real DNS, logged in to, and written down; what is wrong leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import pty
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from postoffice.client.login import Trust
from postoffice.client.url import parse_url
from postoffice.home.config import Home, read_home
from postoffice.net.tls_server import server_context
from postoffice.testing.certificates import Authority
from postoffice.testing.command import COMMAND
from postoffice.testing.dns import FakeDNS
from postoffice.testing.peer import PASSWORD, Pop3Peer
from postoffice.testing.rcfiles import FETCHMAIL

ADDRESS = "bob@b.example"
KEYRING = """
from pathlib import Path
def set_password(service, user, secret):
    Path({path!r}).write_text(f"{{service}} {{user}} {{secret}}")
def get_password(service, user):
    return Path({path!r}).read_text().split()[2]
"""


@dataclass(slots=True)
class Person:
    """Somebody with a home folder, a name server to ask, and a server at localhost that has his mail."""

    folder: Path
    ca: Path
    port: int
    peer: Pop3Peer
    names: FakeDNS
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return self.folder / "config" / "postoffice" / "home.toml"

    @property
    def home(self) -> Home:
        return read_home(self.path)

    @property
    def search(self) -> tuple[str, ...]:
        return ("add", ADDRESS, "--nameserver", f"127.0.0.1:{self.names.address[1]}", "--ca", str(self.ca))

    async def run(self, *words: str | Path, stdin: str | None = None) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *map(str, words),
            stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment(),
            cwd=self.folder,
        )
        out, errors = await process.communicate(None if stdin is None else stdin.encode())
        return process.returncode, out.decode(), errors.decode()

    async def type(self, *words: str | Path, answers: dict[str, str]) -> tuple[int | None, str]:
        """At a terminal: each answer when its question stands there."""
        ours, theirs = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *map(str, words),
            stdin=theirs,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._environment(),
            cwd=self.folder,
            start_new_session=True,
        )
        os.close(theirs)
        assert process.stdout is not None
        said, heard = "", 0
        for question, answer in answers.items():
            while question not in said[heard:]:
                more = await process.stdout.read(4096)
                assert more, said
                said += more.decode()
            heard = said.index(question, heard) + len(question)
            os.write(ours, answer.encode())
        said += (await process.stdout.read()).decode()
        os.close(ours)
        return await process.wait(), said

    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "HOME": str(self.folder),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "PYTHONPATH": str(self.folder / "packages"),
            **self.environment,
        }


@pytest.fixture
async def person(tmp_path: Path) -> AsyncIterator[Person]:
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "keyring.py").write_text("raise ImportError")  # whatever this machine has
    authority = Authority(tmp_path)
    peer = Pop3Peer({"id-1": b"Subject: one\r\n\r\nx\r\n"})
    async with peer.listening(server_context(*authority.issue(["localhost"], tmp_path))) as port:
        zone = {
            "_pop3s._tcp.b.example": {"SRV": [f"1 1 {port} localhost."]},
            "localhost": {"A": ["127.0.0.1"]},
        }
        async with FakeDNS(zone) as names:
            yield Person(tmp_path, authority.ca_path, port, peer, names)


async def test_an_account_that_is_found_can_be_pulled(person: Person) -> None:
    status, out, errors = await person.run(*person.search, "--yes", "--delete", "--password-command", "echo secret")
    assert status == 0, errors
    assert errors == (
        f"Looking for the server of {ADDRESS}\nFound localhost port {person.port} (SRV)\n"
        f"Logged in as {ADDRESS}: 1 letter is there\n"
    )
    assert out == f"{ADDRESS} is in {person.path}\nIts mail comes with: postoffice fetch {ADDRESS}\n"
    account = person.home.account(ADDRESS)
    assert account.source == parse_url(f"pops://bob%40b.example@localhost:{person.port}")
    assert account.trust == Trust(ca=person.ca)
    assert account.places.command == "echo secret"
    assert account.into == (f"{Path.home()}/Mail/{ADDRESS}.mailbox",)
    fetched = await person.run("fetch", ADDRESS)
    assert fetched == (0, "1 letter, 19 octets, already had 0; 1 deleted from the server\n", "")
    listed = await person.run("add", "--list")
    assert listed[1].startswith(f"{ADDRESS}  pops://bob%40b.example@localhost:{person.port}  /")


async def test_a_server_elsewhere_is_not_believed_without_a_person(person: Person) -> None:
    status, _, errors = await person.run(*person.search, "--password-command", "echo secret")
    assert status == 77, errors
    assert f"localhost port {person.port} is outside of b.example, and nobody is here to ask: --yes" in errors
    assert person.peer.heard == ["CAPA", "QUIT"]
    assert not person.path.exists()


async def test_a_person_says_yes_and_types_the_password(person: Person) -> None:
    status, out = await person.type(*person.search, answers={"[y/N]": "y\n", "Password for": "secret\n", "Keep": "\n"})
    assert status == 0, out
    assert "It is outside of b.example. Is it where your mail is? [y/N]" in out
    assert PASSWORD not in out
    kept = person.folder / "state" / "postoffice" / "passwords" / ADDRESS
    assert (kept.read_text(), kept.stat().st_mode & 0o777) == (f"{PASSWORD}\n", 0o600)
    assert person.home.account(ADDRESS).places.file == kept
    assert PASSWORD not in person.path.read_text()
    assert (await person.run("fetch", ADDRESS))[0] == 0


async def test_a_person_says_no(person: Person) -> None:
    status, out = await person.type(*person.search, answers={"[y/N]": "\n"})
    assert status == 69
    assert f"no server was found for {ADDRESS}: name it with --url" in out
    assert person.peer.heard == ["CAPA", "QUIT"]


async def test_the_keyring_takes_the_password_where_there_is_one(person: Person) -> None:
    (person.folder / "packages" / "keyring.py").write_text(KEYRING.format(path=str(person.folder / "ring")))
    status, _, errors = await person.run(*person.search, "--yes", "--password-stdin", stdin="secret\n")
    assert status == 0, errors
    assert (person.folder / "ring").read_text() == f"postoffice {ADDRESS}@localhost secret"
    assert person.home.account(ADDRESS).places.keyring
    assert (await person.run("fetch", ADDRESS))[0] == 0


async def test_a_file_takes_it_where_the_keyring_does_not(person: Person) -> None:
    """The package is there, but no desktop, and nobody to choose."""
    (person.folder / "packages" / "keyring.py").write_text(KEYRING.format(path="/nowhere/at/all"))
    status, _, errors = await person.run(*person.search, "--yes", "--password-stdin", stdin="secret\n")
    assert status == 0, errors
    assert "the keyring does not take it: FileNotFoundError; the password is kept in a file" in errors
    places = person.home.account(ADDRESS).places
    assert places.file is not None
    assert not places.keyring
    assert (await person.run("fetch", ADDRESS))[0] == 0


async def test_a_user_may_be_the_part_before_the_at(person: Person) -> None:
    person.peer.says[f"USER {ADDRESS}"] = b"-ERR [AUTH] nobody\r\n"
    status, _, errors = await person.run(*person.search, "--yes", "--password-stdin", stdin="secret\n")
    assert status == 0, errors
    assert person.home.account(ADDRESS).source.user == "bob"


async def test_a_wrong_password_leaves_nothing_behind(person: Person) -> None:
    status, _, errors = await person.run(*person.search, "--yes", "--password-stdin", stdin="guess\n")
    assert status == 77
    assert "refused the login" in errors
    assert not person.path.exists()
    assert not (person.folder / "state").exists()


async def test_an_account_that_is_there_is_told_before_anything_is_asked(person: Person) -> None:
    words = ("add", ADDRESS, "--url", f"pops://localhost:{person.port}", "--ca", person.ca, "--password-stdin")
    assert (await person.run(*words, "--into", "m", stdin="secret\n"))[0] == 0
    assert person.home.account(ADDRESS).into == (str(person.folder / "m"),)
    before = person.path.read_bytes()
    person.peer.heard.clear()
    status, _, errors = await person.run(*words, stdin="secret\n")
    assert status == 73
    assert errors == f"postoffice: {ADDRESS}: there is such an account in {person.path} already\n"
    assert person.peer.heard == []
    assert person.path.read_bytes() == before


async def test_letters_may_go_elsewhere_from_the_beginning(person: Person) -> None:
    words = ("add", ADDRESS, "--url", f"pops://localhost:{person.port}", "--ca", person.ca, "--password-stdin")
    status, _, errors = await person.run(*words, "--into", "maildir:Maildir", stdin="secret\n")
    assert status == 0, errors
    assert person.home.account(ADDRESS).into == (f"maildir:{person.folder}/Maildir",)
    status, _, errors = await person.run(*words, "--into", "nowhere:x", stdin="secret\n")
    assert (status, errors.count("\n")) == (64, 1)


async def test_where_a_token_is_needed_the_next_step_is_told(person: Person) -> None:
    url = f"pops://{ADDRESS};AUTH=XOAUTH2@localhost:{person.port}"
    status, out, _ = await person.run("add", ADDRESS, "--url", url)
    assert status == 0
    assert f"postoffice auth login {ADDRESS} --issuer URL --client-id ID" in out
    assert person.home.account(ADDRESS).source.mechanism == "XOAUTH2"
    status, _, errors = await person.run("fetch", ADDRESS)
    assert (status, errors) == (77, f"postoffice: nobody logged in as {ADDRESS}: postoffice auth login {ADDRESS}\n")


async def test_accounts_of_another_program_are_taken_over(person: Person) -> None:
    rc = person.folder / ".fetchmailrc"
    rc.write_text(FETCHMAIL + f"poll localhost proto pop3 service {person.port} user bob pass secret ssl keep\n")
    status, out, errors = await person.run("add", "--from", rc)
    assert status == 0
    assert out.splitlines()[-2:] == [
        f"bob@localhost is in {person.path}",
        "Their mail comes with: postoffice fetch --all",
    ]
    assert f"{rc}:14: skip old.example.org: it is not polled there, so it was left out\n" in errors
    assert PASSWORD not in errors
    assert PASSWORD not in person.path.read_text()
    status, _, errors = await person.run("fetch", "bob@localhost")
    assert "its certificate is not trusted" in errors
    person.path.write_text(person.path.read_text() + f'ca = "{person.ca}"\n')
    assert (await person.run("fetch", "bob@localhost"))[:2] == (0, "1 letter, 19 octets, already had 0\n")
    assert list(person.peer.letters) == ["id-1"]


async def test_letters_go_on_to_where_the_other_program_put_them(person: Person) -> None:
    rc = person.folder / "rc"
    maildir = person.folder / "Maildir"
    rc.write_text(
        f"account a\nhost localhost\nport {person.port}\ntls on\ntls_starttls off\ntls_trust_file {person.ca}\n"
        f"user bob\npassword secret\nkeep on\ndelivery maildir {maildir}\n"
    )
    for name in ("cur", "new", "tmp"):
        (maildir / name).mkdir(parents=True)
    assert (await person.run("add", "--from", rc))[::2] == (0, "")
    status, _, errors = await person.run("fetch", "--all")
    assert status == 0, errors
    assert [one.read_bytes() for one in (maildir / "new").iterdir()] == [b"Subject: one\n\nx\n"]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("add",), 64, "which account? Name an ADDRESS"),
        (("add", ADDRESS, "--list"), 64, "which account?"),
        (("add", "bob"), 64, "bob: "),
        (("add", ADDRESS, "--nameserver", "ns.example"), 64, "ns.example: is no IP address"),
        (("add", ADDRESS, "--url", "imap://x"), 64, "a POP URL begins with"),
        (("add", ADDRESS, "--url", "pop://x@127.0.0.1:1", "--password-command", "exit 1"), 69, "ended with status 1"),
        (("add", ADDRESS, "--url", "pop://x@127.0.0.1:1", "--password-command", "echo x"), 69, "Connection refused"),
        (("add", ADDRESS, "--url", "pop://x@127.0.0.1:1"), 64, "no terminal"),
        (("add", ADDRESS, "--every", "1s"), 64, "'1s' is no time of 10 s at least"),
        (("add", "--from", "/nowhere", "--delete"), 64, "only an account that is named"),
        (("add", "--from", "/nowhere"), 66, "/nowhere: cannot be read"),
        (("add", "--list"), 78, "there are no settings yet"),
    ],
)
async def test_what_is_wrong_is_told_in_one_sentence(
    person: Person, words: tuple[str, ...], status: int, said: str
) -> None:
    ended, _, errors = await person.run(*words)
    assert (ended, errors.count("\n")) == (status, 1), errors
    assert said in errors
    assert not person.path.exists()


async def test_a_domain_without_any_server_is_told(person: Person) -> None:
    person.names.zone.clear()
    status, _, errors = await person.run(*person.search)
    assert status == 69
    assert errors.splitlines()[1].startswith(
        f"postoffice: no server was found for {ADDRESS}: name it with --url pops://USER@HOST"
    )
