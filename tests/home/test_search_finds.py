"""A search finds what is asked for, in whatever script and form it is written."""

from __future__ import annotations

import unicodedata
from contextlib import suppress
from pathlib import Path

import pytest
from tests.home.conftest import Fill

from postoffice.errors import UsageError
from postoffice.home.search.face import Search
from postoffice.home.search.folding import folded
from postoffice.home.search.query import read_question

TEXTS = (
    "Báo cáo công nợ tháng 9 của Nguyễn Đức Hòa",
    unicodedata.normalize("NFD", "Đường dây điện cao thế ở Hà Nội"),
    "我们收到了您的发票，谢谢北京办公室",
    "来週の会議は東京で行います。ひらがなのテスト",
    "안녕하세요 회의록을 첨부합니다",
    "Müller Straße invoice",
    "a mixed one: 東京, Hà Nội, invoice-2025",
)
FOUND = (
    ("công nợ", {1}),
    ("cong no", {1}),
    ("Đức Hòa", {1}),
    ("duc hoa", {1}),
    ("duong day dien", {2}),
    ("发票", {3}),
    ("北京", {3}),
    ("ひらが", {4}),
    ("東京", {4, 7}),
    ("회의", {5}),
    ("muller", {6}),
    ("strasse", {6}),
    ("invoi", {6, 7}),
)


def letter(text: str, head: str = "") -> bytes:
    return f"{head}Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()


async def numbers(path: Path, question: str) -> set[int]:
    search = Search(path)
    try:
        await search.catch_up()
        found = await search.find(question)
        assert found.letters == len(found.shown)
        return {one.hit.number for one in found.shown}
    finally:
        await search.close()


async def test_thirteen_questions_of_five_languages(fill: Fill) -> None:
    path = await fill([letter(text) for text in TEXTS])
    assert [(asked, await numbers(path, asked)) for asked, _ in FOUND] == list(FOUND)


async def test_a_question_may_be_written_in_either_normal_form(fill: Fill) -> None:
    path = await fill([letter(text) for text in TEXTS])
    for form in ("NFC", "NFD"):
        assert await numbers(path, unicodedata.normalize(form, "Đường")) == {2}
        assert await numbers(path, unicodedata.normalize(form, "회의록을")) == {5}


def test_a_voicing_mark_makes_another_sound() -> None:
    assert folded("が") != folded("か")
    assert folded("ｶﾞ") == folded("ガ") == folded(unicodedata.normalize("NFD", "ガ"))


