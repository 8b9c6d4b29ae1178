"""What a server shows of itself, and to whom (RFC 8314).

It may have several certificates, and shows the one that is for the name which the client says (SNI, RFC 6066 §3). What
a certificate is for stands in it, and so in no setting.

Session tickets are on; clients that come back every minute resume. A connection gets one ticket, and with it the next
one: who calls by several at once is rare here, and a ticket costs 40 µs.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from postoffice.errors import UsageError
from postoffice.net.tls import CONFIG_STATUS, ServerContext, end_point_of, show, trust

_TLS12_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"


@dataclass(frozen=True, slots=True)
class Pair:
    """A chain, PEM, its own certificate first, and the private key of that."""

    certificate: Path
    key: Path


def server_context(
    certificate: Path, key: Path, clients: Path | None = None, more: Sequence[Pair] = ()
) -> ServerContext:
    """For a server that shows this chain, or one of `more` to who says a name in it. A UsageError names a file that is
    wrong.

    With `clients`, authorities in PEM, it asks clients for a certificate by one of them; who has none is welcome too.
    """
    context = _context(Pair(certificate, key), clients)
    others = [_context_for_names(pair, clients) for pair in more]
    if others:
        _choose_by_name(context, context, others)
    return context


def reload(
    context: ssl.SSLContext, certificate: Path, key: Path, clients: Path | None = None, more: Sequence[Pair] = ()
) -> None:
    """From the next handshake on, `context` shows other chains. If a file is wrong nothing changes: UsageError.

    Loading into the context itself would leave it with half a pair on an error, and with two certificates where the
    kind of key changed. So it hands its handshakes over to fresh ones; the tickets it gave stay good.
    """
    fresh = _context(Pair(certificate, key), clients)
    others = [_context_for_names(pair, clients) for pair in more]
    for one in (fresh, *others):
        one.is_second = True
    _choose_by_name(context, fresh, others)


def _context(pair: Pair, clients: Path | None) -> ServerContext:
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS12_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 1
    show(context, pair.certificate, pair.key)
    first = ssl.PEM_cert_to_DER_cert(_first_certificate(pair.certificate))
    context.end_point = end_point_of(first)
    context.names = _names(first)
    if clients is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        trust(context, clients)
    return context


def _context_for_names(pair: Pair, clients: Path | None) -> ServerContext:
    context = _context(pair, clients)
    if not context.names:
        sentence = f"{pair.certificate}: there is no name in it (subjectAltName), so nobody would be shown it"
        raise UsageError(sentence, CONFIG_STATUS)
    return context


def _choose_by_name(door: ssl.SSLContext, usual: ServerContext, others: Sequence[ServerContext]) -> None:
    """Handshakes that begin with `door` go on with the first of `others` for the name said, else with `usual`."""
    by_name: dict[str, ServerContext] = {}
    for context in others:
        for known in context.names:
            by_name.setdefault(known, context)
    for context in (usual, *others):
        context.is_one_of_several = bool(others)

    def hand_over(connection: ssl.SSLObject, name: str | None, asked: ssl.SSLContext) -> None:
        said = (name or "").lower()
        # A wildcard is for one label (RFC 9525 §6.3); the name itself goes before.
        connection.context = by_name.get(said) or by_name.get(f"*.{said.partition('.')[2]}") or usual

    door.sni_callback = hand_over


def _names(certificate: bytes) -> frozenset[str]:
    """The hosts and addresses of a certificate, in lower case."""
    from cryptography import x509

    try:
        found = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except (ValueError, x509.ExtensionNotFound):
        return frozenset()
    hosts = [name.lower() for name in found.value.get_values_for_type(x509.DNSName)]
    return frozenset((*hosts, *map(str, found.value.get_values_for_type(x509.IPAddress))))


def _first_certificate(chain: Path) -> str:
    begin, end = ssl.PEM_HEADER, ssl.PEM_FOOTER
    _, _, rest = chain.read_text("ascii", "replace").partition(begin)
    return f"{begin}{rest.partition(end)[0]}{end}"
