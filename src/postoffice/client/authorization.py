"""Getting tokens: a person allows it in a browser, here or on another machine; later they are renewed without him.

    by_browser    authorization code with PKCE, the browser comes back to loopback (RFC 6749 §4.1, RFC 7636, RFC 8252)
    by_device     a short code that is typed on any other machine (RFC 8628)
    renewed       a new access token for the refresh token, which may change with it (RFC 6749 §6, RFC 9700 §4.14)
    revoke        the provider forgets them (RFC 7009)

What comes back in the browser counts only with the `state` that went out, else anybody's page could log us in as him.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from postoffice.client import asking
from postoffice.client.landing import Landing
from postoffice.client.providers import Provider
from postoffice.clock import Clock, system_clock
from postoffice.errors import Refused, UsageError

USUAL_SECONDS: Final = 3600
DEVICE_CODE: Final = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass(frozen=True, slots=True)
class Client:
    """Whom the provider knows us as: a person's own registration. Many have no secret."""

    name: str
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a person allowed, and how to make use of it. `ends` is when the access token does, in seconds."""

    address: str
    provider: str
    token_url: str
    revocation_url: str
    mechanism: str
    hosts: tuple[str, ...]
    client: str
    client_secret: str = field(repr=False)
    scope: str
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    ends: float


def by_browser(
    provider: Provider, client: Client, address: str, show: Callable[[str], object], clock: Clock = system_clock
) -> Grant:
    """`show` gives the address to a person who has a browser on this machine. Raises Refused, UsageError."""
    if not provider.authorization:
        raise UsageError(f"{provider.name} has no login by a browser here; use --device", os.EX_UNAVAILABLE)
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(24)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    with Landing(state, provider.issuer) as landing:
        redirect = f"http://{provider.redirect_host}:{landing.port}/"
        question = {
            "response_type": "code",
            "client_id": client.name,
            "redirect_uri": redirect,
            "scope": provider.scope,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
            "login_hint": address,
            **dict(provider.more),
        }
        sign = "&" if "?" in provider.authorization else "?"
        show(f"{provider.authorization}{sign}{urllib.parse.urlencode(question)}")
        code = landing.wait()
    answer = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "code_verifier": verifier}
    return _granted(provider, client, address, asking.post(provider.token, answer | _who(client)), clock)


def by_device(
    provider: Provider,
    client: Client,
    address: str,
    show: Callable[[str, str], object],
    clock: Clock = system_clock,
    sleep: Callable[[float], object] = time.sleep,
) -> Grant:
    """`show` gives a person the address to go to, and the code to type there. Raises Refused, UsageError."""
    if not provider.device:
        raise UsageError(f"{provider.name} gives out no codes for mail; leave out --device", os.EX_UNAVAILABLE)
    told = asking.post(provider.device, {"client_id": client.name, "scope": provider.scope})
    try:
        device, code = str(told["device_code"]), str(told["user_code"])
        show(str(told.get("verification_uri") or told["verification_url"]), code)
        interval, ends = float(told.get("interval", 5)), clock() + float(told.get("expires_in", 900))
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(f"{provider.name} answered without a code", os.EX_PROTOCOL) from error
    while clock() < ends:
        sleep(interval)
        try:
            said = asking.post(provider.token, {"grant_type": DEVICE_CODE, "device_code": device} | _who(client))
        except asking.Denied as denied:
            if denied.code not in ("authorization_pending", "slow_down"):
                raise
            interval += 5 * (denied.code == "slow_down")
        else:
            return _granted(provider, client, address, said, clock)
    raise Refused("nobody typed the code in time; begin again", os.EX_TEMPFAIL)


def renewed(grant: Grant, clock: Clock = system_clock) -> Grant:
    """The same with new tokens; the old refresh token may be worthless from now on. Raises Refused."""
    again = f"log in again with: postoffice auth login {grant.address}"
    if not grant.refresh_token:
        raise Refused(
            f"the login of {grant.address} is over, and {grant.provider} gave nothing to renew it: {again}",
            os.EX_NOPERM,
        )
    fields = {"grant_type": "refresh_token", "refresh_token": grant.refresh_token}
    try:
        said = asking.post(grant.token_url, fields | _who(Client(grant.client, grant.client_secret)))
    except asking.Denied as denied:
        if denied.code == "invalid_grant":
            raise Refused(f"the login of {grant.address} is over ({denied}): {again}", os.EX_NOPERM) from denied
        raise
    return replace(grant, **_tokens(said, grant.provider, grant.refresh_token, clock))


def revoke(grant: Grant) -> None:
    """The provider forgets it, if it can be told to. Raises Refused."""
    if grant.revocation_url:
        token = grant.refresh_token or grant.access_token
        asking.post(grant.revocation_url, {"token": token} | _who(Client(grant.client, grant.client_secret)))


def _who(client: Client) -> dict[str, str]:
    return {"client_id": client.name, "client_secret": client.secret}


def _granted(provider: Provider, client: Client, address: str, said: dict[str, Any], clock: Clock) -> Grant:
    return Grant(
        address=address,
        provider=provider.name,
        token_url=provider.token,
        revocation_url=provider.revocation,
        mechanism=provider.mechanism,
        hosts=provider.hosts,
        client=client.name,
        client_secret=client.secret,
        scope=provider.scope,
        **_tokens(said, provider.name, "", clock),
    )


def _tokens(said: dict[str, Any], who: str, refresh_token: str, clock: Clock) -> dict[str, Any]:
    """A provider that gives no new refresh token leaves the old one good (RFC 6749 §6)."""
    token, kind = said.get("access_token"), said.get("token_type", "Bearer")
    try:
        seconds = float(said.get("expires_in", USUAL_SECONDS))
    except (TypeError, ValueError):
        seconds = USUAL_SECONDS
    if not isinstance(token, str) or not token or str(kind).lower() != "bearer":
        raise Refused(f"{who} answered without a bearer token", os.EX_PROTOCOL)
    return {
        "access_token": token,
        "refresh_token": str(said.get("refresh_token") or refresh_token),
        "ends": clock() + seconds,
    }