MAIL = (
    b"From: An <an@a.example>\r\nTo: Bob <bob@b.example>\r\nCc: Lan <lan@c.example>\r\n"
    b"Date: Thu, 15 Jan 2026 12:00:00 +0000\r\nSubject: =?utf-8?b?Q8O0bmcgbuG7kw==?=\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nthe report of January\r\n"
    b'--x\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename="Bao cao.xyz"\r\n\r\n'
    + b"A" * 5000
    + b"\r\n--x--\r\n",
    b"From: Lan <lan@c.example>\r\nTo: An <an@a.example>\r\nDate: Sat, 28 Feb 2026 12:00:00 +0000\r\n"
    b"Subject: a report\r\nContent-Type: text/html\r\n\r\n<p>an <b>old</b> draft</p><script>secretly</script>\r\n",
    b"From: Andrea <andrea@d.example>\r\nDate: Fri, 02 Jan 2015 12:00:00 +0000\r\nSubject: plan 10:30\r\n\r\n"
    b'see https://a.example/x "quoted" report of\r\n',
)


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("report", {1, 2, 3}),
        ("REPORT -draft", {1, 3}),
        ("-report", set()),
        ("-draft", {1, 3}),
        ("january OR draft", {1, 2}),
        ("january OR draft OR https", {1, 2, 3}),
        ("january OR draft from:lan", {2}),
        ("draft OR -report", {2}),
        ("january OR before:2016", {1, 3}),
        ('"report of january"', {1}),
        ('"of report"', set()),
        ('"repo"', set()),
        ("repo", {1, 2, 3}),
        ("rep", set()),
        ("rep*", {1, 2, 3}),
        ("from:an*", {1, 3}),
        ("from:an", {1}),
        ("from:andr", {3}),
        ('from:"lan@c.example"', {2}),
        ("from:lan@c.example", {2}),
        ("to:an", {2}),
        ("cc:lan", {1}),
        ("-cc:lan report", {2, 3}),
        ("subject:cong", {1}),
        ("Subject:report", {2}),
        ("has:attachment", {1}),
        ("-has:attachment", {2, 3}),
        ("has:pdf", {1}),
        ('has:"bao cao"', {1}),
        ("pdf OR has:xyz", {1}),
        ("before:2026", {3}),
        ("before:2026-02", {1, 3}),
        ("before:2026-01-15", {3}),
        ("after:2026-01-15", {2}),
        ("after:2025", {1, 2}),
        ("on:2026-01-15", {1}),
        ("on:2026-02", {2}),
        ("on:2026 -on:2026-02-28", {1}),
        ("larger:5k", {1}),
        ("smaller:5k", {2, 3}),
        ("larger:1 smaller:5k draft", {2}),
        ("10:30", {3}),
        ("https://a.example/x", {3}),
        ("old & draft -", {2}),
        ("secretly", set()),
        ('from:an has:pdf before:2026-02 "of january"', {1}),
    ],
)
async def test_what_a_question_means(fill: Fill, question: str, found: set[int]) -> None:
    assert await numbers(await fill(MAIL), question) == found


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("", "nothing to look for"),
        ('"open', "no other one that closes it"),
        ("OR report", "OR stands between"),
        ("report OR", "OR stands between"),
        ("a OR OR b", "OR stands between"),
        ("!!! - &", "nothing to look for"),
        ('"!!!"', "no letter and no digit"),
        ("report from:!!!", "no letter and no digit"),
        ("colour:red", "colour: is nothing that is looked for"),
        ("from: an", "says nothing to look for"),
        ("before:yesterday", "is no date"),
        ("on:2026-02-30", "is no date"),
        ("after:9999", "is no date"),
        ("larger:big", "no size"),
        ("--jsn", "there is no option"),
        ("a " * 101, "at most 100 words"),
        ("before:2026 " * 101, "at most 100 words"),
        ("我" * 101, "at most 100 words"),
        ("a" * 20_000, "at most 10000 characters"),
    ],
)
def test_what_means_nothing_is_one_sentence(question: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as raised:
        read_question(question)
    assert raised.value.status == 64
    assert "\n" not in str(raised.value)


async def test_nothing_that_is_typed_reaches_the_language_of_the_engine(fill: Fill) -> None:
    path = await fill([letter("NEAR AND column")])
    for question in ("NEAR", "AND", "NOT", "column:*", "{a}", "a* ^b", "(near)", "near+and", "'; DROP TABLE entries"):
        with suppress(UsageError):
            await numbers(path, question)
    assert await numbers(path, "near and column") == {1}


@pytest.mark.parametrize("joint", [" ", " OR ", " -", " OR -"])
async def test_a_question_may_have_a_hundred_words(fill: Fill, joint: str) -> None:
    path = await fill([letter(" ".join(f"word{number}" for number in range(100)))])
    found = {1} if "-" not in joint or "OR" in joint else set()
    assert await numbers(path, joint.join(f"word{number}" for number in range(100))) == found


async def test_a_word_in_the_subject_counts_more_than_one_in_the_text(fill: Fill) -> None:
    path = await fill([letter("invoice " + "and so on " * 50), letter("nothing", "Subject: invoice\r\n"), letter("x")])
    search = Search(path)
    await search.catch_up()
    assert [one.hit.number for one in (await search.find("invoice")).shown] == [2, 1]
    await search.close()


async def test_a_letter_is_shown_with_the_line_that_was_looked_for(fill: Fill) -> None:
    text = "lorem ipsum " * 200 + "Báo cáo công nợ \x1b[2J của \u202eNguyễn " + "dolor sit " * 200
    path = await fill([letter(text), letter("谢谢，北京办公室")])
    search = Search(path)
    await search.catch_up()
    [one] = (await search.find("cong nguyen")).shown
    assert [one.snippet.text[first:last] for first, last in one.snippet.marked] == ["công", "Nguyễn"]
    assert one.snippet.text.startswith("…")
    assert one.snippet.text.endswith("…")
    assert len(one.snippet.text) <= 170
    assert not set("\x1b\u202e") & set(one.snippet.text)
    [one] = (await search.find("北京")).shown
    assert [one.snippet.text[first:last] for first, last in one.snippet.marked] == ["北京"]
    await search.close()
