"""Letters that answer each other stand together, as long as one wishes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.tui.conftest import Drive, add, letter

ANSWERS = {5: 1, 6: 5, 7: 1, 8: 3}


def answering(number: int) -> bytes:
    before = ANSWERS.get(number)
    return letter(number, more=f"In-Reply-To: <{before}@a.example>\r\n" if before else "")


@pytest.fixture
async def answered(tmp_path: Path) -> Path:
    file = tmp_path / "home.mailbox"
    await add(file, [answering(number) for number in range(1, 9)])
    return file


def numbers(lines: list[str]) -> list[int]:
    return [int(line.split()[0]) for line in lines[1:-2] if line]


async def test_t_shows_conversations_and_hides_them_again(answered: Path, drive: Drive) -> None:
    async with drive(answered) as reader:
        await reader.press("j", "t")
        assert reader.lines[0].startswith(" INBOX · conversations  8 letters")
        assert numbers(reader.lines) == [3, 8, 1, 5, 6, 7, 4, 2]
        assert reader.chosen == 7
        assert "   └ subject 6" in reader.lines[5]
        assert " └ subject 7" in reader.lines[6]
        await reader.press("t")
        assert numbers(reader.lines) == [8, 7, 6, 5, 4, 3, 2, 1]
        assert reader.chosen == 7


async def test_in_a_conversation_the_next_letter_is_the_answer(answered: Path, drive: Drive) -> None:
    async with drive(answered) as reader:
        await reader.press("t", "g", "j", "j", "enter", "n")
        assert "this is letter 5" in reader.screen
        await reader.press("n")
        assert "this is letter 6" in reader.screen


async def test_a_deleted_letter_leaves_its_conversation(answered: Path, drive: Drive) -> None:
    async with drive(answered) as reader:
        await reader.press("t", "g", "d")
        assert "moved to Trash" in reader.screen
        assert numbers(reader.lines)[0] == 7  # it was letter 8 before another one went
        assert "conversations  7 letters" in reader.lines[0]


async def test_what_comes_joins_its_conversation(answered: Path, drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postoffice.tui.asking.RETHREAD_SECONDS", 0.0)
    async with drive(answered) as reader:
        await reader.press("t")
        ANSWERS[9] = 2
        await add(answered, [answering(9)])
        await reader.letters.look()
        await reader.settle()
        assert numbers(reader.lines) == [2, 9, 3, 8, 1, 5, 6, 7, 4]


async def test_a_search_has_no_conversations(answered: Path, drive: Drive) -> None:
    async with drive(answered) as reader:
        await reader.press("slash", *"letter", "enter", "t")
        assert "Esc first" in reader.screen
