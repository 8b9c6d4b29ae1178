"""POP3 for programs: every command as a method, every answer as a value, every failure as a typed error.

    async with Pop3Client("pop.example.org") as pop:
        await pop.login("me@example.org", password)
        async for letter in pop.retrieve_many(await pop.list()):
            keep(letter.content)
            await pop.dele(letter.number)

**Leaving the block commits, an exception does not.** The server removes what was marked by `dele` at QUIT and never
before (RFC 1939 §6). A block that comes to its end says QUIT; one that is left by an exception only closes the
connection, and the maildrop stays as it was.

The octets are the business of the pure machine in `protocols.pop3.client`; `entrance` is the way in.
"""

from __future__ import annotations

import os
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, NamedTuple, Self

from postoffice.client.entrance import Capabilities, Key, arrive, open_maildrop
from postoffice.client.line import Line
from postoffice.client.listing import octets_of, unique_ids_of
from postoffice.client.talk import Talk
from postoffice.client.url import ANY_MECHANISM, PORT, TLS_PORT, Source
from postoffice.errors import LocalProtocolError, Refused, RemoteProtocolError, TooLarge, UsageError
from postoffice.net.tls import client_context
from postoffice.protocols.dots import Unstuffer
from postoffice.protocols.pop3 import commands, grammar
from postoffice.protocols.pop3.client import Body, EndOfBody
from postoffice.protocols.pop3.commands import Command

LETTER_OCTETS: Final = 64 * 1024 * 1024
"""The largest letter that is taken whole, unless somebody says how large one may be."""

WINDOW_LETTERS: Final = 256
WINDOW_OCTETS: Final = 4 * 1024 * 1024
PASSED_OVER_OCTETS: Final = 1024 * 1024 * 1024
"""How much of letters that nobody wants any more is read to get to the next answer."""

_STAT: Final = re.compile(rb"([0-9]{1,18})[ \t]+([0-9]{1,18})(?:[ \t].*)?")


class Maildrop(NamedTuple):
    """What STAT tells (RFC 1939 §5): how many letters, and their size together."""

    letters: int
    octets: int


@dataclass(frozen=True, slots=True)
class Letter:
    """One of many: its octets, or why there are none. `problem` is a `Refused` or a `TooLarge`."""

    number: int
    octets: bytes
    problem: Refused | TooLarge | None = None

    @property
    def content(self) -> bytes:
        """The octets; raises the problem where there is one."""
        if self.problem is not None:
            raise self.problem
        return self.octets


# Inside of the class `list` is the command.
Lines = list[bytes]
Letters = list[Letter]
Numbers = list[int]


