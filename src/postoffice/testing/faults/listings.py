"""Maildrops that are not listed as RFC 1939 §5 and §7 say, or not as they were before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from postoffice.testing.faults.connection import QuitRefused
from postoffice.testing.peer import Pop3Peer, Session

SHOWN_LETTERS = 250


class NoUidl(Session):
    """UIDL is optional (RFC 1939 §7), and this server has none."""

    def capabilities(self) -> Sequence[str]:
        return [name for name in super().capabilities() if name != "UIDL"]

    def _uidl(self, argument: str) -> bytes | Iterable[bytes]:
        return b"-ERR no such command\r\n"


class SameUniqueId(Session):
    """The second letter and the third have one unique-id."""

    def unique_id(self, index: int) -> str:
        return "same" if index in (1, 2) else super().unique_id(index)


class UniqueIdReused(Session):
    """From the second session on the unique-id of the second letter is that of another one, of another size."""

    def __init__(self, peer: Pop3Peer, later: dict[str, bytes]) -> None:
        if peer.sessions == 2:
            peer.letters.pop("id-2", None)
            peer.letters.update(later)
        super().__init__(peer)

    def unique_id(self, index: int) -> str:
        return super().unique_id(index).replace("later", "id")


class Moved(QuitRefused):
    """From the second session on every letter has another unique-id, and one is new. What the first was told to remove
    is still there."""

    def __init__(self, peer: Pop3Peer, later: dict[str, bytes]) -> None:
        if peer.sessions == 2:
            peer.letters.update(later)
        super().__init__(peer)

    def unique_id(self, index: int) -> str:
        return f"moved-{super().unique_id(index)}" if self.number > 1 else super().unique_id(index)


class Renumbered(QuitRefused):
    """From the second session on the letters come in another order, a new one first."""

    def __init__(self, peer: Pop3Peer, later: dict[str, bytes]) -> None:
        if peer.sessions == 2:
            peer.letters.update(later)
        super().__init__(peer)

    def shown(self, maildrop: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        return maildrop[::-1] if self.number > 1 else maildrop


class WrongSizes(Session):
    """LIST is right about no letter."""

    def octets(self, index: int) -> int:
        octets = super().octets(index)
        return (0, 1, octets * 100, octets - octets // 70, octets + 7)[index % 5]


class ChangingSizes(Session):
    """LIST says another size in each session."""

    def octets(self, index: int) -> int:
        return super().octets(index) + self.number


class ShowsSome(Session):
    """A session has 250 letters at most, and none that an earlier session gave: Gmail's way."""

    def shown(self, maildrop: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        return [letter for letter in maildrop if letter[0] not in self.peer.given][:SHOWN_LETTERS]
