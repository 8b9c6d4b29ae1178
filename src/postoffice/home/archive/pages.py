"""The pages of an archive but those of letters: the first one, and lists of folders. HTML as text; no I/O.

Everything that a letter says stands in them escaped. A policy in each page forbids it to fetch anything, run anything
but the archive's own scripts, or send anything (Content-Security-Policy); `file:` is what a disk is, `'self'` a web
server.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Final
from urllib.parse import quote

from postoffice.home.archive.order import Order
from postoffice.message.mime.threads import base_subject

PAGE_LETTERS: Final = 100
NEWEST_LETTERS: Final = 25
_OWN: Final = "default-src 'none'; style-src 'self' file:; script-src 'self' file:; base-uri 'none'"
_LETTERS: Final = (
    "default-src 'none'; style-src 'self' file: 'unsafe-inline'; script-src 'self' file:; img-src data:;"
    " base-uri 'none'; form-action 'none'"
)
SORTS: Final = {"date": "Date", "sender": "Sender", "subject": "Subject"}


@dataclass(frozen=True, slots=True)
class Listed:
    """A folder of the archive: its name, the folder where its pages lie, and its letters by sort."""

    name: str
    path: str
    letters: int


def letter_path(number: int) -> str:
    """Where the page of a letter lies; a folder has a thousand."""
    return f"letters/{number // 1000:03}/{number}.html"


def link_to(path: str) -> str:
    """A path as the address of a link, as an attribute has it."""
    return escape(quote(path))


def shown_date(date: float) -> str:
    """In this machine's time, as `ls` shows it."""
    try:
        return datetime.fromtimestamp(date).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return "0000-00-00 00:00"


def page(title: str, body: str, *, root: str, is_letter: bool = False, scripts: Sequence[str] = ()) -> bytes:
    """A whole page. `root` is the way back to where `index.html` lies."""
    script = "".join(f'<script src="{root}look/{name}" defer></script>\n' for name in scripts)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_LETTERS if is_letter else _OWN}">
<meta http-equiv="x-dns-prefetch-control" content="off">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="postoffice">
<title>{escape(title)}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{root}look/archive.css">
{script}</head>
<body>
<a class="skip" href="#main">To the content</a>
{body}</body>
</html>
""".encode("utf-8", "replace")


def first_page(title: str, folders: Sequence[Listed], order: Order, made: str) -> bytes:
    """Search, the newest letters, all folders."""
    newest = range(len(order), max(0, len(order) - NEWEST_LETTERS), -1)
    rows = "\n".join(row(number, order, "", folders) for number in newest)
    names = "\n".join(
        f'<li><a href="{link_to(f"{folder.path}/date-1.html")}"><span dir="auto">{escape(folder.name)}</span>'
        f'<span class="soft">{_letters(folder.letters)}</span></a></li>'
        for folder in folders
    )
    span = f", {shown_date(order[1].date)[:10]} to {shown_date(order[len(order)].date)[:10]}" if len(order) else ""
    body = f"""<main id="main">
<h1 dir="auto">{escape(title)}</h1>
<p class="soft">{_letters(len(order))}{span}. Written {made} by postoffice; nothing here needs a network.</p>
<form class="search" role="search">
<label for="q">Search the letters</label>
<input id="q" name="q" type="search" placeholder="words, &quot;a phrase&quot;, from:an, before:2026-01, has:pdf"
 autocomplete="off" spellcheck="false">
<button>Search</button>
</form>
<noscript><p class="soft">The search needs JavaScript; everything else does without.</p></noscript>
<section id="results" aria-label="What was found" aria-live="polite"></section>
<div id="rest">
<h2>Folders</h2>
<ul class="folders">
{names}
</ul>
<h2>The newest letters</h2>
<ol class="letters">
{rows}
</ol>
</div>
</main>
"""
    return page(title, body, root="", scripts=("search.js",))


def lists(title: str, folder: Listed, numbers: Sequence[int], order: Order) -> Iterator[tuple[str, bytes]]:
    """The pages of a folder in each sort, by their paths. `numbers` are its letters from the oldest on."""
    root = "../" * (folder.path.count("/") + 1)
    for sort in SORTS:
        ordered = _sorted(sort, numbers, order)
        pages = max(1, -(-len(ordered) // PAGE_LETTERS))
        years = _year_links(ordered, order) if sort == "date" and pages > 1 else ""
        for index in range(pages):
            those = ordered[index * PAGE_LETTERS : (index + 1) * PAGE_LETTERS]
            rows = "\n".join(row(number, order, root, ()) for number in those)
            first = index * PAGE_LETTERS
            body = f"""<header class="top">
<a href="{root}index.html" dir="auto">{escape(title)}</a>
<nav aria-label="Sorted by"><ul>
{_sort_links(sort)}
</ul></nav>
</header>
<main id="main">
<h1 dir="auto">{escape(folder.name)}</h1>
<p class="soft">{_letters(len(ordered))}{f", {first + 1} to {first + len(those)}" if pages > 1 else ""}</p>
{years}<ol class="letters" start="{first + 1}">
{rows}
</ol>
{_page_links(sort, index + 1, pages)}</main>
"""
            yield f"{folder.path}/{sort}-{index + 1}.html", page(f"{folder.name} - {title}", body, root=root)


def row(number: int, order: Order, root: str, folders: Sequence[Listed]) -> str:
    """A letter in a list; its folder is named where there may be several."""
    fact = order[number]
    date = shown_date(fact.date)
    line = f'<span class="line">{escape(folders[fact.folder].name)}</span>' if len(folders) > 1 else ""
    return (
        f'<li><a href="{root}{letter_path(number)}"><span class="who" dir="auto">{escape(fact.sender)}</span>'
        f'<span class="what" dir="auto">{escape(fact.subject)}</span>'
        f'<time datetime="{date}">{date}</time>{line}</a></li>'
    )


def _sorted(sort: str, numbers: Sequence[int], order: Order) -> list[int]:
    newest = list(reversed(numbers))
    match sort:
        case "sender":
            newest.sort(key=lambda number: order[number].sender.casefold())
        case "subject":
            newest.sort(key=lambda number: base_subject(order[number].subject)[0])
    return newest


def _sort_links(sort: str) -> str:
    return "\n".join(
        f'<li><a href="{name}-1.html"{_CURRENT if name == sort else ""}>{label}</a></li>'
        for name, label in SORTS.items()
    )


_CURRENT: Final = ' aria-current="page"'


def _year_links(ordered: Sequence[int], order: Order) -> str:
    """Where each year begins, of letters from the newest on."""
    years: dict[str, int] = {}
    for at, number in enumerate(ordered):
        years.setdefault(shown_date(order[number].date)[:4], at // PAGE_LETTERS + 1)
    links = "\n".join(f'<li><a href="date-{at}.html">{year}</a></li>' for year, at in years.items())
    return f'<nav aria-label="Years"><ul>\n{links}\n</ul></nav>\n'


def _page_links(sort: str, now: int, pages: int) -> str:
    if pages == 1:
        return ""
    wanted = sorted({1, now - 1, now, now + 1, pages} & set(range(1, pages + 1)))
    links = "\n".join(
        f'<li><a href="{sort}-{one}.html"{_CURRENT if one == now else ""} aria-label="Page {one}">'
        f"{'Page ' if one == now else ''}{one}{f' of {pages}' if one == now else ''}</a></li>"
        for one in wanted
    )
    return f'<nav class="pages" aria-label="Pages"><ul>\n{links}\n</ul></nav>\n'


def _letters(count: int) -> str:
    return "1 letter" if count == 1 else f"{count:,} letters"
