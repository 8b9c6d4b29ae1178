"""What happens, told as facts: `event("letter.accepted", letter=..., octets=...)`.

Rooms tell events and know nobody who listens; `app.observe` writes them to the log, the demo watches them, tests
collect them. Telling an event that nobody listens to costs one truth test. Facts are plain values (text, numbers,
truth values) and never a secret or a letter's content.

Whoever drives conversations says which one runs in this thread (`turn().session`, a name, empty for none): what is told
meanwhile, in any room, carries it, so that all lines about one conversation can be found together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Fact = str | int | float | bool | None
Listener = Callable[[str, dict[str, Fact]], None]

_listeners: list[Listener] = []


class Turn:
    """Whose turn it is in a thread."""

    __slots__ = ("session",)

    def __init__(self) -> None:
        self.session = ""


class _Thread(threading.local):
    def __init__(self) -> None:
        self.turn = Turn()


_thread = _Thread()


def turn() -> Turn:
    """This thread's, the same for as long as it lives: who often says whose turn it is may keep it."""
    return _thread.turn


def event(name: str, **facts: Fact) -> None:
    """Tell every listener of this process that `name` happened."""
    if _listeners and (session := _thread.turn.session):
        facts.setdefault("session", session)
    for listener in _listeners:
        listener(name, facts)


def listen(listener: Listener) -> Callable[[], None]:
    """Hear every event from now on; the function returned ends that."""
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)


@contextmanager
def collected() -> Iterator[list[tuple[str, dict[str, Fact]]]]:
    """All events told inside the `with`, in order."""
    heard: list[tuple[str, dict[str, Fact]]] = []
    stop = listen(lambda name, facts: heard.append((name, facts)))
    try:
        yield heard
    finally:
        stop()
