"""mpop's settings: a command a line, in accounts that take over defaults and other accounts (mpop(1)).

defaults
tls on
account office
host pop.example.org
passwordeval pass show mail
account second : office
user other
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from postoffice.client.url import ANY_MECHANISM
from postoffice.errors import UsageError
from postoffice.home.rcfiles.found import (
    ALL_OF_THEM,
    AS_THEY_CAME,
    BY_TLS,
    CHECKED,
    NO_TARGET,
    NO_VALUES,
    NOT_SPOKEN,
    OF_A_KEY,
    OUR_OWN,
    REMEMBERED,
    Found,
    RcFile,
    full,
    mechanism_of,
    source_of,
)

_LINE: Final = re.compile(r"(?P<command>[^\s#]\S*)(?:\s+(?P<argument>.*))?")
_LIST: Final = re.compile(r"(?P<name>[^\s:]+)\s*(?::(?P<parents>.*))?")

_SIZE: Final = re.compile("off|([0-9]{1,12})([km]?)")
_UNITS: Final = {"": 1, "k": 1 << 10, "m": 1 << 20}

_UNDERSTOOD: Final = frozenset(
    {
        *("host", "port", "auth", "user", "password", "passwordeval", "keep", "delivery", "skipsize"),
        *("tls", "tls_starttls", "tls_trust_file", "tls_cert_file", "tls_key_file"),
    }
)
_USUAL: Final[Mapping[str, frozenset[str]]] = {
    "pipelining": frozenset({"auto"}),
    "only_new": frozenset({"on"}),
    "tls_certcheck": frozenset({"on"}),
    "received_header": frozenset({"off"}),
    "killsize": frozenset({"off"}),
    "tls_crl_file": frozenset({""}),
    "tls_priorities": frozenset({""}),
    "tls_fingerprint": frozenset({""}),
    "proxy_host": frozenset({""}),
    "source_ip": frozenset({""}),
    "filter": frozenset({""}),
}
"""What these say if it is what happens here anyway."""

_OTHERWISE: Final[Mapping[str, str]] = {
    "eval": "no command is run to read another program's file",
    "only_new": "what was fetched is never fetched again",
    "killsize": ALL_OF_THEM,
    "filter": ALL_OF_THEM,
    "received_header": AS_THEY_CAME,
    "tls_certcheck": CHECKED,
    "tls_fingerprint": OF_A_KEY,
    "uidls_file": REMEMBERED,
    "source_ip": OUR_OWN,
    "proxy_host": OUR_OWN,
    "proxy_port": OUR_OWN,
    "socket": OUR_OWN,
    "timeout": OUR_OWN,
    "pipelining": OUR_OWN,
    "ntlmdomain": "NTLM is not spoken here",
    "tls_crl_file": OUR_OWN,
    "tls_priorities": OUR_OWN,
    "tls_host_override": CHECKED,
    "tls_min_dh_prime_bits": OUR_OWN,
}
"""Why it has no counterpart."""

Commands = dict[str, tuple[int, str]]
"""Of an account: what each says, and the line where."""


def parse(text: str) -> RcFile:
    """Raises UsageError, with the line, where it is not as mpop itself would read it."""
    rc = RcFile()
    defaults: Commands = {}
    accounts: dict[str, tuple[int, Commands]] = {}
    current: Commands | None = None
    for number, line in enumerate(text.splitlines(), 1):
        found = _LINE.fullmatch(line.strip())
        if found is None:
            continue
        command, argument = found["command"], _unquoted(found["argument"] or "")
        if command == "defaults":
            current = defaults
        elif command == "account":
            name, parents = _named(number, argument, accounts)
            current = dict(defaults)
            for parent in parents:
                current |= accounts[parent][1]
            accounts[name] = (number, current)
        elif command not in _UNDERSTOOD | _OTHERWISE.keys():
            raise UsageError(f"line {number}: {command} is no command of mpop")
        elif current is None:
            raise UsageError(f"line {number}: {command} stands before any account")
        elif command in _UNDERSTOOD:
            current[command] = (number, argument)
        elif argument not in _USUAL.get(command, ()) and not (argument == "" and "on" in _USUAL.get(command, ())):
            rc.remark(number, f"{command} {argument}".strip(), _OTHERWISE[command])
    for begin, commands in accounts.values():
        _take(rc, begin, commands)
    return rc


def _unquoted(argument: str) -> str:
    argument = argument.strip()
    return argument[1:-1] if len(argument) > 1 and argument[0] == argument[-1] == '"' else argument


def _named(number: int, argument: str, known: Mapping[str, object]) -> tuple[str, list[str]]:
    found = _LIST.fullmatch(argument)
    if found is None:
        raise UsageError(f"line {number}: this account has no name")
    parents = [parent.strip() for parent in (found["parents"] or "").split(",") if parent.strip()]
    for parent in parents:
        if parent not in known:
            raise UsageError(f"line {number}: there is no account {parent} above")
    return found["name"], parents


def _take(rc: RcFile, line: int, commands: Commands) -> None:
    """One account in our words."""

    def said(command: str, usual: str = "") -> str:
        return commands.get(command, (0, usual))[1]

    def remark(command: str, because: str) -> None:
        rc.remark(commands[command][0], f"{command} {said(command)}".strip(), because)

    def is_on(command: str, usual: str) -> bool:
        return said(command, usual) in ("on", "")

    if not said("host") or not said("user"):
        rc.remark(line, "account", "it has no host or no user")
        return
    has_tls = is_on("tls", "off")
    if not has_tls and "tls" in commands:
        remark("tls", BY_TLS)
    mechanism = ANY_MECHANISM if said("auth", "on") in ("", "on", "user") else mechanism_of(said("auth"))
    if mechanism is None:
        remark("auth", NOT_SPOKEN)
    implicit_tls = has_tls and not is_on("tls_starttls", "on")
    try:
        source = source_of(
            said("host"),
            _port(commands),
            said("user"),
            implicit_tls=implicit_tls,
            mechanism=mechanism or ANY_MECHANISM,
        )
    except UsageError as error:
        raise UsageError(f"line {line}: {error}") from error
    account = Found(line, source, {"delete": [] if "keep" in commands and is_on("keep", "off") else ["now"]})
    same = next((one for one in rc.accounts if one.source.maildrop == source.maildrop), None)
    if same is not None:
        rc.remark(line, "account", f"its maildrop is that of line {same.line}")
        return
    rc.accounts.append(account)
    if said("password"):
        account.password = said("password")
    elif said("passwordeval"):
        account.settings["password_command"] = said("passwordeval")
    elif source.mechanism != "EXTERNAL":
        lookup = f"secret-tool lookup host {source.host} service pop3 user {source.user}"
        rc.remark(line, "account", f'it names no password; from the keyring, password_command = "{lookup}"')
    for command, key in (("tls_cert_file", "client_certificate"), ("tls_key_file", "client_key")):
        if said(command):
            account.settings[key] = full(said(command))
    trusted = said("tls_trust_file", "system")
    if not trusted:
        remark("tls_trust_file", CHECKED)
    elif trusted != "system":
        account.settings["ca"] = full(trusted)
    account.settings["largest"] = _size(commands)
    _deliver(rc, account, commands)


def _port(commands: Commands) -> int | None:
    line, text = commands.get("port", (0, ""))
    if text and not text.isdecimal():
        raise UsageError(f"line {line}: the port is no number")
    return int(text[:6]) if text else None


def _size(commands: Commands) -> str:
    """A size in octets; empty: none is said."""
    line, text = commands.get("skipsize", (0, "off"))
    found = _SIZE.fullmatch(text)
    if found is None:
        raise UsageError(f"line {line}: skipsize is no size")
    return str(int(found[1]) * _UNITS[found[2]]) if found[1] else ""


def _deliver(rc: RcFile, account: Found, commands: Commands) -> None:
    line, text = commands.get("delivery", (0, ""))
    method, _, argument = text.partition(" ")
    argument = _unquoted(argument)
    match method:
        case "maildir" | "mbox":
            account.settings["into"] = f"{method}:{full(argument)}"
        case "mda" if "%F" not in argument:
            account.settings["into"] = f"command:{argument}"
        case "mda":
            rc.remark(line, f"delivery {text}", NO_VALUES)
        case _ if method:
            rc.remark(line, f"delivery {text}", NO_TARGET)
