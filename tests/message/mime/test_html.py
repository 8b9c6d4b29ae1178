"""HTML is shown as text that is pleasant to read, and as HTML that is harmless, in bounded time whatever it is."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.message.mime.html import clean, is_bomb, to_text, without_tags
from postoffice.message.mime.rendering import render
from postoffice.message.mime.tags import tame

SHOWN = {
    "paragraphs": ("<p>one</p><p>two<br>three</p><div>four</div><div>five</div>", "one\n\ntwo\nthree\n\nfour\nfive\n"),
    "empty blocks": ("<div>a</div><div><br></div><div>b</div>", "a\n\nb\n"),
    "white space": ("a\n  b&nbsp;&nbsp;c <b> d</b>", "a b c d\n"),
    "lists": (
        "<ul><li>a<li>b<ul><li>c</ul></ul><ol><li>x</li><li>y</li></ol>",
        "* a\n* b\n  * c\n\n1. x\n2. y\n",
    ),
    "quotes": ("<blockquote>a<br>b<blockquote>c</blockquote></blockquote>d", "> a\n> b\n>\n> > c\n\nd\n"),
    "code": ("<pre>  x\n    y</pre>z", "  x\n    y\n\nz\n"),
    "a table": (
        "<table><tr><th>Name<th>Octets<tr><td>Áo<td>1<tr><td>東京<td>22</table>",
        "Name  Octets\nÁo    1\n東京  22\n",
    ),
    "a table for the layout": (
        "<table><tr><td><table><tr><td><p>one</p><p>two</p></td></tr></table></td><td>three</td></tr></table>",
        "one\n\ntwo\nthree\n",
    ),
    "pictures": ('<img src="http://x/a.png" alt="A cat"><img src="x"><img width=1 height=1 alt="spy">', "[A cat]\n"),
    "what is hidden": (
        '<p style="display:none">a</p><p hidden>b</p><span style="font-size:0px">c</span>'
        '<div style="max-height:0; overflow:hidden">d</div><p style="FONT-SIZE: 10px">seen</p>',
        "seen\n",
    ),
    "scripts": ("<script>a</script ><style>b</style><title>c</title>d<!-- e --><svg><text>f</text></svg>", "d\n"),
    "what is not closed": ("<p>a<table><tr><td>b<td>c", "a\n\nb  c\n"),
    "what is closed too often": ("</td></table></li></ul></blockquote>a</a></p>b", "a\n\nb\n"),
    "a link that says its address": ('<a href="https://x.test/">https://x.test/</a>', "https://x.test/\n"),
    "a link": ('<a href="https://x.test/?a=1&amp;b=2">here</a>', "here [1]\n\n[1] https://x.test/?a=1&b=2\n"),
    "one link twice": (
        '<a href="https://x.test/">here</a> <a href="https://x.test/">there</a>',
        "here [1] there [1]\n\n[1] https://x.test/\n",
    ),
    "a picture that is a link": (
        '<a href="https://x.test/"><img src="y"></a>',
        "[picture] [1]\n\n[1] https://x.test/\n",
    ),
    "a link around blocks": (
        'before <a href="https://x.test/"><p>one</p><div>two</div></a> behind',
        "before\n\none\n\ntwo [1]\nbehind\n\n[1] https://x.test/\n",
    ),
    "a button": (
        '<a href="https://x.test/"><table><tr><td><img src="y"><b>Pay</b></td></tr></table></a>',
        "[picture]Pay [1]\n\n[1] https://x.test/\n",
    ),
    "what is hidden in a box": ('<p style="overflow:hidden;width:0">a</p><p style="width:10px">b</p>', "b\n"),
    "an anchor": ('<a href="#x">here</a><a name="x">there</a>', "herethere\n"),
    "entities": ("&lt;b&gt; &amp;amp; &eacute; &#x1f600;", "<b> &amp; é \U0001f600\n"),
    "filling": ("a" + "&zwnj;&nbsp;" * 50 + "\u034f\u00ad" * 20, "a\n"),
    "less than": ("1 < 2 <3 <", "1 < 2 <3 <\n"),
    "nothing": ("", "\n"),
}


@pytest.mark.parametrize("name", SHOWN)
def test_as_text(name: str) -> None:
    html, text = SHOWN[name]
    assert to_text(html) == text


def test_text_in_the_colour_of_its_ground_is_told_and_not_shown() -> None:
    rendering = render('<div style="background:#fff">a<font color="#fffffe">b</font></div><font color=white>c</font>')
    assert rendering.text == "a\nc\n"
    assert rendering.warnings == ("Text in the colour of what is behind it is not shown.",)


@pytest.mark.parametrize("around", ["", "div", "p", "li", "table"])
def test_a_link_that_leads_elsewhere_is_told(around: str) -> None:
    text = f"<{around}>www.bank.example</{around}>" if around else "www.bank.example"
    [link] = render(f'<a href="https://evil.test/x">{text}</a>').links
    assert (link.number, link.address) == (1, "https://evil.test/x")
    assert link.warnings == ("The text names www.bank.example, and it leads to evil.test.",)


M = 1024 * 1024
BOMBS = {
    "elements in elements": "<div>" * 200_000,
    "attributes": "<p " + " ".join(f"a{number}=1" for number in range(200_000)) + ">x",
    "attributes without values": "<p " + "a " * M + ">x",
    "formatting that is not closed": "".join(f"<font color=#{n:06x}><b><i>" for n in range(20_000)) + "<p>x" * 20_000,
    "tables in tables": "<table><tr><td>" * 60_000,
    "lists in lists": "<ul><li>x" * 60_000,
    "quotes in quotes": "<blockquote>x" * 60_000,
    "links in links": "<a href=http://x/>www.bank.com<div></a>" * 25_000,
    "pictures in a link": "<a href=x>" + " <img> " * 49_000,
    "a link of one word": "<a href=mailto:a@b.example>" + "x" * M + "</a>",
    "styles": ("<p style='" + "width:1;" * 2000 + "'>x</p>") * 65,
    "columns": "<table><tr>" + "<td>x" * 200_000,
    "brackets": "<" * 4 * M,
    "quotation marks": "<a \"'>" * M,
    "comments": "<!--" * M,
    "scripts": "<script>" * M,
    "tags that are closed": "</p></table></a>" * (M // 8),
    "ten megabytes": "<p>x</p>" * (10 * M // 8),
    "entities": "&amp;" * M,
    "line breaks": "<br>" * M,
    "pre": "<pre>" + "\t" * M,
    "templates": "<template>" * 100_000,
    "selects": "<select><option>" * 60_000,
    "svg": "<svg><math>" * 60_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_a_second_at_most(name: str) -> None:
    began = time.process_time()
    render(BOMBS[name])
    assert time.process_time() - began < 3  # each takes less than one on a machine that has nothing else to do


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_cleaned_in_bounded_time(name: str) -> None:
    began = time.process_time()
    clean(BOMBS[name])
    assert time.process_time() - began < 10


HARMFUL = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '<img src="https://track.test/x.gif">',
    '<img src="//track.test/x.gif" srcset="https://track.test/y 2x">',
    '<link rel="stylesheet" href="https://track.test/x.css">',
    '<style>@import url("https://track.test/x")</style>',
    '<p style="background:url(https://track.test/x)">x</p>',
    "<p style='background-image:u\\72l(https://track.test/x)'>x</p>",
    '<table background="https://track.test/x"><tr><td>x</table>',
    '<iframe src="https://track.test/"></iframe><object data="https://track.test/"></object>',
    '<form action="https://track.test/"><input name=a><button>go</button></form>',
    '<a href="javascript:alert(1)">x</a><a href="data:text/html,x">y</a>',
    '<svg><image href="https://track.test/x"/></svg><math href="javascript:x">',
    '<video poster="https://track.test/x" src="https://track.test/y"></video><audio src="https://track.test/y">',
    '<meta http-equiv="refresh" content="0;url=https://track.test/">',
    '<base href="https://track.test/"><body background="https://track.test/x">',
    '<p style="position:fixed;top:0">x</p>',
    '<img src="cid:evil">',
)


@pytest.mark.parametrize("html", HARMFUL)
def test_nothing_of_a_letter_runs_or_fetches(html: str) -> None:
    cleaned = clean(html, {"evil": "https://track.test/", "svg": "data:image/svg+xml;base64,PA=="}).lower()
    assert "track.test" not in cleaned
    for word in ("script", "onerror", "<style", "<link", "<meta", "<base", "<form", "<input", "position", "url("):
        assert word not in cleaned


def test_what_is_harmless_stays() -> None:
    html = '<p style="color: red; margin: 1px">a <b>b</b></p><a href="https://x.test/">c</a><img src="cid:1" alt="d">'
    cleaned = clean(html, {"1": "data:image/png;base64,iVBORw0KGgo="})
    assert 'style="color:red;margin:1px"' in cleaned
    assert "<b>b</b>" in cleaned
    assert re.search(r'<a href="https://x.test/" rel="noopener noreferrer nofollow">c</a>', cleaned)
    assert 'src="data:image/png;base64,iVBORw0KGgo="' in cleaned


def test_a_bomb_comes_as_its_words() -> None:
    html = "<div>" * 1000 + "words <b>here</b>"
    assert is_bomb(html)
    assert clean(html).startswith("<pre>")
    assert "words here" in clean(html)
    assert not is_bomb(SHOWN["a table"][0])


WRITTEN = (
    "<p> </p> <table> <tr> <td> </table> <ul> <li> </li> <blockquote> </blockquote> </a> <pre> </pre> <br> <q> <hr>"
    " <dd> <th> </ul> </td> </tr> <ol> <form> <textarea> <b> <body> </body> </html> x <"
)
TAGS = st.lists(
    st.sampled_from([*WRITTEN.split(), "<a href='http://x/'>", "<img alt=a>", " ", "\n"]),
    max_size=40,
)


@given(TAGS.map("".join) | st.text(alphabet="<>/!-=\"'ab &;\n", max_size=80) | st.text(max_size=60))
def test_any_html(html: str) -> None:
    text = to_text(html)
    assert text.endswith("\n")
    assert "\n\n\n" not in text
    assert "<script" not in clean(html)
    without_tags(html)


@given(TAGS)
def test_no_word_is_lost(pieces: list[str]) -> None:
    html = "".join(pieces).replace("<x", "< x")  # else it is a tag
    assert render(html).text.count("x") == html.replace("http://x/", "").count("x") - html.count("<textarea>")


def test_tame_html_has_nothing_of_its_writer_but_words_and_addresses() -> None:
    assert tame('<P onclick="x" class=y STYLE="color:#FFF">a</P><blink>b</blink>') == '<p i="ffffff">a</p>b'
