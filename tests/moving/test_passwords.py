"""`import passwords`: other servers' files are understood, what is not is named, nobody's new password is lost."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from postoffice.moving.letters import Complaint
from postoffice.moving.passwd import Entry, entries
from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office, open_folder
from postoffice.testing.raw import Pop3Raw

SHA512 = "$6$rounds=1000$ab$PjG1Vkf5LHNL84dByLtuSYjVz6Hy575FC7tz8wX4DtJ2WMsZQu0/miZCNEiAa8uwa8QG5xPQJgcyUioQ0Ac/G/"
MD5 = "$1$ab$e2KlfqG5YBMTjSz7XF.Eu1"
"""Both of the password x."""

BOB, CAROL, DAN = "bob@b.example", "carol@b.example", "dan@c.example"


def read(text: str, domain: str = "b.example") -> list[Entry | Complaint]:
    return list(entries(Path("users"), text.encode(), domain))


@pytest.mark.parametrize(
    ("line", "address", "kept"),
    [
        ("bob:{SSHA}abc=:1000:1000::/home/bob::userdb_quota_rule=*:storage=1G", BOB, "{SSHA}abc="),
        ("BOB@b.example:$6$salt$hash", BOB, "$6$salt$hash"),
        ("bob:$6$salt$hash:19700:0:99999:7:::", BOB, "$6$salt$hash"),
        (f"{DAN} $6$salt$hash", DAN, "$6$salt$hash"),
        ("bob \t {PLAIN}a: b", BOB, "{PLAIN}a: b"),
        ("bob@bücher.example {PLAIN}a", "bob@xn--bcher-kva.example", "{PLAIN}a"),
    ],
)
def test_a_line_of_any_kind_is_understood(line: str, address: str, kept: str) -> None:
    assert read(f"# users\n\n{line}\r\n") == [Entry("users:3", address, kept)]


@pytest.mark.parametrize(
    ("text", "what", "loses"),
    [
        ("bob:!$6$salt$hash:1:::::", "bob is locked there, or has no password", False),
        ("bob:*:1:::::", "bob is locked there, or has no password", False),
        ("bob:x:1000:1000::/home/bob:/bin/sh", "bob is locked there, or has no password", False),
        ("bob::1000:1000", "bob is locked there, or has no password", False),
        ("bob", "this line is no name with a hash behind it", True),
        (":x", "this line is no name with a hash behind it", True),
        ("a..b@b.example:x1", "a..b@b.example: The address is not written as RFC 5321 wants it", True),
        ("bob@-:x1", "bob@-: This domain name cannot exist", True),
    ],
)
def test_what_a_line_lacks_is_said(text: str, what: str, loses: bool) -> None:
    assert read(text) == [Complaint("users:1", what, loses)]


def test_a_name_needs_a_domain_and_stands_in_one_line() -> None:
    assert read("bob:x1", domain="") == [Complaint("users:1", "bob has no domain; name one with --domain", loses=True)]
    assert read("bob:x1\nBob@b.example:x2")[1] == Complaint("users:2", f"{BOB} stands in users:1 already", loses=True)
    assert list(entries(Path("users"), b"b\xfcb:x1\n")) == [Complaint("users:1", "this line is not UTF-8", loses=True)]


def test_no_hash_is_shown_by_accident() -> None:
    assert SHA512 not in repr(read(f"bob:{SHA512}"))


# --- the command


@pytest.fixture
def folder() -> Iterator[Path]:
    with open_folder() as folder:
        yield folder


@pytest.fixture
def data(folder: Path) -> Path:
    make_office(folder / "office", {BOB: "set here"})
    return folder / "office"


def postoffice(data: Path, *words: str | Path, given: str = "") -> tuple[int, str, str]:
    call = [sys.executable, "-W", "error", "-m", "postoffice", *map(str, words), "--data", str(data)]
    done = subprocess.run(call, input=given, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def how(data: Path, address: str) -> str:
    """How an account's own password is kept, as `device list` tells it."""
    return postoffice(data, "device", "list", address)[1].splitlines()[1].split("  ")[1]


def test_hashes_come_in_and_what_is_wrong_is_named_by_file_and_line(data: Path, folder: Path) -> None:
    users = folder / "users"
    users.write_text(
        f"carol:{SHA512}:1000:1000\n"
        f"bob:{MD5}\n"
        "locked:!\n"
        "eve:{OTP}sha1 1024\n"
        f"{DAN} {{MD5-CRYPT}}{MD5}\n"
        "late:$6$rounds=999999999$ab$" + "x" * 86 + "\n"
    )
    words = ("import", "passwords", users, "--domain", "b.example")
    assert postoffice(data, *words)[0] == 65
    assert postoffice(data, "account", "list")[1] == f"{BOB}\n", "nobody is made unasked"
    status, out, said = postoffice(data, *words, "--add")
    assert (status, out) == (
        65,
        "2 passwords taken; 2 accounts added; 1 kept, because they were set here; 1 locked; 2 not taken\n",
    )
    assert said.splitlines() == [
        f"postoffice: {users}:3: locked is locked there, or has no password",
        f"postoffice: {users}:4: eve@b.example: OTP is no scheme that is known here",
        f"postoffice: {users}:6: late@b.example: to check it would take too long: 999999999 rounds;"
        " at most 1000000 are taken",
        "postoffice: 2 lines gave no password; mend that and run it again",
    ]
    assert how(data, CAROL) == "imported (SHA512-CRYPT)"
    assert how(data, DAN) == "imported (MD5-CRYPT)"
    assert how(data, BOB) == "own"


