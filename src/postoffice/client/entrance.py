"""The way into a maildrop: greeting, capabilities, TLS, UTF8, login (RFC 1939 §4, RFC 2449, RFC 2595, RFC 5034).

TLS is used wherever it is offered. Without it a password leaves this machine only if that is allowed: a server that
hides its STLS, or somebody between us and it who does, gets none. A mechanism that a URL names is used and no other
(RFC 2384 §4); else the best that is offered. Where the server refuses that one, and not for the password or so that
nobody can tell, another is tried in the same session:

    SCRAM-…-PLUS                          ─▶  SCRAM without binding    it binds in a way of its own (Cyrus: tls-unique)
    SCRAM, no proof was asked for         ─▶  PLAIN, LOGIN, in TLS     it keeps nothing for SCRAM of this account
    CRAM-MD5                              ─▶  PLAIN, LOGIN, in TLS     it keeps no password in clear

These are three tries at most, and at most two of them show a wrong password: no server locks anybody out for that.
Nothing is given away by it: who stands in between with a certificate that we trust may as well offer PLAIN alone.

USER and PASS leave together where USER and PIPELINING are announced, if another session follows should one of them get
lost. A server that takes no password where it stands announces no USER, and is shown none.

UTF8 is said where it is offered, so that letters come home as they were sent, and not as surrogates (RFC 6856 §2.1).
"""

import os
import ssl
from collections.abc import Collection
from contextlib import suppress
from typing import Final, NamedTuple

from postoffice.client.talk import Talk
from postoffice.client.url import ANY_MECHANISM, Source
from postoffice.errors import ConnectionLost, Disconnected, LocalProtocolError, RemoteProtocolError, UsageError
from postoffice.events import event
from postoffice.net.tls import client_context, describe, end_point
from postoffice.protocols.pop3 import commands
from postoffice.protocols.pop3.client import Answer, Greeting
from postoffice.protocols.pop3.commands import Command
from postoffice.protocols.pop3.replies import Challenge, Code, Reply
from postoffice.protocols.pop3.table import COMMAND_OCTETS, Keyword
from postoffice.protocols.sasl import client as sasl
from postoffice.protocols.sasl.terms import BEARER, CRAM_MD5, EXTERNAL, NOTHING_BOUND, SCRAM, Channel, Claim

Capabilities = dict[bytes, list[bytes]]
"""What a server can do: each tag, in upper case, with its arguments."""

PLUS: Final = b"-PLUS"
_NOT_ABOUT_THE_LOGIN: Final = frozenset(code.value for code in Code if code is not Code.AUTH)


class Verdict(NamedTuple):
    """What a server said to a login. `is_informed`: it had the password, or a proof of it, when it said so."""

    reply: Reply
    is_informed: bool = True


class Key(NamedTuple):
    """What opens a maildrop.

    `tls` None trusts the authorities of this system; it may show a certificate of ours, and then the password is
    empty. `allows_clear_text`: the password may go over a network without TLS.
    """

    source: Source
    password: str
    tls: ssl.SSLContext | None = None
    allows_clear_text: bool = False

    def __repr__(self) -> str:
        """Without the password."""
        return f"Key({self._asdict() | {'password': '...'}})"


async def enter(talk: Talk, key: Key) -> Capabilities:
    """From the greeting to an open maildrop; gives what the server can do. Raises Refused, UsageError."""
    stamp, capabilities = await arrive(talk, key)
    if b"UTF8" in capabilities:
        await talk.ask(commands.UTF8)  # who announces it and refuses gives surrogates, which can be read too
    return await open_maildrop(talk, key, stamp, capabilities)


async def arrive(talk: Talk, key: Key) -> tuple[bytes, Capabilities]:
    """From the greeting to where a password may be said: APOP's stamp, and what the server can do before a login."""
    greeting = await talk.hear()
    assert isinstance(greeting, Greeting)
    if not greeting.reply.is_ok:
        raise talk.refused("the conversation", greeting.reply, os.EX_TEMPFAIL)
    capabilities = await _capabilities(talk)
    if talk.dialogue.tls is None:
        capabilities = await _secure(talk, key, capabilities)
    tls = describe(talk.dialogue.tls)[0] if talk.dialogue.tls else ""
    event("home.connected", host=key.source.host, port=key.source.port, tls=tls)
    return greeting.stamp, capabilities


