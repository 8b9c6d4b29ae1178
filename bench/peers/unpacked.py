"""Courier and Cyrus as contenders: Debian's packages unpacked, each in a view of its own, with the mail outside of it.

As their packages configure them, but for the port, the accounts, clear-text login from loopback, and as many processes
as there are connections. Courier starts a program for each connection and reads Maildirs; Cyrus has processes that go
from one connection to the next, and letters in files beside an index. By LMTP it would put lines above them, so its
mailboxes are made by one letter each, and filled by files and by its own program that makes the index anew.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from smtplib import LMTP

from bench.contender import PASSWORD, Mail
from bench.peers.debian import COURIER, COURIER_SCRIPT, CYRUS, Package
from bench.peers.dovecot import MAIL_UID, give_away, maildir_of
from bench.process import Server, ServerFailed, free_ports
from postoffice.net.self_signed import make_self_signed

_AT_ONCE = 300
"""Connections that may be open."""

_COURIER_ACCOUNTS = f"""
word=$(echo {PASSWORD} | userdbpw)
while read address folder; do
    printf '%s\\thome=%s|mail=%s/Maildir|uid={MAIL_UID}|gid={MAIL_UID}|systempw=%s\\n' \\
        $address /peer/mail/$folder /peer/mail/$folder "$word"
done < /peer/users > /etc/courier/userdb
echo 'courier:x:5003:5003::/var/lib/courier:/usr/sbin/nologin' >> /etc/passwd; echo 'courier:x:5003:' >> /etc/group
cat /peer/tls/key.pem /peer/tls/certificate.pem > /etc/courier/pop3d.pem
mkdir -p /var/lib/courier
chown -R courier:courier /etc/courier/pop3d.pem /var/lib/courier
"""
_COURIER_TLS = f"""
POP3_TLS=1 couriertcpd -address=127.0.0.1 -maxprocs={_AT_ONCE} -maxperip={_AT_ONCE} -nodnslookup -noidentlookup \\
    {{pop3s}} /usr/bin/couriertls -server -tcpd -user=courier \\
    /usr/lib/courier/courier/courierpop3login /usr/lib/courier/courier/courierpop3d Maildir &
"""
_COURIER_SERVES = COURIER_SCRIPT.format(
    accounts=_COURIER_ACCOUNTS, starttls="NO", at_once=_AT_ONCE, beside=_COURIER_TLS, port="{pop3}"
)

_CYRUS_VIEW = f"""
set -e
echo 'cyrus:x:5002:8::/peer/cyrus:/bin/sh' >> /etc/passwd
ldconfig
cat > /etc/imapd.conf <<END
configdirectory: /peer/cyrus/lib
defaultpartition: default
partition-default: /peer/cyrus/spool
proc_path: /run/cyrus/proc
mboxname_lockpath: /run/cyrus/lock
servername: localhost
virtdomains: userid
defaultdomain: localhost
admins: cyrus
allowplaintext: yes
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: /peer/cyrus/sasldb2
sasl_mech_list: PLAIN
autocreate_quota: 0
autocreate_post: yes
tls_server_cert: /etc/cyrus-tls/certificate.pem
tls_server_key: /etc/cyrus-tls/key.pem
END
cp -r /peer/tls /etc/cyrus-tls
chown -R cyrus:mail /etc/cyrus-tls
cat > /etc/cyrus.conf <<END
START {{{{
  recover cmd="/usr/sbin/cyrus ctl_cyrusdb -r"
}}}}
SERVICES {{{{
  pop3 cmd="pop3d" listen="127.0.0.1:{{pop3}}" prefork=0 maxchild={_AT_ONCE}
  pop3s cmd="pop3d -s" listen="127.0.0.1:{{pop3s}}" prefork=0 maxchild={_AT_ONCE}
  lmtp cmd="lmtpd -a" listen="127.0.0.1:{{lmtp}}" prefork=0 maxchild=20
}}}}
EVENTS {{{{
}}}}
END
for name in db proc log msg ptclient quota sieve socket sync user backup; do mkdir -p /peer/cyrus/lib/$name; done
mkdir -p /peer/cyrus/spool /run/cyrus/proc /run/cyrus/lock /run/cyrus/socket
"""

_CYRUS_ACCOUNTS = (
    _CYRUS_VIEW
    + f"""
