"""SMTP as one table, shared by both ends (RFC 5321 §4.1.4, RFC 3207, RFC 4954).

    CONNECTED ──EHLO, HELO──▶ READY ──MAIL──▶ MAIL ──RCPT──▶ RCPT ──DATA: 354──▶ DATA
        ▲                     ▲ │ ▲            │              │ ▲ │                │
        └──────STARTTLS───────┼─┘ └────RSET────┴──────────────┘ └─┘ RCPT           │
                              └─────────────────end of data, whatever the reply────┘

QUIT leads from everywhere but DATA to CLOSED, and so does the reply 421 to anything (RFC 5321 §3.8). Success is the
class of the reply that a rule names; only success changes the state, with two exceptions: the end of data ends the
transaction whatever is answered (RFC 5321 §4.1.1.4), and QUIT ends the session. EHLO and HELO in a transaction end
it as RSET does. STARTTLS makes both ends forget all they learnt (RFC 3207 §4.2).

The final dot is a command of the table too, the only one of DATA: it is owed one reply like any other. A chunk of
RFC 3030 would be one more keyword with one more rule, as the greeting of LMTP is (RFC 2033 §4.1): the table is the
same for both protocols, and what differs stands in `lmtp`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """Where a session stands."""

    CONNECTED = "before EHLO"
    READY = "between two transactions"
    MAIL = "a reverse path is given"
    RCPT = "a recipient is accepted"
    DATA = "content flows"
    CLOSED = "over"

    # Members are looked up several times a command; Enum's own hash is a call into Python.
    __hash__ = object.__hash__


class Keyword(Enum):
    """Every command that we know."""

    AUTH = b"AUTH"
    DATA = b"DATA"
    EHLO = b"EHLO"
    END_OF_DATA = b"."
    HELO = b"HELO"
    LHLO = b"LHLO"
    MAIL = b"MAIL"
    NOOP = b"NOOP"
    QUIT = b"QUIT"
    RCPT = b"RCPT"
    RSET = b"RSET"
    STARTTLS = b"STARTTLS"
    VRFY = b"VRFY"

    __hash__ = object.__hash__


class Arguments(Enum):
    """What stands behind a keyword."""

    NONE = "nothing"
    NAME = "a host name or an address literal"
    TEXT = "a text"
    OPTIONAL_TEXT = "a text or nothing"
    REVERSE_PATH = "FROM:<path> and parameters"
    FORWARD_PATH = "TO:<path> and parameters"
    MECHANISM = "a mechanism and perhaps an initial response"


@dataclass(frozen=True, slots=True)
class Rule:
    """One command.

    `success` is the class of the reply that grants it, `after` the state that follows then, None where nothing
    changes. `ends_transaction`: a session in MAIL or RCPT goes back to READY. `ends_group`: nothing may be sent
    behind it until it is answered (RFC 2920 §3.1).
    """

    states: frozenset[State]
    arguments: Arguments
    success: int = 2
    after: State | None = None
    after_refusal: State | None = None
    ends_transaction: bool = False
    ends_group: bool = True
    holds_secret: bool = False

    def following(self, state: State, code: int) -> State:
        """Where a session in `state` stands when this command was answered with `code`."""
        if code == CLOSING:
            return State.CLOSED
        if code // 100 != self.success:
            return self.after_refusal or state
        if self.ends_transaction and state in _IN_TRANSACTION:
            return State.READY
        return self.after or state


_IN_TRANSACTION = frozenset({State.MAIL, State.RCPT})
_GREETED = frozenset({State.READY}) | _IN_TRANSACTION
_ANY = frozenset({State.CONNECTED}) | _GREETED
_BETWEEN = frozenset({State.READY})

RULES: dict[Keyword, Rule] = {
    Keyword.AUTH: Rule(_BETWEEN, Arguments.MECHANISM, holds_secret=True),
    Keyword.DATA: Rule(frozenset({State.RCPT}), Arguments.NONE, 3, State.DATA),
    Keyword.EHLO: Rule(_ANY, Arguments.NAME, after=State.READY),
    Keyword.END_OF_DATA: Rule(frozenset({State.DATA}), Arguments.NONE, 2, State.READY, State.READY, ends_group=False),
    Keyword.HELO: Rule(_ANY, Arguments.NAME, after=State.READY),
    Keyword.LHLO: Rule(_ANY, Arguments.NAME, after=State.READY),
    Keyword.MAIL: Rule(_BETWEEN, Arguments.REVERSE_PATH, after=State.MAIL, ends_group=False),
    Keyword.NOOP: Rule(_ANY, Arguments.OPTIONAL_TEXT),
    Keyword.QUIT: Rule(_ANY, Arguments.NONE, 2, State.CLOSED, State.CLOSED),
    Keyword.RCPT: Rule(_IN_TRANSACTION, Arguments.FORWARD_PATH, after=State.RCPT, ends_group=False),
    Keyword.RSET: Rule(_ANY, Arguments.NONE, ends_transaction=True, ends_group=False),
    Keyword.STARTTLS: Rule(_BETWEEN, Arguments.NONE, after=State.CONNECTED),
    Keyword.VRFY: Rule(_ANY, Arguments.TEXT),
}

NOT_IMPLEMENTED = frozenset({b"EXPN", b"HELP", b"SEND", b"SOML", b"SAML", b"TURN", b"ETRN", b"BDAT"})
"""Commands that we recognise and do not have: 502 and not 500 (RFC 5321 §4.2.4)."""

CLOSING = 421
"""The reply that ends a session whatever it answers (RFC 5321 §3.8)."""

COMMAND_OCTETS = 512
"""The longest command line, CRLF included (RFC 5321 §4.5.3.1.4)."""

MAIL_OCTETS = COMMAND_OCTETS + 26 + 17 + 10 + 500
"""The same for MAIL, with what SIZE, 8BITMIME, SMTPUTF8 and AUTH add (RFC 1870 §3, RFC 6152 §2, RFC 6531 §3.1,
RFC 4954 §3)."""

EXCHANGE_OCTETS = 64 * 1024
"""The longest AUTH line and SASL response that we take: RFC 4954 §4 wants 12,288 at least."""

REPLY_OCTETS = 512
"""The longest line of a reply, CRLF included (RFC 5321 §4.5.3.1.5)."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of MAIL or RCPT: a pattern for its value, None where it takes none. Values come in any case."""

    value: bytes | None


PARAMETERS: dict[Keyword, dict[str, Parameter]] = {
    Keyword.MAIL: {
        "SIZE": Parameter(rb"[0-9]{1,20}"),
        "BODY": Parameter(rb"7BIT|8BITMIME"),
        "SMTPUTF8": Parameter(None),
        "AUTH": Parameter(rb"[!-<>-~]{1,500}"),
    },
    Keyword.RCPT: {},
}