def test_a_domain_of_nobody_is_not_added(data: Path) -> None:
    given = f"{DAN} {{OTP}}x\neve@e.example {MD5}\nfay@e.example {MD5}\n"
    assert postoffice(data, "import", "passwords", "-", "--add", given=given)[0] == 65
    assert postoffice(data, "domain", "list")[1] == "b.example\ne.example\n"


def test_run_again_it_takes_what_changed_there_and_leaves_what_was_set_here(data: Path) -> None:
    words = ("import", "passwords", "-", "--add")
    assert postoffice(data, *words, given=f"{CAROL}:{MD5}\n")[1] == "1 passwords taken; 1 accounts added\n"
    assert postoffice(data, *words, given=f"{CAROL}:{MD5}\n")[1] == "0 passwords taken; 1 already had\n"
    assert postoffice(data, *words, given=f"{CAROL}:{SHA512}\n")[1] == "1 passwords taken\n"
    assert how(data, CAROL) == "imported (SHA512-CRYPT)"
    status, out, _ = postoffice(data, *words, given=f"{BOB}:{MD5}\n")
    assert (status, out) == (0, "0 passwords taken; 1 kept, because they were set here\n")
    assert postoffice(data, *words, "--replace", given=f"{BOB}:{MD5}\n")[1] == "1 passwords taken\n"
    assert how(data, BOB) == "imported (MD5-CRYPT)"


def test_many_come_in_a_moment(data: Path) -> None:
    given = "".join(f"user{number}@b.example {MD5}\n" for number in range(1000))
    assert postoffice(data, "import", "passwords", "-", "--add", given=given)[1] == (
        "1000 passwords taken; 1000 accounts added\n"
    )


def test_one_hash_is_given_to_one_account(data: Path) -> None:
    words = ("account", "password", BOB, "--hash-stdin")
    status, out, said = postoffice(data, *words, given=f"{{CRYPT}}{MD5}\n")
    assert (status, out, said) == (0, f"{BOB} has the password of another server\n", "")
    assert how(data, BOB) == "imported (MD5-CRYPT)"
    for given, more, status, said in (
        ("{OTP}x\n", (), 65, "standard input: OTP is no scheme that is known here"),
        (f"{MD5}\n", ("--scram",), 64, "--hash-stdin alone says what is kept: no other option can"),
        ("\n", (), 64, "the password is empty"),
    ):
        assert postoffice(data, *words, *more, given=given) == (status, "", f"postoffice: {said}\n")


def test_a_file_that_is_not_there_is_said(data: Path, folder: Path) -> None:
    status, out, said = postoffice(data, "import", "passwords", folder / "none")
    assert (status, out, said) == (
        66,
        "",
        f"postoffice: {folder / 'none'}: cannot be read: No such file or directory\n",
    )


def doveadm_pw(scheme: str, password: str) -> str:
    words = ["doveadm", "pw", "-s", scheme, "-p", password]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("doveadm") is None, reason="dovecot-core is not installed")
def test_a_passwd_file_of_doveadm_opens_a_running_office_and_no_hash_is_in_its_log(data: Path, folder: Path) -> None:
    schemes = ("SHA512-CRYPT", "BLF-CRYPT", "SSHA256", "ARGON2ID", "PBKDF2", "SCRAM-SHA-256", "DES-CRYPT", "PLAIN")
    lines = [f"{scheme}:{doveadm_pw(scheme, 'pässword')}\n" for scheme in schemes]
    (folder / "users").write_text("".join(lines))
    with OfficeProcess(data, CLEAR_TEXT) as office:
        words = ("import", "passwords", folder / "users", "--domain", "b.example", "--add")
        assert postoffice(data, *words) == (0, "8 passwords taken; 8 accounts added\n", "")
        for _ in range(2):
            for scheme in schemes:
                with Pop3Raw(office.ports["pop3"]) as client:
                    assert client.log_in(scheme, "pässword").startswith(b"+OK"), scheme
        replaced = [facts["scheme"] for facts in office.events() if facts["event"] == "password.replaced"]
        assert replaced == [scheme for scheme in schemes if scheme != "PLAIN"]
        for scheme in schemes:
            assert how(data, f"{scheme}@b.example") == "own"
        log = office.log.read_text()
    assert not [line for line in lines if line.partition("}")[2].strip() in log]
