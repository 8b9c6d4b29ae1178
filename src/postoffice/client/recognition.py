"""Which letters of a listing are here already, and which are new. Pure: a listing and a memory in, names out.

A letter is remembered by its `source_id`: its unique-id, and where others had the same before it, a count behind a line
feed, which no unique-id can hold. All that ever had one unique-id are a *family*; letters of a server without UIDL are
one family too, that of no name. By RFC 1939 §7 a unique-id is a letter's for ever, and a family has one member. Servers
in the field break that, so a listing is believed only where nothing speaks against it:

    one member, still there as far as we know, of the same size         known
    another size; more than one of that name; back after it had gone    in doubt: its header (TOP) or its octets tell
    a name that was never met                                           new
    the same, while most of what was known is there no more             in doubt: perhaps the mailbox has moved

A letter is known by its header if it is as large as the one remembered, or has its name, and the header is one that no
two letters share. Where that cannot be said, and where a letter came back that the server said it had deleted, it is
fetched and its octets tell: so none is taken for another one, and none is kept twice.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import count
from typing import Final, NamedTuple

from postoffice.client.listing import Listed
from postoffice.store.model import Pulled

DIGEST_OCTETS: Final = 16

_MARKS: Final = re.compile(
    rb"\n(?:X-)?(?:Status|UIDL?|IMAP|IMAPbase|Keywords|Content-Length|Lines)[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*",
    re.IGNORECASE,
)
"""What servers write into letters when they show them (GNU Mailutils, qpopper, UW), behind the end of a line, for which
is looked quicker than for the beginning of the next."""

_ONE_OF_A_KIND: Final = re.compile(rb"\n(?:Message-ID|Received)[ \t]*:", re.IGNORECASE)


class Met(NamedTuple):
    """A letter of the listing, and what it is called in our memory."""

    item: Listed
    source_id: str


class Doubt(NamedTuple):
    """A letter that is new, to be called `source_id`, unless it is one of the `candidates`.

    `by_header`: the header is enough to tell.
    """

    item: Listed
    source_id: str
    candidates: tuple[str, ...]
    by_header: bool


class Recognition:
    """`gone` were there before, fetched or not, as far as anybody knows, and are not listed under their own name."""

    __slots__ = ("doubtful", "gone", "known", "new")

    def __init__(self) -> None:
        self.known: list[Met] = []
        self.new: list[Met] = []
        self.doubtful: list[Doubt] = []
        self.gone: set[str] = set()


def recognize(listed: Sequence[Listed], memory: Mapping[str, Pulled]) -> Recognition:
    """Every letter of a listing is in one of the three lists."""
    return _Recognizing(listed, memory).run()


def header_digest(head: bytes) -> bytes | None:
    """What tells this header from any other, whatever a server marked in it; None if it has nothing that no other
    letter has, or no end in `head`."""
    end = head.find(b"\r\n\r\n")
    if end < 0:
        return None
    header = b"\n" + head[: end + 2]
    if not _ONE_OF_A_KIND.search(header):
        return None
    return sha256(_MARKS.sub(b"", header)[1:]).digest()[:DIGEST_OCTETS]


class _Recognizing:
    def __init__(self, listed: Sequence[Listed], memory: Mapping[str, Pulled]) -> None:
        self._memory = memory
        self._groups: dict[str, list[Listed]] = {}
        for item in listed:
            self._groups.setdefault(item.unique_id, []).append(item)
        self._families: dict[str, list[str]] = {}
        for source_id, one in memory.items():
            if one.fetched is not None:
                self._families.setdefault(source_id.partition("\n")[0], []).append(source_id)
        self._found = Recognition()

    def run(self) -> Recognition:
        for unique_id, group in self._groups.items():
            self._look_at(unique_id, group)
        is_here = {met.source_id for met in self._found.known}
        there_before = {name for name, one in self._memory.items() if one.fetched is not None and one.gone is None}
        waiting = {name for name, one in self._memory.items() if one.fetched is None and one.gone is None}
        self._found.gone = (there_before | waiting) - is_here - {met.source_id for met in self._found.new}
        if self._found.new and len(is_here & there_before) * 2 < len(there_before) + (not is_here):
            self._doubt_what_is_new(is_here)
        return self._found

    def _look_at(self, unique_id: str, group: list[Listed]) -> None:
        family = self._families.get(unique_id, [])
        if not family and len(group) == 1 and unique_id and unique_id not in self._memory:
            self._found.new.append(Met(group[0], unique_id))
            return
        names = self._free_names(unique_id)
        if not family:
            self._found.new += [Met(item, next(names)) for item in group]
            return
        there = [name for name in family if self._memory[name].gone is None and self._memory[name].confirmed is None]
        if len(group) == len(there) == 1 and unique_id:
            octets = self._memory[there[0]].octets
            if octets is None or octets == group[0].octets:
                self._found.known.append(Met(group[0], there[0]))
                return
        by_header = all(self._memory[name].header and self._memory[name].confirmed is None for name in family)
        self._found.doubtful += [Doubt(item, next(names), tuple(family), by_header) for item in group]

    def _free_names(self, unique_id: str) -> Iterator[str]:
        """What a new letter of this unique-id may be called."""
        for number in count(1):
            name = unique_id if number == 1 and unique_id else f"{unique_id}\n{number}"
            if name not in self._memory or self._memory[name].fetched is None:
                yield name

    def _doubt_what_is_new(self, is_here: set[str]) -> None:
        """Whether new letters are old ones under new names: those of the same size that are there no more."""
        by_size: dict[int, list[str]] = {}
        for name, one in self._memory.items():
            if one.header and one.octets is not None and one.confirmed is None and name not in is_here:
                by_size.setdefault(one.octets, []).append(name)
        if not by_size:
            return
        new, self._found.new = self._found.new, []
        for met in new:
            if candidates := by_size.get(met.item.octets):
                self._found.doubtful.append(Doubt(met.item, met.source_id, tuple(candidates), by_header=True))
            else:
                self._found.new.append(met)


def matching(candidates: Iterable[str], memory: Mapping[str, Pulled], taken: set[str], digest: bytes | None) -> str:
    """The first candidate with this header that is not `taken` yet; empty if there is none."""
    if digest is None:
        return ""
    return next((name for name in candidates if name not in taken and memory[name].header == digest), "")
