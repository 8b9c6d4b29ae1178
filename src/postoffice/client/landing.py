"""Where a browser comes back to when a person has allowed it: a port of loopback, for one answer (RFC 8252 §7.3)."""

from __future__ import annotations

import hmac
import os
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlsplit

from postoffice.client.asking import Denied
from postoffice.errors import Refused

WAIT_SECONDS: Final = 600.0
SILENT_SECONDS: Final = 5.0


class Landing:
    """Waits for the answer with `state`; whatever else comes is turned away and changes nothing."""

    def __init__(self, state: str, issuer: str = "") -> None:
        self._state = state
        self._issuer = issuer
        self._answer: dict[str, str] | None = None
        self._server = HTTPServer(("127.0.0.1", 0), self._answerer())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.server_close()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def wait(self, seconds: float = WAIT_SECONDS) -> str:
        """The code. Raises Denied if the person, or the provider, said no, and Refused if nobody came."""
        deadline = time.monotonic() + seconds
        while self._answer is None:
            self._server.timeout = deadline - time.monotonic()
            if self._server.timeout <= 0:
                raise Refused("nobody came back from the browser in time; begin again", os.EX_TEMPFAIL)
            self._server.handle_request()
        if "code" not in self._answer:
            because = self._answer.get("error_description", "")
            raise Denied("the provider", self._answer.get("error", ""), because)
        return self._answer["code"]

    def _take(self, target: str) -> bool:
        """Whether this is the answer that is waited for: to our question, and from whom we asked (RFC 9207)."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
        is_ours = hmac.compare_digest(query.get("state", "").encode(), self._state.encode())
        if not is_ours or (self._issuer and query.get("iss", self._issuer) != self._issuer):
            return False
        self._answer = query
        return True

    def _answerer(self) -> type[BaseHTTPRequestHandler]:
        landing = self

        class Answerer(BaseHTTPRequestHandler):
            timeout = SILENT_SECONDS

            def do_GET(self) -> None:
                is_taken = landing._take(self.path)
                octets = b"Go back to the terminal.\n" if is_taken else b"Nobody waits for this.\n"
                self.send_response(200 if is_taken else 400)
                self.send_header("Content-Type", "text/plain; charset=utf-8")
                self.send_header("Content-Length", str(len(octets)))
                self.end_headers()
                self.wfile.write(octets)

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - its name there
                """The code is nobody's business."""

        return Answerer
