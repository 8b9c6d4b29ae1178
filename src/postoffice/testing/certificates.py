"""A certificate authority to be thrown away: whoever trusts `ca_path` trusts what it issued."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from postoffice.clock import Clock, system_clock
from postoffice.net.self_signed import server_certificate, write_pair

DAYS = 30


class Authority:
    """Its certificate lies in `directory`; without one, in a folder of its own that goes when it goes."""

    def __init__(self, directory: Path | None = None, clock: Clock = system_clock) -> None:
        if directory is None:
            directory = Path(tempfile.mkdtemp(prefix="postoffice-authority-"))
            weakref.finalize(self, shutil.rmtree, directory, ignore_errors=True)
        self._clock = clock
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._sign_itself()
        self.ca_path = directory / "authority.pem"
        self.ca_path.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, names: Sequence[str], directory: Path) -> tuple[Path, Path]:
        """A certificate for names and IP addresses, and its key: the paths of both, in `directory`."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = self._certificate.subject
        builder = server_certificate(list(names), key.public_key(), self._clock(), DAYS, name)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = builder.add_extension(issuer, critical=False).sign(self._key, hashes.SHA256())
        return write_pair(directory, certificate, key)

    def issue_to(self, addresses: Sequence[str], directory: Path, *, ends: float = DAYS) -> tuple[Path, Path]:
        """The same for a person with mail addresses; good for so many days."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.fromtimestamp(self._clock(), UTC)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A person")])
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=ends))
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        )
        if addresses:
            names = x509.SubjectAlternativeName([_mailbox(address) for address in addresses])
            builder = builder.add_extension(names, critical=False)
        return write_pair(directory, builder.sign(self._key, hashes.SHA256()), key)

    def _sign_itself(self) -> x509.Certificate:
        begin = datetime.fromtimestamp(self._clock(), UTC) - timedelta(days=1)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority to be thrown away")])
        public = self._key.public_key()
        usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + timedelta(days=DAYS + 1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, hashes.SHA256())
        )


def _mailbox(address: str) -> x509.GeneralName:
    """An rfc822Name, or a SmtpUTF8Mailbox (RFC 9598) where it is not ASCII."""
    if address.isascii():
        return x509.RFC822Name(address)
    octets = address.encode()
    return x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), bytes((0x0C, len(octets))) + octets)
