"""The terms on which an account is kept: how long its letters stay, how much it may hold, who may log in and how often.

Each is set for an account, else for its domain, else as the office keeps everybody. The directory has them as text;
what the text means is said in `RULES` and nowhere else. A process reads them when the directory has changed, and
where nothing is set for anybody, a login costs one look at whether it has.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from postoffice.clock import Clock, system_clock
from postoffice.errors import Refusal
from postoffice.events import event
from postoffice.net.networks import Network, is_in
from postoffice.store.base import Directory
from postoffice.store.model import Account

PROTOCOLS = ("pop3", "submission")
"""What one may log in to."""

WARNED = "warned"
"""The key under which the office notes that the owner was told of a maildrop nearly full. Nobody sets it by hand."""


@dataclass(frozen=True, slots=True)
class Terms:
    """0 is: no limit, no such view, no delay, nothing recoverable, no lapse. `retain_days` None keeps letters for ever.

    `networks` None is everywhere. `is_warned` tells that the owner knows of a maildrop that is nearly full.
    """

    retain_days: int | None = None
    recovery_days: int = 0
    lapse_days: int = 30
    recent_days: int = 0
    max_listed: int = 0
    login_delay: int = 0
    login_burst: int = 1
    quota_octets: int = 0
    quota_letters: int = 0
    protocols: frozenset[str] = frozenset(PROTOCOLS)
    networks: tuple[Network, ...] | None = None
    is_warned: bool = False

    @property
    def has_quota(self) -> bool:
        return bool(self.quota_octets or self.quota_letters)

    @property
    def ends(self) -> bool:
        """Whether letters ever go without their owner's doing, kept or deleted ones."""
        return self.retain_days is not None or self.recovery_days > 0


AS_EVERYBODY = Terms()


@dataclass(frozen=True, slots=True)
class Rule:
    """What a key sets, what its value must look like, the value that everybody has, and how text is read."""

    field: str
    wants: str
    usual: str
    read: Callable[[str], Any]


_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_SIZE = re.compile(r"([0-9]{1,15})([KMGT]?)", re.IGNORECASE)


def _number(most: int, least: int = 0) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = 0 if text == "none" else int(text) if re.fullmatch(r"[0-9]{1,15}", text) else -1
        if not least <= number <= most:
            raise ValueError(text)
        return number

    return read


def _retain(text: str) -> int | None:
    return None if text == "never-expire" else _number(MOST_DAYS, least=1)(text)


def _lapse(text: str) -> int:
    return 0 if text == "never" else _number(MOST_DAYS, least=1)(text)


def _size(text: str) -> int:
    found = _SIZE.fullmatch("0" if text == "none" else text)
    if found is None:
        raise ValueError(text)
    return int(found[1]) << _UNITS[found[2].upper()]


def _protocols(text: str) -> frozenset[str]:
    names = frozenset(() if text == "none" else PROTOCOLS if text == "all" else text.split(","))
    if not names <= set(PROTOCOLS):
        raise ValueError(text)
    return names


def _networks(text: str) -> tuple[Network, ...] | None:
    return None if text == "any" else tuple(ipaddress.ip_network(word) for word in text.split(","))


DAY_SECONDS = 86_400.0
MOST_DAYS = 36_500
MOST_LETTERS = 10**9

RULES = {
    "retain": Rule("retain_days", f"never-expire or days from 1 to {MOST_DAYS}", "never-expire", _retain),
    "recovery": Rule("recovery_days", f"days from 0 to {MOST_DAYS}", "0", _number(MOST_DAYS)),
    "lapse": Rule("lapse_days", f"never or days from 1 to {MOST_DAYS}", "30", _lapse),
    "recent": Rule("recent_days", f"none or days to {MOST_DAYS}", "none", _number(MOST_DAYS)),
    "max-listed": Rule("max_listed", f"none or letters to {MOST_LETTERS}", "none", _number(MOST_LETTERS)),
    "login-delay": Rule("login_delay", "none or seconds to 86400", "none", _number(86_400)),
    "login-burst": Rule("login_burst", "logins from 1 to 1000", "1", _number(1000, least=1)),
    "quota-octets": Rule("quota_octets", "none or octets, such as 500M or 2G", "none", _size),
    "quota-letters": Rule("quota_letters", f"none or letters to {MOST_LETTERS}", "none", _number(MOST_LETTERS)),
    "protocols": Rule("protocols", f"all, none or some of {','.join(PROTOCOLS)}", "all", _protocols),
    "networks": Rule("networks", "any or networks such as 10.0.0.0/8,2001:db8::/32", "any", _networks),
}
"""Every key that can be set."""


