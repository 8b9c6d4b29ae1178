"""HTML as text: paragraphs, lists, quotes, tables, links by numbers, pictures by the words that stand for them.

Nothing is fetched. Lines are as long as their paragraphs; whoever shows them breaks them. What is hidden from who looks
at it in a browser is not shown either.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from postoffice.message.mime import suspicion, words
from postoffice.message.mime.tags import HIDDEN, INK, LINK, PAPER, TAGS, WORDS, tame

LINKS: Final = 1000
LABEL_CHARACTERS: Final = 1000
"""How much of the text of a link is compared with where it leads."""

CELL_CHARACTERS: Final = 40
ROW_CHARACTERS: Final = 100
"""A table is set in columns if its rows are no wider, else cell by cell."""

QUOTES: Final = 20
"""How deep quotes and lists are indented."""

_BLANKS: Final = re.compile(r"[ \t\r\n\f]+")
_INVISIBLE: Final = re.compile("[\u200b\ufeff\u00ad\u034f\u2060-\u2064\U000e0000-\U000e007f]")
_FILLING: Final = re.compile("(?:[\u200c\u200d\u2007][ \xa0]*){2,}|[\u200c\u200d](?=[ \xa0]|$)")
_MANY_LINES: Final = re.compile(r"\n[ \t]*(?:\n[ \t]*)+\n")

_SPACED: Final = words("p h1 h2 h3 h4 h5 h6 blockquote ul ol dl table pre figure hr")
"""With an empty line before and behind."""

_LINES: Final = words(
    "address article aside caption center dd div dt fieldset figcaption footer form header li main nav section tr"
)
_BLOCKS: Final = _SPACED | _LINES | words("br dd q td th li blockquote")
"""What ends a word."""


@dataclass(frozen=True, slots=True)
class Link:
    """`number` stands behind its text in the letter; `address` is whole. `warnings` are sentences."""

    number: int
    text: str
    address: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rendering:
    text: str
    links: tuple[Link, ...] = ()
    warnings: tuple[str, ...] = ()


def render(html: str, first_number: int = 1, tags: int = TAGS) -> Rendering:
    """The text of HTML, whose links are numbered from `first_number` to `LINKS`, and whose first so many tags count."""
    tree = LexborHTMLParser(tame(html, tags))
    work = _Work(first_number)
    if tree.body is not None:
        work.walk(tree.body)
    return Rendering(work.text(), tuple(work.links), tuple(work.warnings))


@dataclass(slots=True)
class _Box:
    """Text that is set. `lines` are done; `inline` is the paragraph that goes on."""

    lines: list[str] = field(default_factory=list)
    inline: list[str] = field(default_factory=list)
    gap: int = 0
    count: int | None = None  # of a numbered list

    def flush(self, gap: int, *, is_kept: bool = False) -> None:
        """The paragraph ends; so many line feeds at least before the next one."""
        text = "".join(self.inline)
        self.inline.clear()
        lines = _kept(text) if is_kept else _set(text)
        if lines:
            if self.lines and self.gap > 1:
                self.lines.append("")
            self.lines += lines
            self.gap = 0
        elif "\n" in text:
            self.gap = 2  # a block that holds a line break alone is an empty line
        self.gap = max(self.gap, gap)

    def put(self, lines: list[str], gap: int) -> None:
        self.flush(gap)
        if lines:
            if self.lines and self.gap > 1:
                self.lines.append("")
            self.lines += lines
            self.gap = gap

    def refer(self, mark: str) -> None:
        """Puts a mark behind the last word, also where its paragraph has ended."""
        if self.lines and not any(piece.strip() for piece in reversed(self.inline)):
            self.lines[-1] += mark
        else:
            self.inline.append(mark)

    def whole(self) -> list[str]:
        self.flush(0)
        return self.lines


def _kept(text: str) -> list[str]:
    """Text whose blanks and lines are its writer's."""
    return text.strip("\r\n").expandtabs().split("\n") if text.strip() else []


