"""The settings file of a person: which accounts are pulled, from where, and into what.

    $XDG_CONFIG_HOME/postoffice/home.toml      or below ~/.config

    [accounts."me@example.org"]
    url = "pops://me%40example.org@pop.example.org"
    into = "~/Mail/me@example.org.mailbox"
    delete = ["now"]
    password_command = "pass show mail"
    every = "15m"

    [hooks]
    new_mail = "notify-send Mail"

    [scan]
    by = "clamd:/run/clamav/clamd.ctl"

What is wrong is told all at once, each with the file, its line where that is known, and the key, and ends the program
with EX_CONFIG (78). Relative paths begin at the folder of the file.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, get_type_hints

import msgspec

from postoffice.client.collect import Options
from postoffice.client.login import Trust, nobody_logged_in, ready, wants_token
from postoffice.client.rules import Rule, octets_of, parse_rule
from postoffice.client.secrets import Places
from postoffice.client.url import Source, parse_url
from postoffice.errors import UsageError
from postoffice.handing.round import Doubtful
from postoffice.handing.target import target
from postoffice.handing.way import Way, way
from postoffice.home.copies import whole_in
from postoffice.home.hooks import Hooks
from postoffice.home.locking.asking import Asking
from postoffice.home.scanning.policy import KEYS, UNSAID, Scanning, wrong_scanner, wrong_values
from postoffice.net.tls import pinned_context

EX_CONFIG: Final = getattr(os, "EX_CONFIG", 78)
LEAST_SECONDS: Final = 10.0
"""No server is asked more often than that."""

_TIME: Final = re.compile(r"([0-9]{1,6}) ?([smhd])")
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TARGET: Final = re.compile(r"[a-z]{2,}:")
_IN_FILES: Final = re.compile(r"(maildir|mbox):[^:]*$")


@dataclass(frozen=True, slots=True)
class Account:
    """A maildrop that is pulled. `into` is where its letters go, `doubtful` what becomes of one that may have got there
    already; `rules` say when one may go from the server;
    one is enough, and without any a copy is left there. Letters of more octets than `largest` are not fetched.
    `every` is in seconds."""

    name: str
    source: Source
    into: tuple[str, ...]
    rules: tuple[Rule, ...] = ()
    trust: Trust = Trust()
    places: Places = Places()
    password: str = field(default="", repr=False)
    largest: int | None = None
    every: float = 900.0
    doubtful: Doubtful = Doubtful.AGAIN
    scanning: Scanning = UNSAID
    passphrase: Places = Places()

    def asking(self, otherwise: Asking) -> Asking:
        """Where the passphrase of its mailbox file comes from, if that is locked; else what is said `otherwise`."""
        return otherwise._replace(places=self.passphrase) if self.passphrase != Places() else otherwise

    def way(self, doubtful: Doubtful | None = None) -> Way:
        """The way of its letters; `doubtful` in the place of what the settings say. Raises UsageError."""
        return way(self.source, target(self.into[0]), doubtful or self.doubtful)

    def opened(self, ask: Callable[[Source], str] | None = None) -> tuple[Source, Options]:
        """Whose maildrop, and how it is pulled.

        May run a command, and ask an identity provider for a token: it takes its time. `ask` is asked where nothing
        says what the password is. Raises UsageError, Refused.
        """
        named = self.places.named(self.source)
        if self.password:
            named.append(lambda: self.password)
        source, options = ready(self.source, self.trust, named, ask or self._nobody)
        return source, options._replace(rules=self.rules, largest=self.largest, whole_in=whole_in)

    def _nobody(self, source: Source) -> str:
        if wants_token(source):
            raise nobody_logged_in(source)
        raise UsageError(f"{self.name}: the settings do not say where its password is", os.EX_NOPERM)


@dataclass(frozen=True, slots=True)
class Home:
    """All that the file says. `accounts` in its order; `scanning` is for those that say nothing of it themselves."""

    path: Path
    accounts: dict[str, Account]
    hooks: Hooks = Hooks()
    scanning: Scanning = UNSAID

    def account(self, name: str) -> Account:
        """Raises UsageError (67) where there is none of this name."""
        if name not in self.accounts:
            known = ", ".join(self.accounts) or "none"
            raise UsageError(f"{name}: there is no such account in {self.path}; there are {known}", os.EX_NOUSER)
        return self.accounts[name]

    def scanning_of(self, file: Path | None) -> Scanning:
        """How the letters of a mailbox file are scanned: as the account says that is pulled into it, of several as one
        that wants it; else, and where it is no file of a person's (None), as is said for all."""
        if file is None:
            return self.scanning
        told = [account.scanning for account in self.accounts.values() if _is_same(account.way().file, file)]
        return next((one for one in told if one.wanted is not None), told[0] if told else self.scanning)


