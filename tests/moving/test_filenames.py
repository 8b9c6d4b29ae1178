"""A letter or a folder with any name at all gets one that every system takes, and that no other one has there."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.moving.filenames import DEPTH, Taken, folder_name, hierarchy, letter_name, segment

NASTY = st.text(
    alphabet=st.one_of(
        st.characters(),
        st.sampled_from('/\\:*?"<>|.\0\n\r\t \u202e\u200b\u0301\ud800CcOoNnAaUuXx1.e'),
        st.just("\u1e9e"),
    ),
    max_size=300,
)
DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"}
DEVICES |= {f"{name}{number}" for name in ("com", "lpt") for number in "0123456789¹²³"}


def is_fit(name: str) -> bool:
    return (
        0 < len(name.encode("utf-8")) <= 255
        and not set(name) & set('<>:"/\\|?*\x7f')
        and not any(unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp") for one in name)
        and not name.endswith((".", " "))
        and not name.startswith((" ", "."))
        and name.split(".", maxsplit=1)[0].strip().lower() not in DEVICES
    )


@given(NASTY)
def test_any_text_becomes_a_name(text: str) -> None:
    assert is_fit(segment(text))
    assert is_fit(folder_name(text))
    assert not folder_name(text).lower().endswith(".eml")
    assert segment(segment(text)) == segment(text)


@given(NASTY, NASTY, st.floats(allow_nan=True))
def test_any_letter_becomes_a_name(sender: str, subject: str, date: float) -> None:
    head = f"From: {sender}\nSubject: {subject}\n\n".encode("utf-8", "surrogatepass")
    assert is_fit(f"{letter_name(head, date)}.eml")


@given(st.lists(st.tuples(NASTY, st.sampled_from(["", ".eml"])), max_size=20))
def test_no_two_are_the_same_where_case_and_form_do_not_count(names: list[tuple[str, str]]) -> None:
    taken = Taken("index.jsonl")
    made = ["index.jsonl", *(taken.take(segment(stem), ending) for stem, ending in names)]
    for form in ("NFC", "NFD", "NFKC"):
        assert len({unicodedata.normalize(form, unicodedata.normalize(form, name).casefold()) for name in made}) == len(
            made
        )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Re: hello", "Re hello"),
        ("a/b\\c", "a_b_c"),
        ("..", "_"),
        ("", "_"),
        ("CON", "_CON"),
        ("con.txt", "_con.txt"),
        ("com1", "_com1"),
        ("console", "console"),
        ("gpj.\u202eexe", "gpj._exe"),
        ("công nợ", "công nợ"),
        ("x" * 100, "x" * 60),
        ("発" * 100, "発" * 50),
    ],
)
def test_a_name_is_near_to_the_text(text: str, name: str) -> None:
    assert segment(text) == name


def test_a_letters_name_says_when_from_whom_and_what() -> None:
    head = b"From: =?utf-8?q?L=C3=A1n?= <lan@c.example>\nSubject: Re: money\n\n"
    assert letter_name(head, 1_700_000_000.5) == "2023-11-14 22.13.20 Lán - Re money"
    assert letter_name(b"From: <a@b>\n\n", 0) == "1970-01-01 00.00.00 a@b - no subject"
    assert letter_name(b"From: " + b"(" * 50_000, 0).startswith("1970-01-01 00.00.00 nobody - no subject")
    assert letter_name(b"", float("nan")) == "0000-00-00 00.00.00 nobody - no subject"


def test_folders_lie_in_each_other_and_not_too_deep() -> None:
    assert hierarchy("a/b") == ("a", "b")
    assert hierarchy("/".join("abcdefghijk")) == (*"abcdefg", "h/i/j/k")
    assert len(hierarchy("/" * 100)) == DEPTH


def test_many_letters_of_one_name_take_no_time() -> None:
    taken = Taken()
    assert len({taken.take("same", ".eml") for _ in range(20_000)}) == 20_000
