"""A listener as inetd is: each connection becomes standard input and output of a program.

python inetd.py PORT PROGRAM ARGUMENTS...
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys


def listen(port: int, words: list[str]) -> None:
    """Serve 127.0.0.1 until somebody ends us."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who are done
    with socket.create_server(("127.0.0.1", port)) as listener:
        while True:
            connection, _ = listener.accept()
            with connection:
                subprocess.Popen(words, stdin=connection.fileno(), stdout=connection.fileno())


if __name__ == "__main__":
    listen(int(sys.argv[1]), sys.argv[2:])
