"""Which identity provider says who somebody is, for logins by token (RFC 7628)."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class OAuthSettings:
    """Off without `keys` and `introspection`, URLs of the provider. `issuer` and `audience` must stand in a token;
    `address_claim` is where it says whose it is. `client` and `client_secret`, a file, are our name and password there.
    """

    issuer: str = ""
    audience: str = ""
    keys: str = ""
    introspection: str = ""
    client: str = ""
    client_secret: Path | None = None
    address_claim: str = "email"

    @property
    def is_on(self) -> bool:
        return bool(self.keys or self.introspection)

    def problems(self) -> list[str]:
        """What is wrong with them, each beginning with the setting's name."""
        found = [
            f"{name}: must begin with https:// (http:// only on this machine)"
            for name in ("keys", "introspection")
            if not _is_safe(getattr(self, name))
        ]
        if self.is_on and not (self.issuer and self.audience):
            found.append("audience: issuer and audience must be given, or tokens for others would be good here")
        return found


def _is_safe(url: str) -> bool:
    parts = urllib.parse.urlsplit(url)
    return not url or parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1"))
