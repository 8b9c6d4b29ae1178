"""Where letters go is written in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from postoffice.client.login import Trust
from postoffice.client.secrets import Places
from postoffice.client.url import Source
from postoffice.errors import UsageError
from postoffice.handing.target import InFile, InMaildir, InMbox, Target, ToCommand, ToServer, target
from postoffice.handing.way import way

ME = "me@b.example"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("mail.mailbox", InFile(Path("mail.mailbox"))),
        ("./a:b", InFile(Path("a:b"))),
        ("~/m", InFile(Path("/home/me/m"))),
        ("maildir:~/Mail/../Maildir/", InMaildir(Path("/home/me/Maildir"))),
        ("mbox:/var/mail/me", InMbox(Path("/var/mail/me"))),
        ("command:procmail -d me", ToCommand("procmail -d me")),
        ("lmtp://localhost/me@b.example", ToServer(("localhost", 24), ME, is_lmtp=True)),
        ("lmtp://[::1]:2424/me", ToServer(("::1", 2424), "me", is_lmtp=True)),
        ("lmtp:///run/dovecot/lmtp/me", ToServer("/run/dovecot/lmtp", "me", is_lmtp=True)),
        ("smtp://MX.b.example/me@b.example", ToServer(("mx.b.example", 25), ME)),
        (
            "smtp://me@b.example@mx.b.example/me@b.example?password-file=/p&sender=&ca=/c%26.pem",
            ToServer(
                ("mx.b.example", 587),
                ME,
                sender="",
                user="me@b.example",
                trust=Trust(ca=Path("/c&.pem")),
                places=Places(file=Path("/p")),
            ),
        ),
        (
            "smtps://me@mx.b.example/me@b.example?password-keyring&sender=x@b.example&clear-text",
            ToServer(
                ("mx.b.example", 465),
                ME,
                sender="x@b.example",
                implicit_tls=True,
                user="me",
                trust=Trust(clear_text=True),
                places=Places(keyring=True),
            ),
        ),
    ],
)
def test_what_is_meant(monkeypatch: pytest.MonkeyPatch, text: str, meant: Target) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert target(text) == meant


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("", "into what"),
        ("maildir:", "maildir needs a name"),
        ("imap://b.example/me", "cannot go into imap"),
        ("smtp:b.example", "is written smtp://HOST"),
        ("smtp:///me@b.example", "names a host"),
        ("lmtp:///me", "names a host or a socket"),
        ("smtp://b.example", "recipient"),
        ("smtp://b.example/me", "recipient"),
        ("smtp://b.example/me@b.example\r\nRCPT", "cannot be printed"),
        ("smtp://b.example/me@b.example%0d%0aRCPT", "recipient"),
        ("lmtp://b.example/me>", "recipient"),
        ("lmtp://b.example/me%0d", "recipient"),
        ("smtp://b.example/a/me@b.example", "one recipient"),
        ("smtp://b.example:99999/me@b.example", "port cannot be read"),
        ("smtp://b example/me@b.example", "neither a name nor an address"),
        ("smtp://me:hunter2@b.example/me@b.example", "no place in a URL"),
        ("smtp://me@b.example/me@b.example", "a user needs a password"),
        ("lmtp://me@b.example/me@b.example", "nobody logs in by LMTP"),
        ("smtp://b.example/me@b.example?password=hunter2", "nothing else"),
        ("smtp://b.example/me@b.example?ca", "needs a value"),
        ("smtp://b.example/me@b.example?clear-text=yes", "takes no value"),
        ("smtp://b.example/me@b.example?sender=me", "sender"),
        ("mbox:a\0b", "NUL"),
    ],
)
def test_what_is_wrong_is_said_and_no_password_with_it(text: str, because: str) -> None:
    with pytest.raises(UsageError, match=because) as caught:
        target(text)
    assert caught.value.status == 64
    assert "hunter2" not in str(caught.value)


def test_a_maildrop_and_a_target_have_one_spool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def spool(text: str, user: str = "bob@b.example") -> Path:
        return way(Source("pop.b.example", 995, user, implicit_tls=True), target(text)).file

    file = spool("maildir:M")
    assert file.parent == tmp_path / "postoffice" / "spool"
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert file.name.startswith("bob@b.example@pop.b.example-")
    assert spool(f"maildir:{tmp_path}/x/../M/") == file
    others = [spool("mbox:M"), spool("maildir:N"), spool("maildir:M", "../etc"), spool("command:M")]
    assert len({file, *others}) == 5
    assert all(other.parent == file.parent for other in others)
    url = "smtp://me@mx.b.example/me@b.example?password-file="
    assert spool(f"{url}/a") == spool(f"{url}/b&ca=/c")  # where the password is does not matter
    assert spool("own.mailbox") == Path("own.mailbox")
