"""Who cannot be reached is told in the same words, whichever event loop tried."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from postoffice.errors import ConnectionLost
from postoffice.net.dial import dial
from postoffice.net.dialogue import Dialogue
from postoffice.net.switchboard import Switchboard
from postoffice.net.words import in_words
from postoffice.protocols.pop3.client import Pop3Client

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_nobody_answers(run: Run, host: str) -> None:
    async def said_nothing(_: Dialogue[Pop3Client]) -> None:
        raise AssertionError("somebody answered")

    async def call() -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
            with pytest.raises(ConnectionLost) as caught:
                await dial((host, port), Pop3Client(), said_nothing, Switchboard())
        assert str(caught.value) == f"cannot reach {host} port {port}: Connection refused"

    run(call())


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed ('127.0.0.1', 1)"), "Connection refused"),
        (TimeoutError(errno.ETIMEDOUT, "Connect call failed ('127.0.0.1', 1)"), "Connection timed out"),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed (x), [Errno 111] again"), "Connection refused"),
        (
            OSError("Multiple exceptions: [Errno 101] Connect call failed (x), [Errno 111] Connection refused"),
            "Network is unreachable, Connection refused",
        ),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "EOF occurred"), "EOF occurred"),
        (TimeoutError(), "no answer in time"),
        (OSError("of no number"), "of no number"),
        (OSError(), "OSError"),
    ],
)
def test_an_error_in_words(error: OSError, words: str) -> None:
    assert in_words(error) == words