async def open_maildrop(talk: Talk, key: Key, stamp: bytes, capabilities: Capabilities) -> Capabilities:
    """The login; gives what the server can do behind it."""
    await _log_in(talk, key, stamp, capabilities)
    if capabilities and b"PIPELINING" not in capabilities:
        return await _capabilities(talk)  # more may be told to those who are inside (RFC 2449 §5)
    return capabilities


async def _capabilities(talk: Talk) -> Capabilities:
    """Nothing, from a server that does not know the question."""
    lines = await talk.ask_listing(commands.CAPA) or []
    return {words[0].upper(): words[1:] for words in map(bytes.split, lines) if words}


async def _secure(talk: Talk, key: Key, capabilities: Capabilities) -> Capabilities:
    """STLS where it is offered, and what the server can do after it."""
    source = key.source
    if b"STLS" not in capabilities:
        if key.allows_clear_text or source.is_on_this_machine:
            return capabilities
        raise UsageError(
            f"{source.host} offers no TLS, and a password does not go over a network without it:"
            " use pops://, or allow it with --clear-text",
            os.EX_NOPERM,
        )
    reply = await talk.ask(commands.STLS)
    if not reply.is_ok:
        raise talk.refused("TLS", reply)
    talk.machine.begin_tls()
    await talk.dialogue.start_tls(key.tls or client_context(), source.host)
    talk.machine.begin_tls()
    return await _capabilities(talk)


async def _log_in(talk: Talk, key: Key, stamp: bytes, capabilities: Capabilities) -> None:
    """By the source's mechanism, or the best there is. Raises Refused."""
    source = key.source
    offered = [name.upper() for name in capabilities.get(b"SASL", [])]
    if source.mechanism == EXTERNAL.decode() and EXTERNAL not in offered:
        raise UsageError(f"{source.host} offers no login by the certificate that we show", os.EX_UNAVAILABLE)
    if source.mechanism != EXTERNAL.decode() and (not key.password or any(char in key.password for char in "\r\n\0")):
        raise UsageError("the password is empty, or has a line end or a NUL in it")
    if source.mechanism == ANY_MECHANISM:
        together = talk.trusts_pipelining and {b"USER", b"PIPELINING"} <= capabilities.keys()
        return await _log_in_somehow(talk, key, offered, together=together)
    if source.mechanism == "+APOP":
        if not stamp:
            raise UsageError(f"{source.host} does not offer APOP", os.EX_UNAVAILABLE)
        from postoffice.protocols.sasl import digest as digests

        digest = digests.apop(stamp, key.password.encode())
        reply = await talk.ask(Command(Keyword.APOP, (source.user.encode(), digest)))
    else:
        reply = (await _log_in_by(talk, key, source.mechanism.encode(), offered)).reply
    if not reply.is_ok:
        raise talk.refused(f"the login of {source.user}", reply, os.EX_NOPERM)
    return None


async def _log_in_by(talk: Talk, key: Key, mechanism: bytes, offered: Collection[bytes]) -> Verdict:
    """By the mechanism that the URL names."""
    if mechanism not in sasl.MECHANISMS:
        known = ", ".join(name.decode() for name in sasl.MECHANISMS)
        raise UsageError(f"the mechanism {key.source.mechanism} is not spoken here; spoken are {known} and +APOP")
    channel = _channel(talk)
    if mechanism == EXTERNAL or (
        mechanism in SCRAM and not mechanism.endswith(PLUS) and any(name.endswith(PLUS) for name in offered)
    ):
        channel = NOTHING_BOUND  # by choice, not because none was offered (RFC 5802 §6)
    return await _exchange(talk, mechanism, _claim(key), channel)


