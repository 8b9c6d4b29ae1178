"""An archive holds every letter, shows what it says and lets nothing out of it."""

from __future__ import annotations

import json
import os
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.home.archive_kit import archive
from tests.home.conftest import Fill

from postoffice.errors import UsageError
from postoffice.home.archive import attached, findings
from postoffice.home.archive.findings import Words, lent
from postoffice.home.archive.pages import PAGE_LETTERS
from postoffice.home.search.extraction import extract
from postoffice.store.embedded import MailboxFile
from postoffice.store.model import REMOVED

NASTY = "<script>alert(1)</script><img src=http://x.example/y onerror=alert(1)>\"'&"


def letter(number: int = 1, *, subject: str = "one", text: str = "body", head: str = "") -> bytes:
    return (
        f"From: Ann <a@b.example>\r\nSubject: {subject}\r\nMessage-ID: <{number}@x>\r\n{head}"
        f"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
    ).encode()


def html(body: str, *more: str) -> bytes:
    parts = (f"Content-Type: text/html; charset=utf-8\r\n\r\n{body}\r\n", *more)
    head = "Subject: html\r\nMIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=x\r\n\r\n"
    return (head + "".join(f"--x\r\n{part}" for part in parts) + "--x--\r\n").encode()


class Addresses(HTMLParser):
    """What a page names: (tag, attribute, address), also inside of a frame that it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attributes:
            assert not name.startswith("on"), (tag, name)
            if name == "srcdoc":
                inner = Addresses()
                inner.feed(value or "")
                assert "script" not in inner.tags
                self.found += inner.found
            elif name in ("src", "href", "action", "data", "background", "poster", "srcset"):
                self.found.append((tag, name, value or ""))


def addresses(page: Path) -> list[tuple[str, str, str]]:
    parser = Addresses()
    parser.feed(page.read_text(encoding="utf-8"))
    return parser.found


async def test_every_page_is_there_and_every_link_leads_to_one(fill: Fill, tmp_path: Path) -> None:
    path = await fill(
        [letter(number, head=f"References: <{number // 3}@x>\r\n") for number in range(2 * PAGE_LETTERS + 3)]
    )
    out = tmp_path / "a b%20c"
    report, complaints = await archive(path, out)
    assert (report.total, report.letters, complaints) == (203, 203, [])
    assert len(list(out.glob("letters/*/*.html"))) == 203
    assert sorted(one.name for one in out.glob("lists/INBOX/*")) == [
        f"{sort}-{number}.html" for sort in ("date", "sender", "subject") for number in (1, 2, 3)
    ]
    for page in out.rglob("*.html"):
        for tag, _, address in addresses(page):
            if address not in ("data:,", "#main"):
                there = page.parent / unquote(address)
                assert there.resolve().is_relative_to(out.resolve()), (page, tag, address)
                assert there.is_file(), (page, tag, address)
        text = page.read_text(encoding="utf-8")
        assert "default-src 'none'" in text
        assert 'name="referrer" content="no-referrer"' in text
    listed = "".join((out / "lists" / "INBOX" / f"date-{number}.html").read_text() for number in (1, 2, 3))
    assert [int(one) for one in re.findall(r"letters/\d+/(\d+)\.html", listed)] == list(range(203, 0, -1))


async def test_what_a_letter_says_is_text(fill: Fill, tmp_path: Path) -> None:
    nasty = letter(subject=NASTY, text=NASTY).replace(b"Ann <", f"{NASTY} <".encode())
    path = await fill([nasty, html(NASTY)])
    mailbox = MailboxFile.open(path)
    await mailbox.create_folder(NASTY)
    await mailbox.move((await mailbox.snapshot()).keys, NASTY)
    await mailbox.close()
    await archive(path, tmp_path / "out", title=NASTY)
    for page in (tmp_path / "out").rglob("*.html"):
        text = page.read_text()
        assert "<script>" not in unescape(text.partition("<title>")[0])
        assert "<script>alert" not in text
        assert "onerror" not in unescape(re.sub(r"(?s)<(pre|h1|title|dd|a|span|summary|li)[ >].*?</\1>", "", text))
        assert not any(address.startswith("http") for _, _, address in addresses(page))
    assert unescape((tmp_path / "out" / "letters/000/1.html").read_text()).count("alert(1)") > 2


HOSTILE = (
    '<img src="http://t.example/1.gif">',
    '<img src="cid:p@x"><img src="cid:nobody">',
    "<style>@import url(http://t.example/2); body{background:url(http://t.example/3)}</style>",
    '<p style="background:url(http://t.example/4)">x</p><table background="http://t.example/5"><tr><td>x</table>',
    '<link rel="stylesheet" href="http://t.example/6"><link rel="prefetch" href="//t.example/7">',
    '<iframe src="http://t.example/8"></iframe><object data="http://t.example/9"></object><embed src="http://t.example/10">',
    '<meta http-equiv="refresh" content="0;url=http://t.example/11"><base href="http://t.example/12/">',
    '<video src="http://t.example/13" poster="http://t.example/14"></video><audio src="http://t.example/15">',
    '<svg><image href="http://t.example/16"/><use href="http://t.example/17#a"/></svg>',
    '<form action="http://t.example/18"><input type=image src="http://t.example/19"></form>',
    '<a href="javascript:alert(1)" ping="http://t.example/20">x</a><a href="data:text/html,x">y</a>',
    '<img srcset="http://t.example/21 2x" src="x"><picture><source srcset="http://t.example/22"></picture>',
    '</body></html><script src="http://t.example/23"></script>"></iframe><script>alert(1)</script>',
    '<math><mtext></mtext><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;"></math>',
)


@pytest.mark.parametrize("body", HOSTILE)
async def test_html_of_a_sender_names_nothing_that_is_fetched(fill: Fill, tmp_path: Path, body: str) -> None:
    picture = (
        "Content-Type: image/png\r\nContent-ID: <p@x>\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n"
    )
    path = await fill([html(f"<p>hello</p>{body}", picture)])
    await archive(path, tmp_path / "out")
    page = tmp_path / "out" / "letters/000/1.html"
    assert 'sandbox="allow-same-origin allow-popups allow-popups-to-escape-sandbox"' in page.read_text()
    for tag, name, address in addresses(page):
        scheme = urlsplit(address).scheme
        assert (tag, name, scheme) == ("a", "href", scheme) or scheme in ("", "data"), (tag, name, address)
        assert scheme in ("", "data", "http", "https", "mailto")
        assert scheme != "data" or (tag, address[:15]) in (("img", "data:image/png;"), ("link", "data:,"))
    frame = re.search(r'srcdoc="([^"]*)"', page.read_text())
    assert frame is not None
    assert "url(" not in unescape(frame[1])


async def test_a_picture_that_came_with_the_letter_is_in_it_and_no_file(fill: Fill, tmp_path: Path) -> None:
    picture = (
        "Content-Type: image/png\r\nContent-ID: <p@x>\r\nContent-Transfer-Encoding: base64\r\n\r\niVBORw0KGgo=\r\n"
    )
    path = await fill([html('<img src="cid:p@x">', picture), html("no picture", picture)])
    await archive(path, tmp_path / "out")
    assert "data:image/png;base64,iVBORw0KGgo=" in (tmp_path / "out/letters/000/1.html").read_text()
    assert [file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out/files").rglob("*.png")] == [
        "files/000/2/attachment-1.png"
    ]


async def test_what_is_attached_lies_there_harmless(fill: Fill, tmp_path: Path) -> None:
    names = (
        "report.pdf",
        "REPORT.pdf",
        "invoice.pdf.exe",
        "page.html",
        "../../up.txt",
        "gpj.\u202eexe.jpg",
        "con",
        "",
        "x" * 300 + ".pdf",
    )
    parts = [
        f'Content-Type: application/pdf\r\nContent-Disposition: attachment; filename="{name}"\r\n\r\n%PDF-{number}\r\n'
        for number, name in enumerate(names)
    ]
    path = await fill([html("x", *parts)])
    await archive(path, tmp_path / "out")
    files = sorted((tmp_path / "out/files/000/1").iterdir(), key=lambda file: file.read_bytes())
    assert [file.read_bytes() for file in files] == [f"%PDF-{number}".encode() for number in range(len(names))]
    assert [file.name for file in files[:4]] == [
        "report.pdf",
        "REPORT (2).pdf",
        "invoice.pdf.exe.unsafe",
        "page.html.txt",
    ]
    assert all(len(file.name.encode()) < 256 and file.stat().st_mode & 0o7111 == 0 for file in files)
    assert {file.parent.resolve() for file in (tmp_path / "out/files").rglob("*") if file.is_file()} == {
        files[0].parent.resolve()
    }
    page = (tmp_path / "out/letters/000/1.html").read_text()
    assert "called like a document" in page
    assert page.count(" download") == len(names) + 1


@given(st.text(max_size=40), st.lists(st.text(max_size=5), max_size=2))
def test_no_name_is_run_by_a_browser(name: str, warnings: list[str]) -> None:
    ending = attached.harmless(name, warnings).rpartition(".")[2].lower()
    assert ending not in ("html", "htm", "svg", "xhtml", "js", "xml")
    assert not warnings or ending in ("txt", "unsafe")


async def test_a_large_letter_gives_its_files_without_being_held(fill: Fill, tmp_path: Path) -> None:
    line = b"QUJD" * 18 + b"\r\n"
    big = html("x").removesuffix(b"--x--\r\n") + (
        b"--x\r\nContent-Type: application/zip\r\nContent-Disposition: attachment; filename=big.zip\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + line * 150_000 + b"--x--\r\n"
    )
    path = await fill([big])
    await archive(path, tmp_path / "out")
    assert (tmp_path / "out/files/000/1/big.zip").read_bytes() == b"ABC" * 18 * 150_000
    assert "Only the beginning is shown" in (tmp_path / "out/letters/000/1.html").read_text()


async def test_folders_that_nobody_should_open_by_chance_are_left_out(fill: Fill, tmp_path: Path) -> None:
    path = await fill([letter(number) for number in range(3)])
    mailbox = MailboxFile.open(path)
    keys = (await mailbox.snapshot()).keys
    await mailbox.move(keys[:1], "Quarantine")
    await mailbox.move(keys[1:2], REMOVED)
    await mailbox.close()
    assert (await archive(path, tmp_path / "out"))[0].letters == 1
    assert (await archive(path, tmp_path / "all", ["INBOX", "Quarantine"]))[0].letters == 2


async def test_an_empty_mailbox_is_an_empty_archive(fill: Fill, tmp_path: Path) -> None:
    assert (await archive(await fill([]), tmp_path / "out"))[0].letters == 0
    assert "0 letters" in (tmp_path / "out/index.html").read_text()
    with pytest.raises(UsageError, match="with something in it") as raised:
        await archive(await fill([]), tmp_path / "out")
    assert raised.value.status == os.EX_CANTCREAT


async def test_whatever_comes_becomes_a_page(fill: Fill, tmp_path: Path) -> None:
    strange = [
        b"",
        b"\r\n",
        b"\xff\xfe\0",
        b"Date: Mon, 1 Jan 9999 00:00:00 +0000\r\n\r\n",
        b"Date: Mon, 1 Jan 0001 00:00:00 +0000\r\n\r\n",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n\r\n" * 3000,
        html("<div>" * 5000),
        html("<b " + "a=1 " * 5000 + ">"),
        b"From: =?utf-8?q?=ED=A0=80?=\r\nSubject: =?utf-8?b?/////w==?=\r\n\r\n\xed\xa0\x80",
        letter(subject="\u2028 \u2029 </script> \x1b[31m"),
    ]
    path = await fill(strange)
    report, _ = await archive(path, tmp_path / "out")
    assert report.letters == len(strange)


# --- what the search looks into


@given(st.sets(st.integers(1, 200_000), min_size=1, max_size=50))
def test_numbers_come_back_from_their_digits(numbers: set[int]) -> None:
    digits = b"".join(findings._digits(step) for step in _steps(sorted(numbers)))
    assert _numbers(digits.decode()) == sorted(numbers)


def _steps(numbers: list[int]) -> list[int]:
    return [after - before for before, after in zip([0, *numbers], numbers, strict=False)]


def _numbers(digits: str) -> list[int]:
    found, number, step, weight = [], 0, 0, 1
    for digit in digits:
        value = findings._DIGITS.index(digit)
        step += value % 32 * weight
        weight *= 32
        if value >= 32:
            number += step
            found.append(number)
            step, weight = 0, 1
    return found


def test_words_lie_in_order_in_files_that_are_not_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "FILE_OCTETS", 200)
    words = Words()
    for number in range(1, 20):
        words.add(number, extract(letter(text=f"word{number} all 東京 \U00020000")))
    files = list(words.files())
    assert len(files) > 2
    lines = [
        line.split(" ")
        for _, octets in files
        for line in json.loads(octets.decode().partition(",")[2][:-3]).split("\n")
    ]
    assert [word for word, _ in lines] == sorted((word for word, _ in lines), key=lambda word: word.encode("utf-16-be"))
    there = {word: _numbers(digits) for word, digits in lines}
    assert there["word7"] == [7]
    assert there["all"] == there["東京"] == there["f:ann"] == there["s:one"] == list(range(1, 20))
    assert [first for first, _ in files] == [
        json.loads(octets.decode().partition(",")[2][:-3]).split(" ")[0] for _, octets in files
    ]


@given(st.text())
def test_what_is_lent_is_javascript(text: str) -> None:
    octets = lent("x", [text])
    assert octets.startswith(b'lend("x",[')
    assert octets.endswith(b"]);\n")
    assert octets.count(b"\n") == 1
    assert b"\xe2\x80\xa8" not in octets
