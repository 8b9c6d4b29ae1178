"""What the post needs to know about a letter without opening it (RFC 5321 §2.3.1).

The envelope is agreed in MAIL and RCPT and is not part of the letter: who gets it is decided here and never by the
header.
"""

from __future__ import annotations

from dataclasses import dataclass

from postoffice.message.address import Address


@dataclass(frozen=True, slots=True)
class Envelope:
    """`reverse_path` None is `<>`: a notice, which is never bounced (RFC 5321 §4.5.5).

    `is_8bit` is BODY=8BITMIME (RFC 6152 §3); `declared_octets` is SIZE, what the sender thinks the letter has
    (RFC 1870 §6), and None where nothing was said.
    """

    reverse_path: Address | None
    recipients: tuple[Address, ...]
    needs_smtputf8: bool = False
    is_8bit: bool = False
    declared_octets: int | None = None

    @property
    def is_notice(self) -> bool:
        return self.reverse_path is None
