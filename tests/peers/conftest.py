"""One office for all programs; every test lives in accounts of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from postoffice.testing.programs import PostOffice, Program, open_post

MPOP_TLS = {"plain": "tls off", "stls": "tls on\ntls_starttls on", "implicit": "tls on\ntls_starttls off"}
Mpop = Callable[..., tuple[bytes, list[bytes]]]


@pytest.fixture(scope="session")
def post() -> Iterator[PostOffice]:
    with open_post() as post:
        yield post


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.fixture
def mpop(program: Program) -> Mpop:
    """Pulls everything by mpop, and leaves nothing at the office; gives what it said, and the letters."""

    def pull(office: PostOffice, address: str, login: str, way: str = "implicit") -> tuple[bytes, list[bytes]]:
        maildir = program.home / "Maildir"
        for name in ("cur", "new", "tmp"):
            (maildir / name).mkdir(parents=True)
        config = program.home / "mpoprc"
        port = office.port("pop3s" if way == "implicit" else "pop3")
        config.write_text(
            f"defaults\n{MPOP_TLS[way]}\ntls_trust_file {office.ca}\nreceived_header off\n"
            f"uidls_file {program.home}/uidls\naccount office\nhost localhost\nport {port}\n"
            f"user {address}\n{login}\nkeep off\ndelivery maildir {maildir}\n"
        )
        config.chmod(0o600)
        said = program.run("mpop", "-C", str(config), "-d", "office").stdout
        return said, [file.read_bytes() for file in (maildir / "new").iterdir()]

    return pull