while read address folder; do
    echo {PASSWORD} | saslpasswd2 -f /peer/cyrus/sasldb2 -c -p -u ${{{{address#*@}}}} $folder
done < /peer/users
"""
)

_CYRUS_INDEX = (
    _CYRUS_VIEW
    + """
chown -R cyrus:mail /peer/cyrus /run/cyrus
/usr/lib/cyrus/bin/reconstruct -G
"""
)

_CYRUS_SERVES = (
    _CYRUS_VIEW
    + """
chown -R cyrus:mail /peer/cyrus /run/cyrus
exec /usr/lib/cyrus/bin/master
"""
)


class Unpacked:
    """What the two have in common: one program to run in a view, and its ports."""

    does_pop3 = True
    does_smtp = does_logins = does_day = False
    load_words: tuple[str, ...] = ()
    keeps_letters = True

    def __init__(self, name: str, title: str, package: Package, script: str) -> None:
        self.name = name
        self._title = title
        self._package = package
        self._script = script
        self._home = Path()
        self._server: Server | None = None
        self._ports: dict[str, int] = {}

    def absence(self) -> str | None:
        return self._package.absence()

    def version(self) -> str:
        return f"{self._title} {self._package.version()}"

    def prepare(self, home: Path, mail: Mail) -> None:
        self._home = home
        self._ports = dict(zip(("pop3", "pop3s", "lmtp"), free_ports(3), strict=True))
        (home / "tls").mkdir()
        make_self_signed(home / "tls", ["localhost"])
        (home / "users").write_text("".join(f"{each} {each.partition('@')[0]}\n" for each in mail.addresses()))

    def start(self, core: int | None) -> None:
        script = self._script.format_map(self._ports)
        self._server = Server(self._package.words(self._home, script), self._home / "said.log", core)
        self._server.wait_for_port(self._ports["pop3"])
        self._server.wait_for_port(self._ports["pop3s"])

    def ports(self) -> dict[str, int]:
        return self._ports

    def pids(self) -> dict[str, int]:
        return {self.name: self._server.pid} if self._server else {}

    def settle(self) -> None:
        """Nothing comes in."""

    def delivered(self) -> int | None:
        return None

    def chill(self) -> None:
        """Nobody asks it to."""

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None


class Courier(Unpacked):
    """Courier's POP3 server."""

    def __init__(self) -> None:
        super().__init__("courier", "Courier", COURIER, _COURIER_SERVES)

    def prepare(self, home: Path, mail: Mail) -> None:
        super().prepare(home, mail)
        files = [content.replace(b"\r\n", b"\n") for content in mail.letters]
        for address in mail.addresses():
            maildir = maildir_of(home, address)
            for number, octets in enumerate(files):
                (maildir / "new" / f"{1700000000 + number}.M{number}P1.bench,S={len(octets)}").write_bytes(octets)
        give_away(home / "mail")

    def chill(self) -> None:
        """The sizes and unique-ids of what lies in a Maildir are remembered beside it."""
        for sizes in self._home.glob("mail/*/Maildir/courierpop3dsizelist"):
            sizes.unlink()


class Cyrus(Unpacked):
    """Cyrus's."""

    def __init__(self) -> None:
        super().__init__("cyrus", "Cyrus", CYRUS, _CYRUS_SERVES)

    def prepare(self, home: Path, mail: Mail) -> None:
        super().prepare(home, mail)
        self._run(_CYRUS_ACCOUNTS)
        self.start(None)
        try:
            with LMTP("127.0.0.1", self._ports["lmtp"]) as client:
                for address in mail.addresses():
                    client.sendmail("sender@a.example", [address], b"Subject: makes a mailbox\r\n\r\n")
        finally:
            self.stop()
        for first in (home / "cyrus" / "spool" / "uuid").glob("*/*/*/1."):
            first.unlink()
            for number, content in enumerate(mail.letters, 2):
                first.with_name(f"{number}.").write_bytes(content)
        self._run(_CYRUS_INDEX)

    def _run(self, script: str) -> None:
        words = self._package.words(self._home, script.format_map(self._ports))
        ended = subprocess.run(words, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise ServerFailed(f"{self.name}: {ended.stderr.strip()[-500:]}")
