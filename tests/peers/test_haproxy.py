"""HAProxy stands in front of an office, with every kind of header that it can send, and with TLS of its own."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from bench.peers.debian import Package
from bench.process import Server, free_ports

from postoffice.testing.certificates import Authority
from postoffice.testing.process import OfficeProcess, make_office, open_folder, wait_until

pytestmark = pytest.mark.peer

PACKAGE = Package("haproxy", ("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"))
IN_CLEAR, BY_TLS, STRANGER = "127.0.0.2", "127.0.0.3", "127.0.0.4"
"""Whence clients call: the first may log in in clear, the others may not."""

_CONFIG = """
global
    log stderr format raw local0
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
"""


@dataclass(frozen=True, slots=True)
class Balanced:
    """An office, and the ports of the balancer in front of it."""

    office: OfficeProcess
    ports: dict[str, int]
    ca: Path


@pytest.fixture(scope="module")
def balanced() -> Iterator[Balanced]:
    program, libraries = shutil.which("haproxy"), ""
    if program is None:
        if absence := PACKAGE.absence():
            pytest.skip(f"haproxy is not installed, and {absence}")
        program = str(PACKAGE.root / "usr/sbin/haproxy")
        libraries = ":".join(map(str, (PACKAGE.root / "usr/lib").glob("*-linux-gnu")))
        if not _runs(program, libraries):
            pytest.skip("haproxy's package does not run here")
    settings = '[office]\nproxy_networks = ["127.0.0.1"]\n[login]\nclear_text_networks = ["127.0.0.2"]\n'
    with open_folder() as folder:
        authority = Authority()
        make_office(folder / "office", {"bob@a.example": "secret"}, authority)
        certificate, key = authority.issue(["localhost"], folder)
        (folder / "both.pem").write_bytes(certificate.read_bytes() + key.read_bytes())
        with OfficeProcess(folder / "office", settings) as office:
            names = ("text", "binary", "summed", "through", "ended", "smtp", "lmtp")
            ports = dict(zip(names, free_ports(len(names)), strict=True))
            config = folder / "haproxy.cfg"
            config.write_text(_CONFIG + _listens(ports, office.ports, folder / "both.pem"))
            words = ["env", f"LD_LIBRARY_PATH={libraries}", program, "-db", "-f", str(config)]
            server = Server(words, folder / "haproxy.log", None)
            try:
                for port in ports.values():
                    server.wait_for_port(port)
                yield Balanced(office, ports, authority.ca_path)
            finally:
                server.stop()


def _runs(program: str, libraries: str) -> bool:
    words = [program, "-v"]
    return subprocess.run(words, capture_output=True, check=False, env={"LD_LIBRARY_PATH": libraries}).returncode == 0


def _listens(own: dict[str, int], doors: dict[str, int], chain: Path) -> str:
    ways = {
        "text": ("", f"{doors['pop3']} send-proxy"),
        "binary": ("", f"{doors['pop3']} send-proxy-v2"),
        "summed": ("", f"{doors['pop3']} send-proxy-v2 proxy-v2-options crc32c,unique-id"),
        "through": ("", f"{doors['pop3s']} send-proxy-v2"),
        "ended": (f" ssl crt {chain}", f"{doors['pop3']} send-proxy-v2-ssl-cn"),
        "smtp": ("", f"{doors['smtp']} send-proxy-v2"),
        "lmtp": ("", f"{doors['lmtp']} send-proxy"),
    }
    return "".join(
        f"listen {name}\n    bind 127.0.0.1:{own[name]}{bound}\n    server office 127.0.0.1:{to}\n"
        for name, (bound, to) in ways.items()
    )


def call(port: int, source: str, words: bytes, trust: ssl.SSLContext | None = None) -> bytes:
    """Say everything at once, from an address; gives everything that is answered."""
    with socket.create_connection(("127.0.0.1", port), 20, (source, 0)) as line:
        talking = trust.wrap_socket(line, server_hostname="localhost") if trust else line
        with talking:
            talking.sendall(words)
            heard = b""
            while octets := talking.recv(4096):
                heard += octets
    return heard


LOGIN = b"USER bob\r\nPASS secret\r\nQUIT\r\n"


def peers(office: OfficeProcess) -> list[str]:
    return [str(event["peer"]) for event in office.events() if event["event"] in ("pop3.closed", "smtp.closed")]


@pytest.mark.parametrize("way", ["text", "binary", "summed"])
def test_whose_address_is_told_may_do_what_that_address_may(balanced: Balanced, way: str) -> None:
    before = peers(balanced.office).count(IN_CLEAR)
    assert call(balanced.ports[way], IN_CLEAR, LOGIN).count(b"+OK") == 4
    wait_until(lambda: peers(balanced.office).count(IN_CLEAR) == before + 1, "its session is told by its address")
    assert b"+OK and" not in call(balanced.ports[way], STRANGER, LOGIN)


@pytest.mark.parametrize("way", ["through", "ended"])
def test_tls_may_go_through_or_end_at_the_balancer(balanced: Balanced, way: str) -> None:
    before = peers(balanced.office).count(BY_TLS)
    trust = ssl.create_default_context(cafile=balanced.ca)
    assert call(balanced.ports[way], BY_TLS, LOGIN, trust).count(b"+OK") == 4
    wait_until(lambda: peers(balanced.office).count(BY_TLS) == before + 1, "its session is told by its address")
    closed = [event for event in balanced.office.events() if event["event"] == "pop3.closed"]
    assert str(closed[-1]["tls"]).startswith("TLSv1.")


@pytest.mark.parametrize(("way", "hello"), [("smtp", b"EHLO x.example\r\n"), ("lmtp", b"LHLO x.example\r\n")])
def test_letters_come_through_too(balanced: Balanced, way: str, hello: bytes) -> None:
    words = (
        hello + b"MAIL FROM:<x@elsewhere.example>\r\nRCPT TO:<bob@a.example>\r\nDATA\r\nSubject: x\r\n\r\n.\r\nQUIT\r\n"
    )
    assert b"250 2.0.0 Taken" in call(balanced.ports[way], STRANGER, words)
    wait_until(lambda: STRANGER in peers(balanced.office), "its session is told by its address")
