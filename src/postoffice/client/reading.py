"""A letter as a person reads it: some header fields, the text, and what is attached (RFC 5322, RFC 2045-2049).

Letters are written by anybody, so anything may be in them: what the standard library cannot take apart is shown as
it is, and nothing is shown that could steer a terminal. Only the beginning of a huge letter is looked at.
"""

from __future__ import annotations

import email
import re
from dataclasses import dataclass
from email.message import Message
from html import unescape
from typing import Final

from postoffice.message import header
from postoffice.message.content import HEAD_OCTETS

LOOK_OCTETS: Final = 8 * 1024 * 1024
"""How much of a letter is taken apart; what lies behind it is shown by `read --raw` alone."""

SHOWN_FIELDS: Final = (b"From", b"To", b"Cc", b"Date", b"Subject")

NAME_CHARACTERS: Final = 200

_PARTS: Final = 1000
_HIDDEN: Final = frozenset({"script", "style", "head", "title"})
_BREAKS: Final = frozenset({"br", "p", "div", "tr", "li", "h1", "h2", "h3", "h4", "h5", "h6"})
_TAG_NAME: Final = re.compile(r"/?([a-z][a-z0-9]*)")


@dataclass(frozen=True, slots=True)
class Attachment:
    """`octets` is its size as a file."""

    name: str
    kind: str
    octets: int


@dataclass(frozen=True, slots=True)
class View:
    """Text that is safe to print. `is_raw`: the letter could not be taken apart, and `text` is all of it."""

    fields: tuple[tuple[str, str], ...]
    text: str
    attachments: tuple[Attachment, ...] = ()
    is_raw: bool = False


def view(octets: bytes) -> View:
    """A letter, or its first `LOOK_OCTETS`, for a person. Never raises."""
    head = octets[:HEAD_OCTETS]
    shown = [(name.decode(), header.decoded(head, name)) for name in SHOWN_FIELDS]
    fields = tuple((name, value) for name, value in shown if value)
    try:
        text, attachments = _taken_apart(octets)
    except Exception:
        # Whatever a hostile letter breaks in the parser (nesting, charsets, sizes), its reader still sees it.
        return View(fields, _safe_lines(octets.decode("utf-8", "replace")), is_raw=True)
    return View(fields, _safe_lines(text), tuple(attachments))


def _taken_apart(octets: bytes) -> tuple[str, list[Attachment]]:
    """The text of a letter, and the parts that are not its text."""
    plain: list[str] = []
    html: list[str] = []
    attachments: list[Attachment] = []
    for part in _leaves(email.message_from_bytes(octets)):
        kind = part.get_content_type()
        name = part.get_filename()
        is_attached = part.get_content_disposition() == "attachment" or name is not None
        if kind == "text/plain" and not is_attached:
            plain.append(_text(part))
        elif kind == "text/html" and not is_attached:
            html.append(_text(part))
        else:
            shown = header.safe(header.decode_words((name or "without a name")[:NAME_CHARACTERS]))
            attachments.append(Attachment(shown, header.safe(kind), len(_octets(part))))
    return "\n".join(plain or map(without_tags, html)), attachments


def _leaves(letter: Message) -> list[Message]:
    """Every part that holds no parts, in order, without going down by recursion."""
    leaves: list[Message] = []
    waiting = [letter]
    while waiting and len(leaves) < _PARTS:
        part = waiting.pop()
        if part.is_multipart():
            inner = part.get_payload()
            assert isinstance(inner, list)
            waiting.extend(one for one in reversed(inner) if isinstance(one, Message))
        else:
            leaves.append(part)
    return leaves


def _octets(part: Message) -> bytes:
    """A leaf's content without its transfer encoding."""
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _text(part: Message) -> str:
    """A text part by its charset, whatever that is called."""
    return header.text_of(_octets(part), str(part.get_content_charset() or "utf-8"))


def without_tags(html: str) -> str:
    """What is written in HTML, roughly: for letters that bring no plain text. Takes linear time for any input."""
    first, *pieces = html.split("<")
    shown = [first]
    hidden = ""  # the tag, or the comment, inside of which nothing is shown
    for piece in pieces:
        tag, _, text = piece.partition(">")
        found = _TAG_NAME.match(tag[:16].lower())
        name = found[1] if found else ""
        if hidden:
            if hidden == "!--" and "-->" in piece:
                hidden, name, text = "", "", piece.partition("-->")[2]
            elif tag.startswith("/") and name == hidden:
                hidden = ""
            else:
                continue
        elif tag.startswith("!--"):
            hidden, text = ("", piece.partition("-->")[2]) if "-->" in piece else ("!--", "")
        elif name in _HIDDEN and not tag.startswith("/"):
            hidden, text = name, ""
        elif not name and not tag.startswith("!"):
            text = f"<{piece}"
        shown.append("\n" + text if name in _BREAKS else text)
    lines = (" ".join(line.split()) for line in unescape("".join(shown)).splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def _safe_lines(text: str) -> str:
    return "\n".join(header.safe(line) for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
