"""The POP3 door: what a session may see and do (RFC 1939).

    greeting ─▶ login ─▶ lock and snapshot ─▶ letters ─▶ QUIT ─▶ UPDATE ✍ 2 ─▶ +OK

The maildrop is locked from login to the end, and seen as it was at login (`maildrop`). DELE only marks; the marks
become true in UPDATE, durably, before +OK; a session that ends in any other way removes nothing (§6). The replies to
commands that arrived together leave together, and letters asked for together are read together.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

from postoffice import counts
from postoffice.access.languages import LISTING, chosen
from postoffice.access.maildrop import Keeper, Maildrop, Maildrops, NotNow
from postoffice.access.policy import site_policy
from postoffice.access.retrieval import BrokenOff, Retrieval
from postoffice.access.takeover import Holders
from postoffice.accounts import attempts
from postoffice.accounts.channel import channel_of
from postoffice.accounts.guard import is_failed_login
from postoffice.accounts.login import LOGIN_PATIENCES, Admission, Login
from postoffice.accounts.visits import VisitBook
from postoffice.clock import Clock, system_clock
from postoffice.counts import SESSIONS_FAMILY, Commands, Outcome, gauge
from postoffice.errors import Disconnected, Draining, PatienceLost, Refusal, StoreError, TakenOver
from postoffice.events import event
from postoffice.net.dialogue import Dialogue
from postoffice.net.switchboard import Switchboard
from postoffice.net.tls import describe
from postoffice.protocols.lines import NEED_DATA, Oddity
from postoffice.protocols.pop3.commands import Command
from postoffice.protocols.pop3.grammar import Invalid
from postoffice.protocols.pop3.replies import Code, format_error
from postoffice.protocols.pop3.server import LONG_RUN, Pop3Server, Response
from postoffice.protocols.pop3.table import Keyword, State
from postoffice.protocols.sasl import server as sasl
from postoffice.protocols.sasl.server import Channel
from postoffice.store.view import FrozenView, NoSuchLetter

_CLOSED: Final = State.CLOSED
_UNKNOWN = ("something is wrong here, try again later", Code.SYS_TEMP)
PORTS = frozenset({110, 995})
"""What a client may believe to speak to, wherever a router leads it."""
KNOWN_CAPABILITIES = 1000
"""How many answers to CAPA are remembered: they differ by retention and login delay."""
BAD_COMMANDS_BEFORE_LOGIN = 3
BAD_COMMANDS_AFTER_LOGIN = 20

_COMMANDS = Commands[Keyword | None]("pop3", {None: "invalid"} | {word: word.name for word in Keyword})
_OPEN = {name: gauge(SESSIONS_FAMILY, "Sessions open now.", door=name) for name in ("pop3", "pop3s")}


@dataclass(frozen=True, slots=True)
class Pop3Settings:
    """Before login a client may be silent for `login_seconds`, and speak for `LOGIN_PATIENCES` times as long in all.

    `idle_seconds` may not be below 600 after login (RFC 1939 §3). `apop` is off: it needs secrets kept in clear.

    `implementation` is what CAPA calls us (RFC 2449 §6.9), one word; nothing where it is empty.
    """

    login_seconds: float = 60.0
    idle_seconds: float = 600.0
    lock_wait_seconds: float = 5.0
    takeover_seconds: float = 30.0
    apop: bool = False
    implementation: str = "postoffice"


class Pop3Door:
    """Answers connections. One per process and port; `name` is `pop3` or `pop3s`."""

    def __init__(
        self,
        host: str,
        office: Maildrops,
        login: Login,
        switchboard: Switchboard,
        visits: VisitBook,
        *,
        name: str = "pop3",
        tls: ssl.SSLContext | None = None,
        settings: Pop3Settings | None = None,
        make_stamp: Callable[[], str] | None = None,
        holders: Holders | None = None,
        clock: Clock = system_clock,
    ) -> None:
        self.host = host
        self.name = name
        self.login = login
        self.tls = tls
        self.settings = settings or Pop3Settings()
        self.make_stamp = make_stamp
        holders = holders or Holders(self.settings.takeover_seconds)
        wait = self.settings.lock_wait_seconds
        self.keeper = Keeper(office, login.bylaws, visits, holders, wait, switchboard.now, clock)
        self._switchboard = switchboard
        self._capabilities: dict[tuple[tuple[bytes, ...], tuple[str, ...], bool], bytes] = {}

    def __call__(self) -> Dialogue[Pop3Server]:
        return Dialogue(Pop3Server(), self._converse, self._switchboard)

    def capabilities(self, mechanisms: tuple[bytes, ...], policy: tuple[str, ...], *, can_start_tls: bool) -> bytes:
        """The lines of CAPA (RFC 2449 §5), made once for all who are told the same; no mechanisms: no login here."""
        known = self._capabilities.get((mechanisms, policy, can_start_tls))
        if known is None:
            lines = ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "UTF8 USER", "LANG", *policy]
            if mechanisms:
                lines += ["USER", f"SASL {b' '.join(mechanisms).decode()}"]
            if can_start_tls:
                lines.append("STLS")
            if self.settings.implementation:
                lines.append(f"IMPLEMENTATION {self.settings.implementation}")
            known = "".join(f"{line}\r\n" for line in lines).encode()
            if len(self._capabilities) >= KNOWN_CAPABILITIES:
                self._capabilities.clear()
            self._capabilities[mechanisms, policy, can_start_tls] = known
        return known

    def _converse(self, dialogue: Dialogue[Pop3Server]) -> Coroutine[Any, Any, None]:
        return _turn_away(dialogue) if dialogue.limit is not None else _Session(self, dialogue).talk()


async def _turn_away(dialogue: Dialogue[Pop3Server]) -> None:
    """There is no room for him."""
    dialogue.send(format_error("too many connections, try again later", Code.SYS_TEMP))


class _Session:
    """One conversation."""

    __slots__ = (
        "_bad",
        "_dialogue",
        "_door",
        "_ending",
        "_failures",
        "_is_trusted",
        "_machine",
        "_maildrop",
        "_mechanism",
        "_removed",
        "_retrieval",
        "_tries",
        "_username",
    )

    def __init__(self, door: Pop3Door, dialogue: Dialogue[Pop3Server]) -> None:
        self._door = door
        self._dialogue = dialogue
        self._machine = dialogue.machine
        self._is_trusted = door.login.may_speak_clearly(dialogue.peer[0])
        self._username: str | None = None
        self._maildrop: Maildrop | None = None
        self._retrieval: Retrieval | None = None
        self._bad = self._failures = 0
        self._removed = 0
        self._mechanism = ""
        self._tries = False
        self._ending = "lost"

    async def talk(self) -> None:
        dialogue, machine = self._dialogue, self._machine
        dialogue.patience = self._door.settings.login_seconds
        longest = LOGIN_PATIENCES * dialogue.patience
        counts.sheet[_OPEN[self._door.name]] += 1
        stamp = self._door.make_stamp() if self._door.make_stamp and self._door.settings.apop else ""
        dialogue.send(machine.greet(f"{self._door.host} POP3 server ready", stamp))
        try:
            while True:
                command = machine.next_command()
                if command is NEED_DATA:
                    if machine.state is _CLOSED:
                        break
                    await dialogue.more()
                    retrieval = self._retrieval
                    if retrieval is not None and retrieval.flights.ready and (count := retrieval.send_ready()):
                        self._bad = 0
                        if count >= LONG_RUN:
                            await retrieval.send_run()
                    continue
                assert not isinstance(command, Oddity)
                if self._maildrop is None and dialogue.seconds > longest and self._may_be_let_go(command):
                    self._ending = "no login"
                    dialogue.send(machine.error("no login for too long, closing"))
                    return
                if isinstance(command, Command):
                    begun = perf_counter()
                    try:
                        answering = _ANSWERS[command.keyword](self, command)
                        if answering is not None:
                            await answering
                        self._bad = 0
                    except Exception as problem:
                        self._excuse(command, problem)
                    _COMMANDS.add(command.keyword, machine.outcome, perf_counter() - begun)
                    if self._tries:
                        self._tries = False
                        attempts.count_attempt(self._mechanism, machine.outcome)
                elif not self._scold(command):
                    return
                if dialogue.is_full:
                    await dialogue.flush()
            await dialogue.flush()
        except BrokenOff as broken:
            self._ending = str(broken)
            raise
        except PatienceLost:
            self._ending = "idle"
            raise
        except TakenOver:
            self._ending = "taken over"
            raise
        except Draining:
            self._ending = "drained"
            raise
        finally:
            counts.sheet[_OPEN[self._door.name]] -= 1
            await self._leave()

    async def _leave(self) -> None:
        """Whatever the end was: the lock is free again, and one line tells of the session; who left before a login is
        told apart."""
        maildrop, dialogue = self._maildrop, self._dialogue
        retrieval = self._retrieval
        if retrieval is not None:
            retrieval.leave()
        if maildrop is not None:
            await maildrop.leave()
        cipher = describe(dialogue.tls)[1] if dialogue.tls else ""
        event(
            "pop3.closed" if maildrop is not None else "pop3.left",
            door=self._door.name,
            account=maildrop.account.address if maildrop is not None else None,
            credential=maildrop.credential if maildrop is not None else "",
            mechanism=self._mechanism,
            peer=dialogue.peer[0],
            tls=dialogue.tls_version,
            cipher=cipher,
            letters=len(maildrop.view.snapshot.keys) if maildrop is not None else 0,
            retrieved=retrieval.sent if retrieval is not None else 0,
            topped=retrieval.topped if retrieval is not None else 0,
            removed=self._removed,
            octets_in=dialogue.octets_in,
            octets_out=dialogue.octets_out,
            seconds=round(dialogue.seconds, 3),
            end=self._ending,
        )

    def _may_be_let_go(self, line: Command | Invalid | Response) -> bool:
        """Whether a session that has no login after so long may end here. A login that was begun comes to its end, and
        QUIT is no more than that."""
        keyword = line.keyword if isinstance(line, Command) else None
        return keyword is not Keyword.QUIT and (keyword is not Keyword.PASS or self._username is None)

    # --- commands

    def _excuse(self, command: Command, problem: Exception) -> None:
        """Answer a command that failed: what is not known is temporary. Raises what ends the session."""
        machine, dialogue = self._machine, self._dialogue
        match problem:
            case NoSuchLetter():
                dialogue.send(machine.error(str(problem)))
            case NotNow():
                dialogue.send(machine.error(str(problem), problem.code))
            case Refusal():
                event("pop3.refused", command=command.keyword.name, peer=self._host, reply=str(problem))
                dialogue.send(machine.error(problem.public, _code(problem)))
                self._tire_of(problem)
            case Disconnected():
                raise problem
            case StoreError():
                event("pop3.failed", command=command.keyword.name, peer=self._host, error=str(problem))
                dialogue.send(machine.error(*_UNKNOWN))
            case _:
                self._ending = "bug"
                dialogue.send(machine.error(*_UNKNOWN))
                raise problem

    def _scold(self, line: Invalid | Response) -> bool:
        """-ERR to what is no command; False when there were too many of them."""
        assert isinstance(line, Invalid)
        self._dialogue.send(self._machine.error(line.because))
        _COMMANDS.add(None, Outcome.REFUSED, 0.0)
        self._bad += 1
        limit = BAD_COMMANDS_BEFORE_LOGIN if self._maildrop is None else BAD_COMMANDS_AFTER_LOGIN
        if self._bad < limit:
            return True
        self._ending = "bad commands"
        return False

    def _tire_of(self, refusal: Refusal) -> None:
        """A few failed logins end the connection."""
        self._failures += is_failed_login(refusal)
        if self._failures >= self._door.login.guard.settings.login_tries:
            self._ending = "failed logins"
            raise Disconnected(self._ending)

    async def _capa(self, _: Command) -> None:
        mechanisms, announced = await self._door.login.announced(self._channel)
        policy = site_policy(announced, self._maildrop.terms if self._maildrop else None)
        may_log_in = mechanisms if self._may_log_in else ()
        listing = self._door.capabilities(may_log_in, policy, can_start_tls=self._may_start_tls)
        self._dialogue.send_all(self._machine.ok_listing("capabilities follow", listing))

    async def _stls(self, _: Command) -> None:
        if not self._may_start_tls or self._door.tls is None:
            because = "TLS is on already" if self._dialogue.is_encrypted else "no TLS here"
            self._dialogue.send(self._machine.error(because))
            return
        if self._machine.is_utf8:
            self._dialogue.send(self._machine.error("STLS comes before UTF8"))  # RFC 6856 §2.1
            return
        if self._machine.unread_octets:
            self._ending = "octets behind STLS"
            self._dialogue.send(self._machine.error("nothing may follow STLS before TLS"))
            await self._dialogue.flush()
            raise Disconnected(self._ending)
        self._dialogue.send(self._machine.ok("begin TLS"))
        await self._dialogue.start_tls(self._door.tls)
        self._machine.begin_tls()
        self._username = None

    def _utf8(self, _: Command) -> None:
        # deviates: RFC 6856 §2.1, because a letter that is no UTF-8 is the sender's all the same, and is sent as it is.
        self._dialogue.send(self._machine.ok("UTF-8 it is"))

    def _lang(self, command: Command) -> None:
        if not command.arguments:
            self._dialogue.send_all(self._machine.ok_listing("languages follow", LISTING))
            return
        language = chosen(command.text.decode())
        if language is None:
            self._dialogue.send(self._machine.error("no such language here"))
            return
        self._machine.translate = language.translate
        self._dialogue.send(self._machine.ok(f"{language.tag} language changed"))

    def _user(self, command: Command) -> None:
        self._require_privacy()
        self._username = _text(command.text)
        self._dialogue.send(self._machine.ok("and the password?"))

    async def _pass(self, command: Command) -> None:
        username, self._username = self._username, None
        if username is None:
            self._dialogue.send(self._machine.error("USER comes first"))
            return
        self._require_privacy()
        self._try(attempts.USER)
        await self._enter(await self._door.login.by_password(username, _text(command.text), self._host))

    async def _apop(self, command: Command) -> None:
        if not self._machine.stamp:
            self._dialogue.send(self._machine.error("APOP is not offered here"))
            return
        digest = command.arguments[1]
        assert isinstance(digest, bytes)
        self._try(attempts.APOP)
        name, stamp = _text(command.text), self._machine.stamp
        await self._enter(await self._door.login.by_digest(name, stamp, digest, self._host))

    async def _auth(self, command: Command) -> None:
        if not command.arguments:
            names = b"".join(name + b"\r\n" for name in await self._mechanisms())
            self._dialogue.send_all(self._machine.ok_listing("mechanisms follow", names))
            return
        self._require_privacy()
        self._username = None  # whoever changes his mind begins anew
        initial = command.arguments[1] if len(command.arguments) > 1 else None
        assert not isinstance(initial, int)
        exchange = await self._door.login.begin(command.text, initial, self._channel)
        if exchange is None:
            self._dialogue.send(self._machine.error("no such mechanism here"))
            return
        self._try(command.text.decode())
        outcome = await self._door.login.by_exchange(exchange, self._ask, self._host)
        if isinstance(outcome, sasl.Failed):
            self._dialogue.send(self._machine.error(outcome.because))
            return
        await self._enter(outcome)

    def _try(self, mechanism: str) -> None:
        """Somebody tries to log in: when that is answered, it is counted."""
        self._mechanism, self._tries = mechanism, True

    async def _ask(self, challenge: bytes) -> bytes:
        self._dialogue.send(self._machine.challenge(challenge))
        while (response := self._machine.next_command()) is NEED_DATA:
            await self._dialogue.more()
        assert isinstance(response, Response)
        return response.encoded

    async def _enter(self, admission: Admission) -> None:
        """The right password was given: lock the maildrop and look at it (RFC 1939 §4)."""
        surrogates = not self._machine.is_utf8
        maildrop = await self._door.keeper.open(admission, self._dialogue, with_surrogates=surrogates)
        self._maildrop = maildrop
        self._dialogue.patience = self._door.settings.idle_seconds
        name, count, octets = maildrop.account.address, maildrop.view.count, maildrop.view.total_octets
        self._dialogue.send(self._machine.ok(f"{name}'s maildrop has {count} messages ({octets} octets)"))

    def _stat(self, _: Command) -> None:
        view = self._the_view
        self._dialogue.send(self._machine.ok(f"{view.count} {view.total_octets}"))

    def _list(self, command: Command) -> None:
        view = self._the_view
        if command.arguments:
            self._dialogue.send(self._machine.ok(f"{command.number} {view.octets(command.number)}"))
            return
        text = f"{view.count} messages ({view.total_octets} octets)"
        self._dialogue.send_all(self._machine.ok_listing(text, view.scan_listing()))

    def _uidl(self, command: Command) -> None:
        view = self._the_view
        if command.arguments:
            self._dialogue.send(self._machine.ok(f"{command.number} {view.unique_id(command.number)}"))
            return
        self._dialogue.send_all(self._machine.ok_listing("unique-ids follow", view.unique_id_listing()))

    async def _retr(self, command: Command) -> None:
        await self._the_retrieval.retr(command.number)

    async def _top(self, command: Command) -> None:
        lines = command.arguments[1]
        assert isinstance(lines, int)
        await self._the_retrieval.top(command.number, lines)

    def _dele(self, command: Command) -> None:
        self._the_view.delete(command.number)
        if self._retrieval is not None:
            self._retrieval.flights.ready.pop(command.number, None)
        self._dialogue.send(self._machine.ok(f"message {command.number} deleted"))

    def _noop(self, _: Command) -> None:
        self._dialogue.send(self._machine.ok("nothing done"))

    def _rset(self, _: Command) -> None:
        view = self._the_view
        view.undelete_all()
        self._dialogue.send(self._machine.ok(f"maildrop has {view.count} messages ({view.total_octets} octets)"))

    async def _quit(self, _: Command) -> None:
        self._ending = "quit"
        if self._maildrop is not None:
            try:
                self._removed = await self._maildrop.update()
            except StoreError as error:
                event("pop3.update_failed", peer=self._dialogue.peer[0], error=str(error))
                self._ending = "update failed"
                self._dialogue.send(self._machine.error("some deleted messages not removed", Code.SYS_TEMP))
                return
            await self._maildrop.leave()  # before +OK, so that whoever hears it finds the maildrop free
        self._dialogue.send(self._machine.ok(f"{self._door.host} POP3 server signing off"))

    # --- what a login gives

    @property
    def _the_maildrop(self) -> Maildrop:
        assert self._maildrop is not None, "the table lets nobody here before login"
        return self._maildrop

    @property
    def _the_retrieval(self) -> Retrieval:
        if self._retrieval is None:
            self._retrieval = Retrieval(self._dialogue, self._the_maildrop, _count_run)
        return self._retrieval

    @property
    def _the_view(self) -> FrozenView:
        return self._the_maildrop.view

    # --- privacy

    @property
    def _may_log_in(self) -> bool:
        return self._is_trusted or self._dialogue.is_encrypted

    @property
    def _may_start_tls(self) -> bool:
        return self._door.tls is not None and not self._dialogue.is_encrypted and self._maildrop is None

    def _require_privacy(self) -> None:
        """The same answer for right and wrong passwords (RFC 5034 §4, RFC 8314 §4.1)."""
        if not self._may_log_in:
            raise Refusal(permanent=True, status="7.11", public="TLS first: passwords are not taken in clear")

    @property
    def _channel(self) -> Channel:
        return channel_of(self._dialogue, self._door.host, PORTS)

    @property
    def _host(self) -> str:
        return self._dialogue.peer[0]

    async def _mechanisms(self) -> tuple[bytes, ...]:
        return await self._door.login.mechanisms(self._channel) if self._may_log_in else ()


_ANSWERS: dict[Keyword, Callable[[_Session, Command], Awaitable[None] | None]] = {
    Keyword.APOP: _Session._apop,
    Keyword.AUTH: _Session._auth,
    Keyword.CAPA: _Session._capa,
    Keyword.DELE: _Session._dele,
    Keyword.LANG: _Session._lang,
    Keyword.LIST: _Session._list,
    Keyword.NOOP: _Session._noop,
    Keyword.PASS: _Session._pass,
    Keyword.QUIT: _Session._quit,
    Keyword.RETR: _Session._retr,
    Keyword.RSET: _Session._rset,
    Keyword.STAT: _Session._stat,
    Keyword.STLS: _Session._stls,
    Keyword.TOP: _Session._top,
    Keyword.UIDL: _Session._uidl,
    Keyword.USER: _Session._user,
    Keyword.UTF8: _Session._utf8,
}


def _code(refusal: Refusal) -> Code | None:
    """`[AUTH]` only where the credentials are wrong (RFC 3206 §4)."""
    if refusal.status == "7.8":
        return Code.AUTH
    if refusal.status == "7.11":
        return None
    return Code.SYS_PERM if refusal.permanent else Code.SYS_TEMP


def _count_run(count: int, seconds: float) -> None:
    _COMMANDS.add_equal(Keyword.RETR, Outcome.OK, count, seconds)


def _text(octets: bytes) -> str:
    """Names and passwords are UTF-8, before UTF8 and after it (RFC 6856 §2.2)."""
    try:
        return octets.decode()
    except UnicodeDecodeError as error:
        raise Refusal(permanent=True, status="7.8", public="names and passwords are UTF-8") from error
