"""Whoever is refused stands in the log with the reason: senders ask about it, guards against guessers read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office, open_folder, wait_until
from postoffice.testing.raw import Pop3Raw, SmtpRaw

BOB, PASSWORD = "bob@a.example", "secret"


@pytest.fixture(scope="module")
def office() -> Iterator[OfficeProcess]:
    with open_folder() as folder:
        make_office(folder / "office", {BOB: PASSWORD})
        with OfficeProcess(folder / "office", CLEAR_TEXT, ["--workers", "1"]) as office:
            yield office


def told(office: OfficeProcess, **facts: str) -> dict[str, Any]:
    """The event with these facts, as soon as it is in the log."""

    def found() -> list[dict[str, Any]]:
        return [event for event in office.events() if facts.items() <= event.items()]

    wait_until(lambda: bool(found()), f"the log has {facts}")
    return found()[0]


@pytest.mark.parametrize(
    ("address", "reply"),
    [("nobody@a.example", "5.1.1 No such mailbox here"), ("x@elsewhere.example", "5.7.1 We do not relay")],
)
def test_a_recipient_who_is_refused(office: OfficeProcess, address: str, reply: str) -> None:
    with SmtpRaw(office.ports["smtp"]) as client:
        client.ask("EHLO x.example")
        assert client.ask("MAIL FROM:<y@elsewhere.example>") == 250
        assert client.ask(f"RCPT TO:<{address}>") == 550
    event = told(office, event="smtp.refused", path=f"<{address}>")
    assert event["reply"].startswith(reply)
    assert (event["door"], event["command"], event["peer"]) == ("smtp", "RCPT", "127.0.0.1")


def test_a_letter_with_bare_line_ends(office: OfficeProcess) -> None:
    with SmtpRaw(office.ports["smtp"]) as client:
        client.ask("EHLO x.example")
        assert client.send("y@elsewhere.example", [BOB], b"Subject: x\n\r\n\r\nx\r\n") == 554
    assert "bare CR or LF" in told(office, event="smtp.refused", command="DATA")["reply"]


def test_a_login_with_a_wrong_password_and_from_where_but_not_the_password(office: OfficeProcess) -> None:
    with SmtpRaw(office.ports["submission"]) as client:
        client.ask("EHLO x.example")
        assert client.log_in(BOB, "guessed-1") == 535
    with Pop3Raw(office.ports["pop3"]) as reader:
        assert reader.log_in(BOB, "guessed-2").startswith(b"-ERR [AUTH]")
    for name in ("smtp.refused", "pop3.refused"):
        event = told(office, event=name, peer="127.0.0.1", reply="5.7.8 user name or password is wrong")
        assert event["command"] in ("AUTH", "PASS")
    assert "guessed" not in office.log.read_text()
