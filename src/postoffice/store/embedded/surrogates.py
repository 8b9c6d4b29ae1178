"""What letters measure as surrogates (RFC 6856 §2.1), for those that were kept before that was reckoned at delivery.

SQLite asks for it in the steps that bring older files to the tables of today. A large letter of the office lies in
no row: it is reckoned when its mailbox takes it in.
"""

from __future__ import annotations

from postoffice.message.content import HEAD_OCTETS
from postoffice.protocols.dots import unstuff


def growth_of(prefix: bytes, wire: bytes | None, has_ascii_header: int) -> int | None:
    """By how much a letter grows, from what stands above it and the first chunk of its content, None if not here."""
    if has_ascii_header and prefix.isascii():
        return 0
    if wire is None:
        return None
    # A dot line may be cut in two by the end of the chunk, far behind what is looked at.
    from postoffice.message.surrogate import growth

    return growth((prefix + unstuff(wire))[:HEAD_OCTETS])


FUNCTIONS = (("surrogate_growth", growth_of),)
"""By the names that SQL has for them."""
