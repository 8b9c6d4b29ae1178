"""A letter as a person reads it: some header fields, the text, links and attachments, and what is wrong with them.

Of a text that comes in several forms one is shown: plain text, but HTML where the plain form says next to nothing.
Letters inside of the letter are shown below it. Letters are written by anybody, so anything may be in them: nothing
raises, and nothing is shown that could steer a terminal or turn the direction of writing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from postoffice.message import header
from postoffice.message.charsets import text_of
from postoffice.message.content import HEAD_OCTETS
from postoffice.message.mime import suspicion, words
from postoffice.message.mime.html import without_tags
from postoffice.message.mime.parts import NESTINGS, PARTS, Allowance, Part, parts
from postoffice.message.mime.tags import HTML_CHARACTERS, TAGS
from postoffice.message.printable import safe

LOOK_OCTETS: Final = 8 * 1024 * 1024
"""How much of a letter is worth giving to `view`; what lies behind it is not shown."""

TEXT_CHARACTERS: Final = 4 * 1024 * 1024
NAME_CHARACTERS: Final = 200
FIELD_CHARACTERS: Final = 2000
SHOWN_FIELDS: Final = (b"From", b"Sender", b"Reply-To", b"To", b"Cc", b"Date", b"Subject")

_STUB_CHARACTERS: Final = 200
"""A plain text so short may only say that there is HTML."""

_TEXTS: Final = words(
    "text/plain text/html text/markdown text/x-patch text/x-diff text/x-markdown text/rfc822-headers text/enriched"
    " message/delivery-status message/disposition-notification message/feedback-report message/partial"
)
_ALTERNATIVE: Final = "multipart/alternative"
_RULE: Final = "-" * 20


@dataclass(frozen=True, slots=True)
class Attachment:
    """`number` counts from 1 and is its name for `save`. `name` is safe to print, `octets` is its size as a file.

    `is_inline`: the text shows it, or it is a picture that the HTML shows. `is_cut`: more of it was not looked at.
    """

    number: int
    name: str
    kind: str
    octets: int
    warnings: tuple[str, ...] = ()
    is_inline: bool = False
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class ShownLink:
    """A link of the HTML form: `[number]` stands behind its `text`; `address` is whole, and safe to print."""

    number: int
    text: str
    address: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """All text is safe to print. Lines of `text` are as long as their paragraphs. `warnings` are about all of it."""

    fields: tuple[tuple[str, str], ...]
    text: str
    attachments: tuple[Attachment, ...] = ()
    links: tuple[ShownLink, ...] = ()
    warnings: tuple[str, ...] = ()


def view(octets: bytes, *, prefers_html: bool = False, is_cut: bool = False) -> View:
    """A letter for a person; `is_cut`: `octets` are only its beginning, about `LOOK_OCTETS`. Never raises."""
    head = octets[:HEAD_OCTETS]
    fields = _fields(head)
    warnings = [safe(one) for value in _values(fields, "From") for one in suspicion.of_sender(value)]
    try:
        found = list(parts(octets))
        work = _Work(found, len(octets) if is_cut else None, prefers_html=prefers_html)
        if len(found) >= PARTS - NESTINGS:
            warnings.append(
                f"It has more parts than anybody writes; those behind the first {len(found)} are not shown."
            )
        work.read()
    except Exception:
        # Whatever a hostile letter breaks, its reader still sees it.
        warnings.append("It could not be taken apart, and is shown as it is.")
        return View(fields, _as_it_is(octets), warnings=tuple(warnings))
    if not work.has_anything:
        return View(fields, _as_it_is(octets), warnings=tuple(warnings))
    return View(
        fields, _safe_lines(work.text()), tuple(work.attachments), tuple(work.links), tuple(warnings + work.warnings)
    )


def attachments(letter: Iterable[Part]) -> list[tuple[int, Part]]:
    """What of a letter's parts is attached, with the numbers that `view` gives."""
    return list(enumerate((part for part in letter if is_listed(part)), 1))


def is_listed(part: Part) -> bool:
    """Whether a part is a file of its own: attached, named, a letter, or nothing that is shown as text."""
    return part.is_attached or part.is_letter or part.kind not in _TEXTS


def shown(letter: Sequence[Part], *, prefers_html: bool = False) -> list[Part]:
    """The parts whose text is shown, in order: of alternatives one each."""
    texts = [part for part in letter if part.kind in _TEXTS and not part.is_letter and not part.is_attached]
    if not texts:
        # The only text may have a name, and is then a file as well.
        texts = [part for part in letter if part.kind in ("text/plain", "text/html")][:1]
        texts = [part for part in texts if part.description.disposition != "attachment"]
    chosen: dict[tuple[int, ...], int] = {}
    for around in sorted({place for part in texts for place in _alternatives(part)}, key=len):
        branches = [part for part in texts if part.place[: len(around)] == around]
        best = _best(branches, prefers_html=prefers_html)
        chosen[around] = best.place[len(around)]
    return [part for part in texts if all(part.place[len(around)] == chosen[around] for around in _alternatives(part))]


def _alternatives(part: Part) -> list[tuple[int, ...]]:
    return [part.place[:level] for level, kind in enumerate(part.within) if kind == _ALTERNATIVE]


