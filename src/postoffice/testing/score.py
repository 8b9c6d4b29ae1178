"""A transcript read as a score: who says what octets when, and which reply belongs to which command.

The same score is played as a server, as a client and as a pair; so it settles once what each of them must know: what
a secret `...` of the client really is, where a body or a content ends, and what of a reply has to match.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from postoffice.protocols.dots import DotReader
from postoffice.protocols.notation import (
    Closes,
    Comment,
    Counted,
    Handshake,
    Line,
    NotationError,
    Passes,
    Prose,
    Scene,
    Step,
    line_octets,
    parse,
    pattern_of,
    unescaped,
)
from postoffice.protocols.pop3 import commands as pop3
from postoffice.protocols.pop3 import grammar
from postoffice.protocols.pop3.table import Keyword as Pop3Keyword
from postoffice.protocols.pop3.table import Shape
from postoffice.protocols.smtp import commands as smtp
from postoffice.protocols.smtp.table import RULES, Keyword
from postoffice.testing.scenes import Setting, made_letter, read_scene

Command = pop3.Command | smtp.Command
Invalid = grammar.Invalid | smtp.Invalid
_BODIES = frozenset({Shape.LISTING, Shape.LETTER})


@dataclass(slots=True)
class Say:
    """What the client says: a command, a `response` to a challenge, a whole `content`, or what is none of them.

    `ends_group`: nothing may be sent behind it before it is answered (RFC 2920 §3.1).
    """

    octets: bytes
    number: int
    kind: str = "command"
    commands: list[Command | Invalid] = field(default_factory=list)
    ends_group: bool = True


@dataclass(slots=True)
class Hear:
    """What the server replies, to `command`; None is the greeting, or a farewell. `body` is without its dot line."""

    lines: list[Line]
    command: Command | Invalid | None
    is_challenge: bool = False
    has_body: bool = False
    body: list[Step] = field(default_factory=list)

    @property
    def first(self) -> str:
        return self.lines[0].text

    @property
    def keyword(self) -> str:
        """The command's name; empty for a greeting and for what is no command."""
        return self.command.keyword.value.decode() if isinstance(self.command, Command) else ""

    @property
    def octets(self) -> bytes:
        """The reply as a server would send it that follows the transcript to the letter."""
        wire = b"".join(line_octets(line.text) for line in self.lines)
        return wire + self.body_octets + b".\r\n" if self.has_body else wire

    @property
    def body_octets(self) -> bytes:
        return b"".join(_step_octets(step) for step in self.body)

    @property
    def body_pattern(self) -> re.Pattern[bytes]:
        return re.compile(b"".join(_step_pattern(step) for step in self.body))


Move = Say | Hear | Handshake | Passes | Closes


@dataclass(slots=True)
class Score:
    setting: Setting
    moves: list[Move]

    @property
    def is_pop3(self) -> bool:
        return self.setting.door == "pop3"


def read_score(text: str) -> Score:
    """The score of a transcript."""
    steps = parse(text)
    setting = read_scene(steps)
    if not setting.door:
        first = next((step.text for step in steps if isinstance(step, Line)), "")
        setting.door = "pop3" if first.startswith(("+", "-")) else "mx"
    reader = _Reader(setting)
    for step in steps:
        reader.take(step)
    return Score(setting, reader.finish())


def in_groups(moves: Sequence[Move]) -> list[Move]:
    """The same moves with as much said at once as may be; replies are heard when a group is over."""
    grouped: list[Move] = []
    held: list[Move] = []
    is_over = True
    for move in moves:
        if isinstance(move, Say):
            grouped.append(move)
            is_over = move.ends_group
        elif isinstance(move, Hear) and not is_over:
            held.append(move)
        else:
            grouped += [*held, move]
            held = []
            is_over = is_over and isinstance(move, Hear)
    return grouped + held


