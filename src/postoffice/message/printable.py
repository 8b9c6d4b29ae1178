"""Text of strangers, made fit for people's terminals."""

import re
from typing import Final

_UNSAFE: Final = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
_SPACE: Final = "[\t\r\n]+"


def safe(text: str) -> str:
    """Text in one line, without anything that steers a terminal or the direction of writing."""
    if text.isascii() and text.isprintable():
        return text
    return re.sub(_UNSAFE, "\N{REPLACEMENT CHARACTER}", re.sub(_SPACE, " ", text))
