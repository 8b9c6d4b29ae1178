"""The whole suite in turn against one server.

Letters are placed when a row wants more than lie in the maildrop; they are taken away by the rows that claim
something about taking away, and at the end. So a way to place letters wants an empty maildrop of its own; without
one, nothing is removed, and rows that would need it are not applicable.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from postoffice.conformance.checks import CHECKS, WRONG_LOGINS, Check
from postoffice.conformance.crowd import Crowd, ask_crowd, crowd_letters, large_letter, take_away
from postoffice.conformance.dialogue import Failed, NotApplicable, Server, Wire, survey
from postoffice.conformance.facts import fill
from postoffice.conformance.nasty import NastyLetter, nasty_letters
from postoffice.conformance.post import Post
from postoffice.conformance.rows import Row, all_rows
from postoffice.conformance.utf8 import LETTER, ask_header
from postoffice.errors import UsageError
from postoffice.protocols.notation import Handshake, parse
from postoffice.testing.scenes import read_scene
from postoffice.testing.score import read_score

MOST_LETTERS = 50
"""More in the maildrop of a stranger are too many to fetch again and again."""

_DOTTED = b"From: <mrose@example.org>\r\nSubject: dots, letter %d\r\n\r\n.\r\n..two\r\n.three\r\nplain\r\n"
_LAST_LINES = 1 << 31
_WRONG_PASSWORDS = ("wrong-password", "wrong-password-code", "password-space")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`outcome` is `pass`, `fail` or `not applicable`; `heard` says then why not."""

    name: str
    section: str
    claim: str
    outcome: str
    expected: str = ""
    heard: str = ""