class _Reader:
    """Follows a conversation as far as it must to understand it."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._is_pop3 = setting.door == "pop3"
        self._moves: list[Move] = []
        self._owed: deque[Command | Invalid | None] = deque([None])
        self._partial = b""
        self._secrets = _Secrets(setting)
        self._is_challenged = False
        self._takers = 0
        self._content: DotReader | None = None
        self._content_octets = b""
        self._reply: list[Line] = []
        self._hear: Hear | None = None  # its body is still coming

    def take(self, step: Step) -> None:
        match step:
            case Scene() | Comment():
                return
            case Line("S") | Counted("S") | Prose("S") if self._hear is not None:
                self._take_body(self._hear, step)
            case Prose():
                return
            case Line("C") | Counted("C"):
                self._take_client(step)
            case Line():
                self._take_server(step)
            case Counted():
                raise NotationError(f"line {step.number}: counted octets that belong to no body")
            case Handshake() if self._setting.is_encrypted and not self._moves:
                return  # a trace tells of what the scene has done already
            case Handshake() | Passes() | Closes():
                self._moves.append(step)
                self._partial = b""

    def finish(self) -> list[Move]:
        if self._reply or self._hear:
            raise NotationError("the last reply does not end")
        return self._moves

    # --- the client

    def _take_client(self, step: Line | Counted) -> None:
        if isinstance(step, Counted):
            is_letter = self._content is not None
            octets = made_letter(step.octets) if is_letter else b"x" * (step.octets - 2) + b"\r\n"
        else:
            octets = line_octets(step.text)
        if self._content is not None:
            self._take_content(self._content, octets, step.number)
        elif self._is_challenged:
            self._is_challenged = False
            if isinstance(step, Line) and step.text == "...":
                octets = self._secrets.response() + b"\r\n"
            self._moves.append(Say(octets, step.number, "response"))
        else:
            if isinstance(step, Line):
                octets = self._secrets.filled(octets)
            self._take_commands(octets, step.number)

    def _take_commands(self, octets: bytes, number: int) -> None:
        *lines, partial = (self._partial + octets).split(b"\n")
        kind = "octets" if self._partial or partial else "command"
        self._partial = partial
        commands = [self._parsed(line) for line in lines]
        self._owed.extend(commands)
        self._moves.append(Say(octets, number, kind, commands, any(self._ends_group(c) for c in commands)))

    def _parsed(self, line: bytes) -> Command | Invalid:
        if self._is_pop3:
            return grammar.parse(line.removesuffix(b"\r"))
        return smtp.parse(line[:-1]) if line.endswith(b"\r") else smtp.Invalid(500, "", "bare LF")

    def _ends_group(self, command: Command | Invalid) -> bool:
        if isinstance(command, smtp.Command):
            return RULES[command.keyword].ends_group
        return isinstance(command, pop3.Command) and command.keyword is Pop3Keyword.STLS

    def _take_content(self, content: DotReader, octets: bytes, number: int) -> None:
        content.feed(octets)
        self._content_octets += octets
        if content.rest is None:
            return
        said, self._content_octets, self._content = self._content_octets, b"", None
        rest = content.rest
        whole = said[: len(said) - len(rest)]
        self._owed.extend([smtp.END_OF_DATA] * (self._takers if self._setting.door == "lmtp" else 1))
        self._moves.append(Say(whole, number, "content", ends_group=False))
        if rest:
            self._take_commands(rest, number)

    # --- the server

    def _take_server(self, line: Line) -> None:
        self._reply.append(line)
        if not self._is_pop3 and line.text[3:4] == "-":
            return
        lines, self._reply = self._reply, []
        is_challenge = unescaped(line.text).startswith((b"+ ", b"334")) or line.text == "+"
        if is_challenge:
            self._is_challenged = True
            self._moves.append(Hear(lines, self._owed[0], is_challenge=True))
            return
        command = self._owed.popleft() if self._owed else None
        hear = Hear(lines, command)
        if isinstance(command, smtp.Command) and line.text.startswith("2"):
            self._takers = {Keyword.MAIL: 0, Keyword.RCPT: self._takers + 1}.get(command.keyword, self._takers)
        self._moves.append(hear)
        if line.text.startswith("+OK") and isinstance(command, pop3.Command) and command.shape in _BODIES:
            hear.has_body = True
            self._hear = hear
        if line.text.startswith("354"):
            self._content = DotReader()

    def _take_body(self, hear: Hear, step: Step) -> None:
        if isinstance(step, Line) and step.text == ".":
            self._hear = None
        else:
            hear.body.append(step)


class _Secrets:
    """What the `...` of a client really is, by the scene."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._user = next(iter(setting.passwords), "")
        self._responses: deque[bytes] = deque()

    def filled(self, octets: bytes) -> bytes:
        """A command with its secret."""
        words = octets.split()
        keyword = words[0].upper() if words else b""
        if keyword == b"USER" and len(words) == 2:
            self._user = self._setting.address(words[1].decode("utf-8", "replace"))
        if keyword == b"AUTH" and len(words) > 1:
            self._responses = self._claim(words[1].upper())
            if words[-1] == b"...":
                words[-1] = self.response()
                return b" ".join(words) + b"\r\n"
        if words[1:] == [b"..."] and keyword == b"PASS":
            return words[0] + b" " + self._password(self._user) + b"\r\n"
        if len(words) == 3 and keyword == b"APOP" and words[2] == b"...":
            secret = self._password(self._setting.address(words[1].decode()))
            digest = hashlib.md5(self._setting.stamp.encode() + secret, usedforsecurity=False).hexdigest()
            return b"%s %s %s\r\n" % (words[0], words[1], digest.encode())
        return octets

    def response(self) -> bytes:
        return self._responses.popleft() if self._responses else b"..."

    def _claim(self, mechanism: bytes) -> deque[bytes]:
        name = next(iter(self._setting.passwords), "").encode()
        password = self._password(name.decode())
        whole = [name, password] if mechanism == b"LOGIN" else [b"\0" + name + b"\0" + password]
        return deque(base64.b64encode(part) for part in whole)

    def _password(self, address: str) -> bytes:
        return self._setting.passwords.get(address, "...").encode()


def _step_octets(step: Step) -> bytes:
    match step:
        case Line(_, text):
            return line_octets(text)
        case Counted(_, octets):
            return made_letter(octets)
        case _:
            return made_letter(120)


def _step_pattern(step: Step) -> bytes:
    match step:
        case Line(_, "..."):
            return b"(?s:.*?)"
        case Line(_, text):
            return pattern_of(text).pattern + b"\r\n"
        case Counted(_, octets):
            return b"(?s:.{%d})" % octets
        case _:
            return b"(?s:.*?)"
