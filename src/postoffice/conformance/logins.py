"""Claims about logins that a transcript cannot tell, because what is said depends on what was heard: SCRAM and APOP."""

from __future__ import annotations

import hashlib
import re

from postoffice.conformance.dialogue import Failed, NotApplicable, Server, Survey, Wire
from postoffice.protocols.sasl import client as sasl
from postoffice.protocols.sasl.server import SCRAM, Channel, Claim

STAMP = re.compile(r"<[^<>@\s]+@[^<>@\s]+>")


def scram(server: Server, seen: Survey) -> None:
    """Every SCRAM mechanism that is announced lets the right password in, and shows that the server knows it too."""
    for mechanism in _announced(seen):
        reply, exchange = _scram_login(server, mechanism, Claim("", server.user, server.password))
        if not reply.startswith("+OK"):
            raise Failed(f"+OK to {mechanism.decode()} with the right password", reply)
        if not exchange.is_satisfied:
            raise Failed(f"the server's signature in {mechanism.decode()} (RFC 5802 §3)", "none that is right")


def scram_wrong(server: Server, seen: Survey) -> None:
    """A wrong password is refused."""
    for mechanism in _announced(seen):
        reply, _ = _scram_login(server, mechanism, Claim("", server.user, "not " + server.password))
        if not reply.startswith("-ERR"):
            raise Failed(f"-ERR to {mechanism.decode()} with a wrong password", reply)


def apop(server: Server, seen: Survey) -> None:
    """The digest of the stamp and the password opens, and another does not."""
    if not STAMP.search(seen.greeting):
        raise NotApplicable("the greeting has no stamp")
    for password, indicator in (("not " + server.password, "-ERR"), (server.password, "+OK")):
        with Wire(server) as wire:
            stamp = STAMP.search(wire.line().decode("latin-1"))
            if not stamp:
                raise Failed("a stamp in every greeting", "a greeting without one")
            digest = hashlib.md5(f"{stamp[0]}{password}".encode(), usedforsecurity=False).hexdigest()
            wire.expect(f"APOP {server.user} {digest}", indicator)
            if indicator == "+OK":
                wire.leave()


def _announced(seen: Survey) -> list[bytes]:
    """The SCRAM mechanisms that the server announces where it is asked."""
    lines = [line.split() for line in seen.before or ()]
    names = {name.upper().encode() for line in lines if line[:1] == ["SASL"] for name in line[1:]}
    if not names.intersection(SCRAM):
        raise NotApplicable("SASL SCRAM is not announced")
    return [mechanism for mechanism in SCRAM if mechanism in names]


def _scram_login(server: Server, mechanism: bytes, claim: Claim) -> tuple[str, sasl.Exchange]:
    """The last line of the server, and the exchange as it stands then."""
    with Wire(server) as wire:
        wire.line()
        binding = wire.end_point if mechanism.endswith(b"-PLUS") else b""
        exchange = sasl.begin(mechanism, claim, Channel(binding))
        heard = wire.ask(f"AUTH {mechanism.decode()} {(exchange.initial or b'=').decode()}")
        while heard.startswith("+ "):
            wire.say(exchange.step(heard[2:].encode()) + b"\r\n")
            heard = wire.line("a challenge, or what came of it").decode("latin-1")
        if heard.startswith("+OK"):
            wire.leave()
        return heard, exchange
