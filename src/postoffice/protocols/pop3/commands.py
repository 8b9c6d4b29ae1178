"""POP3 commands, and how a client writes them (RFC 1939 §3). `grammar` is the other direction."""

from typing import NamedTuple

from postoffice.protocols.pop3.table import RULES, Keyword, Shape, State

Argument = int | bytes


class Command(NamedTuple):
    """A well-formed command. Numbers are ints, everything else octets."""

    keyword: Keyword
    arguments: tuple[Argument, ...] = ()

    @property
    def shape(self) -> Shape:
        return RULES[self.keyword].shape_for(has_argument=bool(self.arguments))

    @property
    def after(self) -> State | None:
        """The state that +OK leads to, None where nothing changes: an AUTH that only asks for a list logs nobody in."""
        after = RULES[self.keyword].after
        return None if after is not None and not self.arguments and self.keyword is Keyword.AUTH else after

    @property
    def number(self) -> int:
        """The first argument of a command that names a message."""
        number = self.arguments[0]
        assert isinstance(number, int)
        return number

    @property
    def text(self) -> bytes:
        """The first argument of a command that carries a name, a password, a mechanism or a language range."""
        text = self.arguments[0]
        assert isinstance(text, bytes)
        return text


_WORDS = {keyword: keyword.value for keyword in Keyword}


def format_command(command: Command) -> bytes:
    """The line of a command, with its end. The other direction of `grammar.parse`."""
    line = _WORDS[command.keyword]
    for argument in command.arguments:
        line += b" %d" % argument if isinstance(argument, int) else b" " + argument
    return line + b"\r\n"


# The client's vocabulary, so that no caller spells a command.

CAPA = Command(Keyword.CAPA)
LANG = Command(Keyword.LANG)
LIST = Command(Keyword.LIST)
NOOP = Command(Keyword.NOOP)
QUIT = Command(Keyword.QUIT)
RSET = Command(Keyword.RSET)
STAT = Command(Keyword.STAT)
STLS = Command(Keyword.STLS)
UIDL = Command(Keyword.UIDL)
UTF8 = Command(Keyword.UTF8)


def user(name: bytes) -> Command:
    return Command(Keyword.USER, (name,))


def password(secret: bytes) -> Command:
    return Command(Keyword.PASS, (secret,))


def retrieve(number: int) -> Command:
    return Command(Keyword.RETR, (number,))


def delete(number: int) -> Command:
    return Command(Keyword.DELE, (number,))


def top(number: int, lines: int) -> Command:
    return Command(Keyword.TOP, (number, lines))


def speak(language_range: bytes) -> Command:
    return Command(Keyword.LANG, (language_range,))


def authenticate(mechanism: bytes, initial: bytes | None = None) -> Command:
    """`initial` is already in base64, `=` where it is empty (RFC 5034 §4)."""
    return Command(Keyword.AUTH, (mechanism,) if initial is None else (mechanism, initial))
