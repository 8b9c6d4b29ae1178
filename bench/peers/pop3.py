"""POP3 servers to ask with the conformance suite, each as its packages configure it, on a port of 127.0.0.1.

What differs from a package's defaults: the port, one account, clear-text login, SCRAM where a server has it, and no
wait after a wrong password where that can be said. Everything a server writes lies in the folder it is given, or in
a view that goes with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.contender import PASSWORD, Mail
from bench.ours import Ours
from bench.peers.debian import COURIER, COURIER_SCRIPT, CYRUS, UNPACKED, Package
from bench.peers.dovecot import Dovecot
from bench.process import Server, free_ports
from postoffice.conformance.post import MaildirPost, MboxPost, Post, SmtpPost
from postoffice.net.self_signed import make_self_signed

USER = "mrose"
MAIL_UID = 5000
_INETD = Path(__file__).with_name("inetd.py")


@dataclass(frozen=True, slots=True)
class Running:
    """Where a server is now, whom it knows, how letters get in, and what vouches for it in TLS, if it has that."""

    port: int
    user: str
    post: Post
    certificate: Path | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    """`absence` says why it cannot run here, or None; `open` runs it in an empty folder; `remark` is for readers."""

    name: str
    absence: Callable[[], str | None]
    version: Callable[[], str]
    run: Callable[[Path], Iterator[Running]]
    remark: str = ""

    def open(self, home: Path) -> AbstractContextManager[Running]:
        return contextmanager(self.run)(home)


def peers() -> list[Peer]:
    """Everybody who can be asked, ours first."""
    return [
        Peer("postoffice", lambda: None, _our_version, _ours, "letters by SMTP"),
        Peer("Dovecot", Dovecot("default").absence, _dovecot_version, _dovecot, "Maildir; no lock by default"),
        Peer("Courier", COURIER.absence, COURIER.version, _courier, "Maildir"),
        Peer("Cyrus", CYRUS.absence, CYRUS.version, _cyrus, "letters by LMTP"),
        Peer("Mailutils", _MAILUTILS.absence, _MAILUTILS.version, _mailutils, "mbox; no TLS; by an inetd"),
        Peer("popa3d", _POPA3D.absence, _POPA3D.version, _popa3d, "mbox; by an inetd"),
        Peer("Twisted", _twisted_absence, _twisted_version, _twisted, "its protocol over a mailbox of our own"),
    ]


def peers_in_clear() -> list[Peer]:
    """Those who can do without TLS, which a client uses wherever it is offered."""
    return [
        Peer("Dovecot", Dovecot("default").absence, _dovecot_version, partial(_dovecot, has_tls=False)),
        Peer("Courier", COURIER.absence, COURIER.version, partial(_courier, has_tls=False)),
        Peer("Cyrus", CYRUS.absence, CYRUS.version, partial(_cyrus, has_tls=False)),
    ]


@contextmanager
def _serving(words: Sequence[str], home: Path, *ports: int) -> Iterator[None]:
    server = Server(words, home / "said.log", None)
    try:
        for port in ports:
            server.wait_for_port(port)
        yield
    finally:
        server.stop()


def _maildir(home: Path) -> Path:
    """An empty one that belongs to whom the servers become."""
    maildir = home / "mail" / "Maildir"
    for name in ("cur", "new", "tmp"):
        (maildir / name).mkdir(parents=True)
    for path in (home / "mail", maildir, *maildir.iterdir()):
        os.chown(path, MAIL_UID, MAIL_UID)
    return maildir


def _mbox(home: Path) -> Path:
    """Where an mbox may be made, and the user's lock beside it."""
    spool = home / "mail"
    spool.mkdir()
    os.chown(spool, MAIL_UID, MAIL_UID)
    box = spool / USER
    box.touch(mode=0o600)
    os.chown(box, MAIL_UID, MAIL_UID)
    return box


# --- ours, and those that are installed


def _our_version() -> str:
    return Ours().version().rpartition(" ")[2]


