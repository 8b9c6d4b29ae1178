"""The two ways in which `postoffice sendmail` hands a letter over: to an office that answers, or into its folder.

Both learn the office's domain first, complete the letter with it, and know each recipient to be good before anything is
kept. A recipient without a domain is a user of this machine (`transfer.sendmail`).
"""

from __future__ import annotations

import os
import secrets
import smtplib
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from postoffice.cli.folder import with_store
from postoffice.cli.sendmail import Order, own_user
from postoffice.errors import Refusal, UsageError
from postoffice.message.address import Address, parse_address
from postoffice.message.draft import Author, Draft, draft, with_domain
from postoffice.message.envelope import Envelope
from postoffice.message.received import Hop
from postoffice.protocols.dots import Stuffer
from postoffice.store.base import Store
from postoffice.transfer.intake import Intake, Recipient
from postoffice.transfer.sendmail import THIS_MACHINE, local_recipient

WAIT_SECONDS: Final = 5.0
"""How long an office that is just being started again is waited for."""
REPLY_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Mail:
    """All that is handed over."""

    reverse_path: Address | None
    recipients: tuple[Address, ...]
    letter: bytes

    @property
    def needs_smtputf8(self) -> bool:
        return any(one is not None and one.needs_smtputf8 for one in (self.reverse_path, *self.recipients))


def at_socket(path: Path, order: Order, octets: bytes) -> str:
    """To the office that answers there. Gives what it says that it took."""
    with _connected(path) as sock:
        door = smtplib.SMTP(local_hostname=THIS_MACHINE)
        door.sock = sock
        door.command_encoding = "utf-8"
        try:
            mail = _mail(order, draft(octets), own_user()[1:], _words(*door.getreply()).partition(" ")[0])
            _words(*door.ehlo())
            options = ["BODY=8BITMIME", f"SIZE={len(mail.letter)}", *(["SMTPUTF8"] if mail.needs_smtputf8 else [])]
            _words(*door.mail(str(mail.reverse_path or ""), options))
            for address in mail.recipients:
                _words(*door.rcpt(str(address)), about=str(address))
            taken = _words(*door.data(mail.letter))
        except (OSError, smtplib.SMTPException) as error:
            raise UsageError(f"the office at {path} did not take it: {error}", os.EX_TEMPFAIL) from error
        with suppress(OSError, smtplib.SMTPException):  # it is sent
            door.quit()
    return taken.rpartition(" ")[2]


def _connected(path: Path) -> socket.socket:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(REPLY_SECONDS)
        try:
            sock.connect(os.fspath(path))
            return sock
        except PermissionError as error:
            sock.close()
            raise UsageError(f"{path}: you may not send mail here: {error.strerror}", os.EX_NOPERM) from error
        except OSError as error:
            sock.close()
            if time.monotonic() > deadline or not path.parent.is_dir():
                raise UsageError(
                    f"no office answers at {path}: {error.strerror or error}; office.sockets opens it there,"
                    " and --data names the folder of one that is yours",
                    os.EX_TEMPFAIL,
                ) from error
            time.sleep(0.2)


def _words(code: int, said: bytes, about: str = "") -> str:
    """A good reply; another one is a `UsageError` whose status says in what way."""
    text = said.decode("utf-8", "backslashreplace").partition("\n")[0]
    if 200 <= code < 400:
        return text
    raise UsageError(f"{about}: {text}" if about else text, _status(code < 500, text.partition(" ")[0][2:]))


def into_office(data: Path, order: Order, octets: bytes) -> str:
    """Into the office of a folder. Gives the letter's id."""
    number, *whose = own_user()

    async def accept(store: Store) -> str:
        host = next(iter(await store.directory.domains()), "localhost")
        mail = _mail(order, draft(octets), whose, host)
        intake = Intake(host, store.office, store.directory)
        await intake.check_room(len(mail.letter))
        recipients = tuple([await _recipient(intake, address, host) for address in mail.recipients])
        stage, stuffer = await intake.stage(), Stuffer()
        await stage.write(stuffer.feed(mail.letter))
        await stage.write(stuffer.end())
        addresses = tuple(recipient.address for recipient in recipients)
        envelope = Envelope(mail.reverse_path, addresses, mail.needs_smtputf8, is_8bit=True)
        return await intake.accept(await stage.finish(), envelope, recipients, Hop(THIS_MACHINE, "", host, user=number))

    try:
        return with_store(data, accept)
    except Refusal as refusal:
        raise UsageError(str(refusal), _status(not refusal.permanent, refusal.status)) from refusal


async def _recipient(intake: Intake, address: Address, domain: str) -> Recipient:
    try:
        found = await local_recipient(intake, address, domain)
        await intake.check_quota(found)
    except Refusal as refusal:
        status = _status(not refusal.permanent, refusal.status)
        raise UsageError(f"{address}: {refusal.enhanced} {refusal.public}", status) from refusal
    return found


def _status(is_temporary: bool, status: str) -> int:
    """What an enhanced status (RFC 3463, without its class) is in sysexits(3)."""
    if is_temporary:
        return os.EX_TEMPFAIL
    by_subject = {"1": os.EX_NOUSER, "7": os.EX_NOPERM, "6": os.EX_DATAERR}
    return by_subject.get(status.partition(".")[0], os.EX_UNAVAILABLE)


def _mail(order: Order, written: Draft, whose: Sequence[str], domain: str) -> Mail:
    """The envelope and the letter. What is no address is a `UsageError` (65)."""
    user, name = whose
    names = [*order.recipients, *(written.recipients() if order.from_header else [])]
    if not names:
        raise UsageError("sendmail -t: the letter names no recipient in To, Cc or Bcc", os.EX_DATAERR)
    recipients = dict.fromkeys(_address(one, THIS_MACHINE) for one in names)
    path = order.reverse_path
    reverse_path = None if path == "" else _address(path or user, domain)
    author = Author(str(reverse_path or f"{user}@{domain}"), order.name if order.name is not None else name)
    token = f"{int(time.time())}.{secrets.token_hex(8)}"
    return Mail(reverse_path, tuple(recipients), written.letter(author, domain, time.time(), token))


def _address(text: str, domain: str) -> Address:
    try:
        return parse_address(with_domain(text, domain))
    except Refusal as refusal:
        raise UsageError(f"{text!r}: {refusal.public}", os.EX_DATAERR) from refusal
