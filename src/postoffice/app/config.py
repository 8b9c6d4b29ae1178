"""The configuration file: TOML into the settings classes that stand beside what they set.

Every setting has a safe default, and no file is needed at all. What is wrong is told all at once, each with the
file and the path of the key, and ends the program with EX_CONFIG (78).
"""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from postoffice.access.pop3 import Pop3Settings
from postoffice.accounts.guard import GuardSettings
from postoffice.accounts.login import LoginSettings
from postoffice.accounts.oauth import OAuthSettings
from postoffice.app.observe import LogSettings
from postoffice.app.scrape import METRICS_PORT, MetricsSettings
from postoffice.errors import UsageError
from postoffice.net.crowd import CrowdSettings
from postoffice.net.listen import GONE_SECONDS
from postoffice.net.networks import Network
from postoffice.net.tls_server import Pair
from postoffice.protocols.smtp.lmtp import LMTP_PORT
from postoffice.transfer.door import SmtpSettings
from postoffice.transfer.intake import IntakeSettings
from postoffice.transfer.lmtp import LmtpSettings
from postoffice.transfer.queue import QueueSettings
from postoffice.transfer.route import RouteSettings
from postoffice.transfer.sendmail import SENDMAIL

EX_CONFIG = getattr(os, "EX_CONFIG", 78)


@dataclass(frozen=True, slots=True)
class OfficeSettings:
    """`host` is the office's own name, empty: the first domain's. `addresses` is where it listens. From
    `proxy_networks` come balancers, who say by the PROXY protocol who is calling.

    `port_offset` is added to every standard port; None: 0 where ports below 1024 can be bound, else 10000. `ports`
    sets single doors; port 0 takes any free one; -1 closes the door. `sockets` are the Unix sockets of doors for this
    machine. `workers` 0: one per core. `user` is whom to become after binding when started as root; empty: the owner
    of the data folder. Every `tidy_seconds` mailboxes take in what arrived more than `absorb_seconds` ago and space is
    given back; a worker silent for `stuck_seconds` is killed and replaced; a connection whose other end acknowledges
    nothing for `gone_seconds` is broken off.
    """

    data: Path | None = None
    host: str = ""
    addresses: tuple[str, ...] = ("127.0.0.1", "::1")
    proxy_networks: tuple[Network, ...] = ()
    port_offset: int | None = None
    ports: dict[str, int] = field(default_factory=dict)
    sockets: dict[str, Path] = field(default_factory=dict)
    workers: int = 0
    user: str = ""
    drain_seconds: float = 10.0
    tidy_seconds: float = 10.0
    absorb_seconds: float = 3600.0
    stuck_seconds: float = 60.0
    gone_seconds: float = GONE_SECONDS


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Where chain and key are; None: what `init` put into the data folder. `more` are those for other names: a client
    that says a name in one of them is shown that.

    `client_authorities` are those whose certificates clients may log in with; None: nobody is asked for one.
    """

    certificate: Path | None = None
    key: Path | None = None
    more: tuple[Pair, ...] = ()
    client_authorities: Path | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """All sections."""

    office: OfficeSettings = OfficeSettings()
    tls: TlsSettings = TlsSettings()
    login: LoginSettings = LoginSettings()
    guard: GuardSettings = GuardSettings()
    crowd: CrowdSettings = CrowdSettings()
    oauth: OAuthSettings = OAuthSettings()
    pop3: Pop3Settings = Pop3Settings()
    smtp: SmtpSettings = SmtpSettings()
    lmtp: LmtpSettings = LmtpSettings()
    intake: IntakeSettings = IntakeSettings()
    queue: QueueSettings = QueueSettings()
    relay: RouteSettings = RouteSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()


DOORS = {"smtp": 25, "pop3": 110, "submissions": 465, "submission": 587, "pop3s": 995, "lmtp": LMTP_PORT}
"""Every door for mail and its standard port."""

METRICS = "metrics"
PORTS = DOORS | {METRICS: METRICS_PORT}
"""All that listens."""

SOCKETS = ("lmtp", SENDMAIL)
"""Doors that may be Unix sockets."""

OPEN_IF_NAMED = frozenset({"lmtp"})
"""Doors that are closed unless `office.ports` says where they are."""


NEVER_ZERO = frozenset(
    {
        *("guard.failures", "guard.login_tries", "guard.refuse_seconds"),
        *("office.tidy_seconds", "office.stuck_seconds", "smtp.patience_seconds", "smtp.max_recipients"),
        *("queue.retry_minutes", "queue.carriers", "queue.lease_seconds", "queue.poll_seconds"),
        "pop3.login_seconds",
    }
)
"""Settings of which nothing at all would be a standstill or a frenzy."""


FORMER = {"courier": "how long another office is waited for is what RFC 5321 §4.5.3.2 asks for"}
"""Sections that once meant something, and why they do not any more."""


def read_config(path: Path, warn: Callable[[str], object] = lambda _: None) -> Config:
    """The settings of a file. A `UsageError` (78) names everything that is wrong; `warn` hears what is passed over."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}", EX_CONFIG) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is not TOML: {error}", EX_CONFIG) from error
    problems: list[str] = []
    config = Config()
    sections = {f.name: f for f in fields(Config)}
    for name, table in tables.items():
        if name in FORMER:
            warn(f"{path}: {name}: is passed over; {FORMER[name]}")
        elif name not in sections:
            problems.append(f"{name}: there is no such section; there are {', '.join(sections)}")
        elif not isinstance(table, dict):
            problems.append(f"{name}: must be a section, written [{name}]")
        else:
            default = getattr(config, name)
            settings = _section(name, table, default, problems)
            config = replace(config, **{name: settings})
    problems += _wrong_values(config)
    if problems:
        raise UsageError("\n".join(f"{path}: {problem}" for problem in problems), EX_CONFIG)
    return config


