"""Two offices, the first of which hands what it takes to the second: relaying, as contenders.

Both sides are durable at both: a letter is on the first one's disk before its 250, and on the second one's before the
first forgets it. Between them the way is encrypted without asking for names, as both do by themselves (Postfix: as
Debian sets it up). The load speaks to the first; what counts is what lies in the mailboxes of the second.
"""

from __future__ import annotations

import time
from base64 import b64encode
from dataclasses import replace
from pathlib import Path

import apsw

from bench.contender import DOMAIN, PASSWORD, Mail
from bench.ours import Ours
from bench.peers.postfix import Postfix
from bench.process import ServerFailed
from postoffice.net.self_signed import make_self_signed

_FIRST_DOMAIN = "a.example"
_SENDER = f"user0@{_FIRST_DOMAIN}"
_SETTLE_SECONDS = 300.0


class OurOffices:
    """Two of ours. A letter comes from a person of the first, who logs in."""

    name = "ours"
    does_pop3 = does_logins = does_day = False
    does_smtp = keeps_letters = True
    load_words: tuple[str, ...] = (
        *("--sender", _SENDER),
        *("--auth", b64encode(f"\0{_SENDER}\0{PASSWORD}".encode()).decode()),
    )

    def __init__(self) -> None:
        self._first = Ours()
        self._second = Ours()

    def absence(self) -> str | None:
        return None

    def version(self) -> str:
        return self._first.version()

    def prepare(self, home: Path, mail: Mail) -> None:
        for office, name, theirs in (
            (self._first, "first", replace(mail, accounts=1, domain=_FIRST_DOMAIN)),
            (self._second, "second", mail),
        ):
            (home / name).mkdir()
            office.prepare(home / name, theirs)

    def start(self, core: int | None) -> None:
        self._second.start(core)
        self._first.routes = {DOMAIN: self._second.ports()["smtp"]}
        self._first.start(core)

    def ports(self) -> dict[str, int]:
        return {"smtp": self._first.ports()["submission"], "pop3": self._second.ports()["pop3"]}

    def pids(self) -> dict[str, int]:
        return {"first": self._first.pids()["ours"], "second": self._second.pids()["ours"]}

    def settle(self) -> None:
        """Until the queue of the first is empty."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        queue = apsw.Connection(str(self._first.data / "office.db"), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            while (waiting := queue.execute("SELECT count(*), max(last_reply) FROM queue").fetchall()[0])[0]:
                if waiting[1] or time.monotonic() > deadline:
                    raise ServerFailed(f"{self.name} does not finish its queue: {waiting}")
                time.sleep(0.02)
        finally:
            queue.close()

    def delivered(self) -> int | None:
        return None

    def chill(self) -> None:
        """Nothing is remembered."""

    def stop(self) -> None:
        self._first.stop()
        self._second.stop()


class PostfixOffices:
    """Two of Postfix; the second delivers into Maildirs by virtual(8)."""

    name = "postfix-postfix"
    does_pop3 = does_logins = does_day = False
    does_smtp = keeps_letters = True
    load_words: tuple[str, ...] = ("--sender", _SENDER)

    def __init__(self) -> None:
        self._first = Postfix("virtual")
        self._second = Postfix("virtual")

    def absence(self) -> str | None:
        return self._first.absence()

    def version(self) -> str:
        return self._first.version()

    def prepare(self, home: Path, mail: Mail) -> None:
        certificate, key = make_self_signed(home, [DOMAIN])
        shows = f"smtpd_tls_cert_file = {certificate}\nsmtpd_tls_key_file = {key}\nsmtpd_tls_security_level = may\n"
        self._second.also = shows
        (home / "second").mkdir()
        self._second.prepare(home / "second", mail)
        port = self._second.ports()["smtp"]
        self._first.also = f"relayhost = [127.0.0.1]:{port}\nsmtp_tls_security_level = may\n"
        (home / "first").mkdir()
        self._first.prepare(home / "first", replace(mail, accounts=1, domain=_FIRST_DOMAIN))

    def start(self, core: int | None) -> None:
        self._second.start(core)
        self._first.start(core)

    def ports(self) -> dict[str, int]:
        return self._first.ports()

    def pids(self) -> dict[str, int]:
        return {"first": self._first.pids()["postfix"], "second": self._second.pids()["postfix"]}

    def settle(self) -> None:
        self._first.settle()
        self._second.settle()

    def delivered(self) -> int | None:
        return self._second.delivered()

    def chill(self) -> None:
        """Nothing is remembered."""

    def stop(self) -> None:
        self._first.stop()
        self._second.stop()
