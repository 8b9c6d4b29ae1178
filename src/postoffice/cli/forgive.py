"""`postoffice forgive`: whoever is refused for failed logins may try again at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from postoffice.cli.folder import data_option, with_store

if TYPE_CHECKING:
    from postoffice.store.base import Store


@click.command()
@click.argument("who")
@data_option
def forgive(who: str, data: Path | None) -> None:
    """Forget the failed logins of WHO: an account, an IP address, or a network that `postoffice status` names.

    A running office knows at once. What happened in a login with an account from an address is forgotten with either.
    """
    from postoffice.accounts.guard import Guard
    from postoffice.accounts.ledger import BOOK, open_book
    from postoffice.cli.residents import normalized
    from postoffice.net.networks import NOWHERE, place_of

    name = normalized(who) if place_of(who.partition("/")[0]) == NOWHERE else who

    async def forget(_: Store) -> bool:
        ledger = open_book(Path(BOOK))
        if ledger is None:
            return False
        try:
            return Guard(ledger=ledger).forgive(name)
        finally:
            ledger.close()

    found = with_store(data, forget)
    click.echo(f"{name} is forgiven" if found else f"nothing stands against {name}")
