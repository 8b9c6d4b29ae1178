"""No secret ever stands in the log or in a trace: a login by every mechanism, right, wrong and malformed."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from postoffice.net import tls
from postoffice.net.tls import client_context
from postoffice.net.tls_server import server_context
from postoffice.protocols.sasl import client as sasl
from postoffice.protocols.sasl import digest
from postoffice.protocols.sasl.server import BEARER, EXTERNAL, Channel, Claim
from postoffice.testing.certificates import Authority
from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office
from postoffice.testing.provider import AUDIENCE, Provider
from postoffice.testing.raw import Pop3Raw, RawClient, SmtpRaw

BOB = "bob@a.example"
RIGHT, WRONG = "Vườn-chuối-17", "gessed-wrong-42"


@dataclass
class Scene:
    """An office that takes every mechanism, and everything that was said to it and is nobody's business."""

    office: OfficeProcess
    authority: Authority
    pair: tuple[Path, Path]
    provider: Provider
    secrets: set[bytes] = field(default_factory=set)

    def token(self, *, is_right: bool) -> str:
        token = self.provider.token(BOB if is_right else "nobody@a.example")
        self.secrets.add(token.encode())
        return token

    def keep(self, octets: bytes) -> None:
        """A response, as a client said it, and what is inside."""
        if len(octets) > 8:
            self.secrets.add(octets)


@pytest.fixture
def scene(folder: Path) -> Iterator[Scene]:
    (folder / "clients").mkdir(mode=0o755)
    server, clients = Authority(folder), Authority(folder / "clients")
    pair = clients.issue_to([BOB], folder / "clients")
    make_office(folder / "office", {BOB: "before"}, server)
    words = (*("account", "password", BOB, "--password-stdin", "--clear"), "--data", folder / "office")
    subprocess.run(
        [sys.executable, "-m", "postoffice", *words], input=f"{RIGHT}\n".encode(), capture_output=True, check=True
    )
    with Provider() as provider:
        config = (
            f"{CLEAR_TEXT}cram_md5 = true\n[pop3]\napop = true\n[tls]\nclient_authorities = '{clients.ca_path}'\n"
            f"[oauth]\nissuer = '{provider.issuer}'\naudience = '{AUDIENCE}'\nkeys = '{provider.url('keys')}'\n"
        )
        with OfficeProcess(folder / "office", config, ["--trace", "--workers", "1"]) as office:
            yield Scene(office, server, pair, provider)


def log_in(scene: Scene, door: str, mechanism: bytes, *, is_right: bool) -> bytes:
    """A whole exchange; the last word of the door."""
    password = scene.token(is_right=is_right) if mechanism in BEARER else RIGHT if is_right else WRONG
    context = client_context(scene.authority.ca_path)
    tls.show(context, *scene.pair)
    pem = scene.office.data / "tls"
    channel = Channel(server_context(pem / "certificate.pem", pem / "key.pem").end_point)
    name = BOB if is_right or mechanism != EXTERNAL else "eve@a.example"
    exchange = sasl.begin(mechanism, Claim("", name, password), channel if mechanism.endswith(b"-PLUS") else Channel())
    with (Pop3Raw if door == "pop3s" else SmtpRaw)(scene.office.ports[door], context) as client:
        greet(client)
        scene.keep(exchange.initial or b"")
        client.say(b" ".join((b"AUTH", mechanism, exchange.initial or b"")).strip() + b"\r\n")
        while (line := client.line()).startswith((b"+ ", b"334 ")):
            response = exchange.step(line.partition(b" ")[2])
            scene.keep(response)
            client.say(response + b"\r\n")
        return line


def greet(client: RawClient) -> None:
    if isinstance(client, SmtpRaw):
        client.ask("EHLO a.example")


def say_password(scene: Scene) -> None:
    """USER and PASS, APOP, and every place where a password can stand by mistake."""
    plain = base64.b64encode(f"\0{BOB}\0{WRONG}".encode()).decode()
    scene.keep(plain.encode())
    passes = (f"PASS {WRONG}", f"pass {WRONG} ")
    auths = (f"AUTH PLAIN {plain}!", f"auth plain {plain} x", f"AUTH LOGIN {plain}")
    for lines in (
        (f"USER {BOB}", f"PASS {RIGHT}"),
        (f"USER {BOB}", f"PASS {WRONG}"),
        *((line,) for line in passes + auths),
    ):
        with Pop3Raw(scene.office.ports["pop3"]) as client:
            for line in lines:
                client.ask(line)
    with Pop3Raw(scene.office.ports["pop3"]) as client:
        proof = digest.apop(client.greeting.split()[-1], RIGHT.encode())
        scene.keep(proof)
        assert client.ask(f"APOP {BOB} {proof.decode()}").startswith(b"+OK")
    for line in auths:
        with SmtpRaw(scene.office.ports["submission"]) as smtp:
            greet(smtp)
            smtp.ask(line)


def fetch(scene: Scene, mechanism: str, password: str) -> bytes:
    """What `fetch --trace` writes."""
    url = f"pops://{BOB};AUTH={mechanism}@localhost:{scene.office.ports['pop3s']}"
    authority = scene.authority.ca_path
    words = ("fetch", url, "--into", str(authority.with_name("home.db")), "--ca", str(authority), "--trace")
    call = [sys.executable, "-m", "postoffice", *words, "--password-stdin"]
    done = subprocess.run(call, input=f"{password}\n".encode(), capture_output=True, timeout=60, check=False)
    return done.stdout + done.stderr


def forms(secret: bytes) -> set[bytes]:
    """A secret as it is, in hexadecimal, and in base64 at any place of a longer text."""
    found = {secret, secret.hex().encode(), repr(secret)[2:-1].encode(), ascii(secret.decode())[1:-1].encode()}
    for shift in range(3):
        coded = base64.b64encode(b"\0" * shift + secret)
        found.add(coded[4 if shift else 0 : -4])
    return found


def test_no_secret_of_any_mechanism_is_written(scene: Scene) -> None:
    answers = {}
    for mechanism in sasl.MECHANISMS:
        for door, right, wrong in (("pop3s", b"+OK bob@", b"-ERR"), ("submissions", b"235", b"5")):
            for is_right in (True, False):
                said = log_in(scene, door, mechanism, is_right=is_right)
                answers[mechanism, door, is_right] = said
                assert said.startswith(right if is_right else wrong), (mechanism, door, is_right, said)
    say_password(scene)
    traces = [
        fetch(scene, mechanism, password)
        for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5", "+APOP", "SCRAM-SHA-256-PLUS", "*")
        for password in (RIGHT, WRONG)
    ]
    assert all(b"C: A" in trace for trace in traces), "there was a trace"
    scene.office.stop()
    log = scene.office.log.read_bytes()
    assert log.count(b'"login.failed"') >= len(answers) // 2
    assert log.count(b"AUTH") > len(answers), "there was a trace"
    found = {
        form
        for secret in scene.secrets | {RIGHT.encode(), WRONG.encode()}
        for form in forms(secret)
        if form in log or any(form in trace for trace in traces)
    }
    assert found == set()
