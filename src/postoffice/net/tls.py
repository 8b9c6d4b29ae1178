"""TLS as mail uses it, and the certificate an office makes for itself until it has a better one (RFC 8314, RFC 3207).

Three contexts: the server's; that of a client who insists on knowing the server; and the courier's, who encrypts
with whoever offers it and believes nobody (opportunistic, RFC 7435): a certificate that nobody checks must not make
a letter travel in clear.

A server may have several certificates, and shows the one that is for the name which the client says (SNI, RFC 6066
§3). What a certificate is for stands in it, and so in no setting.

A client may instead know the server's key beforehand (a pin, RFC 7858 §4.2 has the form): then whoever has that key is
the server, whatever its certificate says, and nobody else is.

Nothing below TLS 1.2 (RFC 8996). Session tickets are on; clients that come back every minute resume. A connection
gets one ticket, and with it the next one: who calls by several at once is rare here, and a ticket costs 40 µs.
"""

from __future__ import annotations

import base64
import hashlib
import os
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final

from postoffice.clock import Clock, system_clock
from postoffice.errors import UsageError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

CONFIG_STATUS = getattr(os, "EX_CONFIG", 78)
SELF_SIGNED_DAYS = 3650

PIN: Final = "sha256:"
"""How a pin begins; the SHA-256 of a public key (SubjectPublicKeyInfo, DER) follows in base64."""

_TLS12_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"


@dataclass(frozen=True, slots=True)
class Pair:
    """A chain, PEM, its own certificate first, and the private key of that."""

    certificate: Path
    key: Path


class ServerContext(ssl.SSLContext):
    """`end_point` is what a login can be bound to: the hash of the certificate that is shown (RFC 5929 §4).

    `names` are those in it. `is_second` where another certificate was shown before, `is_one_of_several` where others
    are shown to who says other names: who resumes a session may mean one of those.
    """

    end_point: bytes = b""
    names: frozenset[str] = frozenset()
    is_second: bool = False
    is_one_of_several: bool = False


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
    context.end_point = _hash(first)
    context.names = _names(first)
    if clients is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        _trust(context, clients)
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
        _trust(context, ca)
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


def _trust(context: ssl.SSLContext, authorities: Path) -> None:
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
    return _hash(shown) if shown else b""


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


def _hash(certificate: bytes) -> bytes:
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


def make_self_signed(directory: Path, names: Iterable[str], clock: Clock = system_clock) -> tuple[Path, Path]:
    """A P-256 certificate for names and IP addresses, and its key; durable when it returns.

    Gives the paths of both, in `directory`; what was there is replaced. Only the owner may read the key.
    """
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    builder = server_certificate(list(names), key.public_key(), clock(), SELF_SIGNED_DAYS)
    return write_pair(directory, builder.sign(key, hashes.SHA256()), key)


def server_certificate(
    names: list[str], key: ec.EllipticCurvePublicKey, now: float, days: int, issuer: x509.Name | None = None
) -> x509.CertificateBuilder:
    """A server's certificate that only wants a signature: its own, or the issuer's. Valid from yesterday on, since
    clocks differ."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    begin = datetime.fromtimestamp(now, UTC) - timedelta(days=1)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def write_pair(directory: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> tuple[Path, Path]:
    """Put `certificate.pem` and `key.pem` into a folder, each whole or not at all, durably."""
    from cryptography.hazmat.primitives import serialization

    pem = serialization.Encoding.PEM
    key_octets = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    key_path = directory / "key.pem"
    certificate_path = directory / "certificate.pem"
    _write_durably(key_path, key_octets, 0o600)
    _write_durably(certificate_path, certificate.public_bytes(pem), 0o644)
    return certificate_path, key_path


def _write_durably(path: Path, octets: bytes, mode: int) -> None:
    import tempfile

    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode)
            file.write(octets)
            file.flush()
            os.fsync(handle)
        Path(unfinished).replace(path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _general_name(name: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase, and nobody is there to type it")
