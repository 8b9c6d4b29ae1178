"""Letters go into a Maildir once, whole, and leave the spool."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.handing.conftest import DATE, LETTERS, Spool, as_sent

from postoffice.errors import UsageError


def letters_in(maildir: Path) -> list[bytes]:
    assert not list((maildir / "tmp").iterdir())
    return as_sent([file.read_bytes() for place in ("new", "cur") for file in (maildir / place).iterdir()])


async def test_every_letter_is_a_file_of_its_own_in_new(spool: Spool, tmp_path: Path) -> None:
    maildir = tmp_path / "Maildir"
    await spool.put(*LETTERS)
    handed = await spool.hand_over(f"maildir:{maildir}")
    assert (handed.letters, handed.octets, handed.status) == (len(LETTERS), sum(map(len, LETTERS)), 0)
    assert letters_in(maildir) == sorted(LETTERS)
    assert not list((maildir / "cur").iterdir())
    assert min(file.stat().st_mtime for file in (maildir / "new").iterdir()) == DATE
    assert await spool.left() == 0
    assert await spool.remembered() == len(LETTERS)  # so that no pull brings them again


async def test_nothing_comes_twice_over_several_runs(spool: Spool, tmp_path: Path) -> None:
    maildir = tmp_path / "Maildir"
    for letter in LETTERS:
        await spool.put(letter)
        await spool.hand_over(f"maildir:{maildir}")
    await spool.hand_over(f"maildir:{maildir}")
    assert letters_in(maildir) == sorted(LETTERS)


@pytest.mark.parametrize("place", ["new", "cur"])
async def test_a_letter_that_is_there_already_is_known_whatever_its_flags(
    spool: Spool, tmp_path: Path, place: str
) -> None:
    maildir = tmp_path / "Maildir"
    await spool.put(*LETTERS)
    before = spool.file.read_bytes()
    await spool.hand_over(f"maildir:{maildir}")
    for file in list((maildir / "new").iterdir()) if place == "cur" else []:
        file.rename(maildir / "cur" / f"{file.name}:2,FS")
    spool.file.write_bytes(before)  # as if the removal had not become durable
    handed = await spool.hand_over(f"maildir:{maildir}")
    assert (handed.letters, handed.recognised) == (0, len(LETTERS))
    assert letters_in(maildir) == sorted(LETTERS)
    assert await spool.left() == 0


async def test_other_line_ends_stay(spool: Spool, tmp_path: Path) -> None:
    letter = b"Subject: strange\r\n\r\na\nb\r\nc\rd\r\n"
    await spool.put(letter)
    await spool.hand_over(f"maildir:{tmp_path}/M")
    [file] = (tmp_path / "M" / "new").iterdir()
    assert file.read_bytes() == letter
    assert file.name.endswith(f",S={len(letter)},W={len(letter)}")


async def test_a_folder_of_something_else_is_no_maildir(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "diary").touch()
    await spool.put(LETTERS[0])
    with pytest.raises(UsageError, match="no Maildir") as caught:
        await spool.hand_over(f"maildir:{tmp_path}/home")
    assert caught.value.status == os.EX_CANTCREAT
    with pytest.raises(UsageError, match="cannot be written") as caught:
        await spool.hand_over(f"maildir:{tmp_path}/nowhere/M")
    assert caught.value.status == os.EX_CANTCREAT
    assert await spool.left() == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could")
async def test_root_makes_nothing_in_the_folder_of_somebody_else(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "M").mkdir()
    os.chown(tmp_path / "M", 1234, 1234)
    await spool.put(LETTERS[0])
    with pytest.raises(UsageError, match="somebody else's") as caught:
        await spool.hand_over(f"maildir:{tmp_path}/M")
    assert caught.value.status == os.EX_NOPERM
    assert not list((tmp_path / "M").iterdir())
