"""The page of a letter: its fields, what is wrong with it, its text or its HTML made harmless, what is attached to
it, and the conversation around it.

HTML of a sender's stands in a frame of its own that runs nothing (`sandbox`), cleaned before (`message.mime.html`): two
walls, of which each would do. Pictures that came with the letter are in it as data; no other is shown.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from postoffice.home.archive.order import Order
from postoffice.home.archive.pages import letter_path, link_to, page, shown_date
from postoffice.message.mime.html import clean
from postoffice.message.mime.parts import Part
from postoffice.message.mime.tags import HTML_CHARACTERS
from postoffice.message.mime.view import View, shown
from postoffice.quantities import size

PICTURE_OCTETS: Final = 2 * 1024 * 1024
PICTURES_OCTETS: Final = 8 * 1024 * 1024
CONVERSATION_LETTERS: Final = 50

_PICTURES: Final = frozenset(("image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"))
_FRAME: Final = (
    '<!doctype html><html><head><meta charset="utf-8"><base target="_blank"><meta name="color-scheme" content="light">'
    "<style>body{{margin:1rem;font:1rem/1.5 system-ui,sans-serif;color:#1d2126;background:#fff;overflow-wrap:anywhere}}"
    "img{{max-width:100%;height:auto}}table{{max-width:100%}}pre{{white-space:pre-wrap}}</style></head>"
    "<body>{}</body></html>"
)


@dataclass(frozen=True, slots=True)
class File:
    """Something attached, as it lies in the archive. `path` is from the root."""

    name: str
    kind: str
    octets: int
    path: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """What the page of a letter is made of. `is_cut`: only its beginning is shown."""

    number: int
    folder: str
    folder_path: str
    view: View
    html: str
    files: Sequence[File]
    original: str
    is_cut: bool


def html_of(parts: Sequence[Part]) -> str:
    """The HTML that a letter is shown by, harmless; empty if it has none."""
    texts = [part for part in shown(parts, prefers_html=True) if part.kind == "text/html"]
    if not texts:
        return ""
    shown_by = pictures(parts)
    return "<hr>".join(clean(part.text(4 * HTML_CHARACTERS), shown_by) for part in texts)


def pictures(parts: Iterable[Part]) -> dict[str, str]:
    """Those that came with the letter, as data, by their Content-ID."""
    found: dict[str, str] = {}
    room = PICTURES_OCTETS
    for part in parts:
        if part.content_id and part.kind in _PICTURES and part.end - part.begin < 2 * PICTURE_OCTETS:
            octets = part.content()
            if len(octets) <= min(PICTURE_OCTETS, room):
                room -= len(octets)
                found[part.content_id] = f"data:{part.kind};base64,{base64.b64encode(octets).decode()}"
    return found


def letter_page(title: str, one: Page, order: Order) -> bytes:
    """The whole page."""
    fact = order[one.number]
    root = "../../"
    body = f"""<header class="top">
