"""Where letters go, as a person writes it.

    mail.mailbox, ~/Mail/me.mailbox       a mailbox file: they stay there
    maildir:~/Maildir
    mbox:/var/mail/me
    command:procmail -d me                the shell runs it for each letter
    lmtp://localhost:24/me@example.org    a neighbour's mailboxes, without a password (RFC 2033)
    lmtp:///run/dovecot/lmtp/me           the same at a Unix socket: the last part is the recipient
    smtp://HOST/me@example.org            as any office brings it; port 25
    smtp://USER@HOST/me@example.org       submission: STARTTLS, a login; port 587 (RFC 6409)
    smtps://USER@HOST/me@example.org      the same in TLS from the first octet; port 465 (RFC 8314 §3.3)

Behind a URL stands where its password is, and whom TLS believes: `?password-file=…`, `-command`, `-variable`,
`-credential`, `-keyring`; `?ca=office.pem`, `?pin=sha256:…`; `?clear-text` does without TLS in a network; and who the
sender of all letters is, `?sender=me@example.org`, for servers that take those of nobody else. A password itself has no
place in it, and no error here repeats a URL.
"""

import os
import re
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from postoffice.client.login import Trust
from postoffice.client.secrets import Places
from postoffice.client.url import Source
from postoffice.errors import Refusal, UsageError

SMTP_PORT: Final = 25
SUBMISSION_PORT: Final = 587
SUBMISSIONS_PORT: Final = 465

_SCHEME: Final = re.compile(r"([a-z]{2,}):(.*)", re.DOTALL)
_URLS: Final = frozenset({"lmtp", "smtp", "smtps"})
_PLACES: Final = ("password-command", "password-file", "password-variable", "password-credential", "password-keyring")
_PATHS: Final = frozenset({"password-file", "ca"})
_FLAGS: Final = frozenset({"password-keyring", "clear-text"})
_KNOWN: Final = frozenset({*_PLACES, "ca", "pin", "clear-text", "sender"})
_LOCAL: Final = re.compile(r"[!-~]+")


class InFile(NamedTuple):
    """A mailbox file: nothing is handed on."""

    path: Path

    @property
    def name(self) -> str:
        """What is one target and no other, however it is written."""
        return str(self.path)


class InMaildir(NamedTuple):
    path: Path

    @property
    def name(self) -> str:
        return f"maildir:{self.path}"


class InMbox(NamedTuple):
    path: Path

    @property
    def name(self) -> str:
        return f"mbox:{self.path}"


class ToCommand(NamedTuple):
    """`text` is for the shell, as the person wrote it."""

    text: str

    @property
    def name(self) -> str:
        return f"command:{self.text}"


class ToServer(NamedTuple):
    """`address` is a host and a port, or the path of a Unix socket. `user` is empty where nobody logs in; `sender` None
    is each letter's own, empty nobody."""

    address: tuple[str, int] | str
    recipient: str
    sender: str | None = None
    is_lmtp: bool = False
    implicit_tls: bool = False
    user: str = ""
    trust: Trust = Trust()
    places: Places = Places()

    @property
    def name(self) -> str:
        where = self.address if isinstance(self.address, str) else f"{self.address[0]}:{self.address[1]}"
        return f"{'lmtp' if self.is_lmtp else 'smtp'}://{where}/{self.recipient}"

    @property
    def host(self) -> str:
        return self.address if isinstance(self.address, str) else self.address[0]

    @property
    def is_on_this_machine(self) -> bool:
        """Whether the way there leaves this machine for nobody to listen to."""
        return isinstance(self.address, str) or Source(*self.address, self.user).is_on_this_machine

    def secret(self) -> str:
        """The password, from the one place that is named. May run a command. Raises UsageError."""
        named = self.places.named(Source(*self.address, self.user)) if not isinstance(self.address, str) else []
        if len(named) != 1:
            raise UsageError(
                f"where is the password of {self.user} at {self.host}? Name one place behind the URL:"
                " ?password-file=, -command=, -variable=, -credential= or -keyring"
            )
        return named[0]()


Target = InFile | InMaildir | InMbox | ToCommand | ToServer


def target(text: str) -> Target:
    """What a person means by `--into` or `into`. Raises UsageError (64)."""
    found = _SCHEME.fullmatch(text)
    scheme, rest = found.groups() if found else ("", text)
    if not rest.strip():
        raise UsageError(f"{text!r}: into what? {scheme or 'A mailbox file'} needs a name behind it")
    if "\0" in rest:
        raise UsageError("there is a NUL in the name of where letters go")
    match scheme:
        case "":
            return InFile(_at_home(rest))
        case "maildir":
            return InMaildir(_path(rest))
        case "mbox":
            return InMbox(_path(rest))
        case "command":
            return ToCommand(rest)
        case "lmtp" | "smtp" | "smtps":
            return _server(scheme, text)
        case _:
            raise UsageError(
                f"letters cannot go into {scheme}: there are maildir:PATH, mbox:PATH, command:CMD, lmtp://, smtp://,"
                " smtps:// and a mailbox file (./ before a name with a colon)"
            )