async def _log_in_somehow(talk: Talk, key: Key, offered: Collection[bytes], *, together: bool) -> None:
    """By the best that is offered, and by others as long as a refusal is no word about the password.

    USER and PASS go `together` only if nothing was tried before: then a lost connection has another meaning.
    """
    claim, channel, in_clear = _claim(key), _channel(talk), talk.dialogue.tls is None
    left, tried, first = frozenset(offered), list[str](), None
    while True:
        chosen = sasl.choose(left, claim, channel, is_heard=in_clear)
        tried.append(chosen.decode() if chosen else "USER and PASS")
        try:
            if chosen:
                verdict = await _exchange(talk, chosen, claim, channel)
            else:
                verdict = await _say(talk, claim, together=together and first is None)
        except ConnectionLost:
            if first is None:
                raise
            break  # this server allows one try in a session, and has said why that one failed
        if verdict.reply.is_ok:
            return
        first = first or verdict.reply
        if chosen is None or verdict.reply.code in _NOT_ABOUT_THE_LOGIN:
            break
        if chosen.endswith(PLUS):
            left = frozenset(name for name in left if not name.endswith(PLUS))
            channel = NOTHING_BOUND  # by choice, not because none was offered (RFC 5802 §6)
        elif (chosen == CRAM_MD5 or (chosen in SCRAM and not verdict.is_informed)) and not in_clear:
            left = left.difference(SCRAM, (CRAM_MD5,))
        else:
            break
        event("home.another_mechanism", host=key.source.host, refused=tried[-1])
    ways = f" by {', then '.join(tried)}" if len(tried) > 1 else ""
    raise talk.refused(f"the login of {key.source.user}{ways}", first, os.EX_NOPERM)


def _claim(key: Key) -> Claim:
    return Claim("", key.source.user, key.password)


def _channel(talk: Talk) -> Channel:
    return Channel(end_point(talk.dialogue.tls) if talk.dialogue.tls else b"")


async def _say(talk: Talk, claim: Claim, *, together: bool) -> Verdict:
    """USER and PASS, one after the other or in one write (RFC 2449 §6.6)."""
    # deviates: RFC 6856 §2.2, because names beyond ASCII are taken by servers that do not say UTF8 USER.
    user, password = commands.user(claim.authentication.encode()), commands.password(claim.password.encode())
    talk.say(user)
    if together:
        talk.say(password)
    named = (await talk.answer()).reply
    if not named.is_ok:
        if together:
            await _pass_over_password(talk)
        return Verdict(named)
    if not together:
        talk.say(password)
    return Verdict((await talk.answer()).reply)


async def _pass_over_password(talk: Talk) -> None:
    """The answer to a PASS that left with a USER that was refused: whatever it is, or if none comes, nobody is in."""
    with suppress(Disconnected):
        if (await talk.answer()).reply.is_ok:
            raise RemoteProtocolError(f"{talk.host} takes the password of a name that it refused")


async def _exchange(talk: Talk, mechanism: bytes, claim: Claim, channel: Channel) -> Verdict:
    """A SASL exchange. Its first response waits for a challenge if the line would be too long (RFC 5034 §4), and where
    it is a token always: the servers that are known to hang up on one that comes at once (Exchange) take tokens."""
    try:
        exchange = sasl.begin(mechanism, claim, channel)
    except LocalProtocolError as error:
        raise UsageError(str(error)) from error
    command = commands.authenticate(mechanism, None if mechanism in BEARER else exchange.initial)
    if len(commands.format_command(command)) > COMMAND_OCTETS:
        command = commands.authenticate(mechanism)
    talk.say(command)
    while isinstance(heard := await talk.hear(), Challenge):
        talk.dialogue.send(talk.machine.respond(exchange.step(heard.encoded)))
    if not isinstance(heard, Answer):
        raise RemoteProtocolError(f"{talk.host} sent something that is no answer")
    if heard.reply.is_ok and not exchange.is_satisfied:
        raise RemoteProtocolError(f"{talk.host} did not show that it knows the password")
    return Verdict(heard.reply, exchange.is_informing)
