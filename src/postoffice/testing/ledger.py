"""What was promised to whom: the book that clients of a much-killed office keep, and what it says in the end.

Every letter has a number of its own in its octets. Senders write down what they sent and whether it was answered
with 250; whoever pulls writes down what every session showed and what it removed. A maildrop is held to four
sentences (RFC 1939 §6): what was shown is shown again with the same octets; nothing goes without a complete QUIT;
what a QUIT answered with +OK removed never comes back; and no acceptance shows itself twice.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

_NUMBER = re.compile(rb"^Subject: letter (\d+) of (\d+) octets\r\n", re.MULTILINE)
_HOPS = re.compile(rb"^\tid ([0-9a-f]+)", re.MULTILINE)


def make_letter(number: int, octets: int) -> bytes:
    """A letter that can be told from all others and made again; about one line in nine begins with a dot."""
    head = b"Subject: letter %d of %d octets\r\n\r\n" % (number, octets)
    line = b"%d and some more words to make this line a line of usual length\r\n" % number
    block = line * 8 + b"." + line
    body = block * (octets // len(block) + 1)
    return head + body[: max(octets - len(head) - 2, 0)].rstrip(b"\r\n") + b"\r\n"


@dataclass(slots=True)
class Sent:
    """A letter that somebody sent. `kills` is how many processes had been killed before."""

    number: int
    octets: int
    recipients: tuple[str, ...]
    kills: int
    is_answered: bool = False


@dataclass(frozen=True, slots=True)
class Copy:
    """A letter in a maildrop. `hops` are the ids it was taken under, the last office first."""

    number: int
    hops: tuple[str, ...]


@dataclass(slots=True)
class Maildrop:
    """What one account was shown, or one device of it: the letters by unique-id, and what became of them.

    Those in `uncertain` were marked in a session whose QUIT was sent and not answered: they may go at any time.
    """

    address: str
    copies: dict[str, Copy] = field(default_factory=dict)
    present: set[str] = field(default_factory=set)
    removed: set[str] = field(default_factory=set)
    uncertain: set[str] = field(default_factory=set)
    history: dict[str, list[str]] = field(default_factory=dict)

    def note(self, unique_ids: Iterable[str], what: str) -> None:
        for unique_id in unique_ids:
            self.history.setdefault(unique_id, []).append(what)


class Ledger:
    """Threads may write at the same time. `problems` are the broken promises seen so far."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.sent: dict[int, Sent] = {}
        self.drops: dict[tuple[str, str], Maildrop] = {}
        self.kills = 0
        self._lock = threading.Lock()

    def write(self, recipients: Iterable[str], octets: int) -> tuple[Sent, bytes]:
        """A new letter, and its octets."""
        with self._lock:
            sent = Sent(len(self.sent) + 1, octets, tuple(recipients), self.kills)
            self.sent[sent.number] = sent
        return sent, make_letter(sent.number, octets)

    def drop(self, address: str, device: str = "") -> Maildrop:
        with self._lock:
            return self.drops.setdefault((address, device), Maildrop(address))

    def shown(self, drop: Maildrop, unique_ids: Iterable[str]) -> list[str]:
        """A session shows these; gives those that were never retrieved."""
        shown = set(unique_ids)
        for lost in drop.present - shown - drop.uncertain:
            self._complain(drop, lost, "is gone without a complete QUIT")
            drop.present.discard(lost)
        for risen in drop.removed & shown:
            self._complain(drop, risen, "is back after its QUIT was answered")
        drop.note(shown, "shown")
        drop.present |= shown & drop.copies.keys()
        return sorted(shown - drop.copies.keys())

    def retrieved(self, drop: Maildrop, unique_id: str, letter: bytes) -> None:
        """A letter came out: is it one of ours, octet by octet?"""
        found = _NUMBER.search(letter)
        number = int(found[1]) if found else 0
        if not found or not letter.endswith(make_letter(number, int(found[2]))):
            self._complain(drop, unique_id, f"has other octets than were sent: {letter[:300]!r}")
        hops = tuple(hop.decode() for hop in _HOPS.findall(letter[: found.start() if found else 0]))
        drop.copies[unique_id] = Copy(number, hops)
        drop.present.add(unique_id)

    def quit(self, drop: Maildrop, unique_ids: Iterable[str], *, is_answered: bool) -> None:
        """These were marked, and QUIT was sent."""
        marked = set(unique_ids)
        drop.note(marked, "QUIT answered" if is_answered else "QUIT sent")
        drop.present -= marked
        drop.uncertain -= marked
        (drop.removed if is_answered else drop.uncertain).update(marked)

    def missing(self) -> list[str]:
        """Letters answered with 250 that are not where they belong: at every device of the account that pulls."""
        due = [
            (sent.number, recipient) for sent in self.sent.values() if sent.is_answered for recipient in sent.recipients
        ]
        held = {name: {copy.number for copy in drop.copies.values()} for name, drop in self.drops.items()}
        nowhere = {address for _, address in due} - {address for address, _ in held}
        return [
            f"letter {number} to {address} {device}".rstrip()
            for (address, device), there in [*held.items(), *(((address, ""), set[int]()) for address in nowhere)]
            for number, recipient in due
            if recipient == address and number not in there
        ]

    def repeated(self) -> list[str]:
        """Letters that were delivered again without an excuse, which is an acceptance of its own and a death."""
        found = []
        for drop in self.drops.values():
            acceptances = Counter(copy.hops[:1] for copy in drop.copies.values())
            found += [f"{drop.address} has {hop} {n} times" for hop, n in acceptances.items() if n > 1]
            for number, times in Counter(copy.number for copy in drop.copies.values()).items():
                sent = self.sent.get(number)
                if sent is None:
                    found.append(f"{drop.address} has letter {number}, which nobody sent")
                    continue
                ways = {len(copy.hops) for copy in drop.copies.values() if copy.number == number}
                excuses = self.kills - sent.kills if ways == {2} else 0
                if drop.address not in sent.recipients or times > 1 + excuses:
                    found.append(f"{drop.address} has letter {number} {times} times, sent to {sent.recipients}")
        return found

    def relayed_twice(self) -> int:
        """How often the other office had answered 250 and the word was lost (RFC 5321 §6.1)."""
        copies = Counter((name, copy.number) for name, drop in self.drops.items() for copy in drop.copies.values())
        return sum(times - 1 for times in copies.values())

    def _complain(self, drop: Maildrop, unique_id: str, what: str) -> None:
        copy = drop.copies.get(unique_id)
        self.problems.append(
            f"{drop.address}: {unique_id} (letter {copy.number if copy else '?'}) {what}: {drop.history.get(unique_id)}"
        )