@dataclass(frozen=True, slots=True)
class _Table:
    """An account as it is written."""

    url: str = ""
    into: str | list[str] = ""
    delete: list[str] = field(default_factory=list)
    password: str = field(default="", repr=False)
    password_command: str | None = None
    password_file: Path | None = None
    password_variable: str | None = None
    password_credential: str | None = None
    password_keyring: bool = False
    passphrase_command: str | None = None
    passphrase_file: Path | None = None
    passphrase_variable: str | None = None
    passphrase_credential: str | None = None
    ca: Path | None = None
    pin: str | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    clear_text: bool = False
    largest: str = ""
    every: str = "15m"
    doubtful: Literal["again", "hold"] = "again"
    scan: str | None = None
    unscanned: Literal["hold", "pass"] | None = None
    too_large: Literal["hold", "pass"] | None = None


_KINDS: Final[dict[str, Any]] = get_type_hints(_Table)


def read_home(path: Path) -> Home:
    """The settings in a file. A `UsageError` (78) names everything that is wrong."""
    try:
        with path.open("rb") as file:
            octets = file.read()
            is_ours_alone = _is_ours_alone(os.fstat(file.fileno()))
    except FileNotFoundError:
        raise UsageError(f"{path}: there are no settings yet; postoffice add ADDRESS makes them", EX_CONFIG) from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}", EX_CONFIG) from error
    return parse_home(octets, path, is_ours_alone=is_ours_alone)


def parse_home(octets: bytes, path: Path, *, is_ours_alone: bool) -> Home:
    """The settings in the octets of a file, which may hold a password if it `is_ours_alone`. Raises UsageError."""
    try:
        text = octets.decode()
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is not TOML: {error}", EX_CONFIG) from error
    reading = _Reading(path, text, is_ours_alone)
    for name in tables.keys() - {"accounts", "hooks", "scan"}:
        reading.wrong((name,), "there is no such section; there are accounts, hooks and scan")
    reading.scan(tables.get("scan", {}))
    accounts = tables.get("accounts", {})
    if not isinstance(accounts, dict):
        reading.wrong(("accounts",), 'must be sections, written [accounts."me@example.org"]')
        accounts = {}
    found = {name: reading.account(name, table) for name, table in accounts.items()}
    hooks = reading.hooks(tables.get("hooks", {}))
    reading.end()
    return Home(
        path, {name: account for name, account in found.items() if account is not None}, hooks, reading.scanning
    )


class _Reading:
    """One file; what is wrong is gathered."""

    def __init__(self, path: Path, text: str, is_ours_alone: bool) -> None:
        self._path = path
        self._lines: dict[tuple[str, ...], int] = {}
        for key, line in _lines(text):
            for size in range(1, len(key) + 1):
                self._lines.setdefault(key[:size], line)
        self._is_ours_alone = is_ours_alone
        self._problems: list[tuple[int, str]] = []
        self.scanning = UNSAID

    def wrong(self, key: tuple[str, ...], because: str) -> None:
        line = next((self._lines[key[:size]] for size in range(len(key), 0, -1) if key[:size] in self._lines), 0)
        where = f"{self._path}:{line}" if line else str(self._path)
        self._problems.append((line, f"{where}: {_dotted(key)}: {because}"))

    def end(self) -> None:
        if self._problems:
            raise UsageError("\n".join(problem for _, problem in sorted(self._problems)), EX_CONFIG)

    def account(self, name: str, written: object) -> Account | None:
        """None, where something in it is wrong."""
        before = len(self._problems)
        if not isinstance(written, dict):
            self.wrong(("accounts", name), f"must be a section, written [{_dotted(('accounts', name))}]")
            return None
        table = _Table()
        for key, value in written.items():
            if key not in _KINDS:
                self.wrong(("accounts", name, key), f"there is no such setting; there are {', '.join(sorted(_KINDS))}")
                continue
            try:
                table = replace(table, **{key: msgspec.convert(value, _KINDS[key], dec_hook=self._path_of)})
            except msgspec.ValidationError as error:
                self.wrong(("accounts", name, key), str(error).partition(" - at `$")[0].replace("`", ""))
        if len(self._problems) == before:
            for key, because in _wrong_values(table, is_ours_alone=self._is_ours_alone):
                self.wrong(("accounts", name, key), because)
        return self._made(name, table) if len(self._problems) == before else None

    def hooks(self, written: object) -> Hooks:
        if not isinstance(written, dict):
            self.wrong(("hooks",), "must be a section, written [hooks]")
            return Hooks()
        names = Hooks._fields
        for name, command in written.items():
            if name not in names:
                self.wrong(("hooks", name), f"there is no such hook; there are {' and '.join(names)}")
            elif not isinstance(command, str):
                self.wrong(("hooks", name), f"Expected str, got {type(command).__name__}")
        return Hooks(**written) if written.keys() <= set(names) else Hooks()

    def scan(self, written: object) -> None:
        """What holds for accounts that say nothing of it: `scanning`."""
        if not isinstance(written, dict):
            self.wrong(("scan",), "must be a section, written [scan]")
            return
        before = len(self._problems)
        for key in written.keys() - set(KEYS):
            self.wrong(("scan", key), f"there is no such setting; there are {', '.join(KEYS)}")
        patience = seconds(str(written["patience"])) if "patience" in written else None
        for key, because in wrong_values(written, patience).items():
            self.wrong(("scan", key), because)
        by = written.get("by", self.scanning.by)
        if because := wrong_scanner(by):
            self.wrong(("scan", "by"), because)
        if len(self._problems) == before:
            lacks = (written.get(key) for key in ("unscanned", "too_large"))
            self.scanning = self.scanning.otherwise(by, patience, *lacks)

    def _made(self, name: str, table: _Table) -> Account:
        source = parse_url(table.url)
        return Account(
            name,
            source if source.user else source._replace(user=name),
            tuple(map(self._place, _listed(table.into))),
            tuple(map(parse_rule, table.delete)),
            Trust(table.ca, table.pin, table.client_certificate, table.client_key, table.clear_text),
            Places(**_places(table)),
            table.password,
            octets_of(table.largest) if table.largest else None,
            seconds(table.every),
            Doubtful(table.doubtful),
            self.scanning.otherwise(table.scan, None, table.unscanned, table.too_large),
            Places(**_passphrase_places(table)),
        )

    def _place(self, text: str) -> str:
        """Of relative paths the one that begins at the folder of the file."""
        scheme, _, path = text.rpartition(":") if _IN_FILES.match(text) else ("", "", text)
        if not path or (not scheme and _TARGET.match(text)):
            return text
        return f"{scheme}:{self._path_of(Path, path)}" if scheme else str(self._path_of(Path, path))

    def _path_of(self, kind: type, value: Any) -> Any:
        """The one type that TOML does not have."""
        if kind is not Path or not isinstance(value, str):
            raise TypeError(f"Expected str, got {type(value).__name__}")
        try:
            return self._path.absolute().parent / Path(value).expanduser()
        except RuntimeError as error:
            raise ValueError(f"{value}: nobody knows where that home is") from error


