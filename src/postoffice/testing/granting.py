"""The side of an identity provider that gives tokens out: everybody who comes with a browser is logged in at once.

    authorize     sends the browser back with a code                 (RFC 6749 §4.1, PKCE is a must)
    token         for a code, a refresh token, a code of a device
    device        a code to type; it counts when `typed` says so     (RFC 8628)
    revoke        a refresh token, with all that came from it        (RFC 7009)

A refresh token is good once. Who shows it again ends the whole login, as when it is stolen (RFC 9700 §4.14).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

Answer = tuple[int, Any]
"""An HTTP status and what is said with it; for 302, the address to go to."""

REGISTERED, REGISTERED_SECRET = "desk", "desk's secret"


@dataclass(slots=True)
class Login:
    """What one person allowed. `refresh` is the token that is good now, `spent` are those that were."""

    address: str
    refresh: str = ""
    spent: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Granting:
    """`issue` makes an access token. `lasts` is what is said about how long they last. `heard` are the questions."""

    issue: Callable[[str], str]
    lasts: int = 600
    rotates: bool = True
    denies: bool = False
    heard: list[dict[str, str]] = field(default_factory=list)
    _codes: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    _devices: dict[str, str] = field(default_factory=dict)
    _typed: set[str] = field(default_factory=set)
    _logins: list[Login] = field(default_factory=list)

    def endpoints(self, issuer: str) -> dict[str, str]:
        """What discovery tells."""
        names = {
            "authorization": "authorize",
            "token": "token",
            "device_authorization": "device",
            "revocation": "revoke",
        }
        return {"issuer": issuer} | {f"{field}_endpoint": f"{issuer}/{path}" for field, path in names.items()}

    def authorize(self, asked: Mapping[str, str]) -> Answer:
        if asked.get("client_id") != REGISTERED or asked.get("code_challenge_method") != "S256":
            return 400, {"error": "invalid_request"}
        back = {"state": asked.get("state", "")}
        if self.denies:
            back |= {"error": "access_denied", "error_description": "She said no"}
        else:
            back["code"] = secrets.token_urlsafe(16)
            self._codes[back["code"]] = (asked["code_challenge"], asked["redirect_uri"], asked["login_hint"])
        return 302, f"{asked['redirect_uri']}?{urlencode(back)}"

    def device(self, asked: Mapping[str, str]) -> Answer:
        if asked.get("client_id") != REGISTERED:
            return 401, {"error": "invalid_client"}
        code, shown = secrets.token_urlsafe(16), secrets.token_hex(4)
        self._devices[code] = shown
        where = "https://a.example/device"
        told = {"device_code": code, "user_code": shown, "verification_uri": where, "expires_in": 60, "interval": 0}
        return 200, told

    def typed(self, shown: str) -> None:
        """Somebody typed this code elsewhere, and said yes."""
        self._typed.add(shown)

    def token(self, asked: Mapping[str, str]) -> Answer:
        self.heard.append(dict(asked))
        if (asked.get("client_id"), asked.get("client_secret", REGISTERED_SECRET)) != (REGISTERED, REGISTERED_SECRET):
            return 401, {"error": "invalid_client"}
        match asked.get("grant_type", ""):
            case "authorization_code":
                return self._by_code(asked)
            case "refresh_token":
                return self._by_refresh(asked.get("refresh_token", ""))
            case "urn:ietf:params:oauth:grant-type:device_code":
                return self._by_device(asked.get("device_code", ""))
        return 400, {"error": "unsupported_grant_type"}

    def revoke(self, asked: Mapping[str, str]) -> Answer:
        self._logins = [login for login in self._logins if login.refresh != asked.get("token")]
        return 200, {}

    def end_all(self) -> None:
        """Nobody is logged in any more."""
        self._logins.clear()

    def _by_code(self, asked: Mapping[str, str]) -> Answer:
        challenge, redirect, address = self._codes.pop(asked.get("code", ""), ("", "", ""))
        digest = hashlib.sha256(asked.get("code_verifier", "").encode()).digest()
        shown = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if not address or shown != challenge or asked.get("redirect_uri") != redirect:
            return 400, {"error": "invalid_grant", "error_description": "no such code"}
        return self.begin(address)

    def _by_device(self, code: str) -> Answer:
        shown = self._devices.get(code)
        if shown is None:
            return 400, {"error": "expired_token"}
        if shown not in self._typed:
            return 400, {"error": "authorization_pending"}
        del self._devices[code]
        return self.begin("bob@b.example")

    def _by_refresh(self, token: str) -> Answer:
        for login in self._logins:
            if token in login.spent:
                self._logins.remove(login)
                return 400, {"error": "invalid_grant", "error_description": "this token was used before"}
            if token == login.refresh:
                return self._given(login)
        return 400, {"error": "invalid_grant", "error_description": "no such login"}

    def begin(self, address: str) -> Answer:
        """Somebody is logged in; his first tokens."""
        self._logins.append(Login(address))
        return self._given(self._logins[-1])

    def _given(self, login: Login) -> Answer:
        given = {"access_token": self.issue(login.address), "token_type": "Bearer", "expires_in": self.lasts}
        if self.rotates or not login.refresh:
            login.spent.add(login.refresh)
            given["refresh_token"] = login.refresh = secrets.token_urlsafe(24)
        return 200, given