def _set(text: str) -> list[str]:
    """A paragraph, in which line feeds are those that were asked for."""
    lines = [" ".join(_FILLING.sub(" ", line).replace("\xa0", " ").split()) for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    while lines and not lines[0]:
        lines.pop(0)
    return lines


@dataclass(slots=True)
class _Anchor:
    """A link that has begun. It may hold whole paragraphs and tables, so it gathers its text itself."""

    address: str
    label: list[str] = field(default_factory=list)
    has_words: bool = False


@dataclass(slots=True)
class _Table:
    rows: list[list[list[str]]] = field(default_factory=list)


class _Work:
    """Goes through a tree without recursion."""

    def __init__(self, first_number: int) -> None:
        self._boxes = [_Box()]
        self._tables: list[_Table] = []
        self._anchors: list[_Anchor] = []
        self._numbers: dict[str, int] = {}
        self._first_number = first_number
        self._ink, self._paper = "", ""
        self._pre = 0
        self._quotes = 0
        self._lists = 0
        self.links: list[Link] = []
        self.warnings: list[str] = []

    def text(self) -> str:
        lines = self._boxes[0].whole()
        return _MANY_LINES.sub("\n\n", "\n".join(line.rstrip() for line in lines)).strip("\n") + "\n"

    def walk(self, root: LexborNode) -> None:
        """Every node below, in order; each element is entered and left."""
        path: list[tuple[LexborNode, str, tuple[str, str]]] = []
        node = root.child
        while True:
            while node is None:
                if not path:
                    return
                around, tag, colours = path.pop()
                self._leave(tag)
                self._ink, self._paper = colours
                node = around.next
            tag = node.tag or ""
            if tag == "-text":
                self._write(node.text_content or "")
                node = node.next
                continue
            attributes = node.attributes
            if tag.startswith(("-", "!")) or HIDDEN in attributes:
                node = node.next
                continue
            colours = (self._ink, self._paper)
            self._ink = attributes.get(INK) or self._ink
            self._paper = attributes.get(PAPER) or self._paper
            self._enter(tag, attributes)
            path.append((node, tag, colours))
            node = node.child

    def _write(self, text: str) -> None:
        if self._pre:
            self._say(text)
            return
        text = _BLANKS.sub(" ", _INVISIBLE.sub("", text))
        if self._ink and self._paper and text.strip(" \xa0") and _is_alike(self._ink, self._paper):
            self._warn("Text in the colour of what is behind it is not shown.")
            return
        self._say(text)

    def _say(self, text: str) -> None:
        self._boxes[-1].inline.append(text)
        if self._anchors:
            anchor = self._anchors[-1]
            anchor.label.append(text)
            anchor.has_words = anchor.has_words or bool(text.strip())

    def _end_word(self, tag: str) -> None:
        if self._anchors and tag in _BLOCKS:
            self._anchors[-1].label.append(" ")

    def _warn(self, sentence: str) -> None:
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    def _enter(self, tag: str, attributes: dict[str, str | None]) -> None:
        self._end_word(tag)
        box = self._boxes[-1]
        match tag:
            case "br":
                box.inline.append("\n")
            case "img":
                words = _BLANKS.sub(" ", attributes.get(WORDS) or "").strip()
                if words:
                    self._say(f"[{words}]")
                elif self._anchors and not self._anchors[-1].has_words:
                    self._say("[picture]")
            case "hr":
                box.flush(2)
                box.put(["-" * 30], 2)
            case "a":
                self._anchors.append(_Anchor(attributes.get(LINK) or ""))
            case "table":
                box.flush(2)
                self._tables.append(_Table())
            case "tr" if self._tables:
                self._tables[-1].rows.append([])
            case "td" | "th" | "li" | "blockquote":
                if tag in ("td", "th") and not self._tables:
                    return
                self._quotes += tag in ("li", "blockquote")
                self._boxes.append(_Box())
            case "ul" | "ol":
                box.flush(1 if self._lists else 2)
                self._lists += 1
                self._boxes.append(_Box(count=0 if tag == "ol" else None))
            case "pre":
                box.flush(2)
                self._pre += 1
            case "dd":
                box.flush(1)
                box.inline.append("  ")
            case "q":
                box.inline.append('"')
            case _ if tag in _SPACED or tag in _LINES:
                box.flush(2 if tag in _SPACED else 1)

    def _leave(self, tag: str) -> None:
        self._end_word(tag)
        box = self._boxes[-1]
        match tag:
            case "a":
                self._end_link()
            case "table" if self._tables:
                lines = _columns(self._tables.pop())
                box.put(lines, 2)
            case "td" | "th" if self._tables and len(self._boxes) > 1:
                self._boxes.pop()
                rows = self._tables[-1].rows
                if not rows:
                    rows.append([])
                rows[-1].append(box.whole())
            case "li" | "blockquote":
                self._boxes.pop()
                self._quotes -= 1
                lines = _indented(box.whole(), self._mark(tag), self._quotes)
                self._boxes[-1].put(lines, 1 if tag == "li" else 2)
            case "ul" | "ol":
                self._boxes.pop()
                self._lists -= 1
                self._boxes[-1].put(box.whole(), 1 if self._lists else 2)
            case "pre":
                self._pre -= 1
                box.flush(2, is_kept=True)
            case "q":
                box.inline.append('"')
            case _ if tag in _SPACED or tag in _LINES:
                box.flush(2 if tag in _SPACED else 1)

    def _mark(self, tag: str) -> tuple[str, str]:
        """What stands before the first line, and before the others."""
        if tag == "blockquote":
            return "> ", "> "
        around = self._boxes[-1]
        if around.count is None:
            return "* ", "  "
        around.count += 1
        mark = f"{around.count}. "
        return mark, " " * len(mark)

    def _end_link(self) -> None:
        if not self._anchors:
            return
        anchor = self._anchors.pop()
        address = "".join(anchor.address.split())
        label = " ".join("".join(anchor.label).split())
        if not address or address.startswith("#") or not label:
            return
        if label in (address, address.removeprefix("mailto:")):
            return
        number = self._numbers.get(address)
        warnings = suspicion.of_link(label[:LABEL_CHARACTERS], address)
        if number is None or warnings:
            if self._first_number + len(self.links) > LINKS:
                self._warn(f"There are more than {LINKS} links; the others are not shown.")
                return
            number = self._first_number + len(self.links)
            self._numbers.setdefault(address, number)
            self.links.append(Link(number, label[:200], anchor.address.strip(), warnings))
        self._boxes[-1].refer(f" [{number}]")


def _indented(lines: list[str], mark: tuple[str, str], depth: int) -> list[str]:
    if depth >= QUOTES:
        return lines
    first, other = mark
    return [(other if index else first) + line for index, line in enumerate(lines)]


def _columns(table: _Table) -> list[str]:
    """A table in columns where its cells are short, else cell by cell."""
    rows = [row for row in table.rows if any(any(cell) for cell in row)]
    wide = max((len(row) for row in rows), default=0)
    is_plain = wide > 1 and all(len(cell) <= 1 for row in rows for cell in row)
    if not is_plain:
        return _cell_by_cell(rows)
    cells = [[cell[0] if cell else "" for cell in row] for row in rows]
    widths = [0] * wide
    for row in cells:
        for index, text in enumerate(row):
            widths[index] = max(widths[index], width(text))
    if len(rows) == 1 or not _are_columns(cells):
        return [line for row in cells for line in _joined([text for text in row if text])]
    if sum(widths) + 2 * wide > ROW_CHARACTERS:
        return _cell_by_cell(rows)
    return [
        "  ".join(text + " " * (widths[index] - width(text)) for index, text in enumerate(row)).rstrip()
        for row in cells
    ]


def _are_columns(cells: list[list[str]]) -> bool:
    """Whether what is in a column belongs together: most rows fill two at least."""
    full = sum(1 for row in cells if sum(1 for text in row if text) > 1)
    return full * 2 > len(cells)


def _joined(texts: list[str]) -> list[str]:
    """The cells of one row beside each other if that is short."""
    line = "  ".join(texts)
    return [line] if len(line) <= ROW_CHARACTERS and len(texts) > 0 else texts


def _cell_by_cell(rows: list[list[list[str]]]) -> list[str]:
    lines: list[str] = []
    for row in rows:
        for cell in row:
            if cell:
                if lines and (len(cell) > 1 or len(lines[-1]) > CELL_CHARACTERS):
                    lines.append("")
                lines += cell
    return lines


def width(text: str) -> int:
    """Columns of a terminal that text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_cells, text))


@lru_cache(maxsize=8192)
def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _is_alike(ink: str, paper: str) -> bool:
    """Whether two colours cannot be told apart."""
    return all(abs(int(ink[at : at + 2], 16) - int(paper[at : at + 2], 16)) <= 12 for at in (0, 2, 4))
