"""The floor as a contender: the C program that answers and does nothing."""

from __future__ import annotations

from pathlib import Path

from bench import programs
from bench.contender import Mail
from bench.letters import wire_file
from bench.process import Server
from postoffice.net.self_signed import make_self_signed


class Floor:
    """Three processes, which speak POP3, POP3 inside TLS and SMTP. Keeps nothing, so nothing is ever delivered."""

    name = "floor"
    does_pop3 = True
    does_smtp = True
    load_words: tuple[str, ...] = ()
    keeps_letters = False
    does_logins = False
    does_day = True

    def __init__(self) -> None:
        self._home = Path()
        self._letters = 0
        self._servers: dict[str, Server] = {}
        self._ports: dict[str, int] = {}

    def absence(self) -> str | None:
        return None

    def version(self) -> str:
        return "bench/floor.c"

    def prepare(self, home: Path, mail: Mail) -> None:
        self._home = home
        self._letters = len(mail.letters)
        (home / "letters").write_bytes(wire_file(mail.letters))

    def start(self, core: int | None) -> None:
        pop3 = ["pop3", str(self._letters), str(self._home / "letters")]
        certificate, key = make_self_signed(self._home, ["b.example"])
        words = {"pop3": pop3, "smtp": ["smtp"]}
        if programs.knows_tls():
            words["pop3s"] = [*pop3, str(certificate), str(key)]
        for protocol, arguments in words.items():
            log = self._home / f"{protocol}.log"
            server = Server([str(programs.program("floor")), *arguments], log, core)
            self._servers[protocol] = server
            self._ports[protocol] = int(server.read_ready().split()[1])

    def ports(self) -> dict[str, int]:
        return self._ports

    def pids(self) -> dict[str, int]:
        return {protocol: server.pid for protocol, server in self._servers.items()}

    def settle(self) -> None:
        """Nothing is on its way."""

    def delivered(self) -> int | None:
        return None

    def chill(self) -> None:
        """It remembers nothing."""

    def stop(self) -> None:
        for server in self._servers.values():
            server.stop()
        self._servers.clear()