def _path(text: str) -> Path:
    """The one spelling of a path, for the name of a target."""
    return Path(os.path.normpath(_at_home(text).absolute()))


def _at_home(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{text}: nobody knows where that home is") from error


def _server(scheme: str, text: str) -> ToServer:
    if not text.isprintable():
        raise UsageError(f"there is something in this {scheme} URL that cannot be printed")
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise UsageError(f"this is no {scheme} URL: its host or its port cannot be read") from error
    if url.fragment or not text.startswith(f"{scheme}://"):
        raise UsageError(f"a {scheme} URL is written {scheme}://HOST:PORT/RECIPIENT")
    login, _, _ = url.netloc.rpartition("@")
    if ":" in login:
        raise UsageError("a password has no place in a URL: name where it is behind it, as ?password-file=FILE")
    if login and scheme == "lmtp":
        raise UsageError("nobody logs in by LMTP: leave the user out, and name the recipient behind the host")
    where, _, recipient = unquote(url.path).rpartition("/")
    options = _options(url)
    if login and not any(place in options for place in _PLACES):
        raise UsageError(
            "a user needs a password: name where it is behind the URL, as ?password-file=FILE,"
            f" one of {', '.join(_PLACES)}"
        )
    return ToServer(
        _address(scheme, url, port, where, has_user=bool(login)),
        _recipient(recipient, needs_domain=scheme != "lmtp"),
        sender=_sender(options["sender"]) if "sender" in options else None,
        is_lmtp=scheme == "lmtp",
        implicit_tls=scheme == "smtps",
        user=unquote(login),
        trust=Trust(
            ca=Path(options["ca"]) if "ca" in options else None,
            pin=options.get("pin"),
            clear_text="clear-text" in options,
        ),
        places=Places(
            options.get("password-command"),
            Path(options["password-file"]) if "password-file" in options else None,
            options.get("password-variable"),
            options.get("password-credential"),
            "password-keyring" in options,
        ),
    )


def _options(url: SplitResult) -> dict[str, str]:
    """What stands behind the question mark; a + is a + there, as in any file's name."""
    options = {}
    for part in filter(None, url.query.split("&")):
        name, has_value, value = part.partition("=")
        if name not in _KNOWN:
            raise UsageError(f"behind a {url.scheme} URL may stand {', '.join(sorted(_KNOWN))}, and nothing else")
        if name in _FLAGS and has_value:
            raise UsageError(f"{name} takes no value behind a URL")
        if name not in _FLAGS and not value and name != "sender":
            raise UsageError(f"{name} needs a value behind a URL")
        options[name] = str(_path(unquote(value))) if name in _PATHS else unquote(value)
    return options


def _address(scheme: str, url: SplitResult, port: int | None, socket: str, *, has_user: bool) -> tuple[str, int] | str:
    host = url.hostname or ""
    if not host:
        if scheme == "lmtp" and socket and not port:
            return socket
        raise UsageError(f"a {scheme} URL names a host" + (" or a socket" if scheme == "lmtp" else ""))
    if socket:
        raise UsageError(f"a {scheme} URL has one recipient behind the host, and nothing else")
    if scheme == "lmtp":
        from postoffice.protocols.smtp.lmtp import LMTP_PORT

        usual = LMTP_PORT
    elif scheme == "smtps":
        usual = SUBMISSIONS_PORT
    else:
        usual = SUBMISSION_PORT if has_user else SMTP_PORT
    return _host(host), port if port is not None else usual


def _host(text: str) -> str:
    import ipaddress

    from postoffice.message.address import parse_domain

    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        return parse_domain(text)
    except Refusal as refusal:
        raise UsageError("the host in this URL is neither a name nor an address") from refusal


def _sender(text: str) -> str:
    from postoffice.message.address import parse_address

    try:
        return str(parse_address(text)) if text else ""
    except Refusal as refusal:
        raise UsageError("the sender behind this URL is no mail address") from refusal


def _recipient(text: str, *, needs_domain: bool) -> str:
    """An address; by LMTP also a name alone, as the neighbour's users have."""
    if not needs_domain and "@" not in text and _LOCAL.fullmatch(text) and not set(text) & set('<>\\"'):
        return text
    from postoffice.message.address import parse_address

    try:
        return str(parse_address(text))
    except Refusal as refusal:
        raise UsageError("the recipient behind this URL is no mail address") from refusal
