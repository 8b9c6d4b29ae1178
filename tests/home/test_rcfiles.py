"""Files of fetchmail, getmail and mpop, as people have them: their accounts in our words, and the rest by its lines."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.client.url import format_url, parse_url
from postoffice.errors import UsageError
from postoffice.handing.target import target
from postoffice.home.config import read_home
from postoffice.home.rcfiles import fetchmail, getmail, mpop, read
from postoffice.home.rcfiles.found import RcFile
from postoffice.home.rcfiles.taking import take_over
from postoffice.testing.rcfiles import FETCHMAIL, GETMAIL, MPOP


def parsed(tmp_path: Path, text: str) -> RcFile:
    path = tmp_path / "rc"
    path.write_text(text)
    return read(path)


def urls(rc: RcFile) -> list[str]:
    return [format_url(account.source) for account in rc.accounts]


def lines(rc: RcFile) -> list[tuple[int, str]]:
    return [(remark.line, remark.text) for remark in rc.told()]


def test_fetchmail(tmp_path: Path) -> None:
    rc = parsed(tmp_path, FETCHMAIL)
    assert urls(rc) == [
        "pops://me%40example.org@pop.example.org:1995",
        "pops://second@pop.example.org:1995",
        "pop://mine;AUTH=CRAM-MD5@mail.example.net",
        "pop://there@last.example.org",
    ]
    assert [account.password for account in rc.accounts] == ["a b\\c AB7", 'it"s', "with", "here"]
    first, second, third, last = (account.settings for account in rc.accounts)
    assert first == {"delete": ["now"], "every": "600s"}
    assert second == {"delete": [], "every": "600s"}
    assert third == {
        "delete": ["now"],
        "every": "1800s",
        "largest": "50000",
        "into": f"command:/usr/bin/procmail -d {getpass.getuser()}",
    }
    assert last == {"delete": ["now"], "every": "600s", "ca": "/etc/ca.pem"}
    assert lines(rc) == [
        (3, "postmaster me"),
        (4, "no bouncemail"),
        (6, "timeout 60"),
        (10, "is me"),
        (14, "skip old.example.org"),
        (15, "poll imap.example.org protocol imap"),
        (16, "mda formail -f %F"),
    ]
    assert not any("secret" in text for _, text in lines(rc))


def test_mpop(tmp_path: Path) -> None:
    rc = parsed(tmp_path, MPOP)
    assert urls(rc) == [
        "pop://joe.smith%40free.example@pop.free.example",
        "pops://joey@pop.free.example:9995",
        "pop://company12345;AUTH=%2BAPOP@mail.company.example".replace("%2B", "+"),
    ]
    first, second, third = rc.accounts
    assert first.settings == {
        "delete": [],
        "largest": "",
        "password_command": "gpg2 --no-tty -q -d ~/.mpop-password.gpg",
        "into": "command:/usr/bin/procmail -d $USER",
    }
    assert second.settings == {"delete": ["now"], "largest": "512000", "into": "maildir:/var/mail/new"}
    assert second.password == "se cret"
    assert third.settings == {"delete": ["now"], "largest": ""}
    assert [line for line, _ in lines(rc)] == [24, 28, 29, 30, 31]


def test_getmail(tmp_path: Path) -> None:
    rc = parsed(tmp_path, GETMAIL)
    assert urls(rc) == ["pops://me%40example.net@pop.example.net"]
    assert rc.accounts[0].settings == {
        "password_command": "pass show 'my mail'",
        "into": """command:/usr/bin/procmail -d 'it'"'"'s me'""",
        "delete": ["14 days"],
        "largest": "100000",
    }
    assert lines(rc) == [
        (8, "ssl_version = tlsv1_2"),
        (9, "timeout = 60"),
        (22, "[filter-1]"),
    ]


@pytest.mark.parametrize(
    ("words", "into"),
    [
        ("is me here smtphost mx.example.org/2525", "smtp://mx.example.org:2525/me%40mx.example.org"),
        ("is me here smtphost mx.example.org smtpaddress example.org", "smtp://mx.example.org/me%40example.org"),
        ("lmtp smtphost localhost/24 smtpname me@example.org", "lmtp://localhost:24/me%40example.org"),
        ("is me here smtphost /run/dovecot/lmtp", "lmtp:///run/dovecot/lmtp/me%40localhost"),
    ],
)
def test_fetchmail_that_brings_letters_to_a_server(tmp_path: Path, words: str, into: str) -> None:
    rc = parsed(tmp_path, f"poll a.example proto pop3\n user b pass c\n {words}\n")
    assert rc.accounts[0].settings["into"] == into
    assert lines(rc) == []
    target(into)


def test_what_no_target_takes_is_told(tmp_path: Path) -> None:
    rc = parsed(tmp_path, "poll a.example proto pop3\n user b pass c\n smtphost mx_1\n lmtp bsmtp /x\n")
    assert "into" not in rc.accounts[0].settings
    assert lines(rc) == [(3, "smtphost mx_1"), (4, "bsmtp /x"), (4, "lmtp")]
    rc = parsed(tmp_path, "poll a.example proto pop3 user b pass c is me here\n smtphost x.example y.example\n")
    assert rc.accounts[0].settings["into"] == "smtp://x.example/me%40x.example"
    assert lines(rc) == [(2, "smtphost x.example y.example")]


@pytest.mark.parametrize(
    ("destination", "into"),
    [
        ("host = /run/lmtp\noverride = me", "lmtp:///run/lmtp/me"),
        ("host = localhost\nport = 24\noverride = me@example.org", "lmtp://localhost:24/me%40example.org"),
        ("host = localhost", None),
        ("host = \noverride = me", None),
    ],
)
def test_getmail_that_hands_letters_on_by_lmtp(tmp_path: Path, destination: str, into: str | None) -> None:
    rc = parsed(
        tmp_path,
        "[retriever]\ntype = SimplePOP3Retriever\nserver = b.example\nusername = c\npassword = d\n"
        f"[destination]\ntype = MDA_lmtp\n{destination}\n",
    )
    assert rc.accounts[0].settings.get("into") == into
    assert lines(rc) == ([] if into else [(7, "type = MDA_lmtp")])


@pytest.mark.parametrize("kind", ["SimpleIMAPRetriever", "MultidropPOP3Retriever", "MultidropSDPSRetriever"])
def test_what_getmail_pulls_by_other_means_is_told(tmp_path: Path, kind: str) -> None:
    rc = parsed(tmp_path, GETMAIL.replace("SimplePOP3SSLRetriever", kind))
    assert rc.accounts == []
    assert (3, f"type = {kind}") in lines(rc)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('poll a.example user "x y\n', "line 1: a word that fetchmail does not know"),
        ("poll a.example proto pop3\n  user x pass secret secret\n", "line 2: a word that fetchmail does not know"),
        ("poll a.example proto pop3\n  user x ssl port 110\n", "line 2: port is of the server"),
        ("poll\n", "line 1: something is missing"),
        ("poll \n a.example proto", "line 2: something is missing"),
        ("poll a.example port x user b pass c", "line 1: port is no number"),
        ("poll a/b user b pass c", "line 1: this is no POP URL"),
        ("account a\nhost b\nnonsense x\n", "line 3: nonsense is no command of mpop"),
        ("account a : b\n", "line 1: there is no account b above"),
        ("host b\naccount a\n", "line 1: host stands before any account"),
        ("account a\nhost b\nuser c\nport x\n", "line 4: the port is no number"),
        ("[retriever]\nnonsense\n", "line 2: this is no section and no setting"),
        (
            "[retriever]\ntype=SimplePOP3Retriever\nserver=b\nusername=c\npassword_command=rm -rf\n",
            "line 5: this is not",
        ),
        (
            "[retriever]\ntype=SimplePOP3Retriever\nserver=b\nusername=c\nuse_apop=perhaps\n",
            "line 5: use_apop is neither",
        ),
        ("hello\n", "has no account of fetchmail, getmail or mpop"),
        ("", "has no account"),
    ],
)
def test_what_its_own_program_would_not_read_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as problem:
        parsed(tmp_path, text)
    assert problem.value.status == 65
    assert "secret" not in str(problem.value)
    assert str(problem.value).startswith(f"{tmp_path}/rc: ")


def test_a_password_that_no_login_can_carry_is_told(tmp_path: Path) -> None:
    rc = parsed(tmp_path, "poll a.example proto pop3\n user b pass 'c\\n'\n")
    assert rc.accounts[0].password == ""
    assert lines(rc) == [(2, "password")]


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file") as problem:
        read(tmp_path / "rc")
    assert problem.value.status == 66
    (tmp_path / "rc").write_bytes(b"poll \xff")
    with pytest.raises(UsageError, match="is not UTF-8"):
        read(tmp_path / "rc")


def test_accounts_are_taken_over_with_their_passwords_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = tmp_path / "home.toml"
    names = take_over(parsed(tmp_path, MPOP), path)
    assert names == ["joe.smith@free.example", "joey@pop.free.example", "company12345@mail.company.example"]
    assert "se cret" not in path.read_text()
    home = read_home(path)
    assert home.account("joey@pop.free.example").opened()[1].password == "se cret"
    assert home.account("joe.smith@free.example").places.command == "gpg2 --no-tty -q -d ~/.mpop-password.gpg"
    assert (
        home.account("company12345@mail.company.example")
        .into[0]
        .endswith("/Mail/company12345@mail.company.example.mailbox")
    )
    before = path.read_bytes()
    with pytest.raises(UsageError, match="there is such an account"):
        take_over(parsed(tmp_path, MPOP), path)
    assert path.read_bytes() == before


PARSERS = {"fetchmail": (fetchmail.parse, FETCHMAIL), "mpop": (mpop.parse, MPOP), "getmail": (getmail.parse, GETMAIL)}


@pytest.mark.parametrize("name", PARSERS)
@given(st.data())
def test_any_text_is_read_or_told(name: str, data: st.DataObject) -> None:
    parse, sample = PARSERS[name]
    word = st.sampled_from(sample.split(" ")) | st.text(max_size=5) | st.sampled_from(["\n", "=", '"', "no", "\\"])
    text = " ".join(data.draw(st.lists(word, max_size=25)))
    try:
        rc = parse(text)
    except UsageError:
        return
    for account in rc.accounts:
        assert parse_url(format_url(account.source)) == account.source


@pytest.mark.parametrize("name", PARSERS)
@given(st.data())
def test_a_file_that_is_cut_anywhere_is_read_or_told(name: str, data: st.DataObject) -> None:
    parse, sample = PARSERS[name]
    try:
        parse(sample[: data.draw(st.integers(0, len(sample)))])
    except UsageError:
        pass
