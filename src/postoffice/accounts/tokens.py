"""Tokens: an identity provider says who somebody is, instead of a password (RFC 6750, RFC 7519, RFC 7662).

    a JSON web token     its signature, by the provider's public keys (RFC 7517), which are kept for an hour
    any other token      the provider is asked (introspection)

Either way it must be issued by this provider, for us, and not be over: a token that somebody gave to another service
must not open his maildrop. Everything here runs in threads of its own, few of them and with a bounded queue, since
the provider may be slow. Where it cannot be asked, the answer is a temporary refusal.
"""

from __future__ import annotations

import asyncio
import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from postoffice.accounts.oauth import OAuthSettings
from postoffice.clock import Clock
from postoffice.errors import temporary
from postoffice.events import event

WAITING_LIMIT: Final = 64
ANSWER_OCTETS: Final = 1 << 20
KEYS_SECONDS: Final = 3600.0
NEW_KEYS_SECONDS: Final = 60.0
"""A token by a key that we have not fetches the keys again, but not more often than this."""
CLOCKS_DIFFER_SECONDS: Final = 60
ALGORITHMS: Final = [
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "Ed25519",
    "EdDSA",
]
"""None of those that need a secret of both sides."""


class Tokens:
    """What tokens say. One per process."""

    def __init__(self, settings: OAuthSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="token")
        self._waiting = 0
        self._lock = Lock()
        self._keys: KeySet | None = None
        self._fetched = 0.0

    async def address(self, token: str) -> str | None:
        """Whose token this is; None if it is good for nothing here."""
        if self._waiting >= WAITING_LIMIT:
            raise temporary("too many tokens are being checked", "Too many logins at once, try again later")
        self._waiting += 1
        try:
            address, problem = await asyncio.get_running_loop().run_in_executor(self._pool, self._address, token)
        finally:
            self._waiting -= 1
        if problem:
            event("login.token_refused", because=problem)
            return None
        return address

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _address(self, token: str) -> tuple[str, str]:
        """Whose token it is, or why it is nobody's."""
        try:
            claims = self._claims(token)
        except (JoseError, ValueError) as error:
            return "", str(error)
        except OSError as error:
            raise temporary(f"the identity provider: {error}", "Tokens cannot be checked now") from error
        return str(claims.get(self._settings.address_claim)), self._problem(claims)

    def _claims(self, token: str) -> dict[str, Any]:
        if self._settings.keys and token.count(".") == 2:
            try:
                return self._verified(token, KEYS_SECONDS)
            except (JoseError, ValueError):
                return self._verified(token, NEW_KEYS_SECONDS)
        if self._settings.introspection:
            return self._introspected(token)
        raise ValueError("this is no JSON web token")

    def _verified(self, token: str, oldest: float) -> dict[str, Any]:
        """The claims of a token, by keys of at most that age."""
        with self._lock:
            if self._keys is None or self._clock() - self._fetched >= oldest:
                self._keys = _key_set(self._settings.keys)
                self._fetched = self._clock()
            keys = self._keys
        return dict(jwt.decode(token, keys, ALGORITHMS).claims)

    def _introspected(self, token: str) -> dict[str, Any]:
        """RFC 7662 §2."""
        settings = self._settings
        request = urllib.request.Request(  # noqa: S310 - the settings' own URL, looked at before
            settings.introspection, urllib.parse.urlencode({"token": token}).encode()
        )
        if settings.client:
            secret = settings.client_secret.read_text("utf-8").strip() if settings.client_secret else ""
            pair = f"{urllib.parse.quote(settings.client)}:{urllib.parse.quote(secret)}"
            request.add_header("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
        claims = _asked(request)
        if claims.get("active") is not True:
            raise ValueError("the provider says that it is not active")
        return claims

    def _problem(self, claims: dict[str, Any]) -> str:
        """Why these claims are good for nobody, empty if they are good."""
        settings, now = self._settings, self._clock()
        ends, begins, audience = claims.get("exp"), claims.get("nbf", 0), claims.get("aud")
        address = claims.get(settings.address_claim)
        if not isinstance(ends, int | float) or ends + CLOCKS_DIFFER_SECONDS <= now:
            return "it is over"
        if not isinstance(begins, int | float) or begins - CLOCKS_DIFFER_SECONDS > now:
            return "it has not begun"
        if claims.get("iss") != settings.issuer:
            return "it is another issuer's"
        if settings.audience not in (audience if isinstance(audience, list) else [audience]):
            return "it is for another audience"
        if not isinstance(address, str) or not address or claims.get("email_verified") is False:
            return "it says no address, or one that nobody verified"
        return ""


def _key_set(url: str) -> KeySet:
    said = _asked(urllib.request.Request(url))  # noqa: S310 - the settings' own URL, looked at before
    try:
        return KeySet.import_key_set(said)  # type: ignore[arg-type]
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise OSError(f"{url} has no keys: {error}") from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A provider that sends us elsewhere could send us anywhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _asked(request: urllib.request.Request) -> dict[str, Any]:
    """The JSON object that answers. OSError where there is none."""
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=10) as answer:
            said = json.loads(answer.read(ANSWER_OCTETS))
    except ValueError as error:
        raise OSError(f"{request.full_url} answered no JSON") from error
    if not isinstance(said, dict):
        raise OSError(f"{request.full_url} answered no JSON object")
    return said