class Suite:
    """One run. Iterate over it to make it happen."""

    def __init__(self, server: Server, post: Post | None, crowd: Crowd | None = None) -> None:
        self._server = server
        self._post = post
        self._crowd = crowd or Crowd()
        self._placed = 0
        self._seen = survey(server)
        count = len(self._seen.facts.letters)
        if post is not None and count:
            raise UsageError(f"the maildrop has {count} letters; letters that are placed want an empty one")
        if count > MOST_LETTERS:
            raise UsageError(f"the maildrop has {count} letters; more than {MOST_LETTERS} are too many")

    def __iter__(self) -> Iterator[Verdict]:
        rows = all_rows()
        for row in (row for row in rows if row.name not in _WRONG_PASSWORDS):
            yield _judged(row.name, row.section, row.claim, partial(self._play, row))
        for check in CHECKS:
            yield _judged(check.name, check.section, check.claim, partial(self._check, check))
        if self._post is not None:
            self._clear()
        for letter in nasty_letters():
            name = "letter-" + "-".join(letter.what.lower().replace(".", "dot").replace(",", "").split())
            claim = f"LIST, RETR, TOP and STAT agree: {letter.what}"
            yield _judged(name, "RFC 1939 §5, §7, §11", claim, partial(self._bear, letter, self._compare))
        claim = "without UTF8 a header leaves as ASCII or not at all, and LIST is of what leaves"
        yield _judged("utf8-header", "RFC 6856 §2.1", claim, self._bear_utf8)
        yield from self._much()
        # a server may make whoever failed to log in wait, so these come last
        for row in (row for row in rows if row.name in _WRONG_PASSWORDS):
            yield _judged(row.name, row.section, row.claim, partial(self._play, row))
        for check in WRONG_LOGINS:
            yield _judged(check.name, check.section, check.claim, partial(self._check, check))

    # --- rows

    def _play(self, row: Row) -> None:
        scene = read_scene(parse(row.text))
        in_clear = any(isinstance(step, Handshake) for step in parse(row.text)) or scene.has_certificate
        for need in scene.needs:
            if not self._seen.offers(need, in_clear=in_clear and need != "TOP"):
                raise NotApplicable(f"{need} is not announced")
        final = next(iter(scene.finally_.values()), len(scene.letters))
        removed = len(scene.letters) - final
        if "DELE" in row.text and self._post is None:  # a server with faults may remove what it should keep
            raise NotApplicable("marks letters, and there is no way to place any")
        self._wait_for(0)
        if scene.letters:
            self._seen = survey(self._server)
            self._fill_up(len(scene.letters))
        before = self._seen.facts.letters
        score = read_score(fill(row.text, self._seen.facts))
        with Wire(self._server, in_clear=in_clear) as wire:
            wire.play(score.moves, score.setting)
        if scene.finally_:
            self._seen = survey(self._server)
            left = len(self._seen.facts.letters)
            if left != len(before) - removed:
                raise Failed(f"{len(before) - removed} messages in the next session", f"{left}")
            if not set(self._seen.facts.letters) <= set(before):
                raise Failed("the messages that were there before", "others")

    def _check(self, check: Check) -> None:
        self._seen = survey(self._server)
        self._fill_up(check.letters)
        check.run(self._server, self._seen)

    def _fill_up(self, letters: int) -> None:
        missing = letters - len(self._seen.facts.letters)
        if missing <= 0:
            return
        if self._post is None:
            raise NotApplicable(f"needs {letters} letters in the maildrop")
        for _ in range(missing):
            self._placed += 1
            self._post.place(_DOTTED % self._placed)
        self._wait_for(letters)
        self._seen = survey(self._server)

    def _wait_for(self, letters: int) -> None:
        """Return when so many letters are in the maildrop, and no session before has it any more."""
        deadline = time.monotonic() + self._server.patience
        failed: Exception
        while True:
            try:
                if (count := self._count()) >= letters:
                    return
                failed = NotApplicable(f"only {count} of {letters} letters have come")
            except Failed as problem:
                failed = problem
            if time.monotonic() > deadline:
                raise failed
            time.sleep(0.1)

    def _count(self) -> int:
        with Wire(self._server) as wire:
            wire.line()
            wire.log_in()
            count = int(wire.expect("STAT", "+OK").split()[1])
            wire.leave()
        return count

    # --- letters

    def _clear(self) -> None:
        with Wire(self._server) as wire:
            wire.line()
            wire.log_in()
            for number in range(1, int(wire.expect("STAT", "+OK").split()[1]) + 1):
                wire.expect(f"DELE {number}", "+OK")
            wire.leave()

    def _bear(self, letter: NastyLetter, look: Callable[[], None]) -> None:
        """A new letter comes, is looked at from every side, and goes."""
        if self._post is None:
            raise NotApplicable("there is no way to place letters")
        for _ in range(letter.copies):
            self._post.place(letter.octets, as_stored=letter.as_stored)
        self._wait_for(letter.copies)
        try:
            look()
        finally:
            self._clear()

    def _bear_utf8(self) -> None:
        if not self._offers_utf8:
            raise NotApplicable("UTF8 is not announced")
        self._bear(NastyLetter("8-bit header", LETTER), partial(ask_header, self._server))

    @property
    def _offers_utf8(self) -> bool:
        return self._seen.before is not None and self._seen.offers("UTF8", in_clear=False)

    def _much(self) -> Iterator[Verdict]:
        """What was asked for by name because it takes long."""
        if octets := self._crowd.octets:
            letter = NastyLetter("large", large_letter(octets))
            claim = f"LIST, RETR, TOP and STAT agree: {octets:,} octets"
            yield _judged("letter-large", "RFC 1939 §5, §7, §11", claim, partial(self._bear, letter, self._compare))
        if count := self._crowd.letters:
            claim = f"{count:,} letters are listed, read and removed as few are"
            yield _judged("crowd", "RFC 1939 §5, §6, RFC 2449 §6.6", claim, partial(self._bear_crowd, count))

    def _bear_crowd(self, count: int) -> None:
        if self._post is None:
            raise NotApplicable("there is no way to place letters")
        self._post.place_all(crowd_letters(count))
        self._wait_for(count)
        try:
            ask_crowd(self._server, count)
        finally:
            take_away(self._server)

    def _compare(self) -> None:
        """In both modes, where there are two."""
        for utf8 in (False, True) if self._offers_utf8 else (False,):
            self._compare_in(utf8=utf8)

    def _compare_in(self, *, utf8: bool) -> None:
        seen = survey(self._server, utf8=utf8)
        sizes = tuple(len(plain) for plain in seen.facts.letters)
        if seen.listing != sizes:
            raise Failed(f"LIST as RETR gives: {sizes[0]} octets", f"{seen.listing[0]} octets")
        if seen.stat != (len(sizes), sum(sizes)):
            raise Failed(f"STAT {len(sizes)} {sum(sizes)}", f"{seen.stat[0]} {seen.stat[1]}")
        if not seen.offers("TOP", in_clear=False):
            return
        with Wire(self._server) as wire:
            wire.line()
            wire.log_in(utf8=utf8)
            wire.expect("RETR 1", "+OK")
            whole = wire.block()
            wire.expect(f"TOP 1 {_LAST_LINES - 1}", "+OK")
            top = wire.block()
            wire.leave()
        if top != whole:
            raise Failed(f"all lines by TOP as by RETR: {len(whole)} octets", f"{len(top)} octets")


def _judged(name: str, section: str, claim: str, ask: Callable[[], None]) -> Verdict:
    try:
        ask()
    except NotApplicable as reason:
        return Verdict(name, section, claim, "not applicable", heard=str(reason))
    except Failed as failed:
        return Verdict(name, section, claim, "fail", failed.expected, failed.heard)
    return Verdict(name, section, claim, "pass")
