"""A real browser opens an archive from the disk: the search finds what the search at home finds, and nothing is
fetched."""

from __future__ import annotations

import json
import random
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path

import pytest
from tests.home.archive_kit import answered, archive, needs_browser, opened
from tests.home.conftest import Fill
from tests.home.test_archive import HOSTILE, html
from tests.home.test_search_finds import FOUND, MAIL, TEXTS, letter

from postoffice.home.search.folding import folded, words

pytestmark = [pytest.mark.browser, needs_browser]

ASK = """
const letters = new Letters(await borrow("about"));
const found = [];
for (const question of %s) {
  const numbers = [];
  try {
    for await (const number of answers(letters, readQuestion(question, letters.folding))) { numbers.push(number); }
    found.push(numbers);
  } catch (error) { found.push(error.message); }
}
return found;
"""


async def test_thirteen_questions_of_five_languages(fill: Fill, tmp_path: Path) -> None:
    await archive(await fill([letter(text) for text in TEXTS]), tmp_path / "out")
    questions = [question for question, _ in FOUND]
    found = answered(tmp_path / "out", ASK % json.dumps(questions))
    assert isinstance(found, list)
    assert [(question, set(numbers)) for question, numbers in zip(questions, found, strict=True)] == list(FOUND)


MEANS = {
    "report": {1, 2, 3},
    "REPORT -draft": {1, 2},
    "-report": set(),
    "january OR draft": {2, 3},
    "january OR draft from:lan": {3},
    "draft OR -report": {3},
    "january OR before:2016": {1, 2},
    '"report of january"': {2},
    '"of report"': set(),
    '-"report of january" report': {1, 3},
    '"report of january" OR draft': {2, 3},
    '"repo"': set(),
    "repo": {1, 2, 3},
    "rep": set(),
    "rep*": {1, 2, 3},
    "from:an*": {1, 2},
    "from:an": {2},
    'from:"lan@c.example"': {3},
    "to:an": {3},
    "cc:lan": {2},
    "subject:cong": {2},
    "has:attachment": {2},
    "-has:attachment": {1, 3},
    "has:pdf": {2},
    'has:"bao cao"': {2},
    "before:2026": {1},
    "before:2026-02": {1, 2},
    "before:2026-01-15": {1},
    "after:2026-01-15": {3},
    "after:2025": {2, 3},
    "on:2026-01-15": {2},
    "on:2026-02": {3},
    "on:2026 -on:2026-02-28": {2},
    "10:30": {1},
    "https://a.example/x": {1},
    "secretly": set(),
    'from:an has:pdf before:2026-02 "of january"': {2},
    "zebra": set(),
    "": "Name a word to look for.",
    "colour:red": "“colour:” is nothing that is looked for here (from, to, cc, subject, has, before, after, on).",
}
"""Numbers are by date here: what is letter 3 of `MAIL` is the oldest."""


async def test_what_a_question_means(fill: Fill, tmp_path: Path) -> None:
    await archive(await fill(MAIL), tmp_path / "out")
    found = answered(tmp_path / "out", ASK % json.dumps(list(MEANS)))
    assert isinstance(found, list)
    got = [set(one) if isinstance(one, list) else one for one in found]
    assert dict(zip(MEANS, got, strict=True)) == MEANS


async def test_words_are_folded_as_they_are_at_home(fill: Fill, tmp_path: Path) -> None:
    await archive(await fill([letter("x")]), tmp_path / "out")
    chance = random.Random(7)
    ranges = ((0x20, 0x250), (0x250, 0x2000), (0x3000, 0x3100), (0xA000, 0xAC10), (0xF900, 0x10000), (0x1D400, 0x1D800))
    texts = ["".join(chr(chance.randrange(*chance.choice(ranges))) for _ in range(40)) for _ in range(200)] + [
        *TEXTS,
        "İıſẞßŉǰΐ ς Σ",
        "ﬁ ﬃ ½ ①",
        "ガ ｶﾞ が",
    ]
    found = answered(
        tmp_path / "out",
        f"const folding = new Folding((await borrow('about')).folding);"
        f"return {json.dumps(texts)}.map((text) => folding.words(text));",
    )
    assert isinstance(found, list)
    other = [text for text, theirs in zip(texts, found, strict=True) if theirs != words(folded(text))]
    # What is a letter may differ by the version of Unicode that each knows; how one is folded may not.
    assert len(other) <= 0.1 * len(texts), [(text, words(folded(text))) for text in other[:3]]
    assert not set(other) & {*TEXTS, "İıſẞßŉǰΐ ς Σ", "ﬁ ﬃ ½ ①", "ガ ｶﾞ が"}