def _wrong_values(table: _Table, *, is_ours_alone: bool) -> Iterator[tuple[str, str]]:
    """What has the right type and is wrong all the same, by its key."""
    checked: list[tuple[str, str | None, Callable[[str], object]]] = [("url", table.url, parse_url)]
    checked += [
        ("pin", table.pin, pinned_context),
        ("largest", table.largest, octets_of),
        *(("delete", rule, parse_rule) for rule in table.delete),
        *(("into", one, target) for one in _listed(table.into)),
    ]
    for key, value, read in checked:
        try:
            if value:
                read(value)
        except UsageError as error:
            yield key, str(error)
    if table.scan is not None and (because := wrong_scanner(table.scan)):
        yield "scan", because
    if not table.url:
        yield "url", 'is missing; one is written "pops://USER@HOST"'
    into = _listed(table.into)
    if not into or not all(into):
        yield "into", "is missing: where do the letters go?"
    if len(into) > 1:
        yield "into", "letters of an account go to one place; another account may pull them to another"
    if seconds(table.every) < LEAST_SECONDS:
        yield "every", f"{table.every!r} is no time of {LEAST_SECONDS:.0f} s at least, written like 90s, 15m, 2h or 1d"
    if table.password and not is_ours_alone:
        yield "password", "one may stand here only if the file is yours and nobody else may read it: chmod 600"
    named = [f"password_{place}" for place, value in _places(table).items() if value]
    if len(named) + bool(table.password) > 1:
        yield named[-1], "the password comes from one place: name only one of them"
    named = [f"passphrase_{place}" for place, value in _passphrase_places(table).items() if value]
    if len(named) > 1:
        yield named[-1], "the passphrase comes from one place: name only one of them"
    if table.ca is not None and table.pin is not None:
        yield "pin", "says which key the server has, and ca who vouches for it: name one of them"


def _listed(text: str | list[str]) -> list[str]:
    return [text] if isinstance(text, str) else text


def _places(table: _Table) -> dict[str, Any]:
    return {name: getattr(table, f"password_{name}") for name in Places._fields}


def _passphrase_places(table: _Table) -> dict[str, Any]:
    return {name: getattr(table, f"passphrase_{name}") for name in ("command", "file", "variable", "credential")}


def seconds(text: str) -> float:
    """`90s`, `15m`, `2h`, `1d`; 0 for anything else."""
    found = _TIME.fullmatch(text)
    return int(found[1]) * _UNITS[found[2]] if found else 0.0


def _is_same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve() or (one.exists() and other.exists() and one.samefile(other))


def _is_ours_alone(found: os.stat_result) -> bool:
    return found.st_uid in (0, os.geteuid()) and not found.st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def _lines(text: str) -> Iterator[tuple[tuple[str, ...], int]]:
    """Where sections and keys stand, as far as each is begun and ended in one line."""
    section: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        is_section = line.lstrip().startswith("[")
        try:
            written = tomllib.loads(line if is_section or "=" not in line else f"{line.partition('=')[0]}=0")
        except tomllib.TOMLDecodeError:
            continue
        path = _path_in(written)
        if is_section:
            section = path
            yield section, number
        elif path:
            yield (*section, *path), number


def _path_in(written: object) -> tuple[str, ...]:
    if isinstance(written, dict) and written:
        [(key, inner), *_] = written.items()
        return (key, *_path_in(inner))
    return ()


def _dotted(path: tuple[str, ...]) -> str:
    return ".".join(part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"' for part in path)
