"""The chunks of a letter are put together again: what comes out has the SHA-256 that it was named by, or is nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email import policy
from email.parser import BytesParser
from itertools import islice
from typing import Any

from postoffice.store.embedded.contents import INDEX_BITS, digest_of
from postoffice.store.embedded.salvage.findings import Findings
from postoffice.store.embedded.salvage.records import NotARecord

_NAMES = "SELECT sha256 FROM contents WHERE content_id = ? AND sha256 IS NOT NULL"
_CANDIDATES = (
    "SELECT view, page, cell_at, octets, chain_view, sha256 FROM chunks WHERE chunk_id = ?"
    " ORDER BY is_right DESC, grade"
)

CHAINS = 16
"""In so many ways the chunks of a content are put together, until it is given up."""

Place = tuple[Any, ...]
"""Where a chunk was found: view, page, place in it, octets, view of what follows."""
Data = Callable[..., bytes]
"""The octets of a chunk, by its place."""

HEAD_OCTETS = 64 * 1024


@dataclass(frozen=True, slots=True)
class Whole:
    """A content that can be read: its chunks, in order."""

    sha256: bytes
    octets: int
    places: tuple[Place, ...]


class Reassembly:
    """Letters by the number of their content. `data` gives the octets of a chunk."""

    def __init__(self, findings: Findings, data: Data) -> None:
        self._findings = findings
        self.data = data

    def wholes(self, content_id: int) -> Iterator[Whole]:
        """What can be read under this number whose octets are those of a name that it had, the likeliest first.

        It is one but for damage: then a chunk may be there that says it is another one. No more than a chunk is in
        memory.
        """
        names = {name for (name,) in self._findings.ask(_NAMES, (content_id,))}
        seen = set()
        for places, last in islice(self._chains(content_id), CHAINS):
            try:
                octets, name = digest_of(self.data(*place) for place in places)
            except NotARecord:
                continue
            if (name == last or name in names) and name not in seen:
                seen.add(name)
                yield Whole(name, octets, tuple(places))

    def _chains(self, content_id: int) -> Iterator[tuple[list[Place], bytes]]:
        """Every way from the first chunk to one that says it is the last."""
        chosen: list[Place] = []
        left: list[Iterator[tuple[Any, ...]]] = [self._candidates(content_id, 0)]
        while left:
            row = next(left[-1], None)
            if row is None:
                left.pop()
                del chosen[-1:]
                continue
            *place, last = row
            if last is not None:
                yield [*chosen, tuple(place)], last
            elif len(left) < 1 << INDEX_BITS:
                chosen.append(tuple(place))
                left.append(self._candidates(content_id, len(left)))

    def _candidates(self, content_id: int, index: int) -> Iterator[tuple[Any, ...]]:
        rows = self._findings.ask(_CANDIDATES, (content_id << INDEX_BITS | index,))
        return iter(list(rows))

    def why_not(self, content_id: int) -> str:
        """Why a content cannot be read."""
        for index in range(1 << INDEX_BITS):
            row = self._findings.first(_CANDIDATES, (content_id << INDEX_BITS | index,))
            if row is None:
                return f"chunk {index} is not there"
            if row[-1] is not None:
                break
        return "its octets are not those it is named by"

    def subject(self, content_id: int) -> str:
        """Whose subject it has, as far as its first octets can be read."""
        row = self._findings.first(_CANDIDATES, (content_id << INDEX_BITS,))
        if row is None:
            return ""
        try:
            head = self.data(*row[:-1])[:HEAD_OCTETS]
            subject = BytesParser(policy=policy.compat32).parsebytes(head, headersonly=True)["Subject"]
        except (NotARecord, ValueError):
            return ""
        return f" {str(subject)[:80]!r}" if subject else ""
