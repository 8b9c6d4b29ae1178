r"""Conversations written down as in the RFCs: `C:` and `S:` lines, and a few marks around them.

    C: text            the client says a line; S: the server
    C# 5000 octets     somebody says so many octets, whatever they are
    C. closes          somebody closes the connection
    ! TLS              the handshake happens here
    ~ 600 s            time passes
    @ words            what exists before: accounts, letters, the door (the runner's matter)
    # words            a comment, normally the citation

The RFCs' own form is read as it stands: any indentation, as many blanks behind the colon as the first line has, and
`<prose>` where an RFC tells instead of quoting. `...` in a server's line matches anything; in a client's it stands
for a secret. Octets that cannot be printed are escaped: `\x00`, `\r`, `\n`, `\t`, `\\`. A line that ends with `\n` has
that end and no other; one that ends with a lone backslash has none at all.

`Recorder` gives this form of a live conversation, so a printed trace is a test.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Literal

Who = Literal["C", "S"]


class NotationError(ValueError):
    """A line that is no notation; says which."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is said, escaped, without its end."""

    who: Who
    text: str
    number: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Prose:
    """What an RFC tells in angle brackets instead of quoting it."""

    who: Who
    text: str
    number: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Counted:
    who: Who
    octets: int
    number: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Closes:
    who: Who
    number: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Handshake:
    number: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Passes:
    seconds: float
    number: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Scene:
    """One thing that exists before; escaped."""

    words: str
    number: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Comment:
    text: str
    number: int = field(default=0, compare=False)


Step = Line | Prose | Counted | Closes | Handshake | Passes | Scene | Comment

_SAID: Final = re.compile(r"([CS]):( *)(.*)")
_COUNTED: Final = re.compile(r"([CS])# *([0-9]+) octets?")
_CLOSES: Final = re.compile(r"([CS])\. closes")
_PASSES: Final = re.compile(r"~ *([0-9]+(?:\.[0-9]+)?) s")
_PROSE: Final = re.compile(r"<[^<>]* [^<>]*>")
_BOTH: Final = re.compile(r"(?:C & S: *)?(<[^<>]*>)")
_HANDSHAKE: Final = re.compile(r"TLS (?:session|negotiation,)")


def parse(text: str) -> tuple[Step, ...]:
    """The steps of a transcript, in order. Blank lines are nothing. A `NotationError` names the line."""
    steps: list[Step] = []
    blanks: int | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line:
            continue
        said = _SAID.fullmatch(line)
        if not said:
            steps += _mark(line, number)
            continue
        who: Who = "C" if said[1] == "C" else "S"
        if _PROSE.fullmatch(said[3]):
            steps.append(Prose(who, said[3][1:-1], number))
            continue
        if blanks is None and said[3]:
            blanks = len(said[2])
        steps.append(Line(who, said[2][blanks or 0 :] + said[3], number))
    return tuple(steps)


def _mark(line: str, number: int) -> list[Step]:
    """The step of a line that nobody says; none for an RFC's remark about both sides."""
    sign, rest = line[0], line[1:].strip()
    who: Who = "C" if sign == "C" else "S"
    if sign == "#":
        return [Comment(rest, number)]
    if sign == "@" and rest:
        return [Scene(rest, number)]
    if line == "! TLS":
        return [Handshake(number)]
    if found := _PASSES.fullmatch(line):
        return [Passes(float(found[1]), number)]
    if found := _COUNTED.fullmatch(line):
        return [Counted(who, int(found[2]), number)]
    if _CLOSES.fullmatch(line):
        return [Closes(who, number)]
    if found := _BOTH.fullmatch(line):
        return [Handshake(number)] if _HANDSHAKE.search(found[1]) else []
    raise NotationError(f"line {number}: neither C:, S: nor a mark: {line[:60]}")


def format_steps(steps: tuple[Step, ...]) -> str:
    """The transcript of steps. The other direction of `parse`."""
    return "".join(format_step(step) + "\n" for step in steps)


def format_step(step: Step) -> str:
    match step:
        case Line(who, text):
            return f"{who}: {text}" if text else f"{who}:"
        case Prose(who, text):
            return f"{who}: <{text}>"
        case Counted(who, octets):
            return f"{who}# {octets} octets"
        case Closes(who):
            return f"{who}. closes"
        case Handshake():
            return "! TLS"
        case Passes(seconds):
            return f"~ {seconds:g} s"
        case Scene(words):
            return f"@ {words}"
        case Comment(text):
            return f"# {text}".rstrip()


# --- octets

_ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{2}|[rnt\\])")
_ESCAPED: Final = {"r": b"\r", "n": b"\n", "t": b"\t", "\\": b"\\"}
_NAMED: Final = {13: "\\r", 10: "\\n", 9: "\\t", 92: "\\\\"}


def unescaped(text: str) -> bytes:
    """The octets of escaped text."""
    parts = _ESCAPE.split(text)
    octets = b""
    for index, part in enumerate(parts):
        if index % 2 == 0:
            octets += part.encode()
        else:
            octets += _ESCAPED[part] if part in _ESCAPED else bytes.fromhex(part[1:])
    return octets


def escaped(octets: bytes) -> str:
    """Octets as text that is printable ASCII and stays whole when blanks at its ends are stripped."""
    text = "".join(chr(o) if 32 <= o < 127 and o != 92 else _NAMED.get(o) or f"\\x{o:02x}" for o in octets)
    if text.startswith((" ", "<")):
        text = f"\\x{ord(text[0]):02x}{text[1:]}"
    return f"{text[:-1]}\\x20" if text.endswith(" ") else text


def line_octets(text: str) -> bytes:
    """What is said by a line of this text: with CRLF, unless it tells of another end or of none."""
    found = re.search(r"(?<!\\)(?:\\\\)*\\$", text)
    if found:
        return unescaped(text[:-1])
    octets = unescaped(text)
    return octets if text.endswith("\\n") and octets.endswith(b"\n") else octets + b"\r\n"


def line_text(octets: bytes) -> str:
    """The text of a line that is given with its end, if it has one. The other direction of `line_octets`."""
    if octets.endswith(b"\r\n"):
        body = octets[:-2]
        return escaped(octets) if body.endswith(b"\n") else escaped(body)
    return escaped(octets) if octets.endswith(b"\n") else escaped(octets) + "\\"


def pattern_of(text: str) -> re.Pattern[bytes]:
    """What a server's line must be: its own octets, `...` anything within the line."""
    parts = [re.escape(unescaped(part)) for part in text.split("...")]
    return re.compile(b"[^\r\n]*".join(parts))
