"""What of a letter is looked for: who wrote it to whom, its subject, its text, the names of what is attached.

It is what `read` shows. Whatever a hostile letter breaks, the rest of it is still found, and nothing is raised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from postoffice.home.search.folding import folded
from postoffice.message import header
from postoffice.message.charsets import text_of
from postoffice.message.content import HEAD_OCTETS
from postoffice.message.dates import written
from postoffice.message.mime.html import without_tags
from postoffice.message.mime.parts import parts
from postoffice.message.mime.view import NAME_CHARACTERS, is_listed, shown
from postoffice.message.printable import safe
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
    texts: list[str] = []
    names: list[str] = []
    try:
        _read_parts(letter, texts, names)
    except Exception:
        # What came before the part that cannot be described is there.
        texts = texts or [text_of(letter[HEAD_OCTETS:][:HEAD_OCTETS], "")]
    return Extract(
        header.decoded(head, b"From"),
        header.decoded(head, b"To"),
        header.decoded(head, b"Cc"),
        header.decoded(head, b"Subject"),
        "\n".join(texts)[:TEXT_CHARACTERS],
        tuple(names),
        written(head),
    )


def document(letter: bytes) -> Document:
    """For the index. Never raises."""
    return extract(letter).document()


def _read_parts(letter: bytes, texts: list[str], names: list[str]) -> None:
    found = list(parts(letter))
    room = 4 * TEXT_CHARACTERS  # no character takes more octets
    for part in shown(found):
        if room > 0:
            text = part.text(room)
            room -= len(text)
            texts.append(without_tags(text[:HTML_CHARACTERS]) if part.kind == "text/html" else text)
    for part in found:
        if is_listed(part):
            names.append(f"{safe(part.name[:NAME_CHARACTERS])} {safe(part.kind)}".strip())
