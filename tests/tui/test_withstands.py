"""What cannot disturb the reader: hostile letters, files that cannot be written, are damaged, or go away meanwhile."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import pytest
from tests.tui.conftest import Drive, add, facts, letter

from postoffice.store.embedded import MailboxFile
from postoffice.store.model import Flag
from postoffice.tui.cells import tame
from postoffice.tui.layout import content_of, lines_of

HOSTILE = (
    b"From: \x1b]0;owned\x07 <x@x>\r\nSubject: a\x1b[2Jb\xe2\x80\xaec\r\n\r\n\x1b[31mred\x9b31m\r\n\xff\r\n",
    b"From: " + b"(" * 50_000 + b"\r\nSubject: comments in comments\r\n\r\n",
    b"From: " + b"a:" * 25_000 + b"\r\nSubject: groups in groups\r\n\r\n",
    b"Subject: one line\r\n\r\n" + b"x" * 1_000_000 + b"\r\n",
    "Subject: 発票 công nợ\r\n\r\n👩‍👩‍👧 🇻🇳 👍🏽 ❤️ Z̸̡̛̛͎a̸͎l̸͎g̸͎o हिन्दी مرحبا\r\n".encode(),
    b"Subject: " + "\u0300".encode() * 5000 + b"\r\n\r\n" + "a\u0300".encode() * 5000 + b"\r\n",
    b"Subject: tab\tand\r\n\tfolded\r\n\r\n\tindented\x0b\x0c\x08\x7f\r\n",
    b"",
    b"Subject: deep\r\n"
    + b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(2000)),
    b'Date: Fri, 99 Foo 0000 99:99:99 +9999\r\nFrom: "bank@b.example" <x@evil.example>\r\nSubject: \r\n\r\n\r\n',
)


async def test_no_letter_breaks_the_screen(tmp_path: Path, drive: Drive) -> None:
    file = tmp_path / "hostile.mailbox"
    await add(file, HOSTILE)
    async with drive(file) as reader:
        for _ in HOSTILE:
            await reader.press("enter", "G", "h", "g", "space", "escape", "j")
            assert not any(
                ord(one) < 32 or 0x7F <= ord(one) < 0xA0 or one in "\u202e\u200d"
                for one in reader.screen.replace("\n", "")
            )
        assert reader.chosen == 1
        assert len([line for line in reader.lines if line]) == len(HOSTILE) + 2


async def test_a_name_that_is_dressed_up_as_an_address_is_not_believed(tmp_path: Path, drive: Drive) -> None:
    file = tmp_path / "dressed.mailbox"
    await add(file, HOSTILE[-1:])
    async with drive(file) as reader:
        assert "x@evil.example" in reader.lines[1]
        assert "bank@b.example" not in reader.lines[1]
        assert "(no subject)" in reader.lines[1]


async def test_columns_stay_columns_in_every_script(tmp_path: Path, drive: Drive) -> None:
    from rich.cells import cell_len

    file = tmp_path / "scripts.mailbox"
    subjects = ("plain", "発票を送ります" * 9, "công nợ", "한국어 제목", "e\u0301\u0301\u0301 x", "👩‍👩‍👧👩‍👩‍👧")
    await add(file, [letter(number, subject=subject) for number, subject in enumerate(subjects)])
    async with drive(file) as reader:
        rows = reader.letters.rows
        strips = [rows.render_line(y) for y in range(len(subjects))]
        assert {strip.cell_length for strip in strips} == {80}
        assert {sum(cell_len(segment.text) for segment in strip) for strip in strips} == {80}
        assert "…" in strips[4].text


async def test_an_empty_file_says_how_letters_come(tmp_path: Path, drive: Drive) -> None:
    file = tmp_path / "empty.mailbox"
    await add(file, [])
    async with drive(file) as reader:
        assert "No letters here" in reader.screen
        assert "postoffice fetch" in reader.screen
        await reader.press("enter", "j", "d", "u", "asterisk", "r", "n", "G", "t")
        assert "No letters here" in reader.screen


async def test_what_comes_meanwhile_is_seen_and_nothing_jumps(file: Path, drive: Drive) -> None:
    async with drive(file) as reader:
        await add(file, [letter(31), letter(32)], flags=Flag(0))
        await reader.letters.look()
        await reader.settle()
        assert "subject 32" in reader.lines[1]
        assert reader.chosen == 30
        assert "32 letters, 5 unread" in reader.lines[0]
        await reader.press("G", "k")
        height = [index for index, line in enumerate(reader.lines) if " subject 2" in line and "subject 2 " not in line]
        await add(file, [letter(33)])
        await reader.letters.look()
        await reader.settle()
        assert "1 letter came above" in reader.screen
        assert reader.chosen == 2
        assert [index for index, line in enumerate(reader.lines) if line.endswith(" subject 2")] == height[-1:]


async def test_what_another_program_marks_or_removes_is_seen(file: Path, drive: Drive) -> None:
    async with drive(file) as reader:
        await reader.press("j")
        mailbox = MailboxFile.open(file)
        keys = (await mailbox.snapshot()).keys
        await mailbox.flag(keys[-1:], Flag.SEEN | Flag.FLAGGED)
        await mailbox.remove(keys[-2:-1])
        await mailbox.close()
        await reader.letters.look()
        await reader.settle()
        assert reader.lines[1].startswith(" !")
        assert "29 letters, 2 unread" in reader.lines[0]
        assert reader.chosen == 28


async def test_a_letter_that_went_meanwhile_is_one_sentence(file: Path, drive: Drive) -> None:
    async with drive(file) as reader:
        mailbox = MailboxFile.open(file)
        await mailbox.remove((await mailbox.snapshot()).keys[-1:])
        await mailbox.close()
        await reader.press("asterisk")
        assert "this letter is gone" in reader.screen


async def test_a_file_that_is_taken_away_can_be_read_on_and_not_written(file: Path, drive: Drive) -> None:
    async with drive(file) as reader:
        file.unlink()
        await reader.letters.look()
        assert "was taken away or replaced" in reader.screen
        await reader.press("enter")
        assert "this is letter 30" in reader.screen
        await reader.press("q", "d")
        assert "nothing can be changed" in reader.screen
        await reader.press("slash", *"letter", "enter")
        assert "nothing can be changed or searched" in reader.screen
    assert not file.exists()


async def test_a_file_that_cannot_be_written_is_read(file: Path, drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a disc: the system says of nothing that it can be written."""
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and access(path, mode))
    async with drive(file) as reader:
        assert "read-only" in reader.lines[0]
        for key in ("d", "u", "asterisk"):
            await reader.press(key)
            assert "cannot be written: nothing was changed" in reader.screen
        await reader.press("enter")
        assert "this is letter 30" in reader.screen
        await reader.press("q")
        assert reader.lines[1].startswith("•")
    assert (await facts(file))["INBOX"][-1] == Flag(0)


