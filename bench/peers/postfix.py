"""Postfix as a contender: SMTP in, delivered to Maildirs either through Dovecot's LMTP or by its own virtual(8).

Tests let it deliver to our LMTP door instead.

Debian's stock configuration without chroot, with no limits on one client, the log in a file. Runs in the foreground
from folders of its own; the system's instance, its spool and /etc are not touched. With LMTP the work of Dovecot is
part of the delivery and is counted, under a name of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from bench.contender import Mail
from bench.peers.dovecot import MAIL_UID, Dovecot, count_letters
from bench.process import Server, ServerFailed, free_ports

SETTLE_SECONDS = 300.0
_UNFINISHED = ("maildrop", "incoming", "active", "deferred")

_MAIN = """
compatibility_level = 3.6
command_directory = /usr/sbin
daemon_directory = {daemons}
queue_directory = {home}/queue
data_directory = {home}/data
mail_owner = postfix
setgid_group = postdrop
maillog_file = {home}/postfix.log
maillog_file_prefixes = {home}
myhostname = mx.{domain}
mydestination =
alias_maps =
alias_database =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = hash:{home}/mailboxes
virtual_mailbox_base = {home}/mail
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
virtual_transport = {transport}
lmtp_destination_recipient_limit = {together}
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_message_rate_limit = 0
"""

_MASTER = """
127.0.0.1:{smtp} inet n - n - - smtpd
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
proxywrite unix -       -       n       -       1       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
local     unix  -       n       n       -       -       local
virtual   unix  -       n       n       -       -       virtual
lmtp      unix  -       -       n       -       -       lmtp
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
"""


class Postfix:
    """Postfix that delivers by `lmtp` to a tuned Dovecot, or by `virtual`; or to `neighbour`, such as
    `lmtp:inet:127.0.0.1:24`, then up to 50 recipients at once. `also` are further lines of main.cf."""

    does_pop3 = False
    does_smtp = True
    load_words: tuple[str, ...] = ()
    keeps_letters = True
    does_logins = False

    def __init__(self, transport: str, neighbour: str = "", also: str = "") -> None:
        self.name = f"postfix-{transport}"
        self._neighbour = neighbour
        self.also = also
        self.does_day = transport == "lmtp" and not neighbour
        self._dovecot = Dovecot("tuned") if transport == "lmtp" and not neighbour else None
        self._home = Path()
        self._port = 0
        self._server: Server | None = None

    def absence(self) -> str | None:
        if shutil.which("postfix", path="/usr/sbin") is None:
            return "postfix is not installed (apt install postfix)"
        if os.geteuid() != 0:
            return "postfix changes users and must be started by root"
        return self._dovecot.absence() if self._dovecot else None

    def version(self) -> str:
        words = ["/usr/sbin/postconf", "-h", "-d", "mail_version"]
        said = subprocess.run(words, capture_output=True, text=True, check=True)
        also = f" with {self._dovecot.version()}" if self._dovecot else ""
        return f"Postfix {said.stdout.strip()}{also}"

    def prepare(self, home: Path, mail: Mail) -> None:
        self._home = home
        self._port = free_ports(1)[0]
        transport = self._neighbour or "virtual"
        if self._dovecot:
            (home / "dovecot").mkdir()
            self._dovecot.prepare(home / "dovecot", mail)
            transport = f"lmtp:inet:127.0.0.1:{self._dovecot.ports()['lmtp']}"
        (home / "mail").mkdir()
        os.chown(home / "mail", MAIL_UID, MAIL_UID)
        for name, owner in (("queue", "root"), ("data", "postfix")):
            (home / name).mkdir()
            shutil.chown(home / name, owner)
        values = {
            "home": home,
            "daemons": _daemons(),
            "domain": mail.domain,
            "uid": MAIL_UID,
            "transport": transport,
            "together": 50 if self._neighbour else 1,
            "smtp": self._port,
        }
        (home / "main.cf").write_text(_MAIN.format_map(values) + self.also)
        (home / "master.cf").write_text(_MASTER.format_map(values))
        users = "".join(f"{address} {address.partition('@')[0]}/Maildir/\n" for address in mail.addresses())
        (home / "mailboxes").write_text(users)
        self._command("postmap", f"hash:{home}/mailboxes")
        self._command("postfix", "check")

    def _command(self, name: str, argument: str) -> None:
        words = [f"/usr/sbin/{name}", "-c", str(self._home), argument]
        ended = subprocess.run(words, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise ServerFailed(f"{name} {argument}: {ended.stderr.strip()}")

    def start(self, core: int | None) -> None:
        if self._dovecot:
            self._dovecot.start(core)
        words = [f"{_daemons()}/master", "-c", str(self._home), "-d"]
        self._server = Server(words, self._home / "said.log", core)
        self._server.wait_for_port(self._port)

    def ports(self) -> dict[str, int]:
        return {"smtp": self._port} | (self._dovecot.ports() if self._dovecot else {})

    def pids(self) -> dict[str, int]:
        own = {"postfix": self._server.pid} if self._server else {}
        return own | (self._dovecot.pids() if self._dovecot else {})

    def settle(self) -> None:
        """Until the queue is empty. A deferred letter is a failure: it would be tried again minutes later."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while unfinished := self._unfinished():
            if "deferred" in unfinished or time.monotonic() > deadline:
                raise ServerFailed(f"{self.name} does not finish its queue: {unfinished}")
            time.sleep(0.02)

    def _unfinished(self) -> dict[str, int]:
        counts = {}
        for name in _UNFINISHED:
            count = sum(len(names) for _, _, names in os.walk(self._home / "queue" / name))
            if count:
                counts[name] = count
        return counts

    def delivered(self) -> int | None:
        return self._dovecot.delivered() if self._dovecot else count_letters(self._home / "mail")

    def chill(self) -> None:
        if self._dovecot:
            self._dovecot.chill()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None
        if self._dovecot:
            self._dovecot.stop()


def _daemons() -> str:
    """Where Postfix keeps its programs; Debian's place and upstream's."""
    return next(
        (place for place in ("/usr/lib/postfix/sbin", "/usr/libexec/postfix") if Path(place).is_dir()),
        "/usr/lib/postfix/sbin",
    )