def _section(name: str, table: dict[str, Any], default: Any, problems: list[str]) -> Any:
    """One section; its problems are added, each with its path."""
    kinds = get_type_hints(type(default))
    unknown = [key for key in table if key not in kinds]
    problems += [f"{name}.{key}: there is no such setting; there are {', '.join(sorted(kinds))}" for key in unknown]
    settings = default
    for key in table.keys() & kinds.keys():
        problems += _unknown_within(f"{name}.{key}", kinds[key], table[key])
        try:
            settings = replace(settings, **{key: _value(kinds[key], table[key])})
        except msgspec.ValidationError as error:
            problems.append(f"{name}.{key}{_said(str(error))}")
    return settings


def _unknown_within(path: str, kind: Any, value: Any) -> list[str]:
    """In tables within a setting the keys that mean nothing, which msgspec passes over."""
    inner = next(filter(is_dataclass, get_args(kind)), None)
    if inner is None or not isinstance(value, dict | list):
        return []
    known = sorted(one.name for one in fields(inner))
    rows = (
        [(f'{path}."{name}"', table) for name, table in value.items()]
        if isinstance(value, dict)
        else [(f"{path}[{index}]", table) for index, table in enumerate(value)]
    )
    return [
        f"{where}.{key}: there is no such setting; there are {', '.join(known)}"
        for where, table in rows
        if isinstance(table, dict)
        for key in table
        if key not in known
    ]


def _value(kind: Any, value: Any) -> Any:
    """What TOML has as what the setting wants; msgspec cannot choose between two types that are not its own."""
    if kind != tuple[Network, ...]:
        return msgspec.convert(value, kind, dec_hook=_path, strict=True)
    networks = []
    for index, word in enumerate(msgspec.convert(value, tuple[str, ...])):
        try:
            networks.append(ipaddress.ip_network(word))
        except ValueError as error:
            raise msgspec.ValidationError(f"{word!r} is no network like 192.168.0.0/16 - at $[{index}]") from error
    return tuple(networks)


def _said(error: str) -> str:
    """`Expected `int`, got `str` - at `$[...]`` as `[...]: Expected int, got str`."""
    what, _, where = error.replace("`", "").partition(" - at $")
    return f"{where}: {what}"


def _path(kind: type, value: Any) -> Any:
    """The one type that TOML does not have."""
    if not isinstance(value, str):
        raise TypeError(f"Expected a path, got {value!r}")
    return Path(value).expanduser()


def _wrong_values(config: Config) -> list[str]:
    """What has the right type and is wrong all the same."""
    problems = []
    for door in config.office.ports:
        if door not in PORTS:
            problems.append(f"office.ports.{door}: there is no such door; there are {', '.join(PORTS)}")
    for door in config.office.sockets:
        if door not in SOCKETS:
            problems.append(f"office.sockets.{door}: there is no such door; there are {', '.join(SOCKETS)}")
    problems += _wrong_ports(config)
    routes = config.relay.routes.items()
    problems += [f'relay.routes."{domain}": {route.problem()}' for domain, route in routes if route.problem()]
    for door in config.crowd.per_door:
        if door not in DOORS:
            problems.append(f"crowd.per_door.{door}: there is no such door; there are {', '.join(DOORS)}")
    for section in ("office", "lmtp", "metrics"):
        for address in getattr(config, section).addresses:
            try:
                ipaddress.ip_address(address)
            except ValueError:
                problems.append(f"{section}.addresses: {address!r} is not an IP address")
    for name in setting_names(config):
        section, _, key = name.partition(".")
        value = getattr(getattr(config, section), key)
        if isinstance(value, int | float) and value < 0 and name != "office.port_offset":
            problems.append(f"{name}: {value} is below zero")
        elif name in NEVER_ZERO and not value:
            problems.append(f"{name}: must be more than nothing")
    if config.pop3.idle_seconds < 600:
        problems.append("pop3.idle_seconds: RFC 1939 §3 wants at least 600")
    if not re.fullmatch("[!-~]*", config.pop3.implementation):
        problems.append("pop3.implementation: RFC 2449 §6.9 wants one word of ASCII")
    problems += [f"oauth.{problem}" for problem in config.oauth.problems()]
    problems += [f"log.{problem}" for problem in config.log.problems()]
    problems += [f"login.{problem}" for problem in config.login.problems()]
    if (config.tls.certificate is None) != (config.tls.key is None):
        problems.append("tls: certificate and key come together")
    return problems


def _wrong_ports(config: Config) -> list[str]:
    """Ports that there are not; for a door -1 and 0 mean something too."""
    ports = {f"office.ports.{door}": (-1, port) for door, port in config.office.ports.items()}
    ports |= {f'relay.routes."{domain}".port': (1, route.port) for domain, route in config.relay.routes.items()}
    ports |= {f"relay.nameservers[{index}]": (1, port) for index, (_, port) in enumerate(config.relay.nameservers)}
    problems = [
        f"{path}: there is no port {port}" for path, (least, port) in ports.items() if not least <= port <= 65535
    ]
    offset = config.office.port_offset or 0
    if not all(0 < port + offset <= 65535 for door, port in PORTS.items() if door not in config.office.ports):
        problems.append(f"office.port_offset: {offset} leads to ports that there are not")
    return problems


def setting_names(settings: object = Config(), prefix: str = "") -> list[str]:
    """The path of every setting there is."""
    names = []
    for one in fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, one.name)
        path = f"{prefix}{one.name}"
        names += setting_names(value, f"{path}.") if is_dataclass(value) else [path]
    return names
