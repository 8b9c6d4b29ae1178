"""Whom a command speaks of: addresses and domains as people write them, and the accounts that they are."""

from __future__ import annotations

import os

from postoffice.errors import Refusal, UsageError
from postoffice.message.address import parse_address, parse_domain
from postoffice.store.base import Store
from postoffice.store.model import Account


def normalized(address: str) -> str:
    """An address as the directory spells it. One that is none is a `UsageError`."""
    try:
        return parse_address(address).normalized()
    except Refusal as refusal:
        raise UsageError(f"{address}: {refusal.public}", os.EX_USAGE) from refusal


async def known(store: Store, address: str) -> Account:
    """The account of that very address. A `UsageError` if there is none."""
    account = await store.directory.find(address)
    if account is None or account.address != address:
        raise UsageError(f"{address}: there is no such account", os.EX_NOUSER)
    return account


def normalized_domain(name: str) -> str:
    """A domain as the directory spells it. One that is none is a `UsageError`."""
    try:
        return parse_domain(name)
    except Refusal as refusal:
        raise UsageError(f"{name}: {refusal.public}", os.EX_USAGE) from refusal


async def known_domain(store: Store, domain: str) -> None:
    """A `UsageError` if the domain is not here."""
    if not await store.directory.has_domain(domain):
        raise UsageError(f"{domain}: there is no such domain", os.EX_NOUSER)
