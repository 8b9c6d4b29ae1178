"""An account's own password: asked for, or generated and printed once. Only what can check it is kept."""

from __future__ import annotations

import os
from enum import Enum
from pathlib import Path

import click

from postoffice.accounts.devices import OWN
from postoffice.cli.folder import data_option, with_store
from postoffice.cli.residents import known, normalized
from postoffice.cli.secrets import (
    clear,
    generate,
    generated_password,
    hash_stdin,
    known_hash,
    new_password,
    password_stdin,
    scram,
)
from postoffice.errors import UsageError
from postoffice.store.base import Store
from postoffice.store.model import Credential


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
@hash_stdin
def password(
    address: str,
    data: Path | None,
    password_stdin: bool,
    scram: bool,
    clear: bool,
    generate: bool,
    hash_stdin: bool,
) -> None:
    """Give an account another password of its own. Devices have theirs: postoffice device add."""
    whose = normalized(address)
    if hash_stdin:
        if password_stdin or scram or clear or generate:
            raise UsageError("--hash-stdin alone says what is kept: no other option can", os.EX_USAGE)
        _keep(data, whose, known_hash())
        click.echo(f"{whose} has the password of another server")
        return
    secret = given(whose, from_stdin=password_stdin, generate=generate)
    kind = kept(scram=scram, clear=clear, generate=generate)

    async def change(store: Store) -> None:
        account = await known(store, whose)
        await store.directory.set_credential(
            Credential(account.account_id, OWN, await verifier(store, whose, secret, kind))
        )

    with_store(data, change)
    click.echo(secret if generate else f"{whose} has a new password")


def _keep(data: Path | None, address: str, verifier: str) -> None:
    """Let an account's own password be this one."""

    async def change(store: Store) -> None:
        account = await known(store, address)
        await store.directory.set_credential(Credential(account.account_id, OWN, verifier))

    with_store(data, change)
