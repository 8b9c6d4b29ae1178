"""What another program's file has, in our words: accounts, and every word of it that has no counterpart here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from postoffice.client.url import PORT, TLS_PORT, Source, format_url, parse_url
from postoffice.errors import UsageError
from postoffice.handing.target import target
from postoffice.protocols.sasl import client as sasl

AS_THEY_CAME: Final = "letters are kept exactly as they come"
ALL_OF_THEM: Final = "every letter is fetched, whatever its size and however many there are"
NO_TARGET: Final = "there is no such target; a mailbox file takes the letters"
NO_VALUES: Final = "no value of a letter goes into a command line; a mailbox file takes the letters"
OUR_OWN: Final = "there is nothing to set about it here"
REMEMBERED: Final = "the mailbox file remembers what was fetched; what is on the server now comes once more"
CHECKED: Final = "certificates are checked always; for one's own server there are ca and pin"
OF_A_KEY: Final = "a pin is of the server's key, not of its certificate: postoffice add --pin"
NOT_SPOKEN: Final = "this way to log in is not spoken here; the best that the server offers is taken"
BY_TLS: Final = "TLS is used if the server has it, and else clear_text = true must allow a password"


@dataclass(frozen=True, slots=True)
class Remark:
    """A line that has no counterpart. `text` is how it was written, without secrets."""

    line: int
    text: str
    because: str


@dataclass(slots=True)
class Found:
    """An account. `settings` are those of `home.toml` but for the URL; `password` is one that stood in the file."""

    line: int
    source: Source
    settings: dict[str, str | bool | list[str]] = field(default_factory=dict)
    password: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """The address, or what comes closest to it."""
        return self.source.user if "@" in self.source.user else f"{self.source.user}@{self.source.host}"


@dataclass(slots=True)
class RcFile:
    """All of a file. `accounts` in its order."""

    accounts: list[Found] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)

    def remark(self, line: int, text: str, because: str) -> None:
        remark = Remark(line, text, because)
        if remark not in self.remarks:
            self.remarks.append(remark)

    def told(self) -> Iterator[Remark]:
        """In the order of the file."""
        yield from sorted(self.remarks, key=lambda remark: remark.line)


def source_of(host: str, port: int | None, user: str, *, implicit_tls: bool, mechanism: str) -> Source:
    """Raises UsageError where host, port or user cannot be one."""
    usual = TLS_PORT if implicit_tls else PORT
    return parse_url(format_url(Source(host, port or usual, user, implicit_tls, mechanism)))


def full(path: str) -> str:
    """With `~` and variables filled in, and from the root on, as the settings are read from another folder."""
    return str(Path(os.path.expandvars(path)).expanduser().absolute())


def server_url(host: str, port: str, recipient: str, *, is_lmtp: bool) -> str | None:
    """Where letters go by SMTP or LMTP, as `into` names it; None where it cannot. A host that begins with a slash is
    a socket."""
    if host.startswith("/"):
        url = f"lmtp://{quote(host)}/{quote(recipient)}"
    else:
        where = f"[{host}]" if ":" in host else host
        url = f"{'lmtp' if is_lmtp else 'smtp'}://{where}{f':{port}' if port else ''}/{quote(recipient)}"
    try:
        target(url)
    except UsageError:
        return None
    return url


def mechanism_of(name: str) -> str | None:
    """A method of logging in as a URL names it; None, if it is not spoken here."""
    name = name.upper()
    if name == "APOP":
        return "+APOP"
    return name if name.encode() in sasl.MECHANISMS else None
