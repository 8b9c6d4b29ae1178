"""A letter as a program of this machine wrote it, made fit to travel (RFC 6409 §8, RFC 5322 §3.6).

    draft       LF at the ends of lines, fields that are missing, names without a domain, Bcc
    letter      CRLF, From, Date and Message-ID, whole addresses, no Bcc

Only what a program leaves to its post is mended here: what it wrote itself stays, but for line ends. Whoever wrote
letters in another way hands them over by SMTP, where nothing is changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import formataddr
from typing import Final

from postoffice.message.header import names_and_addresses, unfolded
from postoffice.message.received import date_time

_FIELD: Final = re.compile(rb"([!-9;-~]+)[ \t]*:")
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_MBOX_LINE: Final = re.compile(rb">?From ")

_ADDRESSES: Final = (b"from", b"sender", b"reply-to", b"to", b"cc")
_RECIPIENTS: Final = (b"to", b"cc", b"bcc")
_DROPPED: Final = frozenset({b"bcc", b"resent-bcc", b"return-path", b"content-length"})
_RESENT: Final = b"resent-"


@dataclass(frozen=True, slots=True)
class Author:
    """Whose program it is: `address` for replies, `name` for people (may be empty)."""

    address: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """`fields` have their continuations, with CRLF between lines and none at the end; `body` is what follows."""

    fields: tuple[bytes, ...]
    body: bytes

    def recipients(self) -> list[str]:
        """Everybody in To, Cc and Bcc, or in Resent-To and its kin where there are any; some without a domain.

        A field in which an address cannot be read is given whole: as an address it will be refused.
        """
        resent = [field for field in self.fields if _name(field) in _names(_RECIPIENTS, _RESENT)]
        named = resent or [field for field in self.fields if _name(field) in _RECIPIENTS]
        return [address for field in named for address in _recipients(field)]

    def letter(self, author: Author, domain: str, now: float, token: str) -> bytes:
        """The letter. `token` makes its Message-ID unique; names without a domain are of `domain`."""
        qualified = _names(_ADDRESSES, b"") | _names(_ADDRESSES, _RESENT)
        kept = [field for field in self.fields if _name(field) not in _DROPPED]
        kept = [_with_domain(field, domain) if _name(field) in qualified else field for field in kept]
        there = {_name(field) for field in kept}
        usual = {
            b"from": f"From: {formataddr((_shown(author.name), author.address))}".encode(),
            b"date": f"Date: {date_time(now)}".encode(),
            b"message-id": f"Message-ID: <{token}@{domain}>".encode(),
        }
        kept += [field for name, field in usual.items() if name not in there]
        return b"".join(field + b"\r\n" for field in kept) + b"\r\n" + self.body


def draft(octets: bytes) -> Draft:
    """What a program wrote. Without a header all of it is the body; an mbox's first line is no part of it.

    CR alone ends a line too: programs that show their progress write it, and no letter may have it (RFC 5322 §2.3).
    """
    text = _LINE_END.sub(b"\r\n", octets)
    text = text if text.endswith(b"\r\n") or not text else text + b"\r\n"
    if _MBOX_LINE.match(text):
        text = text.partition(b"\r\n")[2]
    fields: list[bytes] = []
    begin = 0
    while begin < len(text):
        end = text.index(b"\r\n", begin)
        line = text[begin:end]
        if line.startswith((b" ", b"\t")) and fields:
            fields[-1] += b"\r\n" + line
        elif _FIELD.match(line):
            fields.append(line)
        else:
            begin = begin if line else end + 2
            break
        begin = end + 2
    return Draft(tuple(fields), text[begin:])


def with_domain(address: str, domain: str) -> str:
    """A name without a domain is one of this machine."""
    return address if "@" in address else f"{address}@{domain}"


def _shown(name: str) -> str:
    """A name without what could end a line."""
    return "".join(character if character.isprintable() else " " for character in name)


def _name(field: bytes) -> bytes:
    return field.partition(b":")[0].strip().lower()


def _names(names: Iterable[bytes], before: bytes) -> frozenset[bytes]:
    return frozenset(before + name for name in names)


def _recipients(field: bytes) -> list[str]:
    value = unfolded(field.partition(b":")[2]).decode("utf-8", "surrogateescape").strip()
    addresses = [address for _, address in names_and_addresses(value)]
    is_lost = "" in addresses and value.count("@") > "".join(addresses).count("@")
    return [value] if is_lost else [address for address in addresses if address]


def _with_domain(field: bytes, domain: str) -> bytes:
    """A field that lists addresses; only if one has no domain it is written anew, one address a line."""
    found = names_and_addresses(unfolded(field.partition(b":")[2]).decode("utf-8", "replace"))
    if all("@" in address for _, address in found) or any(not address for _, address in found):
        return field
    listed = [formataddr((name, with_domain(address, domain))) for name, address in found]
    return field.partition(b":")[0] + b": " + ",\r\n\t".join(listed).encode()
