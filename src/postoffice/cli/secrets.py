"""Passwords come from a prompt or from standard input, never from an argument: arguments are seen by everybody.

Other places for that of a maildrop elsewhere are in `client.secrets`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from postoffice.errors import UsageError

if TYPE_CHECKING:
    from postoffice.client.url import Source

scram = click.option(
    "--scram",
    is_flag=True,
    help="Also keep what SCRAM logins need; who steals it guesses more easily than from the rest.",
)

clear = click.option(
    "--clear",
    is_flag=True,
    help="Keep the password itself, readable for whoever reads the data folder: APOP and CRAM-MD5 need that.",
)

generate = click.option("--generate", is_flag=True, help="Make a password, fit for SCRAM too, and print it.")

password_stdin = click.option(
    "--password-stdin", is_flag=True, help="Read the password from standard input instead of asking."
)


password_places = (
    password_stdin,
    click.option("--password-command", metavar="CMD", help="Take the password from what a shell command writes."),
    click.option(
        "--password-file",
        type=click.Path(path_type=Path, readable=False),
        help="Take it from a file that nobody else may read.",
    ),
    click.option("--password-variable", metavar="NAME", help="Take it from an environment variable."),
    click.option("--password-credential", metavar="NAME", help="Take it from a credential of a systemd service."),
)
"""Options for where a password is; all but the first are what `places` wants."""

hash_stdin = click.option(
    "--hash-stdin",
    is_flag=True,
    help="Read what another server kept, {SCHEME}hash, from standard input; the first login makes it argon2id.",
)


def new_password(address: str, *, from_stdin: bool) -> str:
    """The password for an account that is made or changed."""
    if from_stdin:
        return _first_line()
    _need_terminal()
    return _usable(typed(f"New password for {address}", is_new=True))


def generated_password() -> str:
    """A hundred bits that can be read to somebody over the telephone."""
    import secrets

    groups = ("".join(secrets.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(4)) for _ in range(5))
    return "-".join(groups)


def known_password(whose: str, *, from_stdin: bool) -> str:
    """The password of an account elsewhere."""
    if from_stdin:
        return _first_line()
    _need_terminal()
    return _usable(typed(f"Password for {whose}"))


def typed(what: str, *, is_new: bool = False) -> str:
    """What a person types at a terminal that does not show it; twice where it is new."""
    try:
        return str(click.prompt(what, hide_input=True, confirmation_prompt=is_new, err=True))
    except UnicodeDecodeError as error:
        said = f"what was typed is no {error.encoding.upper()}, which the locale says that the terminal speaks"
        raise UsageError(said, os.EX_DATAERR) from None


def named_places(source: Source, whose: str, *, password_stdin: bool, **places: Any) -> list[Callable[[], str]]:
    """What asks each place that `password_places`, and others of `client.secrets`, name for the password of `whose`."""
    from postoffice.client.secrets import Places

    named = Places(**{name.removeprefix("password_"): place for name, place in places.items()}).named(source)
    if password_stdin:
        named.append(lambda: known_password(whose, from_stdin=True))
    return named


def known_user(host: str) -> str:
    """Who somebody is at a server, if he did not say so."""
    if not sys.stdin.isatty():
        raise UsageError(f"whose maildrop at {host}? Write the URL as pops://USER@{host}", os.EX_USAGE)
    return str(click.prompt(f"User name at {host}", err=True))


def known_hash() -> str:
    """The verifier for what another server kept."""
    from postoffice.accounts.verifiers import of_imported

    try:
        return of_imported(_first_line())
    except ValueError as error:
        raise UsageError(f"standard input: {error}", os.EX_DATAERR) from error


def _first_line() -> str:
    """UTF-8 whatever the locale says: it is what goes over the wire (RFC 4616 §2)."""
    line = sys.stdin.buffer.readline().rstrip(b"\r\n")
    return _usable(line.decode("utf-8", "surrogateescape"))


def _usable(password: str) -> str:
    if not password:
        raise UsageError("the password is empty", os.EX_USAGE)
    if "\0" in password or any("\ud800" <= character <= "\udfff" for character in password):
        raise UsageError("the password is not UTF-8 without NUL, so no login could carry it", os.EX_USAGE)
    return password


def _need_terminal() -> None:
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask for the password; use --password-stdin", os.EX_USAGE)
