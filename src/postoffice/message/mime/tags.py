"""HTML of strangers made small and tame before a parser sees it: what a reader of text needs, and nothing else.

A parser builds a tree, and there are letters made so that this takes hours: elements nested by the ten thousand,
tags with as many attributes, formatting that is opened and never closed. So tags are found here first, in linear
time, and written anew: some forty elements, four attributes of our own, nesting and number bounded. What scripts,
styles and comments hold is gone. What is hidden from who looks at it in a browser is marked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape, unescape
from typing import Final, NamedTuple

from postoffice.message.mime import words

HTML_CHARACTERS: Final = 1024 * 1024
TAGS: Final = 50_000
NESTINGS: Final = 200

LINK, HIDDEN, INK, PAPER, WORDS = "l", "h", "i", "p", "w"
"""Our attributes: an address, hidden, the colours of text and of what is behind it, words in place of a picture."""

_TAG_CHARACTERS: Final = 1024
_ADDRESS_CHARACTERS: Final = 4096
_TAG: Final = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:_-]*)")
_REST: Final = re.compile(r"""(?:[^>"']|"[^"]*"|'[^']*')*>""")
_ATTRIBUTE: Final = re.compile(r"""([a-zA-Z-]+)[ \t\r\n\f]*=[ \t\r\n\f]*("[^"]*"?|'[^']*'?|[^\s>"']+)""")

_VOID: Final = frozenset({"br", "hr", "img", "wbr", "area", "input", "col"})
_SWALLOWED: Final = frozenset({"script", "style", "title", "noembed", "xmp", "iframe", "object", "svg", "math"})
"""What is inside of them is not shown either."""

_ENDED_BY_OTHERS: Final = frozenset({"p", "li", "td", "th", "tr", "dt", "dd", "tbody", "thead", "tfoot"})
"""Often not closed; they do not nest without others that do."""

_KEPT: Final = words(
    "a address article aside blockquote br caption center dd div dl dt fieldset figcaption figure footer form h1 h2 h3"
    " h4 h5 h6 header hr img li main nav ol p pre q section span table tbody td tfoot th thead tr ul"
)
_AS: Final = {"font": "span", "b": "", "strong": "", "textarea": "pre", "dir": "ul", "menu": "ul", "label": "span"}

_HIDING: Final = re.compile(
    r"display:none|visibility:hidden|mso-hide:all|font-size:[01](?:px|pt|em|%)?(?:;|$|!)|opacity:0(?:\.0*)?(?:;|$|!)"
    r"|max-height:[01](?:px)?(?:;|$|!)|text-indent:-[0-9]{3,}|(?:left|top):-[0-9]{3,}px"
)
_TINY: Final = re.compile(r"(?<![a-z-])(?:width|height):[01](?:px)?(?:;|$|!)")
_INK: Final = re.compile(r"(?:^|;)color:([^;!]{1,40})")
_PAPER: Final = re.compile(r"(?:^|;)background(?:-color)?:([^;!]{1,200})")
_HEX: Final = re.compile(r"#?([0-9a-f]{6}|[0-9a-f]{3})(?![0-9a-z])")
_RGB: Final = re.compile(r"rgb\(([0-9]{1,3}),([0-9]{1,3}),([0-9]{1,3})\)")
_COLOURS: Final = {"white": "ffffff", "black": "000000", "transparent": ""}
_BLANKS: Final = re.compile(r"\s+")


class Tag(NamedTuple):
    """Where a tag, or a comment, is; `name` is in lower case, and empty for a comment."""

    begin: int
    end: int
    name: str = ""
    ends: bool = False
    attributes: str = ""


def tags(html: str) -> Iterator[Tag]:
    """Every tag in order. One that is not closed, as a comment that is not, goes to the end."""
    position = 0
    while (begin := html.find("<", position)) >= 0:
        found = _TAG.match(html, begin, begin + 80)
        if found is None:
            follower = html[begin + 1 : begin + 2]
            if html.startswith("<!--", begin):
                position = _behind(html, "-->", begin + 4)
            elif follower and follower in "!?/":
                position = _behind(html, ">", begin)
            else:
                position = begin + 1
                continue
            yield Tag(begin, position)
            continue
        rest = _REST.match(html, found.end(), found.end() + _TAG_CHARACTERS)
        end = rest.end() if rest else _behind(html, ">", found.end())
        name, ends = found[2].lower(), bool(found[1])
        if name in _SWALLOWED and not ends and html[end - 2 : end] != "/>":
            close = re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE).search(html, end)
            end = _behind(html, ">", close.start()) if close else len(html)
            yield Tag(begin, end)
        else:
            yield Tag(begin, end, name, ends, html[found.end() : end - 1])
        position = end


def _behind(html: str, what: str, position: int) -> int:
    found = html.find(what, position)
    return found + len(what) if found >= 0 else len(html)


def attributes_of(tag: Tag) -> dict[str, str]:
    """Its attributes, decoded; the first of each name counts."""
    found: dict[str, str] = {}
    for name, value in _ATTRIBUTE.findall(tag.attributes[: 4 * _ADDRESS_CHARACTERS]):
        found.setdefault(name.lower(), unescape(value.strip("\"'")))
    return found


def tame(html: str, limit: int = TAGS) -> str:
    """The same text, in HTML that takes little time. `html` beyond `HTML_CHARACTERS` is left out, as are tags beyond
    `limit`."""
    html = html[:HTML_CHARACTERS]
    pieces: list[str] = []
    position = depth = count = 0
    for tag in tags(html):
        pieces.append(html[position : tag.begin].replace("<", "&lt;"))
        position = tag.end
        count += 1
        if not tag.name or count > limit:
            pieces.append(" " if count > limit else "")
            continue
        name = _AS.get(tag.name, tag.name)
        if name not in _KEPT:
            continue
        if tag.ends:
            if name not in _VOID:
                depth -= depth > 0 and name not in _ENDED_BY_OTHERS
                pieces.append(f"</{name}>")
            continue
        if name not in _VOID and name not in _ENDED_BY_OTHERS:
            depth += 1
            if depth > NESTINGS:
                pieces.append("<br>")
                continue
        pieces.append(_written(name, tag))
    pieces.append(html[position:].replace("<", "&lt;"))
    return "".join(pieces)


def _written(name: str, tag: Tag) -> str:
    if not tag.attributes.strip(" /"):
        return f"<{name}>"
    given = attributes_of(tag)
    style = _BLANKS.sub("", given.get("style", "")).lower()
    ours: dict[str, str] = {}
    is_bare_hidden = re.search(r"(?:^|\s)hidden(?=[\s/]|$)", tag.attributes) is not None
    if is_bare_hidden or "hidden" in given or given.get("size") == "0" or _hides(style):
        ours[HIDDEN] = ""
    ink = _INK.search(style)
    if colour := _colour(ink[1] if ink else given.get("color", "")):
        ours[INK] = colour
    paper = _PAPER.search(style)
    if colour := _colour(paper[1] if paper else given.get("bgcolor", "")):
        ours[PAPER] = colour
    if name == "a" and "href" in given:
        ours[LINK] = given["href"][:_ADDRESS_CHARACTERS]
    elif name == "img":
        is_tiny = any(given.get(side, "").strip("px ") in ("0", "1", "2") for side in ("width", "height"))
        ours[HIDDEN if is_tiny else WORDS] = given.get("alt", given.get("title", ""))[:500]
        ours[LINK] = given.get("src", "")[:_ADDRESS_CHARACTERS]
    written = "".join(f' {key}="{escape(value)}"' for key, value in ours.items())
    return f"<{name}{written}>"


def _hides(style: str) -> bool:
    """Whether a style without blanks, in lower case, lets nothing be seen."""
    return bool(_HIDING.search(style) or ("overflow:hidden" in style and _TINY.search(style)))


def _colour(text: str) -> str:
    """Six hexadecimal digits; empty for what is not known."""
    text = text.strip().lower()
    if text in _COLOURS:
        return _COLOURS[text]
    if found := _RGB.search(text):
        return "".join(f"{min(int(one), 255):02x}" for one in found.groups())
    if found := _HEX.search(text):
        return found[1] if len(found[1]) == 6 else "".join(one * 2 for one in found[1])
    return ""
