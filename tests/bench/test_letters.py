"""Letter number N is always the same, and like no other."""

from __future__ import annotations

from bench.letters import LETTER_OCTETS, letter, letters, wire_file

from postoffice.protocols.dots import unstuff


def test_letters_have_the_size_asked_for_and_differ() -> None:
    all_letters = letters(50)
    assert {len(one) for one in all_letters} == {LETTER_OCTETS}
    assert len(set(all_letters)) == 50
    assert letter(7) == all_letters[7]


def test_line_ends_are_canonical() -> None:
    one = letter(3)
    assert one.endswith(b"\r\n")
    assert one.count(b"\n") == one.count(b"\r") == one.count(b"\r\n")


def test_about_one_line_in_97_begins_with_a_dot() -> None:
    lines = b"".join(letters(100)).splitlines()
    dots = sum(line.startswith(b".") for line in lines)
    assert 90 < len(lines) / dots < 105


def test_the_wire_file_holds_every_letter() -> None:
    all_letters = letters(5)
    parts = wire_file(all_letters).split(b"\r\n.\r\n")
    assert [unstuff(part + b"\r\n") for part in parts[:-1]] == all_letters
    assert parts[-1] == b""
