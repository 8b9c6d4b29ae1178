"""HTML of letters: as text, as words for a search, and as HTML that is harmless.

What comes in was written by strangers, and nothing that they name is ever fetched: pictures, fonts, styles, forms.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape, unescape
from typing import Final

from postoffice.message.mime import words
from postoffice.message.mime.tags import HTML_CHARACTERS, tags

CLEAN_CHARACTERS: Final = 2 * 1024 * 1024
CLEAN_TAGS: Final = 100_000
CLEAN_NESTINGS: Final = 500
CLEAN_ATTRIBUTES: Final = 100

_HIDDEN: Final = frozenset({"script", "style", "head", "title"})
_BREAKS: Final = frozenset({"br", "p", "div", "tr", "li", "h1", "h2", "h3", "h4", "h5", "h6"})
_TAG_NAME: Final = re.compile(r"/?([a-z][a-z0-9]*)")
_MANY_LINES: Final = re.compile(r"\n{3,}")

_CLEAN_TAGS: Final = words(
    "a abbr address article aside b bdi bdo blockquote br caption center cite code col colgroup dd del details dfn div"
    " dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hr i img ins kbd li main mark nav ol p pre q rp"
    " rt ruby s samp section small span strike strong sub summary sup table tbody td tfoot th thead time tr tt u ul var"
    " wbr"
)
_CLEAN_ATTRIBUTES: Final = {
    "*": {"align", "valign", "dir", "lang", "title", "style", "bgcolor", "width", "height"},
    "a": {"href"},
    "img": {"src", "alt"},
    "font": {"color", "face", "size"},
    "table": {"border", "cellpadding", "cellspacing"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
    "ol": {"start", "type"},
    "li": {"value"},
}
_CLEAN_STYLES: Final = words(
    "background-color border border-bottom border-collapse border-color border-left border-radius border-right"
    " border-spacing border-style border-top border-width color direction font-family font-size font-style font-weight"
    " height letter-spacing line-height list-style-type margin margin-bottom margin-left margin-right margin-top"
    " max-width padding padding-bottom padding-left padding-right padding-top text-align text-decoration text-indent"
    " text-transform vertical-align white-space width"
)
_FETCHING: Final = re.compile(r"url\s*\(|image\s*\(|image-set|@import|expression|\\", re.IGNORECASE)


def to_text(html: str) -> str:
    """HTML as text, with the addresses of its links at the end, whole."""
    from postoffice.message.mime.rendering import render

    rendering = render(html)
    if not rendering.links:
        return rendering.text
    links = "\n".join(f"[{link.number}] {link.address}" for link in rendering.links)
    return f"{rendering.text}\n{links}\n"


def clean(html: str, inline: Mapping[str, str] | None = None) -> str:
    """HTML without anything that runs, fetches, or lies over what is around it; for a page of ours.

    `inline` gives for a Content-ID, without the angles, the data URL of a picture; other pictures are not shown but by
    their words. Links go nowhere but to http, https and mailto. HTML that is made to take long comes as its text.
    """
    if is_bomb(html):
        return f"<pre>{escape(without_tags(html[:HTML_CHARACTERS]))}</pre>"
    import nh3

    pictures = {f"cid:{name}": address for name, address in (inline or {}).items()}

    def allow(tag: str, attribute: str, value: str) -> str | None:
        match tag, attribute:
            case "img", "src":
                address = pictures.get(unescape(value).strip(), "")
                return address if address.startswith("data:image/") and "svg" not in address[:20] else None
            case "a", "href":
                return value if value.strip().lower().startswith(("http://", "https://", "mailto:")) else None
            case _, "style":
                return None if _FETCHING.search(value) else value
        return value

    return nh3.clean(
        html,
        tags=set(_CLEAN_TAGS),
        clean_content_tags={"script", "style", "title", "iframe", "object", "svg", "math", "noembed"},
        attributes=_CLEAN_ATTRIBUTES,
        attribute_filter=allow,
        url_schemes={"http", "https", "mailto", "cid", "data"},
        filter_style_properties=set(_CLEAN_STYLES),
        link_rel="noopener noreferrer nofollow",
        url_relative="deny",
    )


def is_bomb(html: str) -> bool:
    """Whether HTML is longer, nested deeper, or has more tags, or attributes in one, than what anybody writes."""
    if len(html) > CLEAN_CHARACTERS:
        return True
    depth = 0
    for count, tag in enumerate(tags(html)):
        if tag.ends:
            depth -= depth > 0
        elif tag.name and tag.name not in ("br", "img", "hr", "p", "li", "td", "tr", "meta", "link", "input", "col"):
            depth += 1
        if depth > CLEAN_NESTINGS or count > CLEAN_TAGS:
            return True
        if len(tag.attributes) > CLEAN_ATTRIBUTES and tag.attributes.count("=") > CLEAN_ATTRIBUTES:
            return True
    return False


def without_tags(html: str) -> str:
    """The words of HTML, roughly: for a search. Takes linear time for any input, and less than a rendering."""
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
    return _MANY_LINES.sub("\n\n", "\n".join(lines)).strip() + "\n"
