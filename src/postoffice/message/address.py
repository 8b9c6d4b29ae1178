"""Mail addresses as SMTP speaks them (RFC 5321 §4.1.2, RFC 6531 §3.3).

What stands between `<` and `>` in MAIL and RCPT: nothing (the null reverse path), a mailbox, or a mailbox behind a
source route that nobody follows any more. The local part belongs to the office that owns the domain, so it is kept
exactly as it was sent; only `normalized` changes it, for that office's own look-up. The domain is everybody's: it is
lower case, in A-labels (RFC 5890 §2.3.2.1), or an address literal.

`parse_path` is on the hot path of SMTP: the common plain form costs one regular expression, the rest may be slow.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from postoffice.errors import Refusal

LOCAL_PART_OCTETS = 64
DOMAIN_OCTETS = 255
PATH_OCTETS = 256
"""The limits of RFC 5321 §4.5.3.1; a path counts with its `<` and `>`."""

# No possessive repeats here: Python 3.11.2 (Debian's) matches `<a.@b>` with them. Nothing below is ambiguous.
_ATOM = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~-"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PLAIN = re.compile(rf"<([{_ATOM}]+(?:\.[{_ATOM}]+)*)@({_LABEL}(?:\.{_LABEL})*)>(?=[ ]|\Z)".encode())
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")

# RFC 6531 §3.3 lets any UTF-8 into atoms and quoted strings. C1 controls and line separators stay out: they
# name nobody and move the cursor of whoever prints them.
_WIDE = "\\xa0-\\u2027\\u202a-\\ud7ff\\ue000-\\U0010ffff"
_DOT_STRING = rf"[{_WIDE}{_ATOM}]+(?:\.[{_WIDE}{_ATOM}]+)*"
_QUOTED_STRING = rf'"(?:[ !#-\[\]-~{_WIDE}]|\\[ -~])*"'
_WIDE_DOMAIN = rf"[A-Za-z0-9.{_WIDE}-]+"
_PATH = (
    rf"[ ]*<(?:@{_WIDE_DOMAIN}(?:,@{_WIDE_DOMAIN})*:)?"
    rf"(?P<local>{_DOT_STRING}|{_QUOTED_STRING})(?:@(?P<domain>{_WIDE_DOMAIN}|\[[0-9A-Za-z:.]+\]))?>(?=[ ]|\Z)"
)
_NULL = re.compile(rb"[ ]*<>(?=[ ]|\Z)")


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    """Of a wide pattern, when it is first needed: it takes the time in which a command begins."""
    return re.compile(pattern)


@dataclass(frozen=True, slots=True)
class Address:
    """`local` as it was sent, quoting included; `domain` lower case in A-labels, or an address literal.

    The domain is empty for one address only: the bare `postmaster` of RFC 5321 §4.1.1.3.
    """

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}" if self.domain else self.local

    @property
    def needs_smtputf8(self) -> bool:
        """Whether only SMTPUTF8 can carry it (RFC 6531 §3.4); a domain never needs that, it is in A-labels."""
        return not self.local.isascii()

    def normalized(self) -> str:
        """The one spelling under which an office looks its mailboxes up.

        Lower case, NFC, and no quoting that could be left out: all quoted forms are equivalent (RFC 5321 §4.1.2).
        """
        local = unicodedata.normalize("NFC", unquoted(self.local))
        local = unicodedata.normalize("NFC", local.lower())
        if not _compiled(_DOT_STRING).fullmatch(local):
            local = '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return f"{local}@{self.domain}" if self.domain else local


def unquoted(local: str) -> str:
    """A local part without its quoting."""
    return re.sub(r"\\(.)", r"\1", local[1:-1]) if local.startswith('"') else local


def parse_path(octets: bytes, *, utf8: bool = False, status: str = "1.3") -> tuple[Address | None, bytes]:
    """The path at the beginning of `octets`, and what follows it: nothing, or a space and parameters.

    None is the null path `<>`; the bare `<postmaster>` has an empty domain. `utf8` says whether SMTPUTF8 is spoken;
    `status` is the enhanced status of a syntax error. Raises Refusal.
    """
    plain = _PLAIN.match(octets)
    if plain is not None and plain.end(1) <= LOCAL_PART_OCTETS + 1 and plain.end() <= PATH_OCTETS:
        local, domain = plain.groups()
        return Address(local.decode(), domain.lower().decode()), octets[plain.end() :]
    null = _NULL.match(octets)
    if null is not None:
        return None, octets[null.end() :]
    return _parse_any_path(octets, utf8, status)


def parse_reverse_path(octets: bytes, *, utf8: bool = False) -> tuple[Address | None, bytes]:
    """The argument of `MAIL FROM:`; None for `<>` (RFC 5321 §4.1.1.2). Raises Refusal."""
    path, rest = parse_path(octets, utf8=utf8, status="1.7")
    if path is not None and not path.domain:
        raise _bad("1.7", "The sender's address has no domain", octets)
    return path, rest


def parse_forward_path(octets: bytes, *, utf8: bool = False) -> tuple[Address, bytes]:
    """The argument of `RCPT TO:`; never `<>`, but maybe a bare `<postmaster>` (RFC 5321 §4.1.1.3). Raises Refusal."""
    path, rest = parse_path(octets, utf8=utf8)
    if path is None:
        raise _bad("1.3", "A recipient cannot be empty", octets)
    return path, rest


def parse_address(text: str) -> Address:
    """A mailbox as people and our own files write it: `alice@a.example`. Raises Refusal."""
    path, rest = parse_path(f"<{text}>".encode(errors="surrogatepass"), utf8=True)
    if path is None or rest or not path.domain or text.startswith("@"):
        raise _bad("1.3", "This is not a mail address", text)
    return path


def parse_domain(text: str) -> str:
    """A domain in lower-case A-labels (IDNA 2008), or a normal address literal. Raises Refusal."""
    if text.startswith("["):
        return _address_literal(text)
    domain = text
    if not text.isascii() and len(text) <= DOMAIN_OCTETS:
        import idna

        try:
            domain = idna.encode(text, uts46=True).decode()
        except idna.IDNAError as error:
            raise _bad("1.2", "This domain name cannot exist", text) from error
    if len(domain) > DOMAIN_OCTETS or not _DOMAIN.fullmatch(domain):
        raise _bad("1.2", "This domain name cannot exist", text)
    return domain.lower()


def _parse_any_path(octets: bytes, utf8: bool, status: str) -> tuple[Address, bytes]:
    """Everything the plain form does not cover."""
    # deviates: RFC 5321 §3.3 allows no space between colon and path; old clients put one, and it harms nobody.
    try:
        text = octets.decode()
    except UnicodeDecodeError as error:
        raise _bad(status, "The address is neither ASCII nor UTF-8", octets) from error
    found = _compiled(_PATH).match(text)
    if found is None:
        raise _bad(status, "The address is not written as RFC 5321 wants it", octets)
    if not utf8 and not found.group().isascii():
        raise _bad("6.7", "An address outside ASCII needs SMTPUTF8", octets)
    local = found["local"]
    if len(local.encode()) > LOCAL_PART_OCTETS:
        raise _bad(status, f"The part before the @ is longer than {LOCAL_PART_OCTETS} octets", octets)
    if found["domain"] is None:
        if local.lower() != "postmaster":
            raise _bad(status, "The address has no domain", octets)
        domain = ""
    else:
        try:
            domain = parse_domain(found["domain"])
        except Refusal as refusal:
            raise _bad("1.8" if status == "1.7" else "1.2", refusal.public, octets) from refusal
    address = Address(local, domain)
    if len(str(address).encode()) + 2 > PATH_OCTETS:
        raise _bad(status, f"The address is longer than {PATH_OCTETS} octets", octets)
    return address, text[found.end() :].encode()


def _address_literal(text: str) -> str:
    """`[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 §4.1.3)."""
    inside = text[1:-1]
    try:
        if inside[:5].lower() == "ipv6:":
            return f"[IPv6:{IPv6Address(inside[5:])}]"
        return f"[{IPv4Address(inside)}]"
    except AddressValueError as error:
        raise _bad("1.2", "The address literal is not an IP address", text) from error


def _bad(status: str, public: str, what: object) -> Refusal:
    return Refusal(permanent=True, status=status, public=public, because=f"got {what!r:.300}")