def _best(branches: Sequence[Part], *, prefers_html: bool) -> Part:
    """One part of the branch that is shown."""
    html = next((part for part in branches if part.kind == "text/html" and part.text(HTML_CHARACTERS).strip()), None)
    plain = next((part for part in branches if part.kind != "text/html" and part.text(TEXT_CHARACTERS).strip()), None)
    if html is None or plain is None:
        return html or plain or branches[0]
    if prefers_html:
        return html
    size = len(plain.text(TEXT_CHARACTERS).strip())
    is_stub = size < _STUB_CHARACTERS
    if is_stub and len(without_tags(html.text(HTML_CHARACTERS))) > 5 * size + _STUB_CHARACTERS:
        return html
    return plain


class _Work:
    def __init__(self, letter: Sequence[Part], cut_at: int | None, *, prefers_html: bool) -> None:
        self._letter = letter
        self._cut_at = cut_at
        self._shown = shown(letter, prefers_html=prefers_html)
        self._room = TEXT_CHARACTERS
        self._html_room = HTML_CHARACTERS
        self._tags = TAGS
        self._heads = Allowance()
        self._pieces: list[str] = []
        self._pictures: set[str] = set()
        self.attachments: list[Attachment] = []
        self.links: list[ShownLink] = []
        self.warnings: list[str] = []

    @property
    def has_anything(self) -> bool:
        return bool(self._pieces or self.attachments or self.warnings)

    def text(self) -> str:
        return "\n".join(piece.rstrip("\n") + "\n" for piece in self._pieces if piece.strip())

    def read(self) -> None:
        shown_places = {part.place for part in self._shown}
        number = 0
        for part in self._letter:
            if part.place in shown_places:
                self._show(part)
            head = self._heads.of(part.beginning(HEAD_OCTETS)) if part.is_letter and part.place else b""
            if is_listed(part):
                number += 1
                name = part.name or header.decoded(head, b"Subject")
                self._list(number, name, part, is_shown=part.place in shown_places)
            if part.is_letter and part.place:
                self._announce(head)
        if any(len(part.place) > 0 and part.kind.startswith("multipart/") for part in self._letter):
            self.warnings.append("It is nested deeper than anybody writes; what lies deeper is attached as it is.")

    def _show(self, part: Part) -> None:
        text = part.text(4 * max(self._room, 0))[: max(self._room, 0)]
        if self._room > 0 >= self._room - len(text):
            self._warn(f"Only the first {TEXT_CHARACTERS} characters are shown.")
        self._room -= len(text)
        if part.kind == "text/html":
            from postoffice.message.mime.rendering import render

            text = self._html(text)
            rendering = render(text, len(self.links) + 1, self._tags)
            self._tags = max(self._tags - text.count("<"), 0)
            self.links += [
                ShownLink(one.number, safe(one.text), safe(one.address), tuple(map(safe, one.warnings)))
                for one in rendering.links
            ]
            for sentence in rendering.warnings:
                self._warn(sentence)
            self._pictures.update(re.findall(r"(?i)cid:([^\s\"'>]{1,200})", text))
            text = rendering.text
            if not text.strip():
                self._warn("Its HTML has no words; there may be pictures, which are not fetched.")
        if text.strip():
            self._pieces.append(text)

    def _html(self, text: str) -> str:
        """As much of HTML as is looked at."""
        if len(text) > self._html_room:
            self._warn(f"Of its HTML only the first {HTML_CHARACTERS} characters are shown.")
        text = text[: self._html_room]
        if text.count("<") > self._tags:
            self._warn(f"Of its HTML only the first {TAGS} tags are looked at.")
        self._html_room -= len(text)
        return text

    def _warn(self, sentence: str) -> None:
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    def _list(self, number: int, name: str, part: Part, *, is_shown: bool) -> None:
        content = part.content()
        warnings = suspicion.of_file(part.name, part.kind, content[: suspicion.LOOK_OCTETS])
        self.attachments.append(
            Attachment(
                number,
                safe(_name_for_people(name) or "without a name"),
                safe(part.kind[:NAME_CHARACTERS]),
                len(content),
                tuple(map(safe, warnings)),
                is_shown or (bool(part.content_id) and part.content_id in self._pictures),
                part.end == self._cut_at,
            )
        )

    def _announce(self, head: bytes) -> None:
        """The fields of a letter inside of the letter."""
        self._pieces.append("\n".join([_RULE, *(f"{name}: {value}" for name, value in _fields(head))]))


def _fields(head: bytes) -> tuple[tuple[str, str], ...]:
    """Those that are shown. Who sent it for somebody, and where answers go, only if that is another one."""
    found = [(name.decode(), _shortened(header.decoded(head, name))) for name in SHOWN_FIELDS]
    sender = next((value for name, value in found if name == "From"), "")
    return tuple(
        (name, value) for name, value in found if value and not (name in ("Sender", "Reply-To") and value == sender)
    )


def _shortened(value: str) -> str:
    return value if len(value) <= FIELD_CHARACTERS else value[:FIELD_CHARACTERS] + " …"


def _name_for_people(name: str) -> str:
    """The name of a file; of a long one the middle is left out, for its ending counts."""
    half = NAME_CHARACTERS // 2
    return name if len(name) <= NAME_CHARACTERS else f"{name[:half]} … {name[-half:]}"


def _as_it_is(octets: bytes) -> str:
    return _safe_lines(text_of(header.behind(octets)[:TEXT_CHARACTERS], ""))


def _values(fields: Iterable[tuple[str, str]], wanted: str) -> list[str]:
    return [value for name, value in fields if name == wanted]


def _safe_lines(text: str) -> str:
    return "\n".join(safe(line) for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))
