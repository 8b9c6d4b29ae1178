"""Claims that a single transcript cannot tell: about two sessions, about what is announced, about the wire itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from postoffice.conformance import logins
from postoffice.conformance.dialogue import Failed, NotApplicable, Server, Survey, Wire
from postoffice.protocols.dots import unstuff

LOCK_SECONDS = 40.0
"""How long a second login may wait for the first session to end before it is told anything."""

_REGISTERED = {"TOP", "USER", "SASL", "RESP-CODES", "LOGIN-DELAY", "PIPELINING", "EXPIRE", "UIDL", "IMPLEMENTATION"}
_REGISTERED |= {"STLS", "AUTH-RESP-CODE", "UTF8", "LANG"}


@dataclass(frozen=True, slots=True)
class Check:
    """A row that is a program. `letters` is how many must lie in the maildrop."""

    name: str
    section: str
    claim: str
    run: Callable[[Server, Survey], None]
    letters: int = 0


def _names(lines: tuple[str, ...] | None) -> list[str]:
    """The names of capabilities; who has no CAPA is not asked about them."""
    if lines is None:
        raise NotApplicable("there is no CAPA")
    return [(line.split() or [""])[0].upper() for line in lines]


def capa_in_both_states(server: Server, seen: Survey) -> None:
    before, after = set(_names(seen.before)) - {"STLS"}, set(_names(seen.after))
    if missing := before - after:
        raise Failed(f"{' '.join(sorted(before))} after login too", f"no {' '.join(sorted(missing))}")


def capa_names(server: Server, seen: Survey) -> None:
    for name in _names(seen.before) + _names(seen.after):
        if name not in _REGISTERED and not name.startswith("X"):
            raise Failed("names that IANA has registered, or that begin with X", name)


def capa_stls(server: Server, seen: Survey) -> None:
    if "STLS" not in _names(seen.in_clear):
        raise NotApplicable("STLS is not announced")
    if "STLS" in _names(seen.after):
        raise Failed("no STLS after login", "STLS")


def stls_injection(server: Server, seen: Survey) -> None:
    if seen.in_clear is None or "STLS" not in _names(seen.in_clear):
        raise NotApplicable("STLS is not announced")
    with Wire(server, in_clear=True) as wire:
        wire.line()
        wire.say(b"STLS\r\nXINJECTED\r\n")
        if not wire.line().startswith(b"+OK"):
            return  # it does not begin TLS, which is the best answer
        try:
            wire.begin_tls()
            wire.say(b"QUIT\r\n")
            first = wire.line()
        except Failed:
            return  # it closed, or what was injected broke the handshake
        if not first.startswith(b"+OK"):
            raise Failed("one reply, to what was said inside TLS", first.decode("latin-1"))


def exclusive(server: Server, seen: Survey) -> None:
    refused = _second_login(server)
    if refused.startswith("+OK"):
        raise Failed("-ERR to a second login", refused)


def in_use_code(server: Server, seen: Survey) -> None:
    if not seen.offers("RESP-CODES", in_clear=False):
        raise NotApplicable("RESP-CODES is not announced")
    refused = _second_login(server)
    if refused.startswith("+OK"):
        raise NotApplicable("a second session is let in")
    if not refused.startswith("-ERR [IN-USE]"):
        raise Failed("-ERR [IN-USE]", refused)


def _second_login(server: Server) -> str:
    """What PASS of a second session says while a first one is open."""
    patient = Server(server.host, server.port, server.user, server.password, server.tls, server.trust, LOCK_SECONDS)
    with Wire(server) as first:
        first.line()
        first.log_in()
        with Wire(patient) as second:
            second.line()
            second.expect(f"USER {server.user}", "+OK")
            refused = second.ask(f"PASS {server.password}")
        first.leave()
    return refused


def unique_ids_are_well_formed(server: Server, seen: Survey) -> None:
    unique_ids = seen.facts.unique_ids
    if not unique_ids:
        raise NotApplicable("there is no UIDL")
    for unique_id in unique_ids:
        if not 1 <= len(unique_id) <= 70 or not all("\x21" <= char <= "\x7e" for char in unique_id):
            raise Failed("1 to 70 characters of 0x21 to 0x7E", unique_id)
    if len(set(unique_ids)) < len(set(seen.facts.letters)):  # equal letters may share one
        raise Failed("a unique-id for every letter that is unlike the others", " ".join(unique_ids))


def top_of_many_lines(server: Server, seen: Survey) -> None:
    if not seen.offers("TOP", in_clear=False):
        raise NotApplicable("TOP is not announced")
    with Wire(server) as wire:
        wire.line()
        wire.log_in()
        if not wire.ask("TOP 1 4294967296").startswith("+OK"):
            return  # to refuse it is no lie
        top = wire.block()
        wire.leave()
    if unstuff(top) != seen.facts.letters[0]:
        raise Failed(f"the whole letter or -ERR: {len(seen.facts.letters[0])} octets", f"{len(unstuff(top))} octets")


def first_line_is_short(server: Server, seen: Survey) -> None:
    with Wire(server) as wire:
        lines = [wire.line()]
        wire.say(b"X" * 248 + b"\r\n")
        lines.append(wire.line())
        wire.say(b"X" * 3000 + b"\r\n")
        lines.append(wire.line())
    for line in lines:
        if len(line) > 510:
            raise Failed("at most 512 octets", f"{len(line) + 2} octets")
        if not line.startswith((b"+OK", b"-ERR")):
            raise Failed("+OK or -ERR", line[:80].decode("latin-1"))


def languages(server: Server, seen: Survey) -> None:
    if not seen.offers("LANG", in_clear=False):
        raise NotApplicable("LANG is not announced")
    with Wire(server) as wire:
        wire.line()
        if not wire.ask("LANG").startswith("+OK"):
            return  # a server may be unable to list them
        tags = [line.split(b" ")[0].decode("latin-1") for line in wire.block().splitlines()]
        for tag in tags:
            wire.expect(f"LANG {tag}", f"+OK {tag} ")
        wire.leave()


def stamp_is_fresh(server: Server, seen: Survey) -> None:
    if "<" not in seen.greeting:
        raise NotApplicable("the greeting has no stamp")
    found = logins.STAMP.search(seen.greeting)
    if not found:
        raise Failed("<process.clock@host>", seen.greeting)
    with Wire(server) as wire:
        again = wire.line().decode("latin-1")
    if found[0] in again:
        raise Failed("another stamp in every greeting", found[0])


CHECKS = (
    Check(
        "capa-both-states",
        "RFC 2449 §5",
        "what is announced before login is announced after it too",
        capa_in_both_states,
    ),
    Check("capa-names", "RFC 2449 §5", "capabilities have the names that are registered", capa_names),
    Check("capa-stls", "RFC 2595 §4", "STLS is not announced where it is not permitted", capa_stls),
    Check("stls-injection", "RFC 2595 §4", "what comes behind STLS in clear is no command inside TLS", stls_injection),
    Check("exclusive", "RFC 1939 §4", "a session has the maildrop for itself", exclusive),
    Check("in-use-code", "RFC 2449 §8.1.2", "who is refused because of another session hears [IN-USE]", in_use_code),
    Check(
        "uidl-format",
        "RFC 1939 §7",
        "unique-ids have 1 to 70 printable characters and tell letters apart",
        unique_ids_are_well_formed,
        letters=3,
    ),
    Check("top-overflow", "RFC 1939 §7", "4294967296 lines of TOP are not a few", top_of_many_lines, letters=1),
    Check(
        "first-line",
        "RFC 1939 §3, RFC 2449 §4",
        "every reply begins with +OK or -ERR, in a line of at most 512 octets",
        first_line_is_short,
    ),
    Check("lang", "RFC 6856 §3.2", "what LANG lists can be chosen, and the reply begins with its tag", languages),
    Check("stamp", "RFC 1939 §7", "the stamp of a greeting is never given twice", stamp_is_fresh),
    Check("scram", "RFC 5802 §3, RFC 7677", "by SCRAM both sides show that they know the password", logins.scram),
)
"""All of them, in the order in which they run."""

WRONG_LOGINS = (
    Check("apop", "RFC 1939 §7", "APOP opens with the digest of stamp and password, and with no other", logins.apop),
    Check("scram-wrong", "RFC 5802 §3", "a wrong password is refused by SCRAM", logins.scram_wrong),
)
"""These fail to log in: a server may make whoever does so wait, so they run last."""
