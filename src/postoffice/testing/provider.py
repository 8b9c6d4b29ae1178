"""A small identity provider on loopback: public keys, introspection, and tokens for whoever is named.

with Provider() as provider:
    OAuthSettings(provider.issuer, "postoffice", provider.url("keys"), provider.url("introspect"), ...)
    provider.token("bob@b.example")

It gives tokens out as well, to whoever asks as `granting` says; `valid_seconds` is how long these are good.
"""

from __future__ import annotations

import base64
import json
import secrets
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from postoffice.clock import Clock, system_clock
from postoffice.testing.granting import Granting

AUDIENCE = "postoffice"
CLIENT, SECRET = "office", "office's secret"


class Provider:
    """`asked` counts the questions by path. A path in `broken` answers 500."""

    def __init__(self, clock: Clock = system_clock) -> None:
        self.asked: dict[str, int] = {}
        self.broken: set[str] = set()
        self.valid_seconds = 600
        self.granting = Granting(self.token)
        self._clock = clock
        self._opaque: dict[str, dict[str, Any]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._answerer())
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self.change_key()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def url(self, path: str) -> str:
        return f"{self.issuer}/{path}"

    def change_key(self) -> None:
        """From now on tokens are signed by another key, and only that one is shown."""
        self._key = ECKey.generate_key("P-256", {"kid": secrets.token_hex(4), "alg": "ES256"})

    def token(self, address: str, **claims: Any) -> str:
        """A JSON web token, good for `valid_seconds` unless `claims` say something else."""
        header = {"alg": "ES256", "kid": self._key.kid}
        return jwt.encode(header, self._claims(address) | claims, self._key, ["ES256"])

    def opaque(self, address: str, **claims: Any) -> str:
        """A token that says nothing to anybody but the provider."""
        token = secrets.token_urlsafe(24)
        self._opaque[token] = {"active": True} | self._claims(address) | claims
        return token

    def _claims(self, address: str) -> dict[str, Any]:
        now = int(self._clock())
        return {
            "iss": self.issuer,
            "aud": [AUDIENCE],
            "sub": "1",
            "email": address,
            "iat": now,
            "exp": now + self.valid_seconds,
        }

    def _answer(self, target: str, authorization: str, body: str) -> tuple[int, Any]:
        path = urlsplit(target).path.removeprefix("/")
        fields = {name: values[0] for name, values in parse_qs(body or urlsplit(target).query).items()}
        self.asked[path] = self.asked.get(path, 0) + 1
        if path in self.broken:
            return 500, {}
        if path == "keys":
            return 200, KeySet([self._key]).as_dict(private=False)
        if path == "introspect":
            name, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
            if (name, secret.replace("%27", "'").replace("%20", " ")) != (CLIENT, SECRET):
                return 401, {}
            return 200, self._opaque.get(fields["token"], {"active": False})
        if path == ".well-known/openid-configuration":
            return 200, self.granting.endpoints(self.issuer)
        if path in ("authorize", "token", "device", "revoke"):
            answer: tuple[int, Any] = getattr(self.granting, path)(fields)
            return answer
        return 404, {}

    def _answerer(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Answerer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._do("")

            def do_POST(self) -> None:
                self._do(self.rfile.read(int(self.headers["Content-Length"])).decode())

            def _do(self, body: str) -> None:
                status, said = provider._answer(self.path, self.headers.get("Authorization", ""), body)
                octets = json.dumps(said).encode()
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", said)
                self.send_header("Content-Length", str(len(octets)))
                self.end_headers()
                self.wfile.write(octets)

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - its name there
                """Nothing on standard error."""

        return Answerer
