"""Programs of the system log in by a token of an identity provider."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from postoffice.testing.certificates import Authority
from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office, open_folder
from postoffice.testing.programs import LETTERS, PASSWORD, PostOffice, Program, unlike
from postoffice.testing.provider import AUDIENCE, Provider

pytestmark = pytest.mark.peer

MECHANISMS = ["OAUTHBEARER", "XOAUTH2"]


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def office(provider: Provider) -> Iterator[PostOffice]:
    names = [f"person{number}@a.example" for number in range(10)]
    issuer, keys = provider.issuer, provider.url("keys")
    config = f"{CLEAR_TEXT}\n[oauth]\nissuer = '{issuer}'\naudience = '{AUDIENCE}'\nkeys = '{keys}'\n"
    with open_folder() as folder:
        authority = Authority(folder)
        make_office(folder / "office", dict.fromkeys(names, PASSWORD), authority)
        with OfficeProcess(folder / "office", config) as process:
            yield PostOffice(process, authority.ca_path, names)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed here")
@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("words", [[], ["--sasl-ir"]], ids=["asked", "at once"])
def test_curl_pulls_and_submits_by_a_token(
    office: PostOffice, provider: Provider, program: Program, mechanism: str, words: list[str]
) -> None:
    address = office.account()
    office.deliver(address, *LETTERS)
    call = (
        *("curl", "-sS", *words, "--ssl-reqd", "--cacert", str(office.ca), "--login-options", f"AUTH={mechanism}"),
        *("--user", f"{address}:", "--oauth2-bearer"),
    )
    token = provider.token(address, filling="x" * 3000)
    url = f"localhost:{office.port('pop3')}/"
    pulled = [program.run(*call, token, f"pop3://{url}{number}").stdout for number in (1, 2, 3)]
    assert unlike(pulled, LETTERS) == []
    assert program.run(*call, provider.token("nobody@a.example"), f"pop3://{url}", fine=(67,)).stdout == b""
    (program.home / "letter").write_bytes(LETTERS[2])
    to = ("--mail-from", address, "--mail-rcpt", address, "--upload-file", program.home / "letter")
    program.run(*call, token, f"smtp://localhost:{office.port('submission')}", *to)
    assert unlike(office.letters(address), (*LETTERS, LETTERS[2])) == []


@pytest.mark.skipif(shutil.which("mpop") is None, reason="mpop is not installed here")
@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_mpop_pulls_by_a_token(office: PostOffice, provider: Provider, mpop: Any, mechanism: str) -> None:
    address = office.account()
    office.deliver(address, *LETTERS)
    _, kept = mpop(office, address, f"auth {mechanism.lower()}\npasswordeval echo {provider.token(address)}")
    assert unlike(kept, LETTERS) == []
