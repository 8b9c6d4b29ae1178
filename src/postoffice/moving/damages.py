"""Letters that are damaged in the mailbox that gives them out: one keeps no other from going, and each is named.

of octets that are not those of its SHA-256     goes as it is
of which a piece is missing                     stays, since what there is of it is no letter
"""

from __future__ import annotations

from typing import Final

from postoffice.errors import DamagedStore
from postoffice.moving.letters import Complaint
from postoffice.moving.taking import Report, Witness
from postoffice.store.model import Entry

CHANGED: Final = "is damaged: its octets are not those that came (its SHA-256 says so); it goes out as it is"


class Damages:
    """What is told of each such letter once, however often it is read, and counted in a report."""

    def __init__(self, where: object, witness: Witness, report: Report) -> None:
        """`where` is what the letters go to."""
        self._where = where
        self._witness = witness
        self._report = report
        self._told: set[int] = set()

    def changed(self, entry: Entry) -> None:
        """It goes out, and is not what it was."""
        if self._is_new(entry):
            self._report.damaged += 1
            self._witness.complain(Complaint(f"{self._where}, {entry.unique_id}", CHANGED))

    def missing(self, entry: Entry, error: DamagedStore) -> None:
        """It does not go out."""
        if self._is_new(entry):
            self._report.lost += 1
            what = f"is damaged and left out: {error}"
            self._witness.complain(Complaint(f"{self._where}, {entry.unique_id}", what, loses=True))

    def _is_new(self, entry: Entry) -> bool:
        is_new = entry.key not in self._told
        self._told.add(entry.key)
        return is_new
