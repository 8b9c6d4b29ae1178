"""Conversations: which letter answers which, by Message-ID, References and In-Reply-To (RFC 5322 §3.6.4).

After Jamie Zawinski's algorithm, in two rounds: first what each letter says of itself counts, then what others say of
letters that are silent or not there. A letter that answers itself, over however many others, is answered by nobody.
An answer that names no letter at all belongs to the one before it with its subject. Takes nearly linear time, whatever
the letters say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from postoffice.message import header

REFERENCES: Final = 32
"""How many letters that one answers are looked at: the first one, and the last ones."""

SUBJECT_CHARACTERS: Final = 200

_FIELD: Final = re.compile(
    rb"^(Message-ID|References|In-Reply-To|Subject)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)", re.MULTILINE | re.IGNORECASE
)
_ID: Final = re.compile(rb"<([^<>\s]{1,500})>")
_MARK: Final = re.compile(
    r"\s*(?:\[[^\]]{1,60}\]\s*)?(?:(?:re|aw|antw|sv|vs|tr|rif|odp|fwd?|wg|trả lời|回复|答复|返信|fw)"
    r"(?:\s*[\[(]\s*[0-9]{1,3}\s*[\])])?\s*[:：]\s*)+",
    re.IGNORECASE,
)
_LIST: Final = re.compile(r"\s*\[[^\]]{1,60}\]\s*")
_BLANKS: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a letter says of its conversation. `key` is the caller's; `answers` are the letters before it, oldest first.

    `subject` is without marks of answers, in lower case; `has_mark`: it had one. `date` orders, in any unit.
    """

    key: int
    message_id: bytes
    answers: tuple[bytes, ...]
    subject: str
    has_mark: bool
    date: float


class Row(NamedTuple):
    """A letter in a conversation. `depth` counts the letters above it that are there."""

    key: int
    depth: int


Thread = tuple[Row, ...]
"""A conversation: each letter before its answers, answers in the order of their dates."""


def reply(key: int, head: bytes, date: float) -> Reply:
    """What a letter's header says. Never raises."""
    said: dict[bytes, bytes] = {}
    for name, value in _FIELD.findall(header.header_of(head)):
        said.setdefault(name.lower(), value)
    message_id = _ID.search(said.get(b"message-id", b""))
    answers = _ID.findall(said.get(b"references", b""))
    direct = _ID.findall(said.get(b"in-reply-to", b""))
    if direct and direct[0] not in answers:
        # Who answers with a list of others' ids behind his own means the first one.
        answers = [*answers, direct[0]]
    if len(answers) > REFERENCES:
        answers = [answers[0], *answers[1 - REFERENCES :]]
    written = header.text_for_people(said.get(b"subject", b""))
    subject, has_mark = base_subject(written[: 2 * SUBJECT_CHARACTERS])
    return Reply(key, message_id[1] if message_id else b"", tuple(dict.fromkeys(answers)), subject, has_mark, date)


def base_subject(subject: str) -> tuple[str, bool]:
    """A subject without marks of answers and names of lists, and whether there was a mark of an answer."""
    found = _MARK.match(subject)
    rest = subject[found.end() :] if found else subject
    name = _LIST.match(rest)
    if name and name.end() < len(rest):
        rest = rest[name.end() :]
        more = _MARK.match(rest)
        found, rest = (found or more), (rest[more.end() :] if more else rest)
    return _BLANKS.sub(" ", rest).strip().lower()[:SUBJECT_CHARACTERS], found is not None


def threads(letters: Iterable[Reply]) -> list[Thread]:
    """Every letter in one conversation; the one with the latest letter comes last."""
    forest = _Forest(list(letters))
    forest.believe_letters()
    forest.believe_others()
    forest.join_subjects()
    return forest.threads()


class _Forest:
    """Nodes are letters, then what is only spoken of. A node's parent is what it answers, -1 where that is nothing."""

    def __init__(self, letters: Sequence[Reply]) -> None:
        self._letters = letters
        self._parents = [-1] * len(letters)
        self._tops = list(range(len(letters)))  # of the tree of each node, or nearer to it
        self._nodes: dict[bytes, int] = {}
        for node, letter in enumerate(letters):
            if letter.message_id:
                self._nodes.setdefault(letter.message_id, node)  # of two with one id, the first is meant

    def believe_letters(self) -> None:
        for node, letter in enumerate(self._letters):
            for message_id in reversed(letter.answers):
                if message_id != letter.message_id:
                    self._link(node, self._node(message_id))
                    break

    def believe_others(self) -> None:
        for letter in self._letters:
            before = -1
            for message_id in letter.answers:
                node = self._node(message_id)
                if before >= 0:
                    self._link(node, before)
                before = node

    def join_subjects(self) -> None:
        """Answers that name nobody answer the first letter of their subject, if that is older."""
        firsts: dict[str, int] = {}
        by_date = sorted(range(len(self._letters)), key=lambda node: self._letters[node].date)
        for node in by_date:
            letter = self._letters[node]
            if not letter.subject:
                continue
            if letter.has_mark and not letter.answers and self._parents[node] < 0 and letter.subject in firsts:
                self._link(node, firsts[letter.subject])
            firsts.setdefault(letter.subject, node)

    def _node(self, message_id: bytes) -> int:
        node = self._nodes.get(message_id)
        if node is None:
            node = self._nodes[message_id] = len(self._parents)
            self._parents.append(-1)
            self._tops.append(node)
        return node

    def _top(self, node: int) -> int:
        tops = self._tops
        top = node
        while tops[top] != top:
            top = tops[top]
        while tops[node] != top:
            tops[node], node = top, tops[node]
        return top

    def _link(self, node: int, parent: int) -> None:
        """`node` answers `parent`, unless something is known of it already, or the parent is below it."""
        if self._parents[node] >= 0:
            return
        top = self._top(parent)
        if top != node:
            self._parents[node] = parent
            self._tops[node] = top

    def threads(self) -> list[Thread]:
        letters, count = self._letters, len(self._letters)
        children: list[list[int]] = [[] for _ in self._parents]
        roots: list[int] = []
        for node, parent in enumerate(self._parents):
            (children[parent] if parent >= 0 else roots).append(node)
        dates = self._first_dates(roots, children)
        found = []
        for root in roots:
            rows: list[Row] = []
            latest = 0.0
            waiting = [(root, 0)]
            while waiting:
                node, depth = waiting.pop()
                if node < count:
                    rows.append(Row(letters[node].key, depth))
                    latest = max(latest, letters[node].date)
                    depth += 1
                below = children[node]
                below.sort(key=dates.__getitem__, reverse=True)
                waiting.extend([(one, depth) for one in below])
            if rows:
                found.append((latest, tuple(rows)))
        found.sort(key=lambda one: one[0])
        return [rows for _, rows in found]

    def _first_dates(self, roots: Sequence[int], children: Sequence[Sequence[int]]) -> list[float]:
        """When each node was written; of what is not there, when the first answer was."""
        count = len(self._letters)
        dates = [letter.date for letter in self._letters] + [float("inf")] * (len(self._parents) - count)
        order = list(roots)
        for node in order:  # grows meanwhile
            order.extend(children[node])
        for node in reversed(order):
            parent = self._parents[node]
            if parent >= count:
                dates[parent] = min(dates[parent], dates[node])
        return dates
