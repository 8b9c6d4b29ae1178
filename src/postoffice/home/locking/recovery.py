"""A key that a person keeps on paper: 130 random bits and 10 of a check, in seven groups of four.

The alphabet is Crockford's base 32: no I, L, O, U; what looks alike is read alike, and neither case nor what stands
between the groups matters. The check tells a slip of the pen from a key of something else.

    7WQF-2K9D-XM4T-0RB6-HN3C-YJ8P-51VE
"""

from __future__ import annotations

from hashlib import sha256
from secrets import randbits
from typing import Final

_LETTERS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ALIKE: Final = str.maketrans("OIL", "011", " -\t")
_SYMBOLS: Final = 26
_CHECK_SYMBOLS: Final = 2
_GROUP: Final = 4


def new_recovery_key() -> str:
    """As a person writes it down."""
    number = randbits(5 * _SYMBOLS)
    symbols = "".join(_LETTERS[number >> 5 * at & 31] for at in range(_SYMBOLS))
    symbols += _check(symbols)
    return "-".join(symbols[at : at + _GROUP] for at in range(0, len(symbols), _GROUP))


def looks_like_recovery_key(typed: str) -> bool:
    """As many symbols, and no others, whether or not the check is right."""
    symbols = _symbols(typed)
    return len(symbols) == _SYMBOLS + _CHECK_SYMBOLS and not set(symbols) - set(_LETTERS)


def secret_of(typed: str) -> bytes | None:
    """What opens the slot; None where a symbol is not what was printed."""
    symbols = _symbols(typed)
    if not looks_like_recovery_key(typed) or _check(symbols[:_SYMBOLS]) != symbols[_SYMBOLS:]:
        return None
    return symbols[:_SYMBOLS].encode()


def _symbols(typed: str) -> str:
    return typed.upper().translate(_ALIKE)


def _check(symbols: str) -> str:
    number = int.from_bytes(sha256(b"postoffice recovery" + symbols.encode()).digest()[:2], "big")
    return "".join(_LETTERS[number >> 5 * at & 31] for at in range(_CHECK_SYMBOLS))
