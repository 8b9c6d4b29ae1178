"""Identity providers: where one logs in at them, and which maildrops their tokens open (RFC 8414, RFC 8628).

Three are known by name, every other one by its issuer, which tells the rest itself (OpenID Connect Discovery).
None of them knows this program: the client id, and a secret where the provider gives one out, are the person's own.
"""

from __future__ import annotations

import os
import urllib.parse
from dataclasses import dataclass
from typing import Any, Final

from postoffice.client import asking
from postoffice.errors import UsageError

WELL_KNOWN: Final = ("openid-configuration", "oauth-authorization-server")


@dataclass(frozen=True, slots=True)
class Provider:
    """`authorization`, `token`, `device` and `revocation` are URLs, empty where it has none. `hosts` are the POP3
    servers that take its tokens by `mechanism`. `more` goes with the authorization request. `manage` is the page where
    a person takes back what he allowed. `redirect_host` is the name of this machine that it lets browsers return to."""

    name: str
    authorization: str
    token: str
    scope: str
    device: str = ""
    revocation: str = ""
    issuer: str = ""
    mechanism: str = "OAUTHBEARER"
    hosts: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    more: tuple[tuple[str, str], ...] = ()
    manage: str = ""
    redirect_host: str = "127.0.0.1"


_MICROSOFT: Final = "https://login.microsoftonline.com/common/oauth2/v2.0"
_YAHOO: Final = "https://api.login.yahoo.com/oauth2"

PRESETS: Final = {
    provider.name: provider
    for provider in (
        Provider(
            "google",
            "https://accounts.google.com/o/oauth2/v2/auth",
            "https://oauth2.googleapis.com/token",
            "https://mail.google.com/",  # its device flow does not give this one out
            revocation="https://oauth2.googleapis.com/revoke",
            issuer="https://accounts.google.com",
            mechanism="XOAUTH2",
            hosts=("pop.gmail.com",),
            domains=("gmail.com", "googlemail.com"),
            more=(("access_type", "offline"), ("prompt", "consent")),  # else it gives no refresh token a second time
            manage="https://myaccount.google.com/connections",
        ),
        Provider(
            "microsoft",
            f"{_MICROSOFT}/authorize",
            f"{_MICROSOFT}/token",
            "https://outlook.office.com/POP.AccessAsUser.All offline_access",
            device=f"{_MICROSOFT}/devicecode",
            mechanism="XOAUTH2",
            hosts=("outlook.office365.com", "pop-mail.outlook.com"),
            domains=("outlook.com", "hotmail.com", "live.com", "msn.com"),
            manage="https://account.live.com/consent/Manage",
            redirect_host="localhost",  # of this name alone it forgets the port
        ),
        Provider(
            "yahoo",
            f"{_YAHOO}/request_auth",
            f"{_YAHOO}/get_token",
            "mail-r",
            revocation=f"{_YAHOO}/revoke",
            mechanism="XOAUTH2",
            hosts=("pop.mail.yahoo.com",),
            domains=("yahoo.com", "ymail.com", "rocketmail.com"),
            manage="https://login.yahoo.com/account/security",
        ),
    )
}


def known_by(address: str) -> Provider | None:
    """Whose people have addresses like this."""
    domain = address.rpartition("@")[2].lower()
    return next((provider for provider in PRESETS.values() if domain in provider.domains), None)


def discovered(issuer: str, scope: str) -> Provider:
    """What an issuer tells about itself. Raises Refused, UsageError."""
    parts = urllib.parse.urlsplit(issuer)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1")):
        raise UsageError("an issuer begins with https:// (http:// only on this machine)", os.EX_USAGE)
    problem: asking.Denied | None = None
    for name in WELL_KNOWN:
        try:
            return _told(issuer, asking.get(f"{issuer.rstrip('/')}/.well-known/{name}"), scope)
        except asking.Denied as denied:
            problem = problem or denied
    assert problem is not None
    raise problem


def _told(issuer: str, told: dict[str, Any], scope: str) -> Provider:
    urls = {field: told.get(f"{field}_endpoint") or "" for field in ("authorization", "token", "revocation")} | {
        "device": told.get("device_authorization_endpoint") or ""
    }
    if told.get("issuer") != issuer:
        raise UsageError(f"{issuer} says that it is another issuer (RFC 8414 §3.3)", os.EX_PROTOCOL)
    if not (urls["token"] and (urls["authorization"] or urls["device"])):
        raise UsageError(f"{issuer} does not tell where one logs in", os.EX_PROTOCOL)
    if not all(asking.is_safe(url) for url in urls.values()):
        raise UsageError(f"{issuer} names addresses that are not https://", os.EX_PROTOCOL)
    return Provider(issuer, urls["authorization"], urls["token"], scope, urls["device"], urls["revocation"], issuer)
