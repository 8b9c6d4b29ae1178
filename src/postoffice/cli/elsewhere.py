"""How commands reach a maildrop elsewhere: the options for it, and clear words where TLS stands in the way."""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from postoffice.cli.finite import FiniteRange
from postoffice.cli.secrets import known_password, known_user, named_places, password_places
from postoffice.errors import Disconnected, UsageError

if TYPE_CHECKING:
    from postoffice.client.collect import Options
    from postoffice.client.url import Source
    from postoffice.net.dialogue import Dialogue, Tracer

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--ca", type=click.Path(path_type=Path, readable=False), default=None, help="Trust this authority (PEM)."
    ),
    click.option(
        "--pin", metavar="sha256:BASE64", help="Trust the server that has this key, whatever its certificate says."
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
        type=FiniteRange(min=0.1),
        default=120.0,
        show_default=True,
        metavar="SECONDS",
        help="How long a silent server is waited for.",
    ),
    click.option("--trace", is_flag=True, help="Show the conversation on standard error, without secrets."),
    *password_places,
    click.option("--password-keyring", is_flag=True, help="Take it from the keyring (needs the package keyring)."),
)

OF_A_CALL = frozenset({"patience", "trace"})
"""Those of them that say nothing of whose maildrop it is and how it is opened."""


def entrance_options(command: Command) -> Command:
    """The options of a command that logs in elsewhere; what they say is given to `entrance` as it comes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def entrance(
    url: str,
    *,
    ca: Path | None,
    pin: str | None,
    client_certificate: Path | None,
    client_key: Path | None,
    clear_text: bool,
    patience: float,
    trace: bool,
    **places: Any,
) -> tuple[Source, Options]:
    """Whose maildrop, and how it is opened. Asks for what is not said; `places` are the options for the password."""
    from postoffice.client.login import Trust, nobody_logged_in, ready, wants_token
    from postoffice.client.url import parse_url

    source = parse_url(url)
    if not source.user:
        source = source._replace(user=known_user(source.host))

    def ask(source: Source) -> str:
        if wants_token(source) and not sys.stdin.isatty():
            raise nobody_logged_in(source)
        return known_password(f"{source.user} at {source.host}", from_stdin=False)

    trust = Trust(ca, pin, client_certificate, client_key, clear_text)
    source, options = ready(source, trust, named_places(source, source.user, **places), ask)
    options = options._replace(patience_seconds=patience)
    return source, traced(options) if trace else options


def traced(options: Options) -> Options:
    """The same, with the conversation on standard error as it happens."""
    return options._replace(tracer=tracer)


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


def tracer(_: Dialogue[Any]) -> Tracer:
    """Writes a conversation to standard error as it happens."""
    from postoffice.protocols.notation import Recorder

    recorder = Recorder()

    def hear(who: str, octets: bytes) -> None:
        for line in recorder.hear(who, octets):
            click.echo(line, err=True)

    return hear