async def test_the_page_shows_what_was_found(fill: Fill, tmp_path: Path) -> None:
    await archive(
        await fill([letter(text, f"Subject: number {number}\r\n") for number, text in enumerate(TEXTS)]),
        tmp_path / "out",
    )
    page = opened(tmp_path / "out" / "index.html", "?q=cong%20no")
    results = page.partition('id="results"')[2].partition("</section>")[0]
    assert "1 letter, the newest first" in results
    assert re.findall(r'href="(letters/000/\d+\.html)"', results) == ["letters/000/1.html"]
    assert '<mark class="">công</mark>' in results
    assert '<div id="rest" hidden="">' in page
    assert "Name a word" in opened(tmp_path / "out" / "index.html", "?q=%21%21")


async def test_many_are_shown_by_and_by(fill: Fill, tmp_path: Path) -> None:
    await archive(await fill([letter(f"same {number}") for number in range(120)]), tmp_path / "out")
    page = opened(tmp_path / "out" / "index.html", "?q=same")
    assert page.partition('id="results"')[2].partition("</section>")[0].count("<li>") == 50
    assert "Show more" in page


async def test_a_search_file_that_is_not_there_is_told(fill: Fill, tmp_path: Path) -> None:
    await archive(await fill([letter("same")]), tmp_path / "out")
    (tmp_path / "out" / "search" / "words-0.js").unlink()
    assert "cannot be read; is the archive whole?" in opened(tmp_path / "out" / "index.html", "?q=same")


async def test_no_letter_reaches_anybody(fill: Fill, tmp_path: Path) -> None:
    with listening() as (port, heard):
        await archive(await fill([html(f"<p>hello</p>{body}") for body in hostile(port)]), tmp_path / "out")
        (tmp_path / "probe.html").write_text(f'<img src="http://127.0.0.1:{port}/probe">')
        opened(tmp_path / "probe.html")
        assert len(heard) == 1, "the browser reaches the listener where nothing holds it back"
        for number in range(1, len(hostile(port)) + 1):
            page = opened(tmp_path / "out" / "letters" / "000" / f"{number}.html")
            assert "<iframe" in page
        opened(tmp_path / "out" / "index.html", "?q=html")
        assert len(heard) == 1, heard[1:]


def test_the_policy_and_the_frame_alone_let_no_request_out_of_what_was_not_cleaned(tmp_path: Path) -> None:
    from postoffice.home.archive.letter_page import Page, letter_page
    from postoffice.home.archive.order import Fact, Order
    from postoffice.message.mime.view import View

    order = Order([Fact(1, 0, 0.0, 1, "a", "b")], [])
    (tmp_path / "letters" / "000").mkdir(parents=True)
    with listening() as (port, heard):
        for raw in hostile(port):
            one = Page(1, "INBOX", "lists/INBOX", View((), ""), raw, (), "originals/x", is_cut=False)
            (tmp_path / "letters" / "000" / "1.html").write_bytes(letter_page("x", one, order))
            opened(tmp_path / "letters" / "000" / "1.html")
        # A connection may be opened for a frame that the policy then forbids; nothing is said there.
        assert b"".join(heard) == b""


async def test_a_frame_is_as_high_as_its_letter(fill: Fill, tmp_path: Path) -> None:
    await archive(await fill([html("<p>one line</p>"), html("<p>line</p>" * 200)]), tmp_path / "out")
    heights = []
    for number in (1, 2):
        found = re.search(r'style="height: (\d+)px', opened(tmp_path / "out" / "letters" / "000" / f"{number}.html"))
        assert found is not None
        heights.append(int(found[1]))
    assert 80 <= heights[0] < 150
    assert heights[1] > 4000


async def test_reading_works_without_scripts(fill: Fill, tmp_path: Path) -> None:
    await archive(await fill([letter("hello there")]), tmp_path / "out")
    for name in ("search.js", "letter.js"):
        (tmp_path / "out" / "look" / name).unlink()
    assert "hello there" in unescape(opened(tmp_path / "out" / "letters" / "000" / "1.html"))
    assert "letters/000/1.html" in opened(tmp_path / "out" / "lists" / "INBOX" / "date-1.html")


def hostile(port: int) -> list[str]:
    """Bodies of letters that want to reach the listener, in few pages, for a browser takes its time to open one."""
    bodies = [body.replace("t.example", f"127.0.0.1:{port}") for body in HOSTILE]
    return ["\n".join(bodies[:7]), "\n".join(bodies[7:12]), *bodies[12:]]


@contextmanager
def listening() -> Iterator[tuple[int, list[bytes]]]:
    """A listener, and what was said to it."""
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def listen() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                heard.append(connection.recv(300))
                connection.sendall(b"HTTP/1.0 404 no\r\n\r\n")

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield listener.getsockname()[1], heard
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
