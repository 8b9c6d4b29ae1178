"""TLS as mail uses it (RFC 8314, RFC 3207): what a client trusts, and what both ends can tell of a connection.

A client insists on knowing the server; the courier encrypts with whoever offers it and believes nobody (opportunistic,
RFC 7435): a certificate that nobody checks must not make a letter travel in clear. A client may instead know the
server's key beforehand (a pin, RFC 7858 §4.2 has the form): then whoever has that key is the server, whatever its
certificate says, and nobody else is.

Nothing below TLS 1.2 (RFC 8996).
"""

from __future__ import annotations

import base64
import hashlib
import os
import ssl
from pathlib import Path
from typing import Final

from postoffice.errors import UsageError

CONFIG_STATUS = getattr(os, "EX_CONFIG", 78)

PIN: Final = "sha256:"
"""How a pin begins; the SHA-256 of a public key (SubjectPublicKeyInfo, DER) follows in base64."""


class ServerContext(ssl.SSLContext):
    """`end_point` is what a login can be bound to: the hash of the certificate that is shown (RFC 5929 §4).

    `names` are those in it. `is_second` where another certificate was shown before, `is_one_of_several` where others
    are shown to who says other names: who resumes a session may mean one of those.
    """

    end_point: bytes = b""
    names: frozenset[str] = frozenset()
    is_second: bool = False
    is_one_of_several: bool = False


class PinnedContext(ssl.SSLContext):
    """A client's that believes who has the key of `pin`. The handshake of anybody else fails, before a word is said."""

    pin: str = ""


def _look_at_key(connection: ssl.SSLObject | ssl.SSLSocket) -> None:
    context = connection.context
    assert isinstance(context, PinnedContext)
    shown = connection.getpeercert(binary_form=True)
    found = pin_of(shown) if shown else "none"
    if found != context.pin:
        problem = ssl.SSLCertVerificationError(f"the key is {found}")
        problem.verify_message = f"its key is {found}, and {context.pin} is expected"
        raise problem


class _PinnedObject(ssl.SSLObject):
    def do_handshake(self) -> None:
        super().do_handshake()
        _look_at_key(self)


class _PinnedSocket(ssl.SSLSocket):
    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        _look_at_key(self)


def pinned_context(pin: str) -> PinnedContext:
    """Trusts who has the key of a pin, whatever its certificate says of names, signers and dates. Raises UsageError."""
    octets = pin.removeprefix(PIN).encode()
    try:
        is_one = pin.startswith(PIN) and len(base64.b64decode(octets, validate=True)) == hashlib.sha256().digest_size
    except ValueError:
        is_one = False
    if not is_one:
        raise UsageError(f"{pin!r} is no pin: one is written {PIN} and 44 characters of base64")
    context = PinnedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.sslobject_class = _PinnedObject
    context.sslsocket_class = _PinnedSocket
    context.pin = pin
    return context


def pin_of(certificate: bytes) -> str:
    """The pin of the key in a certificate (DER); `none` where there is no such thing in it."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "none"
    octets = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PIN + base64.b64encode(hashlib.sha256(octets).digest()).decode()


def client_context(ca: Path | None = None, *, verify: bool = True) -> ssl.SSLContext:
    """What a client trusts: the authorities in `ca`, or those of this system; without `verify`, everybody."""
    if not verify:
        return opportunistic_context()
    context = ssl.create_default_context() if ca is None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is not None:
        trust(context, ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def show(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """From now on this end shows this chain (PEM, its own certificate first), a client where it is asked.

    A UsageError names a file that is wrong.
    """
    for path in (certificate, key):
        try:
            path.read_bytes()
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}", CONFIG_STATUS) from error
    try:
        context.load_cert_chain(certificate, key, password=_no_passphrase)
    except (OSError, ValueError) as error:
        because = error.reason if isinstance(error, ssl.SSLError) and error.reason else str(error)
        sentence = f"{certificate} and {key} are not a certificate and its key: {because}"
        raise UsageError(sentence, CONFIG_STATUS) from error


def trust(context: ssl.SSLContext, authorities: Path) -> None:
    try:
        context.load_verify_locations(authorities)
    except (OSError, ssl.SSLError) as error:
        because = error.strerror or "there is no certificate in it"
        raise UsageError(f"{authorities}: cannot be used as an authority: {because}", CONFIG_STATUS) from error


def opportunistic_context() -> ssl.SSLContext:
    """The courier's: keeps a listener out, and asks nobody who he is (RFC 7435)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def describe(connection: ssl.SSLObject | ssl.SSLSocket) -> tuple[str, str]:
    """Version and cipher, `("TLSv1.3", "TLS_AES_256_GCM_SHA384")`; both empty before the handshake."""
    cipher = connection.cipher()
    return connection.version() or "", cipher[0] if cipher else ""


def end_point(connection: ssl.SSLObject | ssl.SSLSocket) -> bytes:
    """What both ends of a connection can bind a login to (tls-server-end-point); empty where there is nothing."""
    if connection.server_side:
        context = connection.context
        return context.end_point if isinstance(context, ServerContext) and not _is_of_another(connection) else b""
    shown = connection.getpeercert(binary_form=True)
    return end_point_of(shown) if shown else b""


def client_certificate(connection: ssl.SSLObject) -> bytes:
    """What the client showed and an authority of ours has signed (DER); empty where there is none."""
    return b"" if _is_of_before(connection) else connection.getpeercert(binary_form=True) or b""


def _is_of_before(connection: ssl.SSLObject | ssl.SSLSocket) -> bool:
    """Whether it resumes a session that may have begun under other certificates and authorities."""
    context = connection.context
    return isinstance(context, ServerContext) and context.is_second and bool(connection.session_reused)


def _is_of_another(connection: ssl.SSLObject | ssl.SSLSocket) -> bool:
    """Whether it resumes a session in which another certificate may have been shown.

    The ticket does not tell us, and with TLS 1.3 the name that is said now need not be the one that was said then.
    """
    context = connection.context
    is_one = isinstance(context, ServerContext) and (context.is_second or context.is_one_of_several)
    return is_one and bool(connection.session_reused)


def end_point_of(certificate: bytes) -> bytes:
    """RFC 5929 §4.1: by the certificate's own hash, SHA-256 for MD5 and SHA-1; nothing where it has none or several."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        return b""
    if algorithm is None:
        return b""
    name = "sha256" if algorithm.name in ("md5", "sha1") else algorithm.name
    return hashlib.new(name, certificate).digest() if name in hashlib.algorithms_available else b""


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase, and nobody is there to type it")
