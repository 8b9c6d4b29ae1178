"""Dovecot as a contender: POP3 from Maildirs, and LMTP for Postfix to deliver to.

Three configurations. *default*: what Dovecot does when nobody tells it more than users, mail and a certificate.
*tuned*: everything that its documentation offers for speed, many clients in one process. *tuned-one*: the same with
one client in a process at a time, which is the usual advice. All of them log to a file and keep passwords in plain
text, so that hashing hides nothing.

Runs in the foreground from a folder of its own; the system's instance and /etc are not touched.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.contender import PASSWORD, Mail
from bench.process import Server, free_ports
from postoffice.net.self_signed import make_self_signed

MAIL_UID = 5000
"""Owner of all mail. Needs no entry in the password file."""

_COMMON = """
base_dir = {home}/run
state_dir = {home}/state
log_path = {home}/dovecot.log
protocols = pop3 lmtp
listen = 127.0.0.1
ssl = yes
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
first_valid_uid = 1
mail_location = maildir:~/Maildir
mail_max_userip_connections = 100000
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {home}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={uid} home={home}/mail/%n
}}
service pop3-login {{
  inet_listener pop3 {{
    address = 127.0.0.1
    port = {pop3}
  }}
  inet_listener pop3s {{
    address = 127.0.0.1
    port = {pop3s}
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
"""

# Ten thousand in TLS take three descriptors each of those that log them in, and three more of those that serve them.
_TUNED = """
stats_writer_socket_path =
mail_fsync = optimized
mail_save_crlf = yes
maildir_very_dirty_syncs = yes
pop3_fast_size_lookups = yes
pop3_no_flag_updates = yes
auth_cache_size = 64M
auth_cache_ttl = 1 hour
auth_cache_verify_password_with_worker = no
default_client_limit = 19000
default_vsz_limit = 4G
default_process_limit = 12000
service pop3-login {
  service_count = 0
  client_limit = 4000
  process_min_avail = 1
  process_limit = 4
}
service lmtp {
  process_min_avail = 2
  process_limit = 64
  service_count = 100000
}
"""

_MANY = """
service pop3 {
  service_count = 1000000
  client_limit = 2500
  process_min_avail = 2
  process_limit = 6
}
"""

_ONE = """
service pop3 {
  service_count = 1000000
  client_limit = 1
  process_min_avail = 70
  process_limit = 12000
}
"""

CONFIGURATIONS = {"default": "", "tuned": _TUNED + _MANY, "tuned-one": _TUNED + _ONE}


class Dovecot:
    """Dovecot in one of the `CONFIGURATIONS`."""

    does_pop3 = True
    does_smtp = False
    load_words: tuple[str, ...] = ()
    keeps_letters = True
    does_logins = False
    does_day = False

    def __init__(self, configuration: str) -> None:
        self.name = f"dovecot-{configuration}"
        self._configuration = configuration
        self._home = Path()
        self._server: Server | None = None
        self._ports: dict[str, int] = {}

    def absence(self) -> str | None:
        if shutil.which("dovecot", path=_path()) is None:
            return "dovecot is not installed (apt install dovecot-pop3d dovecot-lmtpd)"
        if os.geteuid() != 0:
            return "dovecot changes users and must be started by root"
        try:
            pwd.getpwnam("dovenull")
        except KeyError:
            return "dovecot's users dovecot and dovenull do not exist"
        return None

    def version(self) -> str:
        words = ["dovecot", "--version"]
        said = subprocess.run(words, capture_output=True, text=True, check=True, env={"PATH": _path()})
        return "Dovecot " + said.stdout.split()[0]

    def prepare(self, home: Path, mail: Mail) -> None:
        self._home = home
        certificate, key = make_self_signed(home, ["b.example"])
        pop3, pop3s, lmtp = free_ports(3)
        self._ports = {"pop3": pop3, "pop3s": pop3s, "lmtp": lmtp}
        values = {"home": home, "certificate": certificate, "key": key, "uid": MAIL_UID, **self._ports}
        text = _COMMON.format_map(values) + CONFIGURATIONS[self._configuration]
        (home / "dovecot.conf").write_text(text)
        (home / "users").write_text("".join(f"{address}:{{PLAIN}}{PASSWORD}\n" for address in mail.addresses()))
        for name in ("run", "state", "mail"):
            (home / name).mkdir(mode=0o755)
        self._place([maildir_of(home, address) for address in mail.addresses()], mail)
        give_away(home / "mail")

    def _place(self, maildirs: Sequence[Path], mail: Mail) -> None:
        """Write each letter as Dovecot's own delivery would: sizes in the name, line ends as configured."""
        has_crlf = self._configuration != "default"
        files = [content if has_crlf else content.replace(b"\r\n", b"\n") for content in mail.letters]
        for maildir in maildirs:
            for number, (octets, content) in enumerate(zip(files, mail.letters, strict=True)):
                name = f"{1700000000 + number}.M{number}P1.bench,S={len(octets)},W={len(content)}"
                place = maildir / "new" / name
                place.write_bytes(octets)

    def refuse_tls(self) -> None:
        """Between `prepare` and `start`. Nobody listens at the port of TLS then."""
        with (self._home / "dovecot.conf").open("a") as config:
            config.write("ssl = no\n")
        del self._ports["pop3s"]

    def start(self, core: int | None) -> None:
        words = [str(shutil.which("dovecot", path=_path())), "-F", "-c", str(self._home / "dovecot.conf")]
        self._server = Server(words, self._home / "said.log", core)
        for port in self._ports.values():
            self._server.wait_for_port(port)

    def ports(self) -> dict[str, int]:
        return self._ports

    def pids(self) -> dict[str, int]:
        return {"dovecot": self._server.pid} if self._server else {}

    def settle(self) -> None:
        """LMTP answers after the letter is in its mailbox."""

    def delivered(self) -> int | None:
        return count_letters(self._home / "mail")

    def chill(self) -> None:
        for index in (self._home / "mail").glob("*/Maildir/dovecot.index*"):
            index.unlink()

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None


def count_letters(root: Path) -> int:
    """How many letters lie in the Maildirs of all users under `root`."""
    return sum(1 for name in ("new", "cur") for _ in root.glob(f"*/Maildir/{name}/*"))


def maildir_of(home: Path, address: str) -> Path:
    """A new one."""
    maildir = home / "mail" / address.partition("@")[0] / "Maildir"
    for folder in ("cur", "new", "tmp"):
        (maildir / folder).mkdir(parents=True)
    return maildir


def give_away(root: Path) -> None:
    """All that is in it belongs to whom the servers become."""
    for path in (root, *root.rglob("*")):
        os.chown(path, MAIL_UID, MAIL_UID)


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
