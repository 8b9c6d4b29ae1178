"""Mailbox files handed to any mail program: the POP3 door of an office in front of a person's own files.

    a mail program ──POP3──▶ `access.pop3` ─▶ `accounts.login` ─▶ `maildrops` ─▶ the file

There is no second server: what a session may do, who may log in and how often he may be wrong, the door knows. What is
said here is what an office keeps on disk and a person wants for a run: one account for each file, with a password that
lives in memory. Loopback alone may speak without TLS.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from postoffice.access.pop3 import Pop3Door
from postoffice.accounts import verifiers
from postoffice.accounts.devices import OWN
from postoffice.accounts.login import Login, LoginSettings, normalized
from postoffice.accounts.visits import VisitBook
from postoffice.errors import Refusal, UsageError
from postoffice.events import event
from postoffice.home.maildrops import Deleting, FileMaildrop, FileMaildrops
from postoffice.message.address import parse_address
from postoffice.net.crowd import Crowd
from postoffice.net.listen import Answering, Door, answer, bind_door
from postoffice.net.networks import is_in
from postoffice.net.notify import notify
from postoffice.net.self_signed import make_self_signed
from postoffice.net.switchboard import Switchboard
from postoffice.net.tls_server import server_context
from postoffice.store.memory import MemoryStore
from postoffice.store.model import Credential

if TYPE_CHECKING:
    import ssl

    from postoffice.net.dialogue import Dialogue, Tracer

HOST: Final = "localhost"
"""What the server calls itself, and the domain of names that have none."""
LOOPBACK: Final = ("127.0.0.1", "::1")
LOOPBACK_NETWORKS: Final = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))
PORTS: Final = {"pop3": 10110, "pop3s": 10995}
"""Where mail programs find it: those of an office that may not bind low ports."""
DRAIN_SECONDS: Final = 10.0
NO_NAME: Final = "mail"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for. `tls`: the folder of a certificate, which is made if it is not there; None: no TLS.

    `ports`: 0 takes any free one. `user` names the account of a file that is alone, and a program that deletes for
    itself alone; empty: the account has the file's name, and whoever comes shares one view.
    """

    files: tuple[Path, ...]
    password: str
    user: str = ""
    deleting: Deleting = Deleting.FOR_ITSELF
    addresses: tuple[str, ...] = LOOPBACK
    ports: Mapping[str, int] = field(default_factory=lambda: PORTS)
    tls: Path | None = None
    tracer: Callable[[Dialogue[Any]], Tracer | None] | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """A file, under which name it is had, and how many letters are in it."""

    user: str
    file: Path
    letters: int
    is_writable: bool


def must_be_possible(wish: Wish) -> None:
    """Raises UsageError for a wish that cannot be, before anything is opened."""
    seen = [file.resolve() for file in wish.files]
    if twice := next((file for file, path in zip(wish.files, seen, strict=True) if seen.count(path) > 1), None):
        raise UsageError(f"{twice}: is named twice")
    if wish.user and len(wish.files) > 1:
        raise UsageError("--user names the account of one file; several are called by the names of their files")
    if wish.user:
        _must_be_name(wish.user)
    strange = [host for host in wish.addresses if not is_in(host, LOOPBACK_NETWORKS)]
    if strange and wish.tls is None:
        raise UsageError(f"{strange[0]}: others could listen there to the password and the letters; it needs --tls")


async def serve(wish: Wish, told: Callable[[Sequence[Served], Mapping[str, Door]], None], stop: asyncio.Event) -> None:
    """Hand out the files until `stop`. `told` is called when all doors are open.

    Raises UsageError: 71 a port is taken, 66 and others what stands in the way of a file.
    """
    must_be_possible(wish)
    context = _context(wish.tls) if wish.tls is not None else None
    names = ("pop3", "pop3s") if context is not None else ("pop3",)
    maildrops, store = FileMaildrops(), MemoryStore()
    try:
        served = [await _admit(store, maildrops, wish, file, user) for file, user in _called(wish).items()]
        doors = {name: bind_door(name, wish.addresses, wish.ports[name])[0] for name in names}
        switchboard = Switchboard(wish.tracer, Crowd(doors=names))
        login = Login(store.directory, LoginSettings(clear_text_networks=LOOPBACK_NETWORKS))
        visits = VisitBook(store.visits)
        servers: list[Answering] = []
        try:
            for name, door in doors.items():
                pop3 = Pop3Door(HOST, maildrops, login, switchboard, visits, name=name, tls=context)
                servers += await answer(door, pop3, context if name == "pop3s" else None, (), switchboard.crowd)
            told(served, doors)
            notify("READY=1")
            await stop.wait()
        finally:
            notify("STOPPING=1")
            for server in servers:
                server.close()
            await switchboard.drain(DRAIN_SECONDS)
            login.close()
    finally:
        await maildrops.close()
        await store.close()


async def _admit(store: MemoryStore, maildrops: FileMaildrops, wish: Wish, file: Path, user: str) -> Served:
    """An account for a file."""
    maildrop = FileMaildrop(file, wish.deleting, normalized(wish.user))
    address = user if "@" in user else f"{user}@{HOST}"
    domain = address.rpartition("@")[2]
    if not await store.directory.has_domain(domain):
        await store.directory.add_domain(domain)
    account = await store.directory.add_account(address, time.time())
    maildrops.add(account.account_id, maildrop)
    verifier = _verifier(wish.password, address, await store.directory.secret())
    name = await maildrop.credential()
    await store.directory.set_credential(Credential(account.account_id, name, verifier))
    event("serve.file", account=address, file=str(file), deletes=maildrop.is_writable, own=name != OWN)
    return Served(user, file, await maildrop.count(), maildrop.is_writable)


def _verifier(password: str, address: str, secret: bytes) -> str:
    """Good for SCRAM too, if SASLprep allows the password. It is kept in memory only, beside a key that lives as long:
    no slow hash is needed against whoever steals it."""
    try:
        return verifiers.of_generated(password, address, secret)
    except ValueError:
        return verifiers.of_own(password)


def _called(wish: Wish) -> dict[Path, str]:
    """A name for each file, which a person can type: that of the file, with a number where that is taken."""
    if wish.user:
        return {wish.files[0]: normalized(wish.user)}
    names: dict[Path, str] = {}
    for file in wish.files:
        name = usual = re.sub(r"[^a-z0-9_-]+", "-", normalized(file.name.partition(".")[0])).strip("-") or NO_NAME
        number = 1
        while name in names.values():
            number += 1
            name = f"{usual}{number}"
        names[file] = name
    return names


def _must_be_name(user: str) -> None:
    try:
        parse_address(user if "@" in user else f"{user}@{HOST}.example")
    except Refusal as refusal:
        raise UsageError(f"--user {user}: is no name to log in with: {refusal.public}") from refusal


def _context(folder: Path) -> ssl.SSLContext:
    """With the certificate that lies in `folder`: the same at each run, so a mail program asks about it once."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    if not certificate.exists() and not key.exists():
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            make_self_signed(folder, [HOST, *LOOPBACK])
        except OSError as error:
            raise UsageError(
                f"{folder}: no certificate can be made there: {error.strerror}", os.EX_CANTCREAT
            ) from error
    return server_context(certificate, key)
