"""What a person asks for, read: words, "phrases", -not, OR, and what is to be looked for where.

    invoice 2025                 both words, anywhere in a letter
    "công nợ"                    these words beside each other
    invoice OR bill -draft       one of both (OR binds closer than what stands side by side), and not this
    from:an to: cc: subject:     words, or a "phrase", in one field
    has:attachment has:pdf       something is attached; a name, or a kind, of what is attached
    before:2026-01 after: on:    a year, a month or a day, in this machine's time
    larger:5M smaller:10k        octets of the letter
    in:Sent in:all               a folder, by its name or the last piece of it; all of them, also those put aside

A word of four letters or more also finds the longer ones that begin with it, a shorter one if a * stands behind it; a
phrase finds itself alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from postoffice.client.rules import octets_of
from postoffice.errors import UsageError
from postoffice.home.search.folding import folded, may_go_on, words
from postoffice.store.embedded.index import AnyOf, Attached, Clause, Column, Dated, Sized, Within, Without, Words

WORDS: Final = 100
"""More is no question of a person. A character that stands alone is a word."""

QUESTION_CHARACTERS: Final = 10_000

_COLUMNS: Final = {"from": Column.SENDER, "to": Column.RECIPIENTS, "cc": Column.COPIES, "subject": Column.SUBJECT}
_OTHERS: Final = ("has", "before", "after", "on", "larger", "smaller", "in")
_TERM: Final = re.compile(
    r"""\s*(?P<without>-)?(?:(?P<field>[A-Za-z]+):(?!//))?(?:"(?P<phrase>[^"]*)"|(?P<word>[^\s"]*))"""
)
_DATE: Final = re.compile(r"([0-9]{4})(?:-([0-9]{1,2})(?:-([0-9]{1,2}))?)?")


@dataclass(frozen=True, slots=True)
class Needle:
    """Folded words that are shown where they are found. `begins`: the last one may go on."""

    words: tuple[str, ...]
    begins: bool


@dataclass(frozen=True, slots=True)
class Question:
    """All clauses must hold. `needles` are the words that a letter is shown for."""

    clauses: tuple[Clause, ...]
    needles: tuple[Needle, ...]


def read_question(text: str) -> Question:
    """Raises UsageError, with one sentence, for what means nothing."""
    if len(text) > QUESTION_CHARACTERS:
        raise UsageError(f"a question has at most {QUESTION_CHARACTERS} characters")
    clauses: list[Clause] = []
    needles: list[Needle] = []
    joins = False
    for term in _terms(text):
        if term is None:
            if joins or not clauses:
                raise UsageError("OR stands between two things to look for")
            joins = True
            continue
        if not term.without:
            needles += term.needles
        clause = Without(term.clause) if term.without else term.clause
        if joins:
            before = clauses.pop()
            clause = AnyOf((*(before.clauses if isinstance(before, AnyOf) else (before,)), clause))
            joins = False
        clauses.append(clause)
    if joins:
        raise UsageError("OR stands between two things to look for")
    if not clauses:
        raise UsageError("there is nothing to look for: name words, or see postoffice search --help")
    return Question(tuple(clauses), tuple(needles))


@dataclass(frozen=True, slots=True)
class _Term:
    clause: Clause
    without: bool
    needles: tuple[Needle, ...]


def _terms(text: str) -> Iterator[_Term | None]:
    """Each term; None is an OR. A word that is none, such as &, is passed over."""
    if text.count('"') % 2:
        raise UsageError('a " has no other one that closes it')
    position, count = 0, 0
    while text[position:].strip():
        found = _TERM.match(text, position)
        assert found is not None
        position = found.end()
        if found[0].strip() == "OR":
            yield None
        elif found["field"] or found["phrase"] is not None or words(folded(found["word"])):
            term = _term(found)
            count += sum(len(needle.words) for needle in term.needles) or 1
            if count > WORDS:
                raise UsageError(f"a question has at most {WORDS} words")
            yield term


def _term(found: re.Match[str]) -> _Term:
    field, phrase, word = found["field"], found["phrase"], found["word"]
    written = found[0].strip()
    value = phrase if phrase is not None else word
    name = (field or "").lower()
    without = found["without"] is not None
    if written.startswith("--"):
        raise UsageError(f"there is no option {written}")
    if field and name not in _COLUMNS and name not in _OTHERS:
        known = ", ".join((*_COLUMNS, *_OTHERS))
        raise UsageError(f'{field}: is nothing that is looked for ({known}); if it is words, put "" around them')
    if field and not value.strip():
        raise UsageError(f"{written} says nothing to look for")
    if name in ("before", "after", "on"):
        return _Term(_dated(name, value), without, ())
    if name == "in":
        return _Term(Within((value.strip(),)), without, ())
    if name in ("larger", "smaller"):
        octets = _octets(name, value)
        return _Term(Sized(above=octets) if name == "larger" else Sized(below=octets), without, ())
    if name == "has" and value.lower() in ("attachment", "attachments"):
        return _Term(Attached(), without, ())
    column = Column.NAMES if name == "has" else _COLUMNS.get(name)
    compared = words(folded(value))
    if not compared:
        raise UsageError(f"{written} has no letter and no digit to look for")
    begins = phrase is None and may_go_on(compared[-1], is_asked=value.endswith("*"))
    needle = Needle(tuple(compared), begins)
    return _Term(Words(" ".join(compared), column, begins), without, (needle,))


def _octets(name: str, value: str) -> int:
    try:
        return octets_of(value)
    except UsageError as error:
        raise UsageError(f"{name}:{value}: {error}") from error


def _dated(name: str, value: str) -> Dated:
    found = _DATE.fullmatch(value)
    try:
        if found is None:
            raise ValueError(value)
        begin, end = _span(*(int(one) if one else None for one in found.groups()))
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"{name}:{value} is no date: write 2026, 2026-01 or 2026-01-31") from error
    match name:
        case "before":
            return Dated(until=begin)
        case "after":
            return Dated(since=end)
        case _:
            return Dated(begin, end)


def _span(year: int | None, month: int | None, day: int | None) -> tuple[float, float]:
    """Where a year, a month or a day begins, and where the next one does."""
    assert year is not None
    first = datetime(year, month or 1, day or 1)
    if day:
        after = datetime.fromordinal(first.toordinal() + 1)
    elif month:
        after = datetime(year + month // 12, month % 12 + 1, 1)
    else:
        after = datetime(year + 1, 1, 1)
    return first.timestamp(), after.timestamp()
