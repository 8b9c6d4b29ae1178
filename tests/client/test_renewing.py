"""A token that ends in the middle of a pull is renewed, and the pull goes on: every letter comes home once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from postoffice.accounts.oauth import OAuthSettings
from postoffice.app.config import Config
from postoffice.client.authorization import Grant
from postoffice.client.collect import Options, Report, collect
from postoffice.client.purse import Purse, Token, renewing
from postoffice.client.url import Source
from postoffice.errors import Disconnected, Refused
from postoffice.events import listen
from postoffice.net.tls import client_context
from postoffice.store.base import Mailbox
from postoffice.store.memory import MemoryMailbox, MemoryStore
from postoffice.testing.granting import REGISTERED, REGISTERED_SECRET
from postoffice.testing.office import TestOffice, run_office
from postoffice.testing.provider import AUDIENCE, Provider

BOB = "bob@b.example"
LETTERS = [b"Subject: %d\r\n\r\n" % number + b"x\r\n" * 200 for number in range(60)]
Read = Callable[[Mailbox], Awaitable[list[bytes]]]
Deliver = Callable[..., Awaitable[None]]


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture
async def office(provider: Provider) -> AsyncIterator[TestOffice]:
    config = Config(oauth=OAuthSettings(provider.issuer, AUDIENCE, provider.url("keys")))
    async with run_office(MemoryStore(), "b.example", people={BOB: "secret"}, config=config) as opened:
        yield opened


class Desk:
    """A purse with one login in it, whose clock can be set, and pulls from the office."""

    def __init__(self, office: TestOffice, provider: Provider, folder: Path) -> None:
        self.now = 1000.0
        self.home = MemoryMailbox()
        self.purse = Purse(folder / "purse", lambda: self.now)
        given = provider.granting.begin(BOB)[1]
        urls = (provider.url("token"), provider.url("revoke"))
        secrets = (REGISTERED, REGISTERED_SECRET, "mail", given["access_token"], given["refresh_token"])
        self.purse.keep(Grant(BOB, provider.issuer, *urls, "XOAUTH2", (), *secrets, self.now + 600))
        self._source = Source("127.0.0.1", office.port("pop3s"), BOB, implicit_tls=True, mechanism="XOAUTH2")
        self._tls = client_context(office.certificate)

    async def pull(self, password: str | None = None, retries: int = 3) -> Report:
        token = self.purse.token(BOB) if password is None else password
        options = Options(token, self._tls, window_letters=10, batch_letters=10, retries=retries)
        return await renewing(self.purse, BOB, options, lambda options: collect(self._source, self.home, options))


async def test_a_pull_that_is_cut_after_its_token_ended_goes_on_with_a_new_one(
    office: TestOffice, provider: Provider, deliver: Deliver, letters_of: Read, tmp_path: Path
) -> None:
    await deliver(*LETTERS)
    desk, cuts = Desk(office, provider, tmp_path), 0

    def end(name: str, _: object) -> None:
        nonlocal cuts
        if name == "home.kept" and not cuts:
            cuts += 1
            desk.now += 3600
            office.open_office.cut()

    stop = listen(end)
    report = await desk.pull()
    stop()
    assert cuts == 1
    assert (report.known, report.letters, report.sessions) == (0, len(LETTERS), 2)
    assert await letters_of(desk.home) == LETTERS
    assert provider.asked["token"] == 1


async def test_a_pull_that_is_cut_while_its_token_is_good_renews_nothing(
    office: TestOffice, provider: Provider, deliver: Deliver, tmp_path: Path
) -> None:
    await deliver(*LETTERS)
    desk = Desk(office, provider, tmp_path)
    stop = listen(lambda name, _: office.open_office.cut() if name == "home.listed" else None)
    with pytest.raises(Disconnected):
        await desk.pull(retries=0)
    stop()
    assert "token" not in provider.asked


async def test_an_office_that_takes_no_token_of_his_is_asked_twice_and_no_more(
    office: TestOffice, provider: Provider, tmp_path: Path
) -> None:
    desk = Desk(office, provider, tmp_path)
    provider.change_key()
    provider.granting.issue = lambda _: provider.token("nobody@b.example")
    refused: list[str] = []
    stop = listen(lambda name, _: refused.append(name) if name == "login.failed" else None)
    with pytest.raises(Refused, match="refused the login"):
        await desk.pull(Token(provider.token("nobody@b.example")))
    stop()
    assert len(refused) == 2


async def test_a_password_that_is_refused_touches_no_login(
    office: TestOffice, provider: Provider, tmp_path: Path
) -> None:
    with pytest.raises(Refused):
        await Desk(office, provider, tmp_path).pull("not.a.token")
    assert "token" not in provider.asked