def checked(key: str, value: str) -> str:
    """The value if it can be set under this key, else a ValueError that says what is wanted."""
    rule = RULES.get(key)
    if rule is None:
        raise ValueError(f"{key}: there is no such setting; there are {', '.join(RULES)}")
    try:
        rule.read(value)
    except ValueError:
        raise ValueError(f"{key}={value}: must be {rule.wants}") from None
    return value


def merged(*settings: Mapping[str, str]) -> Terms:
    """The terms that follow from settings, the most particular last."""
    terms = AS_EVERYBODY
    for each in settings:
        known = {RULES[key].field: RULES[key].read(value) for key, value in each.items() if key in RULES}
        terms = replace(terms, **known, is_warned=terms.is_warned or WARNED in each)
    return terms


@dataclass(frozen=True, slots=True)
class Announced:
    """What holds for whoever will log in: the longest delay, the shortest retention, and whether others differ."""

    login_delay: int = 0
    delay_differs: bool = False
    retain_days: int | None = None
    retain_differs: bool = False


NOTHING_SET = Announced()


class Bylaws:
    """On which terms each account is kept."""

    def __init__(self, directory: Directory, clock: Clock = system_clock) -> None:
        self._directory = directory
        self._clock = clock
        self._generation = -1
        self._noted: int | None = None
        self._settings: dict[str, dict[str, str]] = {}
        self._terms: dict[str, Terms] = {}
        self._announced = NOTHING_SET

    async def of(self, account: Account) -> Terms:
        """The terms of an account."""
        await self._look()
        if not self._settings:
            return AS_EVERYBODY
        terms = self._terms.get(account.address)
        if terms is None:
            domain = self._settings.get(account.address.rpartition("@")[2], {})
            terms = self._terms[account.address] = merged(domain, self._settings.get(account.address, {}))
        return terms

    async def admit(self, account: Account, protocol: str, host: str) -> Terms:
        """The terms of an account that has proven itself, if they let it in here; else a `Refusal`.

        From elsewhere than its networks it hears what it would for a wrong password: nobody learns there that the
        password is right.
        """
        terms = await self.of(account)
        if terms is AS_EVERYBODY:
            return terms
        if protocol not in terms.protocols:
            raise Refusal(permanent=True, status="7.13", public=f"{protocol} is switched off for this account")
        if terms.networks is not None and not is_in(host, terms.networks):
            event("login.elsewhere", account=account.address, peer=host)
            raise Refusal(permanent=True, status="7.8", public="user name or password is wrong")
        return terms

    async def announced(self) -> Announced:
        """What can be said before anybody has logged in (RFC 2449 §6.5, §6.7)."""
        await self._look()
        return self._announced

    def note(self, generation: int) -> None:
        """The directory was just found to be of this generation: whoever asks next need not look again."""
        self._noted = generation

    async def _look(self) -> None:
        """Read what is set, if the directory has changed."""
        generation, self._noted = self._noted, None
        if generation is None:
            generation = await self._directory.generation()
        if generation == self._generation:
            return
        settings = await self._directory.settings()
        domains = await self._directory.domains()
        self._generation = generation
        self._settings = settings
        self._terms = {}
        self._announced = _announced(settings, domains) if settings else NOTHING_SET


def _announced(settings: Mapping[str, Mapping[str, str]], domains: list[str]) -> Announced:
    def values(key: str) -> set[Any]:
        """All that may hold for somebody."""
        read, usual = RULES[key].read, RULES[key].usual
        set_ones = {read(each[key]) for each in settings.values() if key in each}
        return set_ones if all(key in settings.get(domain, {}) for domain in domains) else {*set_ones, read(usual)}

    delays, days = values("login-delay"), values("retain")
    return Announced(
        login_delay=max(delays, default=0),
        delay_differs=len(delays) > 1,
        retain_days=min((one for one in days if one is not None), default=None),
        retain_differs=len(days) > 1,
    )
