"""Passwords of an account: its own, and generated ones, each with a name, for single programs and devices.

A generated password is printed once, when it is made: only what can check it is kept. Whoever loses a telephone
removes that one by its name, and all others stay good.
"""

from __future__ import annotations

import os
import unicodedata
from enum import Enum
from pathlib import Path
from typing import Final

import click

from postoffice.cli.folder import data_option, with_store
from postoffice.cli.residents import known, normalized
from postoffice.cli.secrets import clear, generate, generated_password, new_password, password_stdin, scram
from postoffice.errors import StoreError, UsageError
from postoffice.store.base import Store
from postoffice.store.model import Credential

OWN: Final = "password"
"""The name of the credential that is the account's own password."""
RESERVED: Final = frozenset({"token", "certificate"})
"""Names of what opens without a password."""
NAME_CHARACTERS: Final = 64


class Kept(Enum):
    """What is kept of a password."""

    OWN = "what can check it, and no more"
    SCRAM = "also what SCRAM needs"
    GENERATED = "what can check a password that we made, SCRAM's too"
    CLEAR = "the password itself"


def kept(*, scram: bool, clear: bool, generate: bool) -> Kept:
    """What the options ask for."""
    if clear:
        return Kept.CLEAR
    if generate:
        return Kept.GENERATED
    return Kept.SCRAM if scram else Kept.OWN


def given(name: str, *, from_stdin: bool, generate: bool) -> str:
    """A new password, asked for or made."""
    if generate and from_stdin:
        raise UsageError("--generate and --password-stdin are two ways to a password; choose one", os.EX_USAGE)
    return generated_password() if generate else new_password(name, from_stdin=from_stdin)


async def verifier(store: Store, address: str, password: str, kind: Kept) -> str:
    """What is kept of a password."""
    from postoffice.accounts import verifiers

    match kind:
        case Kept.OWN:
            return verifiers.of_own(password)
        case Kept.GENERATED:
            return verifiers.of_generated(password, address, await store.directory.secret())
    make = verifiers.of_clear_with_scram if kind is Kept.CLEAR else verifiers.of_own_with_scram
    try:
        return make(password, address, await store.directory.secret())
    except ValueError as error:
        if kind is Kept.CLEAR:
            return verifiers.of_clear(password)
        raise UsageError(f"this password cannot be used with SCRAM: {error}", os.EX_DATAERR) from error


@click.command()
@click.argument("address")
@data_option
@password_stdin
@scram
@clear
@generate
@click.option("--name", default=OWN, metavar="NAME", help="Make a further password, for one program or device.")
def password(
    address: str, data: Path | None, password_stdin: bool, scram: bool, clear: bool, generate: bool, name: str
) -> None:
    """Give an account another password, or with --name a further one.

    A further password is generated, printed once, and listed and removed by its name with `account passwords`.
    """
    whose, called = normalized(address), _name(name)
    if called != OWN and not generate:
        raise UsageError("a password with a name is one that is made here: use --generate with --name", os.EX_USAGE)
    secret = given(whose, from_stdin=password_stdin, generate=generate)
    kind = kept(scram=scram, clear=clear, generate=generate)

    async def change(store: Store) -> None:
        account = await known(store, whose)
        made = Credential(account.account_id, called, await verifier(store, whose, secret, kind))
        await store.directory.set_credential(made)

    with_store(data, change)
    click.echo(secret if generate else f"{whose} has a new password")


@click.command()
@click.argument("address")
@data_option
@click.option("--remove", metavar="NAME", help="Remove this password: it opens nothing any more.")
def passwords(address: str, data: Path | None, remove: str | None) -> None:
    """List the passwords of an account by name, and how each is kept; never what they are."""
    whose = normalized(address)

    async def look(store: Store) -> list[Credential]:
        account = await known(store, whose)
        if remove is not None:
            try:
                await store.directory.remove_credential(account.account_id, unicodedata.normalize("NFC", remove))
            except StoreError as error:
                raise UsageError(f"{whose} has no password named {remove}", os.EX_NOUSER) from error
        return await store.directory.credentials(account.account_id)

    credentials = with_store(data, look)
    if remove is not None:
        click.echo(f"the password {remove} of {whose} is removed")
        return
    from postoffice.accounts.verifiers import told

    width = max((len(credential.name) for credential in credentials), default=0)
    for credential in sorted(credentials, key=lambda one: (one.name != OWN, one.name)):
        click.echo(f"{credential.name:<{width}}  {told(credential.verifier)}")


def _name(text: str) -> str:
    """A name that can stand in a list and in a log."""
    name = unicodedata.normalize("NFC", text)
    if not name.isprintable() or name != name.strip() or not 0 < len(name) <= NAME_CHARACTERS:
        raise UsageError(f"a password's name is 1 to {NAME_CHARACTERS} characters that can be printed", os.EX_USAGE)
    if name in RESERVED:
        raise UsageError(f"no password can be named {name}", os.EX_USAGE)
    return name
