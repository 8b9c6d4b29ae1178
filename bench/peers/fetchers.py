"""Other people's programs that pull mail, as Debian has them, configured to deliver into a Maildir.

They run as nobody where we are root, as no person pulls mail as root, and getmail6 refuses to. They wait five seconds
for a silent server.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO, ClassVar

from postoffice.testing.faults.cells import Tls
from postoffice.testing.faults.judging import Stored
from postoffice.testing.faults.opening import HOST, Door
from postoffice.testing.faults.places import Place

TIMEOUT_SECONDS = 5
_NOBODY = 65534


class Fetcher(ABC):
    """A program of the system, as `postoffice.testing.faults.trial` wants it."""

    is_exact = False
    keeps_memory_apart = True
    name: ClassVar[str]
    package: ClassVar[str]
    program: ClassVar[str]
    does_stls: ClassVar[bool] = True
    does_tokens: ClassVar[bool] = True

    def version(self) -> str:
        """Of the package, without Debian's part."""
        told = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Version}", self.package], capture_output=True, text=True, check=False
        )
        return told.stdout.strip() or "unknown version"

    def is_installed(self) -> bool:
        return shutil.which(self.program) is not None

    def absence(self, door: Door) -> str | None:
        if door.tls is Tls.STLS and not self.does_stls:
            return "no STLS"
        return "no XOAUTH2" if door.has_token and not self.does_tokens else None

    def prepare(self, place: Place, door: Door, *, delete: bool) -> Sequence[str]:
        """Its settings belong to who runs it."""
        maildir = place.letters / "mail"
        words = list(self.configured(place, door, maildir, delete=delete))
        for name in ("new", "cur", "tmp"):
            place.seen(maildir / name).mkdir(0o700, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            for root in {place.folder, place.seen(place.folder)}:
                for folder, _, names in os.walk(root):
                    for path in (folder, *(f"{folder}/{name}" for name in names)):
                        os.chown(path, _NOBODY, _NOBODY)
            words = ["setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups", "--", *words]
        return words

    @abstractmethod
    def configured(self, place: Place, door: Door, maildir: Path, *, delete: bool) -> Sequence[str]:
        """Write the settings, give the command line."""

    def yesterday(self, words: Sequence[str]) -> Sequence[str]:
        cut = words.index("--") + 1 if "--" in words else 0
        return [*words[:cut], "faketime", "-f", "-1d", *words[cut:]]

    def at_home(self, place: Place) -> list[Stored]:
        maildir = place.seen(place.letters / "mail")
        files = [path for name in ("new", "cur") for path in sorted((maildir / name).iterdir())]
        return [partial(_opened, path) for path in files]


class Mpop(Fetcher):
    name = package = program = "mpop"

    def configured(self, place: Place, door: Door, maildir: Path, *, delete: bool) -> Sequence[str]:
        tls = {Tls.NONE: "tls off", Tls.STLS: "tls on\ntls_starttls on"}.get(door.tls, "tls on\ntls_starttls off")
        config = _written(
            place.folder / "mpoprc",
            f"defaults\n{tls}\ntls_trust_file {door.authority}\ntimeout {TIMEOUT_SECONDS}\n"
            f"uidls_file {place.memory}/uidls\naccount office\nhost {HOST}\nport {door.port}\nuser {door.user}\n"
            f"auth {'xoauth2' if door.has_token else 'user'}\npassword {door.secret}\n"
            f"keep {'off' if delete else 'on'}\ndelivery maildir {maildir}\n",
        )
        return ["mpop", "-C", str(config), "office"]


class Getmail(Fetcher):
    name = package = "getmail6"
    program = "getmail"
    does_stls = False
    does_tokens = False

    def configured(self, place: Place, door: Door, maildir: Path, *, delete: bool) -> Sequence[str]:
        kind = "SimplePOP3SSLRetriever" if door.is_encrypted else "SimplePOP3Retriever"
        tls = f"ca_certs = {door.authority}\nssl_cert_hostname = {HOST}\n" if door.is_encrypted else ""
        config = _written(
            place.folder / "getmailrc",
            f"[retriever]\ntype = {kind}\nserver = {HOST}\nport = {door.port}\nusername = {door.user}\n"
            f"password = {door.secret}\n{tls}timeout = {TIMEOUT_SECONDS}\n"
            f"[destination]\ntype = Maildir\npath = {maildir}/\n"
            f"[options]\nread_all = false\ndelete = {str(delete).lower()}\n",
        )
        return ["getmail", "--getmaildir", str(place.memory), "--rcfile", str(config)]


class Fetchmail(Fetcher):
    """It delivers by a program that keeps whole what it is given, or fails."""

    name = package = program = "fetchmail"
    does_tokens = False

    def configured(self, place: Place, door: Door, maildir: Path, *, delete: bool) -> Sequence[str]:
        deliver = _written(
            place.folder / "deliver",
            f'#!/bin/sh\nfile=$(mktemp "{maildir}/tmp/XXXXXXXXXX") || exit 75\n'
            f'cat > "$file" && mv "$file" "{maildir}/new/" || {{ rm -f "$file"; exit 75; }}\n',
        )
        deliver.chmod(0o700)
        tls = {Tls.NONE: "sslproto ''", Tls.STLS: "sslproto 'TLS1.2+'"}.get(door.tls, "ssl")
        config = _written(
            place.folder / "fetchmailrc",
            f"poll {HOST} service {door.port} protocol pop3 uidl timeout {TIMEOUT_SECONDS} no dns\n"
            f"user '{door.user}' password '{door.secret}' {tls} sslcertck sslcertfile {door.authority}\n"
            f"{'nokeep' if delete else 'keep'} no rewrite no mimedecode mda '{deliver}'\n",
        )
        files = ("-f", str(config), "-i", str(place.memory / "ids"), "--pidfile", str(place.folder / "pid"))
        return ["fetchmail", *files, "--nosyslog", "-v"]


class Fdm(Fetcher):
    name = package = program = "fdm"
    does_tokens = False

    def configured(self, place: Place, door: Door, maildir: Path, *, delete: bool) -> Sequence[str]:
        kind = "pop3s" if door.is_encrypted else "pop3"
        state = "" if delete else f'new-only cache "{place.memory}/cache"'
        starttls = "starttls" if door.tls is Tls.STLS else ""
        config = _written(
            place.folder / "fdm.conf",
            f'set timeout {TIMEOUT_SECONDS}\nset lock-file "{place.folder}/lock"\nset maximum-size 1G\n'
            f'set verify-certificates\naccount "office" {kind} server "{HOST}" port {door.port}'
            f' user "{door.user}" pass "{door.secret}" {state} {starttls} {"" if delete else "keep"}\n'
            f'action "in" maildir "{maildir}"\nmatch all action "in"\n',
        )
        return ["fdm", "-f", str(config), "-v", "fetch"]


def _opened(path: Path) -> BinaryIO:
    return path.open("rb")


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def fetchers() -> list[Fetcher]:
    return [Mpop(), Getmail(), Fetchmail(), Fdm()]