async def test_a_damaged_letter_is_named_and_the_others_are_read(file: Path, drive: Drive) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("DELETE FROM chunks WHERE chunk_id = (SELECT max(chunk_id) FROM chunks)")
    connection.close()
    async with drive(file) as reader:
        assert "(this letter is damaged)" in reader.lines[1]
        assert "subject 29" in reader.lines[2]
        await reader.press("enter")
        assert "This letter is damaged" in reader.screen
        assert "postoffice repair" in reader.screen
        await reader.press("n")
        assert "this is letter 29" in reader.screen


async def test_a_hundred_kinds_of_line_are_drawn_as_wide_as_they_are_measured() -> None:
    """Property of `cells`: what Textual measures is what is counted here."""
    from hypothesis import given
    from hypothesis import strategies as st
    from rich.cells import cell_len

    from postoffice.tui.cells import columns, fitted, wrapped

    @given(st.text(), st.integers(1, 100))
    def measured(text: str, width: int) -> None:
        tamed = tame(text)
        assert cell_len(tamed) == columns(tamed)
        assert tame(tamed) == tamed
        assert cell_len(fitted(tamed, width)) == width
        lines = wrapped(tamed, width)
        assert all(cell_len(line) <= max(width, 4) for line in lines)
        assert "".join("".join(lines).split()).replace(">", "") == "".join(tamed.split()).replace(">", "")

    measured()


