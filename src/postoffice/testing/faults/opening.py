"""The server of a fault, open at a port of loopback."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from postoffice.net.tls_server import server_context
from postoffice.testing.certificates import Authority
from postoffice.testing.faults.cells import Fault, Tls
from postoffice.testing.faults.logins import TOKEN
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer

HOST = "localhost"
"""What a program is told to call: the name in the certificate."""

_CAPABILITIES = ("TOP", "UIDL", "USER", "PIPELINING")


@dataclass(frozen=True, slots=True)
class Door:
    """Where a program finds the letters: by what name it logs in, and by whose word it trusts the server."""

    peer: Pop3Peer
    port: int
    tls: Tls
    authority: Path
    user: str
    secret: str
    has_token: bool
    """Whether the secret is a token for XOAUTH2."""

    @property
    def is_encrypted(self) -> bool:
        """From the first octet."""
        return self.tls in (Tls.IMPLICIT, Tls.OTHER_NAME)


@contextmanager
def opened(fault: Fault, folder: Path) -> Iterator[Door]:
    """A fresh maildrop with this fault. The authority lies in `folder`; nothing is open when this is left."""
    authority = Authority(folder)
    peer = Pop3Peer(fault.letters(), _CAPABILITIES, session=fault.session)
    context = None
    if fault.tls is not Tls.NONE:
        context = _context(authority, folder, "elsewhere.example" if fault.tls is Tls.OTHER_NAME else HOST)
    if fault.tls is Tls.STLS:
        peer.stls, context = context, None
    with peer.serving(context) as port:
        secret = TOKEN if fault.with_token else PASSWORD
        yield Door(peer, port, fault.tls, authority.ca_path, USER, secret, fault.with_token)


def _context(authority: Authority, folder: Path, name: str) -> ssl.SSLContext:
    return server_context(*authority.issue([name], folder))
