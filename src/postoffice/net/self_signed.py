"""The certificate that an office makes for itself until it has a better one: P-256, for names and addresses."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from postoffice.clock import Clock, system_clock

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

SELF_SIGNED_DAYS = 3650


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
