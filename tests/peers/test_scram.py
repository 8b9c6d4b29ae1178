"""Programs of the system that speak SCRAM log in by it, with every way to TLS and without."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from postoffice.testing.programs import LETTERS, PASSWORD, PostOffice, Program, open_post, unlike

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(shutil.which("mpop") is None, reason="mpop is not installed here"),
]


@pytest.fixture(scope="module")
def office() -> Iterator[PostOffice]:
    with open_post(12, scram=True) as post:
        yield post


@pytest.mark.parametrize(
    ("way", "mechanism"),
    [
        ("plain", "on"),
        *((way, mechanism) for way in ("plain", "stls", "implicit") for mechanism in ("scram-sha-1", "scram-sha-256")),
    ],
)
def test_mpop_pulls_by_scram(office: PostOffice, program: Program, way: str, mechanism: str) -> None:
    address = office.account()
    office.deliver(address, *LETTERS)
    maildir = program.home / "Maildir"
    for name in ("cur", "new", "tmp"):
        (maildir / name).mkdir(parents=True)
    tls = {"plain": "tls off", "stls": "tls on\ntls_starttls on", "implicit": "tls on\ntls_starttls off"}[way]
    port = office.port("pop3s" if way == "implicit" else "pop3")
    config = program.home / "mpoprc"
    config.write_text(
        f"defaults\n{tls}\ntls_trust_file {office.ca}\nreceived_header off\nuidls_file {program.home}/uidls\n"
        f"account office\nhost localhost\nport {port}\nuser {address}\nauth {mechanism}\n"
        f"passwordeval echo {PASSWORD}\nkeep off\ndelivery maildir {maildir}\n"
    )
    config.chmod(0o600)
    said = program.run("mpop", "-C", str(config), "-d", "office").stdout
    assert b"--> AUTH SCRAM-SHA-" in said
    assert b"--> USER" not in said
    kept = [file.read_bytes() for file in (maildir / "new").iterdir()]
    assert unlike(kept, LETTERS) == []
    assert office.letters(address) == []
