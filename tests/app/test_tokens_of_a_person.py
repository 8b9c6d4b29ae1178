"""From `auth login` to letters in a mailbox file: an identity provider, an office that believes it, and a person."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from postoffice.testing.certificates import Authority
from postoffice.testing.granting import REGISTERED, REGISTERED_SECRET
from postoffice.testing.process import OfficeProcess, make_office, open_folder
from postoffice.testing.provider import AUDIENCE, Provider
from postoffice.testing.raw import SmtpRaw

BOB = "bob@b.example"


@dataclass(slots=True)
class Scene:
    """A person's machine, the provider, and the office."""

    folder: Path
    provider: Provider
    office: OfficeProcess
    authority: Path

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "postoffice", *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "XDG_STATE_HOME": str(self.folder / "state")},
        )

    def run(self, *words: str | Path) -> tuple[int, str, str]:
        process = self.start(*words)
        out, errors = process.communicate(timeout=60)
        return process.returncode, out, errors

    def login(self, *more: str) -> str:
        """A person at it, with a browser that goes where it is told to; what the program said at its end."""
        secret = self.folder / "client"
        secret.touch(mode=0o600)
        secret.write_text(REGISTERED_SECRET)
        words = ("--issuer", self.provider.issuer, "--client-id", REGISTERED, "--client-secret-file", secret)
        process = self.start("auth", "login", BOB, *words, *more)
        assert process.stderr is not None
        said = process.stderr.readline() + process.stderr.readline()
        if "--device" in more:
            self.provider.granting.typed(said.split()[-1])
        else:
            urllib.request.urlopen(said.split()[-1], timeout=20).close()
        out, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
        return out

    def fetch(self, mechanism: str = "OAUTHBEARER") -> tuple[int, str, str]:
        url = f"pops://{BOB};AUTH={mechanism}@localhost:{self.office.ports['pop3s']}"
        return self.run("fetch", url, "--into", self.folder / "m", "--ca", self.authority)

    def deliver(self, count: int) -> None:
        with SmtpRaw(self.office.ports["smtp"]) as writer:
            writer.ask("EHLO a.example")
            for number in range(count):
                assert writer.send("x@a.example", [BOB], b"Subject: %d\r\n\r\nhello\r\n" % number) == 250


@pytest.fixture
def scene() -> Iterator[Scene]:
    with open_folder() as folder, Provider() as provider:
        authority = Authority(folder)
        make_office(folder / "office", {BOB: "never said"}, authority)
        settings = f"issuer = '{provider.issuer}'\naudience = '{AUDIENCE}'\nkeys = '{provider.url('keys')}'\n"
        with OfficeProcess(folder / "office", f"[oauth]\n{settings}", ["--workers", "1"]) as office:
            yield Scene(folder, provider, office, authority.ca_path)


@pytest.mark.parametrize("way", [(), ("--device",)], ids=["browser", "code"])
def test_who_logged_in_once_has_his_letters_at_home(scene: Scene, way: tuple[str, ...]) -> None:
    scene.deliver(3)
    assert scene.login(*way).startswith(f"{BOB}  {scene.provider.issuer}  the token is good until ")
    status, out, errors = scene.fetch()
    assert (status, out[:10], errors) == (0, "3 letters,", "")
    assert scene.fetch("XOAUTH2")[1].startswith("0 letters, 0 octets, already had 3")
    assert len(scene.run("ls", scene.folder / "m")[1].splitlines()) == 3
    told = scene.run("auth", "status")
    assert re.fullmatch(rf"{BOB}  http://127.0.0.1:\d+  the token is good until [0-9: -]+, and is renewed\n", told[1])
    assert scene.run("auth", "revoke", BOB)[:2] == (0, f"{BOB} is forgotten here\n")
    assert list((scene.folder / "state/postoffice/logins").glob("*.json")) == []
    assert scene.run("auth", "status", BOB)[::2] == (67, f"postoffice: nobody logged in as {BOB}\n")


def test_a_token_that_the_office_takes_no_more_is_renewed_and_the_pull_goes_on(scene: Scene) -> None:
    scene.deliver(2)
    scene.provider.valid_seconds = -3600  # over, although it was said to last
    scene.login()
    scene.provider.valid_seconds = 600
    status, out, errors = scene.fetch()
    assert (status, out[:10], errors) == (0, "2 letters,", "")
    assert [asked["grant_type"] for asked in scene.provider.granting.heard] == ["authorization_code", "refresh_token"]


def test_a_login_that_is_over_ends_the_pull_in_one_sentence(scene: Scene) -> None:
    scene.provider.granting.lasts = 0
    scene.login()
    scene.provider.granting.end_all()
    status, out, errors = scene.fetch()
    assert (status, out, errors.count("\n")) == (77, "", 1)
    assert f"log in again with: postoffice auth login {BOB}" in errors


def test_who_never_logged_in_is_told_how(tmp_path: Path) -> None:
    words = ("fetch", f"pops://{BOB};AUTH=XOAUTH2@127.0.0.1:1", "--into", str(tmp_path / "m"))
    done = subprocess.run(
        [sys.executable, "-m", "postoffice", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
    )
    assert (done.returncode, done.stdout) == (77, "")
    assert done.stderr == f"postoffice: nobody logged in as {BOB}: postoffice auth login {BOB}\n"


def test_no_token_is_seen_in_arguments_log_or_trace(scene: Scene) -> None:
    scene.login()
    port = scene.office.ports["pop3s"]
    url = f"pops://{BOB};AUTH=XOAUTH2@localhost:{port}"
    status, out, errors = scene.run("fetch", url, "--into", scene.folder / "m", "--ca", scene.authority, "--trace")
    assert status == 0
    kept = next((scene.folder / "state/postoffice/logins").glob("*.json")).read_text()
    tokens = re.findall(r'"(?:access|refresh)_token": "([^"]+)"', kept)
    assert len(tokens) == 2
    assert "C: AUTH XOAUTH2" in errors
    log = scene.office.log.read_text()
    assert not any(token[:24] in text for token in tokens for text in (out, errors, log))


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("login", BOB, "--client-id", "x"), 64, "--provider or --issuer"),
        (("login", "bob", "--client-id", "x"), 64, "no mail address"),
        (("login", BOB, "--client-id", "x", "--issuer", "http://127.0.0.1:1"), 75, "cannot be asked"),
        (("login", "bob@gmail.com", "--client-id", "x", "--device"), 69, "gives out no codes for mail"),
        (("login", BOB, "--client-id", "x", "--provider", "google", "--issuer", "https://a"), 64, "choose"),
        (("revoke", BOB), 67, "nobody logged in"),
    ],
)
def test_what_cannot_be_done_is_told(words: tuple[str, ...], status: int, said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "postoffice", "auth", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
    )
    assert (done.returncode, done.stderr.count("\n")) == (status, 1), done.stderr
    assert said in done.stderr