class Pop3Client:
    """A session with a POP3 server. Commands of several tasks are done one after the other.

    TLS begins with the first octet (port 995), or with `implicit_tls=False` by STLS (port 110). Without it there is no
    conversation over a network, unless it `allows_clear_text`. `tls` None trusts the authorities of this system.
    `timeout` is how many seconds the server may be silent. `utf8`: say UTF8 where it is offered, so that letters come
    as they were sent (RFC 6856 §2.1).

    Every method raises `Refused` where the server says no, and the session goes on; `RemoteProtocolError` and
    `Disconnected` end it.
    """

    def __init__(
        self,
        host: str,
        port: int | None = None,
        *,
        implicit_tls: bool = True,
        tls: ssl.SSLContext | None = None,
        allows_clear_text: bool = False,
        utf8: bool = True,
        timeout: float = 60.0,
        connect_timeout: float = 30.0,
    ) -> None:
        port = port or (TLS_PORT if implicit_tls else PORT)
        self._source = Source(host, port, "", implicit_tls)
        self._tls = tls or client_context()
        self._allows_clear_text = allows_clear_text
        self._utf8 = utf8
        self._line = Line(self._source, self._tls, timeout, connect_timeout)
        self._stamp = b""
        self._offers: Capabilities = {}
        self._turn = 0
        self._is_amid_body = False
        self._is_over = False
        self._octets: dict[int, int] | None = None

    async def __aenter__(self) -> Self:
        await self._line.open()
        try:
            self._stamp, self._offers = await self._line.call(lambda talk: arrive(talk, self._key("", "")))
        except BaseException:
            await self._line.close(at_once=True)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """QUIT, which removes what was marked; but after an exception nothing is said, and nothing removed."""
        try:
            if problem is None and not self._is_over:
                await self.quit()
        finally:
            await self._line.close(at_once=problem is not None)

    # --- before the login

    @property
    def capabilities(self) -> Mapping[str, tuple[str, ...]]:
        """What the server can do, each with its arguments (RFC 2449 §5); after `login`, what it told behind it."""
        return {_text(name): tuple(map(_text, arguments)) for name, arguments in self._offers.items()}

    async def login(self, user: str, password: str = "", *, mechanism: str | None = None) -> None:
        """Open the maildrop (RFC 1939 §4, RFC 5034).

        Without a mechanism it is the best that the server offers, USER and PASS the last. `mechanism` is the name of a
        SASL mechanism, or `"+APOP"`; then it is that one and no other. The password of OAUTHBEARER and XOAUTH2 is an
        access token; EXTERNAL has none. Raises Refused: `code` is AUTH, IN-USE, LOGIN-DELAY, SYS/TEMP or SYS/PERM.
        """
        if not user.isprintable():
            raise UsageError("the name of a user has no control characters in it")
        if self._utf8 and b"UTF8" in self._offers:
            await self._line.call(lambda talk: talk.ask(commands.UTF8))
            self._utf8 = False  # once is enough, also where a login is tried again
        key = self._key(user, password, (mechanism or ANY_MECHANISM).upper())
        self._offers = await self._line.call(lambda talk: open_maildrop(talk, key, self._stamp, self._offers))

    # --- what is there

    async def stat(self) -> Maildrop:
        """How much is there (RFC 1939 §5)."""
        text = await self._line_of(commands.STAT, "STAT")
        found = _STAT.fullmatch(text)
        if found is None:
            raise RemoteProtocolError(f"{self._source.host} answers STAT with something else")
        return Maildrop(int(found[1]), int(found[2]))

    async def list(self) -> dict[int, int]:
        """The octets of every letter by its number, as the server counts them (RFC 1939 §5)."""
        octets = octets_of(await self._lines_of(commands.LIST, "LIST"))
        self._octets = dict(octets)
        return octets

    async def uidl(self) -> dict[int, str]:
        """The unique id of every letter by its number: the name that it keeps over sessions (RFC 1939 §7)."""
        ids = unique_ids_of(await self._lines_of(commands.UIDL, "UIDL"))
        return {number: unique_id.decode("ascii", "backslashreplace") for number, unique_id in ids.items()}

    # --- letters

    async def retrieve(self, number: int) -> AsyncIterator[bytes]:
        """A letter of any size, in portions as they come (RETR, RFC 1939 §5); the rest waits in the network.

        Another command before its end passes the rest over; this iterator then raises a LocalProtocolError.
        """
        turn = await self._begin(commands.retrieve(number), f"letter {number}")
        unstuffer = Unstuffer()
        while (wire := await self._portion(turn)) is not None:
            if plain := unstuffer.feed(wire):
                yield plain

    async def retrieve_bytes(self, number: int, *, limit: int = LETTER_OCTETS) -> bytes:
        """A whole letter. Raises TooLarge where it has more octets than `limit`, whatever LIST said."""
        return await self._whole(commands.retrieve(number), f"letter {number}", limit)

    async def top(self, number: int, lines: int = 0, *, limit: int = LETTER_OCTETS) -> bytes:
        """The header of a letter and so many lines of its body (RFC 1939 §7)."""
        return await self._whole(commands.top(number, lines), f"the top of letter {number}", limit)

    async def retrieve_many(self, numbers: Iterable[int], *, limit: int = LETTER_OCTETS) -> AsyncIterator[Letter]:
        """Whole letters in the order asked for, and where the server offers PIPELINING asked for ahead (RFC 2449 §6.6).

        They come in flights of at most 256 letters and 4 MiB by the server's own count, or of one letter; a flight is
        here whole before its first letter is given, so other commands may be said between two letters. What is refused
        or larger than `limit` comes as a letter with a `problem`, and the rest goes on.
        """
        wanted = deque(numbers)
        pipelines = b"PIPELINING" in self._offers
        octets = (self._octets or await self.list()) if pipelines else {}
        window = WINDOW_LETTERS if pipelines else 1
        while wanted:
            flight = _flight(wanted, octets, window)
            for letter in await self._fly(flight, limit):
                yield letter

    # --- what shall be there no more

    async def dele(self, number: int) -> None:
        """Mark a letter; it is removed at QUIT (RFC 1939 §5)."""
        await self._line_of(commands.delete(number), f"to delete letter {number}")

    async def rset(self) -> None:
        """Take every mark back (RFC 1939 §5)."""
        await self._line_of(commands.RSET, "RSET")

    async def noop(self) -> None:
        """Nothing, and so a sign of life (RFC 1939 §5)."""
        await self._line_of(commands.NOOP, "NOOP")

    async def languages(self) -> dict[str, str]:
        """The languages of the server's replies: tag and name (LANG, RFC 6856 §3)."""
        lines = await self._lines_of(commands.LANG, "LANG")
        return {tag: name for tag, _, name in (line.decode("utf-8", "replace").partition(" ") for line in lines)}

    async def lang(self, language_range: str) -> None:
        """From now on the server speaks this language (RFC 6856 §3)."""
        command = commands.speak(language_range.encode())
        if isinstance(grammar.parse(commands.format_command(command)[:-2]), grammar.Invalid):
            raise UsageError("this is no language range (RFC 4647 §2.1)")
        await self._line_of(command, f"the language {language_range}")

    async def quit(self) -> None:
        """The end: the server removes what was marked, and says so (RFC 1939 §6).

        A `Refused` or a `Disconnected` here means that some of it may still be there. The next session shows.
        """
        try:
            await self._line_of(commands.QUIT, "to remove what was marked", os.EX_TEMPFAIL)
        finally:
            self._is_over = True
            await self._line.close()

    # --- how

    def _key(self, user: str, password: str, mechanism: str = ANY_MECHANISM) -> Key:
        here = self._source
        source = Source(here.host, here.port, user, here.implicit_tls, mechanism)
        return Key(source, password, self._tls, self._allows_clear_text)

    async def _line_of(self, command: Command, what: str, status: int = os.EX_UNAVAILABLE) -> bytes:
        """The text of an answer of one line."""

        async def ask(talk: Talk) -> bytes:
            await self._pass_over(talk)
            reply = await talk.ask(command)
            if not reply.is_ok:
                raise talk.refused(what, reply, status)
            return reply.text

        return await self._line.call(ask)

    async def _lines_of(self, command: Command, what: str) -> Lines:
        async def ask(talk: Talk) -> Lines:
            await self._pass_over(talk)
            talk.say(command)
            answer = await talk.answer()
            if not answer.has_body:
                raise talk.refused(what, answer.reply)
            return await talk.listing()

        return await self._line.call(ask)

    async def _begin(self, command: Command, what: str) -> int:
        """Ask for a letter; gives the turn in which its portions can be taken."""

        async def ask(talk: Talk) -> int:
            await self._pass_over(talk)
            talk.say(command)
            answer = await talk.answer()
            if not answer.has_body:
                raise talk.refused(what, answer.reply)
            self._is_amid_body = True
            return self._turn

        return await self._line.call(ask)

    async def _portion(self, turn: int) -> bytes | None:
        """The next of the letter that was begun, None behind the last."""

        async def hear(talk: Talk) -> bytes | None:
            if turn != self._turn:
                raise LocalProtocolError("another command was said before the end of this letter")
            heard = await talk.hear()
            if isinstance(heard, Body):
                return heard.wire
            assert isinstance(heard, EndOfBody)
            self._is_amid_body = False
            return None

        return await self._line.call(hear)

    async def _whole(self, command: Command, what: str, limit: int) -> bytes:
        async def ask(talk: Talk) -> bytes:
            await self._pass_over(talk)
            talk.say(command)
            answer = await talk.answer()
            if not answer.has_body:
                raise talk.refused(what, answer.reply)
            return await self._body(talk, limit, what)

        return await self._line.call(ask)

    async def _fly(self, flight: Numbers, limit: int) -> Letters:
        """Ask for these letters at once, and take them all."""

        async def ask(talk: Talk) -> Letters:
            await self._pass_over(talk)
            for number in flight:
                talk.say(commands.retrieve(number))
            letters: Letters = []
            room = max(limit, WINDOW_OCTETS)  # all of them together, where a server's sizes are wrong
            for number in flight:
                what = f"letter {number}"
                answer = await talk.answer()
                if not answer.has_body:
                    letters.append(Letter(number, b"", talk.refused(what, answer.reply)))
                    continue
                try:
                    content = await self._body(talk, min(limit, room), what)
                except TooLarge as problem:
                    letters.append(Letter(number, b"", problem))
                    await self._pass_over_body(talk)
                else:
                    room -= len(content)
                    letters.append(Letter(number, content))
            return letters

        return await self._line.call(ask)

    async def _body(self, talk: Talk, limit: int, what: str) -> bytes:
        unstuffer = Unstuffer()
        portions: Lines = []
        octets = 0
        self._is_amid_body = True
        while isinstance(heard := await talk.hear(), Body):
            plain = unstuffer.feed(heard.wire)
            octets += len(plain)
            if octets > limit:
                raise TooLarge(f"{what} has more than {limit} octets")
            portions.append(plain)
        self._is_amid_body = False
        return b"".join(portions)

    async def _pass_over(self, talk: Talk) -> None:
        """A new command: nobody will take what is left of a letter that was begun."""
        self._turn += 1
        if self._is_amid_body:
            await self._pass_over_body(talk)

    async def _pass_over_body(self, talk: Talk) -> None:
        octets = 0
        while isinstance(heard := await talk.hear(), Body):
            octets += len(heard.wire)
            if octets > PASSED_OVER_OCTETS:
                raise RemoteProtocolError(f"{talk.host} sends a letter that has no end")
        self._is_amid_body = False


def _flight(wanted: deque[int], octets: Mapping[int, int], window: int) -> Numbers:
    """The next letters that fit into the window together; at least one."""
    flight: Numbers = []
    room = WINDOW_OCTETS
    while wanted and len(flight) < window and (not flight or octets.get(wanted[0], 0) <= room):
        room -= octets.get(wanted[0], 0)
        flight.append(wanted.popleft())
    return flight


def _text(octets: bytes) -> str:
    return octets.decode("ascii", "backslashreplace")
