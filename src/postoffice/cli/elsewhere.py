"""How commands reach a maildrop elsewhere: the options for it, and clear words where TLS stands in the way."""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from postoffice.cli.secrets import known_password, known_user, password_stdin
from postoffice.errors import Disconnected, UsageError

if TYPE_CHECKING:
    from postoffice.client.collect import Options
    from postoffice.client.purse import Token
    from postoffice.client.url import Source
    from postoffice.net.dialogue import Dialogue, Tracer

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--ca", type=click.Path(path_type=Path, readable=False), default=None, help="Trust this authority (PEM)."
    ),
    click.option(
        "--client-certificate",
        type=click.Path(path_type=Path, readable=False),
        default=None,
        help="Log in by this certificate (PEM) instead of a password.",
    ),
    click.option("--client-key", type=click.Path(path_type=Path, readable=False), default=None, help="Its key (PEM)."),
    click.option("--clear-text", is_flag=True, help="Allow the password to go over a network without TLS."),
    click.option(
        "--patience",
        type=click.FloatRange(min=0.1),
        default=120.0,
        metavar="SECONDS",
        show_default=True,
        help="How long a silent server is waited for.",
    ),
    click.option("--trace", is_flag=True, help="Show the conversation on standard error, without secrets."),
    password_stdin,
    click.option("--password-command", metavar="CMD", help="Take the password from what a shell command writes."),
    click.option(
        "--password-file",
        type=click.Path(path_type=Path, readable=False),
        help="Take it from a file that nobody else may read.",
    ),
    click.option("--password-variable", metavar="NAME", help="Take it from an environment variable."),
    click.option("--password-credential", metavar="NAME", help="Take it from a credential of a systemd service."),
    click.option("--password-keyring", is_flag=True, help="Take it from the keyring (needs the package keyring)."),
)


def entrance_options(command: Command) -> Command:
    """The options of a command that logs in elsewhere; what they say is given to `entrance` as it comes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def entrance(
    url: str,
    *,
    ca: Path | None,
    client_certificate: Path | None,
    client_key: Path | None,
    clear_text: bool,
    patience: float,
    trace: bool,
    **places: Any,
) -> tuple[Source, Options]:
    """Whose maildrop, and how it is opened. Asks for what is not said; `places` are the options for the password.

    A certificate is shown to log in by it, unless the URL says how else.
    """
    from postoffice.client.collect import Options

    source, tls = _source(url, ca, client_certificate, client_key)
    is_external = source.mechanism == "EXTERNAL"
    token, source = _token(source) if not any(places.values()) else (None, source)
    password = "" if is_external else token or _password(source, **places)
    return source, Options(
        password,
        tls=tls,
        allows_clear_text=clear_text,
        patience_seconds=patience,
        tracer=_tracer if trace else None,
    )


def _token(source: Source) -> tuple[Token | None, Source]:
    """One of those that `postoffice auth login` got, where the URL asks for a token or the server takes them."""
    from postoffice.client.purse import Purse
    from postoffice.client.url import ANY_MECHANISM
    from postoffice.protocols.sasl.server import BEARER

    wants_token = source.mechanism.encode() in BEARER
    purse = Purse()
    grant = purse.find(source.user) if wants_token or source.mechanism == ANY_MECHANISM else None
    if grant is None and wants_token and not sys.stdin.isatty():
        raise UsageError(f"nobody logged in as {source.user}: postoffice auth login {source.user}", os.EX_NOPERM)
    if grant is None or not (wants_token or source.host in grant.hosts):
        return None, source
    return purse.token(source.user), source if wants_token else replace(source, mechanism=grant.mechanism)


def _password(
    source: Source,
    *,
    password_stdin: bool,
    password_command: str | None,
    password_file: Path | None,
    password_variable: str | None,
    password_credential: str | None,
    password_keyring: bool,
) -> str:
    """From the one place that is named, else from who sits here."""
    from postoffice.client import secrets

    places = [
        password_command is not None and partial(secrets.of_command, password_command),
        password_file is not None and partial(secrets.of_file, password_file),
        password_variable is not None and partial(secrets.of_variable, password_variable),
        password_credential is not None and partial(secrets.of_credential, password_credential),
        password_keyring and partial(secrets.of_keyring, f"{source.user}@{source.host}"),
    ]
    named = [place for place in places if place]
    if len(named) + password_stdin > 1:
        raise UsageError("the password comes from one place: name only one of the --password- options", os.EX_USAGE)
    for secret in named:
        return secret()
    return known_password(f"{source.user} at {source.host}", from_stdin=password_stdin)


def _source(
    url: str, ca: Path | None, certificate: Path | None, key: Path | None
) -> tuple[Source, ssl.SSLContext | None]:
    from postoffice.client.url import ANY_MECHANISM, parse_url
    from postoffice.net.tls import client_context, show

    source = parse_url(url)
    if not source.user:
        source = replace(source, user=known_user(source.host))
    if certificate is None and (key is not None or source.mechanism == "EXTERNAL"):
        raise UsageError("a login by certificate needs --client-certificate, and --client-key if the key is elsewhere")
    if certificate is None:
        return source, client_context(ca) if ca else None
    tls = client_context(ca)
    show(tls, certificate, key or certificate)
    return replace(source, mechanism="EXTERNAL") if source.mechanism == ANY_MECHANISM else source, tls


@contextmanager
def explained(source: Source, *, has_ca: bool) -> Iterator[None]:
    """Say what a person can do where a conversation ended because of certificates."""
    try:
        yield
    except Disconnected as error:
        if isinstance(error.__cause__, ssl.SSLCertVerificationError) and not has_ca:
            raise UsageError(
                f"{error}; if you know better, name who vouches for it with --ca", os.EX_UNAVAILABLE
            ) from error
        is_external = source.mechanism == "EXTERNAL"
        if is_external and (isinstance(error.__cause__, ssl.SSLError) or not isinstance(error.__cause__, OSError)):
            sentence = f"{error}; perhaps {source.host} does not believe the certificate that we show"
            raise UsageError(sentence, os.EX_UNAVAILABLE) from error
        raise


def _tracer(_: Dialogue[Any]) -> Tracer:
    """Writes a conversation to standard error as it happens."""
    from postoffice.protocols.notation import Recorder

    recorder = Recorder()

    def hear(who: str, octets: bytes) -> None:
        for line in recorder.hear(who, octets):
            click.echo(line, err=True)

    return hear
