"""What a domain tells mail programs about its servers, in the XML that Thunderbird began with ("autoconfig").

    <clientConfig version="1.1"><emailProvider id="example.org">
      <incomingServer type="pop3">
        <hostname>pop.example.org</hostname> <port>995</port> <socketType>SSL</socketType>
        <username>%EMAILADDRESS%</username> <authentication>password-cleartext</authentication>

It is a stranger's: a document type, and with it every entity, is refused, and of the rest only what is needed is read.
Servers without TLS, and those of other protocols, are passed over.
"""

from __future__ import annotations

import re
import xml.parsers.expat
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from postoffice.client.url import Source
from postoffice.errors import Refusal
from postoffice.message.address import parse_domain

ISPDB: Final = "https://autoconfig.thunderbird.net/v1.1"
"""A third party's list of providers: it learns the domain that is asked for."""

_SERVER: Final = ("clientConfig", "emailProvider", "incomingServer")
_TLS: Final = {"SSL": True, "STARTTLS": False}
_PORT: Final = re.compile("[0-9]{1,5}")
_FIELD_OCTETS: Final = 1024


@dataclass(frozen=True, slots=True)
class Told:
    """A server that a domain tells of. `wants_token`: it takes nothing else."""

    source: Source
    wants_token: bool = False


def urls(address: str, domain: str) -> list[str]:
    """Where the domain of an address, in A-labels, would say it."""
    asked = f"mail/config-v1.1.xml?emailaddress={quote(address, safe='@')}"
    return [f"https://autoconfig.{domain}/{asked}", f"https://{domain}/.well-known/autoconfig/{asked}"]


def parse(octets: bytes, address: str) -> list[Told]:
    """The POP3 servers in a document, in its order; none where it is no such document."""
    reading = _Reading()
    try:
        reading.parser.Parse(octets, True)
    except (xml.parsers.expat.ExpatError, ValueError):
        return []
    servers = filter(None, (_told(server, address) for server in reading.servers))
    return list(dict.fromkeys(servers))


def _told(server: dict[str, list[str]], address: str) -> Told | None:
    """None for a server without TLS, and where anything is not what it should be."""
    kind, port, host, user = (
        server.get(name, [usual])[0]
        for name, usual in (("socketType", ""), ("port", ""), ("hostname", ""), ("username", "%EMAILADDRESS%"))
    )
    local, _, domain = address.rpartition("@")
    for name, value in (("ADDRESS", address), ("LOCALPART", local), ("DOMAIN", domain)):
        user, host = (text.replace(f"%EMAIL{name}%", value) for text in (user, host))
    try:
        host = parse_domain(host)
    except Refusal:
        return None
    if kind not in _TLS or not user.isprintable() or not _PORT.fullmatch(port) or not 0 < int(port) < 65536:
        return None
    source = Source(host, int(port), user, implicit_tls=_TLS[kind])
    return Told(source, server.get("authentication") == ["OAuth2"])


class _Reading:
    """One document; `servers` are the fields of each for POP3."""

    def __init__(self) -> None:
        self.servers: list[dict[str, list[str]]] = []
        self.parser = xml.parsers.expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = _refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self._path: list[str] = []
        self._is_wanted = False
        self._field = ""

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name)
        self._field = ""
        if tuple(self._path) == _SERVER:
            self._is_wanted = attributes.get("type") == "pop3"
            if self._is_wanted:
                self.servers.append({})

    def _text(self, text: str) -> None:
        self._field = (self._field + text)[:_FIELD_OCTETS]

    def _end(self, name: str) -> None:
        if self._is_wanted and tuple(self._path[:-1]) == _SERVER and self._field.strip():
            self.servers[-1].setdefault(name, []).append(self._field.strip())
        self._path.pop()
        self._field = ""


def _refuse(*_: object) -> None:
    raise ValueError("a document type, and with it entities, may hold anything")
