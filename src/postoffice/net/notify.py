"""What systemd is told of a service (sd_notify(3)): that it is ready, how it is, that it still goes round."""

from __future__ import annotations

import os
import socket
from contextlib import suppress


def notify(state: str) -> None:
    """Say it, if somebody listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
        speaker.sendto(state.encode(), address)


def watchdog_seconds() -> float:
    """After how long a silence systemd would kill us (sd_watchdog_enabled(3)); 0: it does not watch."""
    asked, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    return int(asked) / 1e6 if asked.isdecimal() and pid in ("", str(os.getpid())) else 0.0
