"""POP URLs: where a maildrop is and whose it is, never its password (RFC 2384).

    pop://bob@pop.b.example              STLS if the server has it, port 110
    pops://bob@pop.b.example             TLS from the first octet, port 995 (RFC 8314 §3.3)
    pop://bob;AUTH=PLAIN@[::1]:10110     this mechanism and no other; `+APOP` is one too
    pop://bob;AUTH=*@pop.b.example       any, the best first: the same as to say nothing
    pop://pop.b.example                  somebody's, who is asked for his name (§4)

People write an address as the user, `pops://bob@b.example@pop.b.example`: the last `@` is the one before the host.
No error here repeats what was given, because it may hold a password.
"""

import ipaddress
import re
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from postoffice.errors import Refusal, UsageError

PORT: Final = 110
TLS_PORT: Final = 995
ANY_MECHANISM: Final = "*"

_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z]+)://(?:(?P<login>.*)@)?(?P<host>\[[^\]]*\]|[^:@/\[\]]*)(?::(?P<port>[0-9]*))?/?"
)
_AUTH: Final = re.compile(r";auth=", re.IGNORECASE)
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\.?")


class Source(NamedTuple):
    """A maildrop on a server. `mechanism` is a SASL name in upper case, `+APOP`, or `ANY_MECHANISM`; `user` is empty
    where the URL names none."""

    host: str
    port: int
    user: str
    implicit_tls: bool = False
    mechanism: str = ANY_MECHANISM

    @property
    def maildrop(self) -> str:
        """The one name under which a mailbox remembers what it has from here.

        The way to the maildrop is left out of it (TLS, mechanism, either standard port), so that whoever changes to
        `pops:` does not pull everything again.
        """
        port = "" if self.port in (PORT, TLS_PORT) else f":{self.port}"
        return f"pop://{quote(self.user, safe='')}@{_written(self.host)}{port}"

    @property
    def is_on_this_machine(self) -> bool:
        """Whether the way there leaves this machine for nobody to listen to."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_url(url: str) -> Source:
    """The source that a URL names. Raises UsageError."""
    found = _URL.fullmatch(url) if url.isprintable() else None
    if found is None:
        raise UsageError("this is no POP URL; one is written pops://USER@HOST or pop://USER@HOST:PORT")
    scheme, login, host, port = found.group("scheme", "login", "host", "port")
    scheme = scheme.lower()
    if scheme not in ("pop", "pops"):
        raise UsageError(f"a POP URL begins with pop:// or pops://, not with {scheme}://")
    user, *mechanism = _AUTH.split(login or "", maxsplit=1)
    if login and ":" in login:
        raise UsageError("a password has no place in a POP URL (RFC 2384 §3): leave it out, it is asked for")
    return Source(
        host=_host(host),
        port=_port(port) if port else (TLS_PORT if scheme == "pops" else PORT),
        user="" if login is None else _decoded("user name", user),
        implicit_tls=scheme == "pops",
        mechanism=_decoded("mechanism", mechanism[0]).upper() if mechanism else ANY_MECHANISM,
    )


def format_url(source: Source) -> str:
    """The other direction of `parse_url`."""
    port = "" if source.port == (TLS_PORT if source.implicit_tls else PORT) else f":{source.port}"
    mechanism = "" if source.mechanism == ANY_MECHANISM else f";AUTH={quote(source.mechanism, safe='+')}"
    scheme = "pops" if source.implicit_tls else "pop"
    login = f"{quote(source.user, safe='')}{mechanism}@" if source.user else ""
    return f"{scheme}://{login}{_written(source.host)}{port}"


def _decoded(what: str, text: str) -> str:
    """Percent-decoded text that fits into one line of a conversation."""
    octets = unquote_to_bytes(text)
    if _BAD_ESCAPE.search(text):
        raise UsageError(f"the {what} in this POP URL has a % that two hexadecimal digits do not follow")
    if not octets or any(octet < 32 or octet == 127 for octet in octets):
        raise UsageError(f"the {what} in this POP URL is empty or has control characters in it")
    try:
        return octets.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"the {what} in this POP URL is not UTF-8 (RFC 2384 §6)") from error


def _host(text: str) -> str:
    """A name in lower-case A-labels, or an IP address in its one spelling."""
    try:
        if text.startswith("["):
            return str(ipaddress.IPv6Address(text[1:-1]))
        name = text if text.isascii() else _a_labels(text)
    except (ValueError, Refusal) as error:
        raise UsageError("the host in this POP URL is neither a name nor an address") from error
    if not _HOST.fullmatch(name):
        raise UsageError("the host in this POP URL is neither a name nor an address")
    return name.lower()


def _a_labels(name: str) -> str:
    from postoffice.message.address import parse_domain

    return parse_domain(name)


def _port(text: str) -> int:
    port = int(text[:6])
    if not 0 < port < 65536:
        raise UsageError("the port in this POP URL is not between 1 and 65535")
    return port


def _written(host: str) -> str:
    return f"[{host}]" if ":" in host else host
