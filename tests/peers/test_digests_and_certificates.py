"""Programs of the system log in by CRAM-MD5, by APOP and by a certificate."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from postoffice.testing.certificates import Authority
from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office, open_folder
from postoffice.testing.programs import LETTERS, PASSWORD, PostOffice, Program, unlike

pytestmark = pytest.mark.peer

WAYS = ["plain", "stls", "implicit"]


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed here")


@pytest.fixture(scope="module")
def clients() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def office(clients: Authority) -> Iterator[PostOffice]:
    names = [f"person{number}@a.example" for number in range(30)]
    with open_folder() as folder:
        authority = Authority(folder)
        authorities = shutil.copy(clients.ca_path, folder / "clients.pem")
        config = f"{CLEAR_TEXT}cram_md5 = true\n[pop3]\napop = true\n[tls]\nclient_authorities = '{authorities}'\n"
        make_office(folder / "office", dict.fromkeys(names, PASSWORD), authority, clear=True)
        with OfficeProcess(folder / "office", config) as process:
            yield PostOffice(process, authority.ca_path, names)


def way_in(office: PostOffice, clients: Authority, address: str, mechanism: str, folder: Path) -> list[str | Path]:
    """How curl logs in."""
    words: list[str | Path] = ["curl", "-sS", "--cacert", office.ca, "--login-options", f"AUTH={mechanism}"]
    if mechanism != "EXTERNAL":
        return [*words, "--user", f"{address}:{PASSWORD}"]
    certificate, key = clients.issue_to([address], folder)
    return [*words, "--user", f"{address}:", "--cert", certificate, "--key", key]


@needs("curl")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "+APOP", "EXTERNAL"])
def test_curl_pulls(office: PostOffice, clients: Authority, program: Program, way: str, mechanism: str) -> None:
    address = office.account()
    office.deliver(address, *LETTERS)
    call = way_in(office, clients, address, mechanism, program.home)
    scheme, words = ("pop3s", []) if way == "implicit" else ("pop3", ["--ssl-reqd"] if way == "stls" else [])
    url = f"{scheme}://localhost:{office.port(scheme)}/"
    if (way, mechanism) == ("plain", "EXTERNAL"):
        program.run(*call, url, fine=(67,))
        return
    pulled = [program.run(*call, *words, f"{url}{number}").stdout for number in (1, 2, 3)]
    assert unlike(pulled, LETTERS) == []


@needs("curl")
@pytest.mark.parametrize("mechanism", ["CRAM-MD5", "EXTERNAL"])
@pytest.mark.parametrize("door", ["submission", "submissions"])
def test_curl_submits(office: PostOffice, clients: Authority, program: Program, mechanism: str, door: str) -> None:
    address = office.account()
    call = way_in(office, clients, address, mechanism, program.home)
    (program.home / "letter").write_bytes(LETTERS[2])
    scheme, words = ("smtps", []) if door == "submissions" else ("smtp", ["--ssl-reqd"])
    to = ("--mail-from", address, "--mail-rcpt", address, "--upload-file", program.home / "letter")
    program.run(*call, *words, f"{scheme}://localhost:{office.port(door)}", *to)
    assert unlike(office.letters(address), [LETTERS[2]]) == []


@needs("mpop")
@pytest.mark.parametrize("mechanism", ["cram-md5", "apop", "external"])
def test_mpop_pulls(office: PostOffice, clients: Authority, program: Program, mpop: Any, mechanism: str) -> None:
    address = office.account()
    office.deliver(address, *LETTERS)
    certificate, key = clients.issue_to([address], program.home)
    shown = f"tls_cert_file {certificate}\ntls_key_file {key}\n" if mechanism == "external" else ""
    _, kept = mpop(office, address, f"{shown}auth {mechanism}\npasswordeval echo {PASSWORD}")
    assert unlike(kept, LETTERS) == []
    assert office.letters(address) == []


@needs("fetchmail")
@pytest.mark.parametrize("protocol", ["apop", "pop3 auth cram-md5"])
def test_fetchmail_pulls(office: PostOffice, program: Program, protocol: str) -> None:
    address = office.account()
    office.deliver(address, *LETTERS)
    name, _, more = protocol.partition(" ")
    (program.home / "new").mkdir()
    deliver = program.home / "deliver"
    deliver.write_text(f'#!/bin/sh\nexec cat > "{program.home}/new/$$"\n')
    deliver.chmod(0o700)
    config = program.home / "fetchmailrc"
    config.write_text(
        f"set invisible\npoll localhost service {office.port('pop3s')} protocol {name} uidl no dns {more}\n"
        f"user '{address}' password '{PASSWORD}' ssl sslcertck sslcertfile {office.ca}\n"
        f"nokeep no rewrite no mimedecode mda '{deliver}'\n"
    )
    config.chmod(0o700)
    words = ("fetchmail", "-f", str(config), "-i", str(program.home / "ids"), "--pidfile", str(program.home / "pid"))
    program.run(*words, "--nosyslog", "-v")
    assert unlike([file.read_bytes() for file in (program.home / "new").iterdir()], LETTERS) == []
    assert office.letters(address) == []
