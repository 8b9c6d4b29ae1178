"""POP3 as one table, shared by both ends (RFC 1939, RFC 2449, RFC 2595 §4, RFC 5034, RFC 6856).

    AUTHORIZATION ──PASS, APOP, AUTH: +OK──▶ TRANSACTION ──QUIT──▶ UPDATE ──reply──▶ CLOSED
          │                                                                             ▲
          └──────────────────────────────────QUIT────────────────────────────────────────┘

Only +OK changes the state; -ERR never does. The single exception is QUIT: once a complete QUIT was received in
TRANSACTION the session is in UPDATE whatever is answered (RFC 1939 §6), and a session that ends in any other way
never gets there. STLS stays in AUTHORIZATION but makes the server forget what it knew (RFC 2595 §4).
"""

from enum import Enum
from typing import NamedTuple


class State(Enum):
    """Where a session stands (RFC 1939 §3)."""

    AUTHORIZATION = "AUTHORIZATION"
    TRANSACTION = "TRANSACTION"
    UPDATE = "UPDATE"
    CLOSED = "CLOSED"

    # Members are looked up several times a command; Enum's own hash is a call into Python.
    __hash__ = object.__hash__


class Keyword(Enum):
    """Every command that we know."""

    APOP = b"APOP"
    AUTH = b"AUTH"
    CAPA = b"CAPA"
    DELE = b"DELE"
    LANG = b"LANG"
    LIST = b"LIST"
    NOOP = b"NOOP"
    PASS = b"PASS"
    QUIT = b"QUIT"
    RETR = b"RETR"
    RSET = b"RSET"
    STAT = b"STAT"
    STLS = b"STLS"
    TOP = b"TOP"
    UIDL = b"UIDL"
    USER = b"USER"
    UTF8 = b"UTF8"

    __hash__ = object.__hash__


class Arguments(Enum):
    """What stands behind a keyword."""

    NONE = "nothing"
    TEXT = "one text, which may hold spaces"
    NUMBER = "a message number"
    OPTIONAL_NUMBER = "a message number or nothing"
    NUMBER_AND_COUNT = "a message number and a count of lines"
    NAME_AND_DIGEST = "a name and a digest"
    OPTIONAL_RANGE = "a language range or nothing"
    MECHANISM = "nothing, or a mechanism and perhaps an initial response"


class Shape(Enum):
    """What an affirmative reply is made of."""

    LINE = "one line of free text"
    FACTS = "one line of facts"
    LISTING = "one line, then a multi-line listing"
    LETTER = "one line, then a letter"
    EXCHANGE = "challenges, then one line"

    __hash__ = object.__hash__


class Rule(NamedTuple):
    """One command. `shape_with_argument` differs from `shape` where an argument narrows the reply to one line."""

    states: frozenset[State]
    arguments: Arguments
    shape: Shape
    after: State | None = None
    shape_with_argument: Shape | None = None
    holds_secret: bool = False

    def shape_for(self, *, has_argument: bool) -> Shape:
        return self.shape_with_argument if has_argument and self.shape_with_argument else self.shape


_BEFORE = frozenset({State.AUTHORIZATION})
_DURING = frozenset({State.TRANSACTION})
_BOTH = _BEFORE | _DURING

RULES: dict[Keyword, Rule] = {
    Keyword.APOP: Rule(_BEFORE, Arguments.NAME_AND_DIGEST, Shape.LINE, State.TRANSACTION, holds_secret=True),
    Keyword.AUTH: Rule(
        _BEFORE, Arguments.MECHANISM, Shape.LISTING, State.TRANSACTION, Shape.EXCHANGE, holds_secret=True
    ),
    Keyword.CAPA: Rule(_BOTH, Arguments.NONE, Shape.LISTING),
    Keyword.DELE: Rule(_DURING, Arguments.NUMBER, Shape.LINE),
    Keyword.LANG: Rule(_BOTH, Arguments.OPTIONAL_RANGE, Shape.LISTING, None, Shape.LINE),
    Keyword.LIST: Rule(_DURING, Arguments.OPTIONAL_NUMBER, Shape.LISTING, None, Shape.FACTS),
    Keyword.NOOP: Rule(_DURING, Arguments.NONE, Shape.LINE),
    Keyword.PASS: Rule(_BEFORE, Arguments.TEXT, Shape.LINE, State.TRANSACTION, holds_secret=True),
    Keyword.QUIT: Rule(_BOTH, Arguments.NONE, Shape.LINE, State.CLOSED),
    Keyword.RETR: Rule(_DURING, Arguments.NUMBER, Shape.LETTER),
    Keyword.RSET: Rule(_DURING, Arguments.NONE, Shape.LINE),
    Keyword.STAT: Rule(_DURING, Arguments.NONE, Shape.FACTS),
    Keyword.STLS: Rule(_BEFORE, Arguments.NONE, Shape.LINE),
    Keyword.TOP: Rule(_DURING, Arguments.NUMBER_AND_COUNT, Shape.LETTER),
    Keyword.UIDL: Rule(_DURING, Arguments.OPTIONAL_NUMBER, Shape.LISTING, None, Shape.FACTS),
    Keyword.USER: Rule(_BEFORE, Arguments.TEXT, Shape.LINE),
    Keyword.UTF8: Rule(_BEFORE, Arguments.NONE, Shape.LINE),
}

COMMAND_OCTETS = 255
"""The longest command line, CRLF included (RFC 2449 §4)."""

RESPONSE_OCTETS = 512
"""The longest first line of a reply, CRLF included (RFC 2449 §4)."""

EXCHANGE_OCTETS = 64 * 1024
"""The longest AUTH line and SASL response that we take: mechanisms need more than 255 (RFC 5034 §4)."""
