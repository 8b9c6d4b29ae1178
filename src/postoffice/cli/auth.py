"""`postoffice auth`: log in at an identity provider, so that `fetch` has a token where passwords are taken no more."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from postoffice.errors import UsageError

if TYPE_CHECKING:
    from postoffice.client.authorization import Grant
    from postoffice.client.providers import Provider


@click.group()
def auth() -> None:
    """Log in at identity providers (Google, Microsoft, Yahoo, any other), for maildrops that take tokens."""


@auth.command()
@click.argument("address")
@click.option(
    "--provider", "name", type=click.Choice(["google", "microsoft", "yahoo"]), help="If the address hides it."
)
@click.option("--issuer", metavar="URL", help="Any other provider, by its issuer.")
@click.option("--client-id", required=True, metavar="ID", help="Your registration at the provider.")
@click.option(
    "--client-secret-file",
    type=click.Path(path_type=Path, readable=False),
    help="Its secret, if it has one: a file that nobody else may read.",
)
@click.option("--scope", default="", help="What to ask for, if not what is usual.")
@click.option("--device", is_flag=True, help="Type a code on another machine; no browser is needed here.")
def login(
    address: str,
    name: str | None,
    issuer: str | None,
    client_id: str,
    client_secret_file: Path | None,
    scope: str,
    device: bool,
) -> None:
    """Log in as ADDRESS: in a browser, or with --device by a code.

    The tokens are kept for `fetch`, which renews them.
    """
    from postoffice.client import authorization, secrets
    from postoffice.client.purse import Purse

    if "@" not in address:
        raise UsageError(f"{address}: is no mail address", os.EX_USAGE)
    provider = _provider(address, name, issuer, scope)
    secret = secrets.of_file(client_secret_file) if client_secret_file else ""
    client = authorization.Client(client_id, secret)
    if device:
        grant = authorization.by_device(provider, client, address, _show_code)
    else:
        grant = authorization.by_browser(provider, client, address, _show_address)
    Purse().keep(grant)
    click.echo(_line(grant, time.time()))


@auth.command()
@click.argument("address", required=False)
def status(address: str | None) -> None:
    """Say where somebody is logged in, and until when; of ADDRESS, or of all. Asks nobody."""
    from postoffice.client.purse import Purse

    purse = Purse()
    for one in [address] if address else purse.addresses():
        grant = purse.find(one)
        if grant is None:
            raise UsageError(f"nobody logged in as {one}", os.EX_NOUSER)
        click.echo(_line(grant, time.time()))


@auth.command()
@click.argument("address")
@click.option("--forget", is_flag=True, help="Only forget it here, without a word to the provider.")
def revoke(address: str, forget: bool) -> None:
    """Take back what ADDRESS allowed: the provider forgets it, and then this machine does."""
    from postoffice.client import authorization
    from postoffice.client.providers import PRESETS
    from postoffice.client.purse import Purse

    purse = Purse()
    grant = purse.find(address)
    if grant is None:
        raise UsageError(f"nobody logged in as {address}", os.EX_NOUSER)
    if not forget:
        authorization.revoke(grant)
    purse.forget(address)
    click.echo(f"{grant.address} is forgotten here")
    if not grant.revocation_url and not forget:
        page = PRESETS[grant.provider].manage if grant.provider in PRESETS else "a page of its own"
        click.echo(f"{grant.provider} cannot be told by a program; take it back at {page}")


def _provider(address: str, name: str | None, issuer: str | None, scope: str) -> Provider:
    from postoffice.client.providers import PRESETS, discovered, known_by

    if name and issuer:
        raise UsageError("--provider and --issuer are two ways to name one; choose", os.EX_USAGE)
    if issuer:
        return discovered(issuer, scope or "openid email offline_access")
    provider = PRESETS[name] if name else known_by(address)
    if provider is None:
        raise UsageError(f"who lets {address} in? Name it with --provider or --issuer", os.EX_USAGE)
    return replace(provider, scope=scope) if scope else provider


def _show_address(url: str) -> None:
    click.echo(f"Open this in a browser on this machine:\n{url}", err=True)
    if sys.stderr.isatty() and os.environ.get("DISPLAY", os.environ.get("WAYLAND_DISPLAY")):
        click.launch(url)


def _show_code(url: str, code: str) -> None:
    click.echo(f"On any machine, open {url}\nand type {code}", err=True)


def _line(grant: Grant, now: float) -> str:
    until = datetime.fromtimestamp(grant.ends).astimezone().strftime("%Y-%m-%d %H:%M")
    if grant.refresh_token:
        life = f"the token is good until {until}, and is renewed" if grant.ends > now else "is renewed when it is used"
    else:
        life = f"good until {until}, cannot be renewed" if grant.ends > now else "is over: log in again"
    return f"{grant.address}  {grant.provider}  {life}"
