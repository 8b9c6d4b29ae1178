"""The letter that says what became of a letter: a delivery status notification (RFC 3464, RFC 6522).

Three parts: what happened in plain words, the same for programs, and the header of the letter it is about. It goes
out with the null reverse path, so nothing ever answers it with a notice of its own (RFC 5321 §4.5.5).

Everything in it is 7-bit, so that it gets through wherever its reader lives; addresses outside ASCII are then
written in the `utf-8` address type's xtext form (RFC 6533 §3). Only a sender whose own address is outside ASCII gets
the `global` types in plain UTF-8 (§4): his letters need SMTPUTF8 anyway.
"""

from __future__ import annotations

import re
from binascii import b2a_qp
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from postoffice.message.header import decoded, first, header_of
from postoffice.message.printable import safe
from postoffice.message.received import date_time

if TYPE_CHECKING:
    from email.message import EmailMessage
    from email.policy import EmailPolicy

HEADER_OCTETS = 16 * 1024
"""How much of the original's header goes back; the beginning says who, when and what about."""

_MESSAGE_ID: Final = re.compile(rb"<[!-;=?-~]{1,250}>")
_XTEXT_SPECIAL: Final = re.compile(r"[^!-*,-<>-\[\]-~]")


class Action(Enum):
    """What became of the letter (RFC 3464 §2.3.3)."""

    FAILED = "failed"
    DELAYED = "delayed"


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of the letter for one recipient.

    `status` is a whole enhanced status code (RFC 3463 §2); `diagnostic` the reply of `remote_host`, if one spoke.
    """

    recipient: str
    status: str
    diagnostic: str = ""
    remote_host: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """`sender` is the reverse path of the letter and the reader of the notice; `head` the letter's beginning.

    `message_id` is new, with its `<` and `>`. `accepted` is when we took the letter, `until` how long we go on
    trying, where we do; in seconds since the epoch.
    """

    host: str
    sender: str
    action: Action
    fates: tuple[Fate, ...]
    head: bytes
    message_id: str
    now: float
    accepted: float
    until: float | None = None

    @property
    def needs_smtputf8(self) -> bool:
        """Whether it has to be sent with SMTPUTF8 (RFC 6531 §3.4)."""
        return not self.sender.isascii()


def compose(notice: Notice) -> bytes:
    """The whole notice: canonical CRLF, no bare line ends, no line over 998 octets."""
    from email.message import EmailMessage
    from email.policy import SMTP

    utf8 = notice.needs_smtputf8
    policy = SMTP.clone(utf8=utf8, cte_type="8bit" if utf8 else "7bit")
    letter = EmailMessage(policy)
    is_failed = notice.action is Action.FAILED
    letter["From"] = f"Mail delivery <MAILER-DAEMON@{notice.host}>"
    letter["To"] = f"<{notice.sender}>"
    letter["Subject"] = "Your letter was not delivered" if is_failed else "Your letter is delayed"
    letter["Date"] = date_time(notice.now)
    letter["Message-ID"] = notice.message_id
    original_id = _MESSAGE_ID.fullmatch(first(notice.head, b"Message-ID") or b"")
    if original_id is not None:
        letter["In-Reply-To"] = letter["References"] = original_id.group().decode()
    letter["Auto-Submitted"] = "auto-replied"
    letter["MIME-Version"] = "1.0"
    letter["Content-Type"] = "multipart/report; report-type=delivery-status"
    # Made of our own message id and not by chance; who writes a letter cannot know the id of its notice.
    letter.set_boundary("=_" + re.sub(r"[^A-Za-z0-9]", "_", notice.message_id)[:60])
    letter.attach(_words_part(notice, policy))
    letter.attach(_status_part(notice, policy))
    letter.attach(_header_part(notice, policy))
    return letter.as_bytes()


def _words_part(notice: Notice, policy: EmailPolicy[EmailMessage]) -> EmailMessage:
    """For people."""
    from email.message import EmailMessage

    subject = decoded(notice.head, b"Subject")
    lines = [f"This is the post office {notice.host}.", ""]
    about = f" with the subject\n\n    {subject}\n\n" if subject else " "
    if notice.action is Action.FAILED:
        lines.append(f"Your letter{about}could not be delivered to:")
    else:
        lines.append(f"Your letter{about}is still on its way to:")
    for fate in notice.fates:
        lines += ["", f"    {safe(fate.recipient)}"]
        if fate.diagnostic:
            said = f"{safe(fate.remote_host)} said: " if fate.remote_host else ""
            lines.append(f"      {said}{safe(fate.diagnostic)}")
    lines.append("")
    if notice.action is Action.FAILED:
        lines.append("Nothing more will be tried. The header of your letter is attached.")
    else:
        until = f" until {date_time(notice.until)}" if notice.until is not None else ""
        lines.append(f"Delivery will be tried again{until}. You need not do anything.")
    text = "\n".join(lines) + "\n"
    part = EmailMessage(policy)
    part.set_content(text, charset="us-ascii" if text.isascii() else "utf-8")
    del part["MIME-Version"]
    return part


def _status_part(notice: Notice, policy: EmailPolicy[EmailMessage]) -> EmailMessage:
    """For programs: one block about the letter, one about each recipient (RFC 3464 §2)."""
    from email.message import EmailMessage

    utf8 = notice.needs_smtputf8
    blocks = [[("Reporting-MTA", f"dns; {notice.host}"), ("Arrival-Date", date_time(notice.accepted))]]
    for fate in notice.fates:
        block = [
            ("Final-Recipient", _typed(fate.recipient, utf8)),
            ("Action", notice.action.value),
            ("Status", fate.status),
        ]
        if fate.remote_host:
            block.append(("Remote-MTA", f"dns; {_plain(fate.remote_host)}"))
        if fate.diagnostic:
            block.append(("Diagnostic-Code", f"smtp; {_plain(fate.diagnostic)}"))
        block.append(("Last-Attempt-Date", date_time(notice.now)))
        if notice.action is Action.DELAYED and notice.until is not None:
            block.append(("Will-Retry-Until", date_time(notice.until)))
        blocks.append(block)
    # One message for the `email` package: the block about the letter is its header, the others are its body.
    status = EmailMessage(policy)
    for name, value in blocks[0]:
        status[name] = value
    text = "".join("".join(f"{name}: {value}\r\n" for name, value in block) + "\r\n" for block in blocks[1:])
    status.set_payload(text.encode().decode("ascii", "surrogateescape"))
    part = EmailMessage(policy)
    part["Content-Type"] = "message/global-delivery-status" if utf8 else "message/delivery-status"
    part["Content-Transfer-Encoding"] = "8bit" if utf8 else "7bit"
    part.set_payload([status])
    return part


def _header_part(notice: Notice, policy: EmailPolicy[EmailMessage]) -> EmailMessage:
    """The original's header as it was; in quoted-printable where it is not plain ASCII in lines of proper length."""
    from email.message import EmailMessage

    header = header_of(notice.head[:HEADER_OCTETS]).replace(b"\r\n", b"\n")
    is_plain = header.isascii() and not re.search(rb"[^\n]{999}|[\r\0]", header)
    part = EmailMessage(policy)
    if notice.needs_smtputf8:
        part["Content-Type"] = "message/global-headers"
    else:
        part["Content-Type"] = "text/rfc822-headers" + ("" if header.isascii() else "; charset=utf-8")
    part["Content-Transfer-Encoding"] = "7bit" if is_plain else "quoted-printable"
    if not is_plain:
        header = b"\n".join(b2a_qp(line, istext=False) for line in header.split(b"\n"))
    part.set_payload(header.decode().replace("\n", "\r\n"))
    return part


def _typed(recipient: str, utf8: bool) -> str:
    """An address with its type: `rfc822` for ASCII, else `utf-8` (RFC 3464 §2.3.2, RFC 6533 §3)."""
    if recipient.isascii():
        return f"rfc822; {_plain(recipient)}"
    return f"utf-8; {safe(recipient) if utf8 else _xtext(recipient)}"


def _xtext(text: str) -> str:
    r"""The 7-bit form of an address of type `utf-8`: `\x{1EC7}` for what may not stand there (RFC 6533 §3)."""
    return _XTEXT_SPECIAL.sub(lambda special: f"\\x{{{ord(special.group()):02X}}}", text)


def _plain(text: str) -> str:
    """Text that a status field can hold: ASCII in one line, 900 octets at most (RFC 6533 §4.1 `text-fixed`)."""
    return safe(text).encode("ascii", "replace").decode()[:900]
