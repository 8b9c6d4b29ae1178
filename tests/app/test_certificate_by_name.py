"""An office with several certificates: each door shows the one for the name that a client says."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from postoffice.app.config import Config, TlsSettings
from postoffice.net.self_signed import make_self_signed
from postoffice.net.tls import end_point, opportunistic_context
from postoffice.net.tls_server import Pair
from postoffice.protocols.sasl import client as sasl
from postoffice.protocols.sasl.server import Channel, Claim
from postoffice.store.memory import MemoryStore
from postoffice.testing.certificates import Authority
from postoffice.testing.office import TestOffice, run_office
from postoffice.testing.process import OfficeProcess, make_office, wait_until
from postoffice.testing.raw import Pop3Raw, RawClient, SmtpRaw

BOB, SECRET = "bob@b.example", "secret"
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
ASKS = {"pop3": "STLS", "smtp": "STARTTLS", "submission": "STARTTLS", "lmtp": "STARTTLS"}
"""How TLS begins at the doors that begin without."""


@dataclass(frozen=True, slots=True)
class Several:
    """An office with three certificates: its own, and by two authorities those for `c.example` and `*.d.example`."""

    office: TestOffice
    c: Path
    d: Path
    more: tuple[Pair, ...]

    async def names_shown(self, door: str, name: str, context: ssl.SSLContext) -> list[str]:
        """The names of the certificate that the door shows to who trusts `context`'s authority and says `name`."""
        return await asyncio.to_thread(_names, self.office.port(door), door, name, context)


@pytest.fixture
async def several(tmp_path: Path) -> AsyncIterator[Several]:
    c, d = Authority(), Authority()
    pairs = []
    for authority, names in ((c, ["c.example", "pop.c.example"]), (d, ["*.d.example"])):
        folder = tmp_path / names[0].replace("*", "any")
        folder.mkdir()
        pairs.append(Pair(*authority.issue(names, folder)))
    config = Config(tls=TlsSettings(more=tuple(pairs)))
    async with run_office(MemoryStore(), "b.example", people={BOB: SECRET}, scram=True, config=config) as office:
        yield Several(office, c.ca_path, d.ca_path, tuple(pairs))


def trusting(authority: Path, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority)
    context.maximum_version = version
    return context


def _at(port: int, door: str, name: str, context: ssl.SSLContext) -> RawClient:
    """A client at a door that speaks TLS with it."""
    if door.endswith("s"):
        return (Pop3Raw if door == "pop3s" else SmtpRaw)(port, context, name=name)
    client: RawClient
    if door == "pop3":
        client = Pop3Raw(port, name=name)
        assert client.ask(ASKS[door]).startswith(b"+OK")
    else:
        client = SmtpRaw(port, name=name)
        assert client.ask("LHLO x.example" if door == "lmtp" else "EHLO x.example") == 250
        assert client.ask(ASKS[door]) == 220
    client.begin_tls(context)
    return client


def _names(port: int, door: str, name: str, context: ssl.SSLContext) -> list[str]:
    with _at(port, door, name, context) as client:
        assert client.tls is not None
        shown = client.tls.getpeercert(binary_form=True)
        assert shown
        found = x509.load_der_x509_certificate(shown).extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return found.value.get_values_for_type(x509.DNSName)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("door", ["pop3s", "submissions", *ASKS])
async def test_every_door_shows_what_is_for_the_name(several: Several, door: str, version: ssl.TLSVersion) -> None:
    for authority, name, names in (
        (several.office.certificate, "b.example", ["b.example", "localhost"]),
        (several.c, "pop.c.example", ["c.example", "pop.c.example"]),
        (several.d, "imap.d.example", ["*.d.example"]),
    ):
        assert await several.names_shown(door, name, trusting(authority, version)) == names
    stranger = trusting(several.office.certificate, version)
    stranger.check_hostname = False
    assert (await several.names_shown(door, "elsewhere.example", stranger))[0] == "b.example"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["b.example", "c.example", "pop.d.example", "elsewhere.example"])
