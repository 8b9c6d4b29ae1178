"""The reader of a mailbox file: letters are listed, opened, marked, moved and found by keys alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tui.conftest import Drive, add, facts, letter
from textual import events
from textual.keys import key_to_character

from postoffice.store.model import Flag


async def test_the_latest_letters_are_on_the_first_screen(file: Path, drive: Drive) -> None:
    async with drive(file) as reader:
        assert reader.lines[0].split() == ["INBOX", "30", "letters,", "3", "unread", "home.mailbox", "1/30"]
        assert reader.lines[1].split() == ["•", "30", "2020-11-22", "Sender", "30", "subject", "30"]
        assert reader.lines[2].split() == ["29", "2020-11-22", "Sender", "29", "subject", "29"]
        assert " ".join(reader.lines[-1].split()) == "↵ read / search f folders t threads d delete * flag ? help q quit"


async def test_keys_move_through_the_list(file: Path, drive: Drive) -> None:
    async with drive(file) as reader:
        for keys, chosen in (
            (("j", "j", "down"), 27),
            (("k", "up"), 29),
            (("G",), 1),
            (("j",), 1),
            (("pageup",), 22),
            (("g",), 30),
            (("space",), 9),
            (("b",), 30),
            (("end",), 1),
            (("home",), 30),
        ):
            await reader.press(*keys)
            assert reader.chosen == chosen, keys


async def test_a_letter_is_opened_read_and_marked_as_read_in_the_file(file: Path, drive: Drive) -> None:
    async with drive(file) as reader:
        await reader.press("enter")
        assert "Sender 30 <sender30@a.example>" in reader.screen
        assert "this is letter 30" in reader.screen
        await reader.press("n")
        assert "this is letter 29" in reader.screen
        await reader.press("p", "p")
        assert "this is letter 30" in reader.screen
        assert "this is the first letter of the list" in reader.screen
        await reader.press("q")
        assert "2 unread" in reader.lines[0]
    assert (await facts(file))["INBOX"][-1] == Flag.SEEN


async def test_every_line_of_the_header_can_be_seen(file: Path, drive: Drive) -> None:
    async with drive(file) as reader:
        await reader.press("enter")
        assert "<30@a.example>" not in reader.screen
        await reader.press("h")
        assert "<30@a.example>" in reader.screen
        await reader.press("h")
        assert "<30@a.example>" not in reader.screen


async def test_flags_are_kept_in_the_file(file: Path, drive: Drive) -> None:
    async with drive(file) as reader:
        await reader.press("asterisk", "j", "u")
        assert reader.lines[1].startswith("•!")
        assert reader.lines[2].startswith("•")
        assert (await facts(file))["INBOX"][-2:] == [Flag(0), Flag.FLAGGED]
        await reader.press("u", "k", "asterisk", "u")
    assert (await facts(file))["INBOX"][-2:] == [Flag.SEEN, Flag.SEEN]


async def test_the_next_unread_letter_is_found_also_from_the_end(file: Path, drive: Drive) -> None:
    async with drive(file) as reader:
        for chosen in (20, 10, 30):
            await reader.press("n")
            assert reader.chosen == chosen
    await add(file, [letter(31)])
    async with drive(file) as reader:
        await reader.press("n")
        assert reader.chosen == 30


async def test_a_deleted_letter_is_in_trash_and_comes_back(file: Path, drive: Drive) -> None:
    async with drive(file) as reader:
        await reader.press("j", "d")
        assert reader.chosen == 28
        assert "moved to Trash" in reader.screen
        assert "29 letters" in reader.lines[0]
        await reader.press("f", "j", "enter")
        assert reader.lines[0].startswith(" Trash  1 letter")
        assert "subject 29" in reader.lines[1]
        await reader.press("d")
        assert "it is in Trash already" in reader.screen
        await reader.press("r")
        assert "Trash is empty" in reader.screen
        await reader.press("f", "g", "enter")
        assert "subject 29" in reader.lines[1]
    assert [len(flags) for flags in (await facts(file)).values()] == [30, 0]


async def test_a_letter_is_deleted_while_it_is_read(file: Path, drive: Drive) -> None:
    async with drive(file) as reader:
        await reader.press("enter", "d")
        assert "this is letter 29" in reader.screen
        assert "moved to Trash" in reader.screen


async def test_what_was_set_apart_is_not_moved_from_there(file: Path, drive: Drive, tmp_path: Path) -> None:
    from postoffice.store.embedded import MailboxFile

    mailbox = MailboxFile.open(file)
    await mailbox.move((await mailbox.snapshot()).keys[:1], "Quarantine")
    await mailbox.close()
    async with drive(file) as reader:
        await reader.press("f", "end", "enter", "d")
        assert "postoffice scan" in reader.screen
    assert len((await facts(file))["Quarantine"]) == 1


async def test_folders_show_how_many_are_there_and_unread(file: Path, drive: Drive) -> None:
    async with drive(file) as reader:
        await reader.press("d", "f")
        assert reader.lines[2].split() == ["INBOX", "29", "letters", "2", "unread"]
        assert reader.lines[3].split() == ["Trash", "1", "letter", "1", "unread"]
        await reader.press("escape")
        assert reader.lines[0].startswith(" INBOX")


async def test_a_search_shows_what_is_found_with_the_line_it_is_in(file: Path, drive: Drive) -> None:
    await add(file, [letter(31, text="the invoice of May"), letter(32, text="nothing"), letter(33, subject="invoice")])
    async with drive(file) as reader:
        await reader.press("slash", *"invoice", "enter")
        assert reader.lines[0].startswith(" /invoice  2 letters")
        assert [line.split()[0] for line in reader.lines[1:3]] == ["33", "31"]
        await reader.press("j")
        assert "the invoice of May" in reader.lines[-2]
        await reader.press("enter")
        assert "the invoice of May" in reader.screen
        await reader.press("q", "escape")
        assert reader.lines[0].startswith(" INBOX  33 letters")


async def test_a_search_that_finds_nothing_or_means_nothing_says_so(file: Path, drive: Drive) -> None:
    async with drive(file) as reader:
        await reader.press("slash", *"nowhere", "enter")
        assert "Nothing was found" in reader.screen
        await reader.press("q", "slash", *"before:then", "enter")
        assert "before:then is no date" in reader.screen
        assert reader.lines[0].startswith(" INBOX")


async def test_a_question_can_be_left(file: Path, drive: Drive) -> None:
    async with drive(file) as reader:
        await reader.press("slash", *"quit")
        assert reader.lines[-1] == " ↵ search  Esc leave it"
        await reader.press("escape", "j")
        assert reader.chosen == 29


async def test_what_was_found_can_be_deleted(file: Path, drive: Drive) -> None:
    async with drive(file) as reader:
        await reader.press("slash", *"letter", "enter", "d")
        assert "29 letters" in reader.lines[0] or len(reader.letters.rows.listing.keys) == 29
        assert reader.letters.rows.listing.kind.value == "found"
    assert len((await facts(file))["Trash"]) == 1


async def test_a_search_from_another_folder_knows_where_its_letters_lie(file: Path, drive: Drive) -> None:
    async with drive(file) as reader:
        await reader.press("d", "f", "j", "enter", "slash", *"letter", "enter")
        assert "29 letters" in reader.lines[0]
        assert reader.lines[-2].startswith(" INBOX  this is letter")
        await reader.press("r")
        assert "brings letters back from Trash" in reader.screen
        await reader.press("d", "escape")
        assert reader.lines[0].startswith(" Trash  2 letters")
        await reader.press("slash", *"in", "colon", *"Trash", "space", *"letter", "enter", "r")
        assert "back in INBOX" in reader.screen
        assert "1 letter" in reader.lines[0]


async def test_help_has_every_key_and_q_leaves(file: Path, drive: Drive) -> None:
    async with drive(file, (80, 60)) as reader:
        await reader.press("question_mark")
        assert "to the next unread letter" in reader.screen
        await reader.press("q", "q")
        assert not reader.app.is_running


@pytest.mark.parametrize("size", [(80, 24), (60, 20), (40, 10), (20, 5), (200, 60)])
async def test_any_size_of_terminal_will_do(file: Path, drive: Drive, size: tuple[int, int]) -> None:
    async with drive(file, size) as reader:
        for key in ("j", "enter", "h", "n", "escape", "f", "escape", "question_mark", "escape", "slash", "escape"):
            await reader.press(key)
            assert len(reader.lines) == size[1]


async def test_another_size_keeps_the_letter_in_sight(file: Path, drive: Drive) -> None:
    async with drive(file) as reader:
        await reader.press("G")
        await reader.pilot.resize_terminal(60, 10)
        await reader.settle()
        assert reader.chosen == 1
        assert "subject 1" in reader.screen
        await reader.pilot.resize_terminal(120, 40)
        await reader.settle()
        assert "subject 30" in reader.screen


async def test_without_colours_none_is_written(file: Path, drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with drive(file) as reader:
        await reader.press("asterisk")
        for key in ("j", "enter", "question_mark"):
            await reader.press(key)
            styles = [segment.style for strip in reader.strips for segment in strip if segment.style]
            assert any(style.bold for style in styles)
            assert all(one is None or one.is_default for style in styles for one in (style.color, style.bgcolor))


async def test_with_colours_they_are_those_of_the_terminal(file: Path, drive: Drive) -> None:
    async with drive(file) as reader:
        colours = {segment.style.color for strip in reader.strips for segment in strip if segment.style}
        numbers = {colour.number for colour in colours if colour is not None and not colour.is_default}
        assert numbers
        assert all(number is not None and number < 16 for number in numbers)


async def test_what_is_typed_behind_a_slash_is_never_taken_for_keys_of_the_list(file: Path, drive: Drive) -> None:
    """All at once, as a slow line brings it: `d` would delete, `q` would leave."""
    async with drive(file) as reader:
        for key in ("slash", *"subject", "space", *"uddq*"):
            reader.app.post_message(events.Key(key, key_to_character(key)))
        await reader.settle()
        assert reader.letters.prompt.value == "subject uddq*"
    assert set(await facts(file)) == {"INBOX"}


async def test_keys_that_come_at_once_are_done_in_their_order(file: Path, drive: Drive) -> None:
    async with drive(file) as reader:
        for key in ("j", "enter", "n", "n", "d", "q", "j"):
            reader.app.post_message(events.Key(key, key_to_character(key)))
        await reader.settle()
        await reader.settle()
        assert reader.chosen == 25
        await reader.press("f", "j", "enter")
        assert "subject 27" in reader.lines[1]
