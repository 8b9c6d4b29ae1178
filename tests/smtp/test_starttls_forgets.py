"""What was agreed before STARTTLS is forgotten with it, and who logged in is nobody again (RFC 3207 §4.2)."""

from __future__ import annotations

import asyncio
import ipaddress
import smtplib
import ssl

import pytest

from postoffice.accounts.login import LoginSettings
from postoffice.app.config import Config
from postoffice.store.base import Store
from postoffice.testing.office import TestOffice, run_office

CLEAR_TEXT = Config(login=LoginSettings(clear_text_networks=(ipaddress.ip_network("127.0.0.0/8"),)))


def replies_behind_tls(office: TestOffice) -> list[int]:
    """The codes of a letter begun behind STARTTLS by a client who logged in before it and not again."""
    with smtplib.SMTP("localhost", office.port("submission")) as client:
        client.login("alice@a.example", "correct horse")
        client.starttls(context=ssl.create_default_context(cafile=office.certificate))
        client.ehlo()
        assert client.has_extn("auth")
        return [client.mail("alice@a.example")[0], client.rcpt("alice@a.example")[0]]


@pytest.mark.parametrize("store", ["embedded"], indirect=True)
async def test_a_login_before_starttls_is_worth_nothing_behind_it(store: Store) -> None:
    people = {"alice@a.example": "correct horse"}
    async with run_office(store, "a.example", people=people, config=CLEAR_TEXT) as office:
        assert await asyncio.to_thread(replies_behind_tls, office) == [530, 503]
