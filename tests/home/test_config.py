"""A person's settings file: what it says, and what is wrong in it, with file, line and key."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from postoffice.client.login import Trust
from postoffice.client.rules import NOW, AfterDays
from postoffice.client.secrets import Places
from postoffice.client.url import Source
from postoffice.errors import UsageError
from postoffice.handing.round import Doubtful
from postoffice.handing.target import InFile, InMaildir
from postoffice.handing.way import Way
from postoffice.home.config import Account, Home, read_home
from postoffice.home.places import usual_path

NAME = "me@example.org"
PIN = "sha256:" + "A" * 43 + "="
LEAST = f'[accounts."{NAME}"]\nurl = "pops://me@pop.example.org"\ninto = "mail.mailbox"\n'


def read(tmp_path: Path, text: str, mode: int = 0o644) -> Home:
    path = tmp_path / "home.toml"
    path.write_text(text)
    path.chmod(mode)
    return read_home(path)


def test_it_lies_where_settings_of_people_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert usual_path() == Path("/home/me/.config/postoffice/home.toml")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/elsewhere")
    assert usual_path() == Path("/elsewhere/postoffice/home.toml")


def test_an_account_needs_a_url_and_a_file(tmp_path: Path) -> None:
    home = read(tmp_path, LEAST)
    account = home.account(NAME)
    assert account == Account(NAME, Source("pop.example.org", 995, "me", True), (str(tmp_path / "mail.mailbox"),))
    assert account.way() == Way(tmp_path / "mail.mailbox", InFile(tmp_path / "mail.mailbox"))
    assert account.every == 900.0
    assert account.rules == ()


def test_every_setting_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    text = f"""
        [accounts."{NAME}"]
        url = "pop://pop.example.org:1110"      # its user is the name of the account
        into = ["maildir:~/Mail"]
        delete = ["now", "14 days"]
        password_file = "secret"
        ca = "/etc/office.pem"
        client_certificate = "me.pem"
        client_key = "key.pem"
        clear_text = true
        every = "2h"
        largest = "5 MB"
        doubtful = "hold"

        [accounts.other]
        url = "pops://o@pop.example.org"
        into = "o"
        pin = "{PIN}"
        password = "secret"
    """
    home = read(tmp_path, text, 0o600)
    assert list(home.accounts) == [NAME, "other"]
    assert home.account(NAME) == Account(
        NAME,
        Source("pop.example.org", 1110, NAME),
        ("maildir:/home/me/Mail",),
        (NOW, AfterDays(14)),
        Trust(Path("/etc/office.pem"), None, tmp_path / "me.pem", tmp_path / "key.pem", True),
        Places(file=tmp_path / "secret"),
        largest=5_000_000,
        every=7200.0,
        doubtful=Doubtful.HOLD,
    )
    assert home.account("other").password == "secret"
    assert home.account("other").trust.pin == PIN
    assert "secret" not in repr(home.account("other"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    there = home.account(NAME).way()
    assert there.file.parent == tmp_path / "postoffice" / "spool"
    assert (there.target, there.doubtful) == (InMaildir(Path("/home/me/Mail")), Doubtful.HOLD)


@pytest.mark.parametrize(
    ("into", "meant"),
    [("mbox:in/mbox", "mbox:{}/in/mbox"), ("command:cat > x:y", "command:cat > x:y"), ("a/b", "{}/a/b")],
)
def test_relative_places_begin_at_the_folder_of_the_settings(tmp_path: Path, into: str, meant: str) -> None:
    home = read(tmp_path, LEAST.replace("mail.mailbox", into))
    assert home.account(NAME).into == (meant.format(tmp_path),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LEAST + "evry = 1\n", f'4: accounts."{NAME}".evry: there is no such setting; there are ca, clear_text,'),
        (LEAST + "every = 15\n", f'4: accounts."{NAME}".every: Expected str, got int'),
        (LEAST + 'every = "1s"\n', f"4: accounts.\"{NAME}\".every: '1s' is no time of 10 s at least"),
        (LEAST + 'every = "often"\n', "4: "),
        (LEAST + 'delete = ["soon"]\n', f"4: accounts.\"{NAME}\".delete: 'soon' is no rule"),
        (LEAST + 'largest = "much"\n', f"4: accounts.\"{NAME}\".largest: 'much' is no size"),
        (LEAST + 'pin = "sha256:AAAA"\n', f"4: accounts.\"{NAME}\".pin: 'sha256:AAAA' is no pin"),
        (LEAST + 'password = "secret"\n', f'4: accounts."{NAME}".password: one may stand here only if'),
        (LEAST + 'password_command = "x"\npassword_file = "y"\n', f'5: accounts."{NAME}".password_file: the password'),
        (LEAST.replace("pops", "imap"), f'2: accounts."{NAME}".url: a POP URL begins with pop:// or pops://'),
        ('[accounts.a]\ninto = "m"\n', "1: accounts.a.url: is missing"),
        ('[accounts.a]\nurl = "pop://a@b"\n', "1: accounts.a.into: is missing"),
        ('[accounts.a]\nurl = "pop://a@b"\ninto = []\n', "3: accounts.a.into: is missing"),
        ('[accounts.a]\nurl = "pop://a@b"\ninto = ["a", "b"]\n', "3: accounts.a.into: letters of an account go to one"),
        ('[accounts.a]\nurl = "pop://a@b"\ninto = "imap://b"\n', "3: accounts.a.into: letters cannot go into imap"),
        ('accounts.a = "x"\n', "1: accounts.a: must be a section, written [accounts.a]"),
        ("accounts = 1\n", "1: accounts: must be sections"),
        ("[account.a]\n", "1: account: there is no such section"),
        ("[accounts\n", " is not TOML: "),
        ('a = "\xff', " is not TOML: "),
    ],
)
def test_what_is_wrong_is_named_with_its_line_and_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError) as problem:
        read(tmp_path, text)
    assert problem.value.status == 78
    assert str(problem.value).startswith(f"{tmp_path}/home.toml:{said}")
    assert "secret" not in str(problem.value)


def test_all_that_is_wrong_is_told_at_once_in_its_order(tmp_path: Path) -> None:
    text = LEAST + 'every = "x"\ndelete = ["y"]\n[accounts.b]\nurl = 1\ninto = 2\n'
    with pytest.raises(UsageError) as problem:
        read(tmp_path, text)
    lines = str(problem.value).splitlines()
    assert [line.removeprefix(f"{tmp_path}/home.toml:").partition(":")[0] for line in lines] == ["4", "5", "7", "8"]


def test_no_file_and_no_such_account_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="postoffice add") as problem:
        read_home(tmp_path / "home.toml")
    assert problem.value.status == 78
    with pytest.raises(UsageError, match=f"there are {NAME}") as problem:
        read(tmp_path, LEAST).account("you@example.org")
    assert problem.value.status == 67


def test_a_password_comes_from_where_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    account = read(tmp_path, LEAST + 'password_command = "echo secret"\ndelete = ["now"]\n').account(NAME)
    source, options = account.opened()
    assert (source, options.password, options.rules) == (account.source, "secret", (NOW,))
    account = read(tmp_path, LEAST + 'password = "own"\ndelete = ["3 days"]\n', 0o600).account(NAME)
    assert (account.opened()[1].password, account.opened()[1].rules) == ("own", (AfterDays(3),))
    account = read(tmp_path, LEAST).account(NAME)
    with pytest.raises(UsageError, match="do not say where its password is") as problem:
        account.opened()
    assert problem.value.status == 77
    assert account.opened(lambda source: f"of {source.user}")[1].password == "of me"


def test_a_variable_may_be_asked_twice_and_is_inherited_by_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_SECRET", "from afar")
    account = read(tmp_path, LEAST + 'password_variable = "MAIL_SECRET"\n').account(NAME)
    assert [account.opened()[1].password for _ in range(2)] == ["from afar"] * 2
    assert "MAIL_SECRET" not in os.environ
