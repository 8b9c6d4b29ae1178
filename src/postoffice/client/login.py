"""What a login elsewhere needs, made ready before anybody is called: whom TLS believes, who we are, and the secret.

    a place that a person names  ─▶  else a token that `auth login` got  ─▶  else whoever can be asked

A certificate of ours is shown to log in by it, unless the URL says how else; then there is no password.
"""

import os
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from postoffice.client.collect import Options
from postoffice.client.purse import Purse, Token
from postoffice.client.url import ANY_MECHANISM, Source
from postoffice.errors import UsageError
from postoffice.net.tls import client_context, pinned_context, show
from postoffice.protocols.sasl.terms import BEARER, EXTERNAL


class Trust(NamedTuple):
    """Whom we believe, and what we show. Without `ca` (PEM) and `pin` (of the server's key) the authorities of this
    system are believed. `clear_text`: the password may go over a network without TLS."""

    ca: Path | None = None
    pin: str | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    clear_text: bool = False

    @property
    def is_of_ones_own(self) -> bool:
        """Whether a person said whom to believe."""
        return self.ca is not None or self.pin is not None


def ready(
    source: Source, trust: Trust, named: Sequence[Callable[[], str]], ask: Callable[[Source], str]
) -> tuple[Source, Options]:
    """The source with its mechanism, and how it is opened.

    `named` are the places that a person named for the password, one or none; `ask` is asked where nothing else gives
    one, and raises if that cannot be. May run a command, and ask a provider for a token: it takes its time. Raises
    UsageError, Refused.
    """
    source, tls = _shown(source, trust)
    if source.mechanism.encode() == EXTERNAL:
        return source, Options("", tls=tls, allows_clear_text=trust.clear_text)
    if len(named) > 1:
        raise UsageError("the password comes from one place: name only one of them")
    token, source = (None, source) if named else _token(source)
    password = token or (named[0]() if named else ask(source))
    return source, Options(password, tls=tls, allows_clear_text=trust.clear_text)


def wants_token(source: Source) -> bool:
    """Whether its URL says that a token opens it, and no password."""
    return source.mechanism.encode() in BEARER


def nobody_logged_in(source: Source) -> UsageError:
    return UsageError(f"nobody logged in as {source.user}: postoffice auth login {source.user}", os.EX_NOPERM)


def believed(trust: Trust) -> ssl.SSLContext:
    """What TLS with servers goes by; it shows no certificate of ours. Raises UsageError."""
    return pinned_context(trust.pin) if trust.pin is not None else client_context(trust.ca)


def _shown(source: Source, trust: Trust) -> tuple[Source, ssl.SSLContext | None]:
    """Whom TLS believes and what it shows; None: the usual."""
    if trust.ca is not None and trust.pin is not None:
        raise UsageError("a pin says which key the server has, an authority who vouches for it: name one of them")
    certificate = trust.client_certificate
    if certificate is None and (trust.client_key is not None or source.mechanism.encode() == EXTERNAL):
        raise UsageError("a login by certificate needs --client-certificate, and --client-key if the key is elsewhere")
    if certificate is None and not trust.is_of_ones_own:
        return source, None
    tls = believed(trust)
    if certificate is None:
        return source, tls
    show(tls, certificate, trust.client_key or certificate)
    return source._replace(mechanism=EXTERNAL.decode()) if source.mechanism == ANY_MECHANISM else source, tls


def _token(source: Source) -> tuple[Token | None, Source]:
    """One of those that `postoffice auth login` got, where the URL asks for a token or the server takes them."""
    purse = Purse()
    is_wanted = wants_token(source)
    grant = purse.find(source.user) if is_wanted or source.mechanism == ANY_MECHANISM else None
    if grant is None or not (is_wanted or source.host in grant.hosts):
        return None, source
    return purse.token(source.user), source if is_wanted else source._replace(mechanism=grant.mechanism)