def _ours(home: Path) -> Iterator[Running]:
    ours = Ours()
    mail = Mail(1, [], with_scram=True)
    ours.prepare(home, mail)
    ours.start(None)
    try:
        ports = ours.ports()
        (user,) = mail.addresses()
        post = SmtpPost("127.0.0.1", ports["smtp"], user)
        yield Running(ports["pop3"], user, post, home / "data" / "tls" / "certificate.pem")
    finally:
        ours.stop()


def _dovecot_version() -> str:
    return Dovecot("default").version().removeprefix("Dovecot ")


def _dovecot(home: Path, *, has_tls: bool = True) -> Iterator[Running]:
    dovecot = Dovecot("default")
    mail = Mail(1, [])
    dovecot.prepare(home, mail)
    certificate, _ = make_self_signed(home, ["localhost"])  # in place of that for a name that leads nowhere
    if not has_tls:
        dovecot.refuse_tls()
    with (home / "dovecot.conf").open("a") as config:
        config.write(
            "auth_mechanisms = plain scram-sha-1 scram-sha-256\n"
            "auth_failure_delay = 0\nservice anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}\n"
        )
    dovecot.start(None)
    try:
        (user,) = mail.addresses()
        maildir = home / "mail" / user.partition("@")[0] / "Maildir"
        yield Running(dovecot.ports()["pop3"], user, MaildirPost(maildir), certificate if has_tls else None)
    finally:
        dovecot.stop()


# --- Debian's, unpacked

_POPA3D = Package("popa3d", ("popa3d",))
_MAILUTILS = Package(
    "mailutils",
    (
        "mailutils-pop3d",
        "mailutils-common",
        "libmailutils9",
        "libmu-dbm9",
        "libgc1",
        "guile-3.0-libs",
        "liblzo2-2",
        "libkyotocabinet16v5",
        "libltdl7",
        "libmariadb3",
    ),
)

_SYSTEM_USER = f"""
set -e
echo '{USER}:x:{MAIL_UID}:{MAIL_UID}::/peer/mail:/bin/sh' >> /etc/passwd
echo '{USER}:x:{MAIL_UID}:' >> /etc/group
echo "{USER}:$(openssl passwd -6 {PASSWORD}):19000:0:99999:7:::" >> /etc/shadow
rm -rf /var/mail; ln -s /peer/mail /var/mail
ldconfig
"""

_POPA3D_SCRIPT = """
echo 'popa3d:x:5001:5001::/:/usr/sbin/nologin' >> /etc/passwd; echo 'popa3d:x:5001:' >> /etc/group
mkdir -p /var/lib/popa3d
exec {python} {inetd} {port} /usr/sbin/popa3d
"""

_MAILUTILS_SCRIPT = """
exec {python} {inetd} {port} /usr/sbin/pop3d --inetd
"""

_COURIER_ACCOUNTS = f"""
userdb {USER} set home=/peer/mail mail=/peer/mail/Maildir uid={MAIL_UID} gid={MAIL_UID}
echo {PASSWORD} | userdbpw -md5 | userdb {USER} set systempw
umask 022
echo 'courier:x:5003:5003::/var/lib/courier:/usr/sbin/nologin' >> /etc/passwd; echo 'courier:x:5003:' >> /etc/group
cat /peer/tls/key.pem /peer/tls/certificate.pem > /etc/courier/pop3d.pem
mkdir -p /var/lib/courier
chown -R courier:courier /etc/courier/pop3d.pem /var/lib/courier
umask 077
"""

