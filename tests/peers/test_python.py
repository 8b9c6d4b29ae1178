"""Python's own smtplib and poplib send through an office and pull from it."""

from __future__ import annotations

import poplib
import smtplib
import ssl
from collections.abc import Callable
from contextlib import closing

import pytest

from postoffice.testing.programs import LETTERS, PASSWORD, PostOffice, unlike

OpenSmtp = Callable[[int, ssl.SSLContext], smtplib.SMTP]
OpenPop3 = Callable[[int, ssl.SSLContext], poplib.POP3]


def _plain(port: int, _: ssl.SSLContext) -> smtplib.SMTP:
    return smtplib.SMTP("localhost", port)


def _starttls(port: int, context: ssl.SSLContext) -> smtplib.SMTP:
    client = smtplib.SMTP("localhost", port)
    client.starttls(context=context)
    return client


def _implicit(port: int, context: ssl.SSLContext) -> smtplib.SMTP:
    return smtplib.SMTP_SSL("localhost", port, context=context)


@pytest.mark.parametrize(
    ("door", "connect"), [("submission", _plain), ("submission", _starttls), ("submissions", _implicit)]
)
def test_smtplib_submits_what_comes_out_unchanged(post: PostOffice, door: str, connect: OpenSmtp) -> None:
    sender, recipient = post.account(), post.account()
    with connect(post.port(door), ssl.create_default_context(cafile=post.ca)) as client:
        client.login(sender, PASSWORD)
        for letter in LETTERS:
            assert client.sendmail(sender, [recipient], letter) == {}
    assert unlike(post.letters(recipient), LETTERS) == []


def _pop_plain(port: int, _: ssl.SSLContext) -> poplib.POP3:
    return poplib.POP3("localhost", port)


def _stls(port: int, context: ssl.SSLContext) -> poplib.POP3:
    client = poplib.POP3("localhost", port)
    client.stls(context)
    return client


def _pop_implicit(port: int, context: ssl.SSLContext) -> poplib.POP3:
    return poplib.POP3_SSL("localhost", port, context=context)


@pytest.mark.parametrize(("door", "connect"), [("pop3", _pop_plain), ("pop3", _stls), ("pop3s", _pop_implicit)])
def test_poplib_pulls_and_removes_what_was_sent(post: PostOffice, door: str, connect: OpenPop3) -> None:
    address = post.account()
    post.deliver(address, *LETTERS)
    context = ssl.create_default_context(cafile=post.ca)
    with closing(connect(post.port(door), context)) as client:
        client.user(address)
        client.pass_(PASSWORD)
        count, octets = client.stat()
        assert count == len(LETTERS)
        total = 0
        for number, letter in enumerate(LETTERS, 1):
            _, lines, _ = client.retr(number)
            out = b"".join(line + b"\r\n" for line in lines)
            assert out.endswith(letter)
            total += len(out)
            client.dele(number)
        assert octets == total
        client.quit()
    with closing(connect(post.port(door), context)) as client:
        client.user(address)
        client.pass_(PASSWORD)
        assert client.stat() == (0, 0)
        client.quit()