async def test_a_login_is_bound_to_the_certificate_that_was_shown(
    several: Several, name: str, version: ssl.TLSVersion
) -> None:
    context = opportunistic_context()
    context.maximum_version = version

    def bound(which: Callable[[RawClient], bytes]) -> bytes:
        with Pop3Raw(several.office.port("pop3s"), context, name=name) as client:
            exchange = sasl.begin(b"SCRAM-SHA-256-PLUS", Claim("", BOB, SECRET), Channel(which(client)))
            client.say(b"AUTH SCRAM-SHA-256-PLUS " + (exchange.initial or b"") + b"\r\n")
            while (line := client.line()).startswith(b"+ "):
                client.say(exchange.step(line[2:]) + b"\r\n")
            return line

    def own(client: RawClient) -> bytes:
        assert client.tls is not None
        return end_point(client.tls)

    def of_another() -> bytes:
        other = "c.example" if name != "c.example" else "b.example"
        with Pop3Raw(several.office.port("pop3s"), context, name=other) as client:
            return own(client)

    right = await asyncio.to_thread(bound, own)
    assert right.startswith(b"+OK bob@b.example")
    wrong = await asyncio.to_thread(bound, lambda _: of_another())
    assert wrong == b"-ERR SCRAM: channel-bindings-dont-match"


async def test_a_reload_reads_all_and_one_wrong_file_changes_none(several: Several) -> None:
    fresh = Authority()
    fresh.issue(["c.example"], several.more[0].certificate.parent)
    whole = several.more[1].certificate.read_bytes()
    several.more[1].certificate.write_text("nothing")
    with pytest.raises(Exception, match=str(several.more[1].certificate)):
        several.office.open_office.reload()
    assert await several.names_shown("pop3s", "c.example", trusting(several.c))
    several.more[1].certificate.write_bytes(whole)
    several.office.open_office.reload()
    assert await several.names_shown("pop3s", "c.example", trusting(fresh.ca_path)) == ["c.example"]
    assert await several.names_shown("smtp", "x.d.example", trusting(several.d)) == ["*.d.example"]


# --- as a person runs it


def settings(folder: Path) -> str:
    """Of an office with a second certificate, for `c.example`, beside it."""
    (folder / "c").mkdir(mode=0o755)
    for path in make_self_signed(folder / "c", ["c.example"]):
        path.chmod(0o644)  # whoever the office becomes must be able to read it
    return f'[[tls.more]]\ncertificate = "{folder}/c/certificate.pem"\nkey = "{folder}/c/key.pem"\n'


def test_serve_shows_it_and_sighup_names_the_file_that_is_wrong_and_changes_nothing(folder: Path) -> None:
    make_office(folder / "office", {BOB: SECRET})
    config = settings(folder)
    trust = ssl.create_default_context(cafile=folder / "c/certificate.pem")
    with OfficeProcess(folder / "office", config, ["--workers", "1"]) as office:
        Pop3Raw(office.ports["pop3s"], trust, name="c.example").close()
        (folder / "c/key.pem").write_text("nothing")
        office.signal(signal.SIGHUP)
        wait_until(lambda: "tls.reload_failed" in office.log.read_text(), "the trouble is told")
        assert f"{folder}/c/key.pem" in office.log.read_text()
        Pop3Raw(office.ports["pop3s"], trust, name="c.example").close()


@pytest.mark.parametrize("name", [b"\xff" * 9, b"a.\0.examp", b"*" * 9, b"." * 9])
def test_a_name_that_is_none_harms_nobody_and_makes_no_noise(folder: Path, name: bytes) -> None:
    make_office(folder / "office", {BOB: SECRET})
    with OfficeProcess(folder / "office", settings(folder), ["--workers", "1"]) as office:
        with socket.create_connection(("127.0.0.1", office.ports["pop3s"]), timeout=20) as stranger:
            stranger.sendall(_hello_with(name))
            assert stranger.recv(1) in (b"", b"\x15", b"\x16"), "nothing, an alert of TLS, or its next step"
        Pop3Raw(office.ports["pop3s"], opportunistic_context(), name="c.example").close()
        assert "Traceback" not in office.log.read_text()


def _hello_with(name: bytes) -> bytes:
    """The first octets of a client that says a name that no library would say."""
    said, heard = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = opportunistic_context().wrap_bio(heard, said, server_hostname="x.example")
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return said.read().replace(b"x.example", name)


@pytest.mark.parametrize("wrong", ["certificate.pem", "key.pem"])
def test_serve_does_not_begin_with_a_wrong_file_and_names_it(folder: Path, wrong: str) -> None:
    make_office(folder / "office", {BOB: SECRET})
    config = settings(folder)
    (folder / "c" / wrong).write_text("nothing")
    office = OfficeProcess(folder / "office", config)
    status = office.launch().wait(30)
    office.kill()
    assert status == os.EX_CONFIG
    assert f"{folder}/c/{wrong}" in office.log.read_text()
