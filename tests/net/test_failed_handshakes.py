"""A TLS handshake that fails ends the connection, at every door, however it fails (RFC 2595 §4, RFC 3207 §4.1)."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress

import pytest

from postoffice.testing.process import OfficeProcess, make_office, open_folder
from postoffice.testing.raw import RawClient

STARTTLS = {"pop3": b"STLS\r\n", "smtp": b"STARTTLS\r\n", "submission": b"STARTTLS\r\n", "lmtp": b"STARTTLS\r\n"}
DOORS = [*STARTTLS, "pop3s", "submissions"]
IN_CLEAR = b"CAPA\r\nEHLO x.example\r\nLHLO x.example\r\nQUIT\r\n"


@pytest.fixture(scope="module")
def office() -> Iterator[OfficeProcess]:
    with open_folder() as folder:
        make_office(folder / "office", {"bob@a.example": "secret"})
        with OfficeProcess(folder / "office", "", ["--workers", "1"]) as office:
            yield office


class Client(RawClient):
    """Somebody for whom the door waits with a handshake."""

    def __init__(self, office: OfficeProcess, door: str) -> None:
        super().__init__(office.ports[door])
        if door in STARTTLS:
            self.line()
            if door != "pop3":
                self.say(b"LHLO x.example\r\n" if door == "lmtp" else b"EHLO x.example\r\n")
                while self.line()[3:4] == b"-":
                    pass
            self.say(STARTTLS[door])
            assert self.line().startswith((b"+OK", b"220"))

    def everything(self) -> bytes:
        """What the office says from here to the end, which it makes."""
        heard = b""
        with suppress(ConnectionResetError):
            while octets := self._socket.recv(4096):
                heard += octets
        return heard

    def shake_hands(self, context: ssl.SSLContext) -> None:
        self.begin_tls(context)


@pytest.mark.parametrize("door", DOORS)
def test_clear_words_instead_of_a_handshake_are_not_answered(office: OfficeProcess, door: str) -> None:
    with Client(office, door) as client:
        client.say(IN_CLEAR)
        heard = client.everything()
        assert b"+OK" not in heard
        assert b"250" not in heard
        assert b"221" not in heard
        assert heard[:1] in (b"", b"\x15"), "an alert of TLS or nothing"


@pytest.mark.parametrize("door", DOORS)
def test_a_client_that_does_not_believe_us_is_left(office: OfficeProcess, door: str) -> None:
    with Client(office, door) as client:
        descriptor = client._socket.dup()
        with descriptor:
            with pytest.raises(ssl.SSLCertVerificationError):
                client.shake_hands(ssl.create_default_context())
            with suppress(ConnectionError):
                descriptor.sendall(IN_CLEAR)
            descriptor.settimeout(20)
            with suppress(ConnectionResetError):
                while octets := descriptor.recv(4096):
                    assert octets[:1] in b"\x14\x15\x16\x17", "records of TLS, and no word in clear"


@pytest.mark.parametrize("door", DOORS)
def test_an_old_version_is_refused(office: OfficeProcess, door: str) -> None:
    """RFC 8996: nothing below TLS 1.2. A ClientHello of TLS 1.0, as of a client that knows no better."""
    hello = bytes.fromhex("0301") + bytes(32) + b"\0" + bytes.fromhex("0004c009c00a") + b"\1\0"
    body = b"\1" + len(hello).to_bytes(3, "big") + hello
    with Client(office, door) as client:
        client.say(bytes.fromhex("160301") + len(body).to_bytes(2, "big") + body)
        heard = client.everything()
        assert heard[:1] in (b"", b"\x15")
        assert b"+OK" not in heard


@pytest.mark.parametrize("door", DOORS)
def test_who_leaves_in_the_middle_of_it_harms_nobody(office: OfficeProcess, door: str) -> None:
    with Client(office, door) as client:
        client.say(bytes.fromhex("1603010200010001fc0303"))
        client._socket.shutdown(socket.SHUT_WR)
        assert client.everything()[:1] in (b"", b"\x15")
    trust = ssl.create_default_context(cafile=None)
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    with Client(office, door) as client:
        client.shake_hands(trust)
        client.say(b"QUIT\r\n")
        assert client.rest().startswith((b"+OK", b"220", b"221"))
