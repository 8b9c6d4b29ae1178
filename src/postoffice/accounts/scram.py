"""What is kept for SCRAM: lines of a verifier beside its first one, in the form of RFC 5803.

    $scram-sha-256$32768:SALT$STORED-KEY:SERVER-KEY

They are weaker at rest than argon2id, since PBKDF2 is cheap to try: so they are made for passwords that we made
ourselves, and for a person's own only if that is asked for. The salt follows from the office's secret and the
account's name. So all passwords of an account have the same one, which SCRAM must tell before it knows which was
meant; and a name that nobody has gets one that looks no different and stays the same (RFC 5802 §9).
"""

from __future__ import annotations

import base64
import hmac
import secrets
from typing import Final

from postoffice.protocols.sasl.scram import Verifier, make_verifier

SCHEMES: Final = ("SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512")
ITERATIONS: Final = 32_768
"""About 15 ms of the client's time; the server pays nothing at login. The same for everybody, or it would tell."""


def marker(scheme: str) -> str:
    """`$name$`, as it stands at the beginning of a line."""
    return f"${scheme.lower()}$"


def scram_lines(password: str, address: str, secret: bytes) -> list[str]:
    """One line for each scheme. ValueError: SASLprep forbids the password, which is in NFC. Costs 100 ms."""
    lines = []
    for scheme in SCHEMES:
        made = make_verifier(scheme, password, _salt(scheme, address, secret), ITERATIONS)
        keys = f"{_text(made.stored_key)}:{_text(made.server_key)}"
        lines.append(f"{marker(scheme)}{made.iterations}:{_text(made.salt)}${keys}")
    return lines


def find(credential: str, scheme: str) -> Verifier | None:
    """The verifier of a scheme, if a credential has one."""
    begin = marker(scheme)
    for line in credential.split("\n"):
        if line.startswith(begin):
            cost, _, keys = line.removeprefix(begin).partition("$")
            iterations, _, salt = cost.partition(":")
            stored, _, server = keys.partition(":")
            return Verifier(_octets(salt), int(iterations), _octets(stored), _octets(server))
    return None


def nobody(scheme: str, name: str, secret: bytes) -> Verifier:
    """The verifier of a password that nobody knows."""
    octets = {"SCRAM-SHA-1": 20, "SCRAM-SHA-256": 32, "SCRAM-SHA-512": 64}[scheme]
    salt = _salt(scheme, name, secret)
    return Verifier(salt, ITERATIONS, secrets.token_bytes(octets), secrets.token_bytes(octets))


def _salt(scheme: str, name: str, secret: bytes) -> bytes:
    return hmac.digest(secret, f"salt\0{scheme}\0{name}".encode(), "sha256")[:16]


def _text(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def _octets(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
