"""Attempts to log in, counted at all doors by mechanism and how they ended."""

from __future__ import annotations

from postoffice import counts
from postoffice.counts import Outcome, counter
from postoffice.protocols.sasl import server as sasl

USER = "USER"
"""USER and PASS, by the name that CAPA has for them (RFC 2449 §6.3)."""

APOP = "APOP"
OTHER = "other"


def _places(mechanism: str) -> int:
    says = "Attempts to log in; refused: the credentials are wrong, failed: not now."
    facts = {"mechanism": mechanism}
    return min([counter("postoffice_logins_total", says, **facts, outcome=outcome.name.lower()) for outcome in Outcome])


_PLACES = {name: _places(name) for name in (USER, APOP, *map(bytes.decode, sasl.MECHANISMS), OTHER)}


def count_attempt(mechanism: str, outcome: Outcome) -> None:
    counts.sheet[_PLACES.get(mechanism, _PLACES[OTHER]) + outcome] += 1