<nav aria-label="Where this is"><ul>
<li><a href="{root}index.html" dir="auto">{escape(title)}</a></li>
<li><a href="{root}{link_to(f"{one.folder_path}/date-1.html")}" dir="auto">{escape(one.folder)}</a></li>
</ul></nav>
{_neighbours(one, order)}</header>
<main id="main">
<h1 dir="auto">{escape(fact.subject)}</h1>
{_fields(one, order)}
{_warnings(one.view.warnings)}{_flagged_links(one.view)}{_text(one)}
{_files(one.files, root)}<p class="soft"><a href="{root}{link_to(one.original)}" download>The letter itself</a> (.eml,
 {size(fact.octets)})</p>
{_conversation(one, order)}</main>
"""
    scripts = ("letter.js",) if one.html else ()
    return page(f"{fact.subject} - {title}", body, root=root, is_letter=True, scripts=scripts)


def _fields(one: Page, order: Order) -> str:
    rows = [(name, value) for name, value in one.view.fields if name not in ("Subject", "Date")]
    rows.append(("Date", shown_date(order[one.number].date)))
    inner = "\n".join(f'<dt>{escape(name)}</dt><dd dir="auto">{escape(value)}</dd>' for name, value in rows)
    return f'<dl class="fields">\n{inner}\n</dl>'


def _warnings(sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    inner = "\n".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f'<ul class="warnings" aria-label="Warnings">\n{inner}\n</ul>\n'


def _flagged_links(view: View) -> str:
    flagged = [link for link in view.links if link.warnings]
    return _warnings([f"{' '.join(link.warnings).rstrip('.')}: {link.address}" for link in flagged])


def _text(one: Page) -> str:
    cut = '<p class="soft">Only the beginning is shown here; the letter itself has all of it.</p>' if one.is_cut else ""
    links = "\n".join(f"<li>[{link.number}] {escape(link.address)}</li>" for link in one.view.links)
    listed = f'<ul class="soft links" aria-label="Addresses of links">\n{links}\n</ul>\n' if links else ""
    plain = f'<pre class="text" dir="auto">{escape(one.view.text)}</pre>\n{listed}'
    if not one.html:
        return f'<article class="sheet">\n{plain}</article>\n{cut}'
    frame = escape(_FRAME.format(one.html))
    sandbox = "allow-same-origin allow-popups allow-popups-to-escape-sandbox"
    return f"""<iframe class="html" title="The letter" sandbox="{sandbox}" referrerpolicy="no-referrer"
 srcdoc="{frame}"></iframe>
{cut}<details><summary>As text, with the addresses of its links</summary>
<div class="sheet">
{plain}</div></details>"""


def _files(files: Sequence[File], root: str) -> str:
    if not files:
        return ""
    inner = "\n".join(
        f'<li><a href="{root}{link_to(file.path)}" download dir="auto">{escape(file.name)}</a>'
        f' <span class="soft">{escape(file.kind)}, {size(file.octets)}</span>{_warnings(file.warnings)}</li>'
        for file in files
    )
    return (
        f'<section aria-labelledby="files"><h2 id="files">Attached</h2>\n<ul class="files">\n{inner}\n</ul></section>\n'
    )


def _neighbours(one: Page, order: Order) -> str:
    """The letters before and after it, in time, of the whole archive."""
    names = (("Older", one.number - 1), ("Newer", one.number + 1))
    links = "\n".join(
        f'<li><a href="../../{letter_path(number)}">{name}</a></li>'
        for name, number in names
        if 0 < number <= len(order)
    )
    return f'<nav aria-label="Letters beside it"><ul>\n{links}\n</ul></nav>\n' if links else ""


def _conversation(one: Page, order: Order) -> str:
    letters = order.conversation(one.number)
    if not letters:
        return ""
    at = next(index for index, row in enumerate(letters) if row.key == one.number)
    first = max(0, min(at - CONVERSATION_LETTERS // 2, len(letters) - CONVERSATION_LETTERS))
    near = letters[first : first + CONVERSATION_LETTERS]
    inner = "\n".join(_in_conversation(row.key, row.depth, one, order) for row in near)
    more = f'<p class="soft">{len(letters)} letters in all</p>\n' if len(letters) > CONVERSATION_LETTERS else ""
    return (
        f'<nav aria-labelledby="talk"><h2 id="talk">The conversation</h2>\n{more}<ol class="conversation">\n'
        f"{inner}\n</ol></nav>\n"
    )


def _in_conversation(number: int, depth: int, one: Page, order: Order) -> str:
    fact = order[number]
    current = ' aria-current="page"' if number == one.number else ""
    date = shown_date(fact.date)
    return (
        f'<li class="deep-{min(depth, 6)}"><a href="../../{letter_path(number)}"{current} dir="auto">'
        f'{escape(fact.sender)}: {escape(fact.subject)}</a> <time datetime="{date}">{date}</time></li>'
    )