@pytest.mark.parametrize("words", ["công nợ ", "x", "発票を", "a\u0300\u0301", "> > quoted "])
def test_a_text_of_a_million_characters_is_set_in_time_that_grows_with_it(words: str) -> None:
    def seconds(characters: int) -> float:
        letter = f"Subject: x\r\n\r\n{words * (characters // len(words))}\r\n"
        content = content_of(letter.encode(), is_whole=True)
        began = time.process_time()
        lines = lines_of(content, 78, shows_headers=False)
        assert len(lines) > characters // 300
        return time.process_time() - began

    few, many = seconds(100_000), seconds(1_000_000)
    assert many < max(few, 0.02) * 40
    assert many < 10.0


@pytest.mark.parametrize("marks", ["\u0315\u0300", "\u0f73", "\u0301"])
def test_a_stack_of_marks_takes_no_time(marks: str) -> None:
    began = time.process_time()
    assert 2 <= len(tame("x" + marks * 100_000)) <= 4
    assert time.process_time() - began < 5  # where their square counts, 40


def test_a_text_that_nobody_reads_to_its_end_is_cut_and_said() -> None:
    content = content_of(b"Subject: x\r\n\r\n" + b"word " * 300_000, is_whole=True)
    lines = lines_of(content, 78, shows_headers=False)
    assert any("Only the first" in text for line in lines for text, _ in line)


def test_of_an_attachment_that_was_not_looked_at_to_its_end_the_size_is_a_least_one() -> None:
    octets = b"Content-Type: application/pdf; name=a.pdf\r\n\r\n" + b"x" * 5000
    for is_whole, told in ((True, "pdf, 5.0 kB"), (False, "pdf, at least 5.0 kB")):
        lines = lines_of(content_of(octets, is_whole=is_whole), 78, shows_headers=False)
        assert any(told in "".join(text for text, _ in line) for line in lines)


async def test_nothing_of_a_letter_or_a_folder_steers_the_terminal(tmp_path: Path, drive: Drive) -> None:
    steers = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u2067\x08\x7f"
    file = tmp_path / "steering.mailbox"
    octets = (
        f'From: {steers}\r\nSubject: {steers} needle\r\nContent-Type: multipart/mixed; boundary="x"\r\n\r\n'
        f'--x\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{steers} needle <a href="http://x/{steers}">{steers}</a>\r\n'
        f'--x\r\nContent-Type: application/pdf; name="{steers}.exe"\r\n\r\nMZ\r\n--x--\r\n'
    ).encode()
    await add(file, [octets, octets])
    mailbox = MailboxFile.open(file)
    await mailbox.move((await mailbox.snapshot()).keys[:1], f"folder {steers}")
    await mailbox.close()
    seen = []
    async with drive(file) as reader:
        visit = ("enter", "h", "l", "escape", "a", "escape", "escape")
        for key in (*visit, "t", "escape", "f", "down", "enter", *visit, "slash", *"needle", "enter"):
            await reader.press(key)
            seen.append(reader.screen)
    screens = "\n".join(seen)
    assert "http://x/" in screens
    assert "folder \ufffd" in screens
    assert "/needle" in screens
    assert not any(ord(one) < 32 or 0x7F <= ord(one) < 0xA0 or one in "\u202e\u2067" for one in screens if one != "\n")
