"""A small web server on loopback, by HTTPS: pages by their path, for tests of who asks strangers.

    with Web(*authority.issue(["autoconfig.b.example"], folder), {"/page": b"..."}) as web:
        web.port

A page that is a text is where it sends people instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Self

from postoffice.net.tls_server import server_context


class Web:
    """Serves while it is entered. `asked` are hosts and targets, as they came."""

    def __init__(self, certificate: Path, key: Path, pages: Mapping[str, bytes | str]) -> None:
        self.pages = dict(pages)
        self.asked: list[tuple[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._answerer())
        self._server.socket = server_context(certificate, key).wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _answerer(self) -> type[BaseHTTPRequestHandler]:
        web = self

        class Answerer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.asked.append((self.headers["Host"], self.path))
                page = web.pages.get(self.path.partition("?")[0])
                self.send_response(404 if page is None else 302 if isinstance(page, str) else 200)
                if isinstance(page, str):
                    self.send_header("Location", page)
                self.end_headers()
                if isinstance(page, bytes):
                    self.wfile.write(page)

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        return Answerer