_CYRUS_SCRIPT = f"""
set -e
echo 'cyrus:x:5002:8::/var/lib/cyrus:/bin/sh' >> /etc/passwd
ldconfig
cat > /etc/imapd.conf <<END
configdirectory: /var/lib/cyrus
defaultpartition: default
partition-default: /var/spool/cyrus/mail
proc_path: /run/cyrus/proc
mboxname_lockpath: /run/cyrus/lock
servername: localhost
admins: cyrus
allowplaintext: yes
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_mech_list: PLAIN SCRAM-SHA-1 SCRAM-SHA-256
autocreate_quota: 0
autocreate_post: yes
failedloginpause: 0
{{tls}}END
cat > /etc/cyrus.conf <<END
START {{{{
  recover cmd="/usr/sbin/cyrus ctl_cyrusdb -r"
}}}}
SERVICES {{{{
  pop3 cmd="pop3d" listen="127.0.0.1:{{port}}" prefork=0 maxchild=50
  lmtp cmd="lmtpd -a" listen="127.0.0.1:{{lmtp}}" prefork=0 maxchild=20
}}}}
EVENTS {{{{
}}}}
END
cp -a /peer/tls /etc/cyrus-tls
echo {PASSWORD} | saslpasswd2 -c -p -u localhost {USER}
for name in db proc log msg ptclient quota sieve socket sync user backup; do mkdir -p /var/lib/cyrus/$name; done
mkdir -p /var/spool/cyrus/mail /run/cyrus/proc /run/cyrus/lock /run/cyrus/socket
chown -R cyrus:mail /var/lib/cyrus /var/spool/cyrus /run/cyrus /etc/cyrus-tls /etc/sasldb2
exec /usr/lib/cyrus/bin/master
"""


_CYRUS_TLS = """tls_server_cert: /etc/cyrus-tls/certificate.pem
tls_server_key: /etc/cyrus-tls/key.pem
"""


def _popa3d(home: Path) -> Iterator[Running]:
    yield from _by_inetd(_POPA3D, _POPA3D_SCRIPT, home)


def _mailutils(home: Path) -> Iterator[Running]:
    yield from _by_inetd(_MAILUTILS, _MAILUTILS_SCRIPT, home)


def _by_inetd(package: Package, script: str, home: Path) -> Iterator[Running]:
    """A server that speaks on its standard input and output, and keeps an mbox for a user of the system."""
    box = _mbox(home)
    (port,) = free_ports(1)
    text = _SYSTEM_USER + script.format(python=_python(), inetd=_INETD, port=port)
    with _serving(package.words(home, text), home, port):
        yield Running(port, USER, MboxPost(box))


def _courier(home: Path, *, has_tls: bool = True) -> Iterator[Running]:
    maildir = _maildir(home)
    certificate = _certificate(home)
    (port,) = free_ports(1)
    starttls = "YES" if has_tls else "NO"
    script = COURIER_SCRIPT.format(accounts=_COURIER_ACCOUNTS, starttls=starttls, at_once=40, beside="", port=port)
    with _serving(COURIER.words(home, script), home, port):
        yield Running(port, USER, MaildirPost(maildir), certificate if has_tls else None)


def _cyrus(home: Path, *, has_tls: bool = True) -> Iterator[Running]:
    certificate = _certificate(home)
    port, lmtp = free_ports(2)
    script = _CYRUS_SCRIPT.format(port=port, lmtp=lmtp, tls=_CYRUS_TLS if has_tls else "")
    with _serving(CYRUS.words(home, script), home, port, lmtp):
        post = SmtpPost("127.0.0.1", lmtp, USER, lmtp=True)
        yield Running(port, USER, post, certificate if has_tls else None)


def _certificate(home: Path) -> Path:
    (home / "tls").mkdir()
    return make_self_signed(home / "tls", ["localhost"])[0]


def _python() -> str:
    """An interpreter that is there in the view too."""
    return sys.executable


# --- Twisted, in an environment of its own


def _twisted_python() -> Path:
    return UNPACKED / "twisted" / "bin" / "python"


def _twisted_absence() -> str | None:
    if _twisted_python().exists():
        return None
    folder = UNPACKED / "twisted"
    try:
        subprocess.run([sys.executable, "-m", "venv", folder], capture_output=True, check=True)
        subprocess.run([_twisted_python(), "-m", "pip", "install", "twisted"], capture_output=True, check=True)
    except subprocess.CalledProcessError:
        shutil.rmtree(folder, ignore_errors=True)
        return "it cannot be installed"
    return None


def _twisted_version() -> str:
    words = [str(_twisted_python()), "-c", "import twisted; print(twisted.__version__)"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def _twisted(home: Path) -> Iterator[Running]:
    maildir = _maildir(home)
    (port,) = free_ports(1)
    script = Path(__file__).with_name("twisted_server.py")
    words = [_twisted_python(), script, port, maildir, USER, PASSWORD]
    with _serving([str(word) for word in words], home, port):
        yield Running(port, USER, MaildirPost(maildir))
