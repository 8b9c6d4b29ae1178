"""What of a letter is looked for: who wrote it to whom, its subject, its text, the names of what is attached.

It is what `read` shows. Whatever a hostile letter breaks, the rest of it is still found, and nothing is raised.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

from postoffice.client.reading import NAME_CHARACTERS, without_tags
from postoffice.home.search.folding import folded
from postoffice.home.search.parts import parts
from postoffice.message import header
from postoffice.message.content import HEAD_OCTETS
from postoffice.store.embedded.index import Document

TEXT_CHARACTERS: Final = 1024 * 1024
"""How much text of a letter is looked for."""

HTML_CHARACTERS: Final = 2 * TEXT_CHARACTERS
"""How much of it is read for that: each tag costs memory, and a letter may be made of them."""


@dataclass(frozen=True, slots=True)
class Extract:
    """Of one letter, as written. `names`: of each thing that is attached, its name and its kind."""

    sender: str
    recipients: str
    copies: str
    subject: str
    text: str
    names: tuple[str, ...]
    date: float | None

    def document(self) -> Document:
        """The same, folded."""
        return Document(
            folded(self.sender),
            folded(self.recipients),
            folded(self.copies),
            folded(self.subject),
            folded("\n".join(self.names)),
            folded(self.text),
            len(self.names),
            self.date,
        )


def extract(letter: bytes) -> Extract:
    """What a letter, or its beginning, says. Never raises."""
    head = letter[:HEAD_OCTETS]
    plain: list[str] = []
    html: list[str] = []
    names: list[str] = []
    try:
        _read_parts(letter, plain, html, names)
    except Exception:
        # A part that the standard library cannot describe; what came before it is there.
        plain = plain or [header.text_of(letter[HEAD_OCTETS:][:HEAD_OCTETS], "utf-8")]
    return Extract(
        header.decoded(head, b"From"),
        header.decoded(head, b"To"),
        header.decoded(head, b"Cc"),
        header.decoded(head, b"Subject"),
        "\n".join(plain or html)[:TEXT_CHARACTERS],
        tuple(names),
        _date(header.decoded(head, b"Date")),
    )


def document(letter: bytes) -> Document:
    """For the index. Never raises."""
    return extract(letter).document()


def _read_parts(letter: bytes, plain: list[str], html: list[str], names: list[str]) -> None:
    room = 4 * TEXT_CHARACTERS  # no character takes more octets
    for part in parts(letter):
        kind = part.kind
        if part.is_attached or kind not in ("text/plain", "text/html"):
            shown = header.decode_words((part.name or "")[:NAME_CHARACTERS])
            names.append(f"{header.safe(shown)} {header.safe(kind)}".strip())
        elif room > 0:
            text = part.text(room)
            room -= len(text)
            plain.append(text) if kind == "text/plain" else html.append(without_tags(text[:HTML_CHARACTERS]))


def _date(written: str) -> float | None:
    try:
        return parsedate_to_datetime(written).timestamp()
    except (ValueError, TypeError, OverflowError, OSError):
        return None
