"""Who holds which maildrop in this process, and when the same person may have it anew.

A session whose line broke without a word keeps its maildrop locked until the network notices, which takes minutes;
its owner, back from a tunnel, would hear [IN-USE] all that time. So the lock goes over, if all of this is true:

    the right password was given            by whoever asks: that is why it is asked at all
    it comes from the same address          as the session that holds the lock
    that session has been silent            for longer than `grace_seconds`, and the next move is the other side's

The old session ends as one that was cut off: without UPDATE, so nothing is removed (RFC 1939 §6). The lock itself
stays the store's: a claim only ends a session, and whoever claims then takes the lock as anybody does. The holder may
live in another worker, so a claim is told to all of them; it is good for as long as the claimant waits, so that a
worker that was stopped does not hear it afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from postoffice import counts
from postoffice.errors import TakenOver
from postoffice.net.dialogue import Dialogue
from postoffice.protocols.pop3.server import Pop3Server

_TAKEN_OVER = counts.counter("postoffice_takeovers_total", "Sessions that ended because their owner came again.")

Maildrop = tuple[int, str]
"""An account and a viewer: what one lock is for."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody who may have this maildrop waits for it, until a moment of the clock that all processes share."""

    maildrop: Maildrop
    peer: str
    until: float


class Holders:
    """One per process. `tell_others` says a claim to the other workers. No grace: nobody is ever ended."""

    def __init__(self, grace_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.tell_others: Callable[[bytes], None] = _nobody
        self._grace_seconds = grace_seconds
        self._clock = clock
        self._sessions: dict[Maildrop, Dialogue[Pop3Server]] = {}

    def enter(self, maildrop: Maildrop, dialogue: Dialogue[Pop3Server]) -> None:
        """This session has the lock now."""
        self._sessions[maildrop] = dialogue

    def leave(self, maildrop: Maildrop) -> None:
        """It has not any more."""
        self._sessions.pop(maildrop, None)

    def claim(self, maildrop: Maildrop, peer: str, wait_seconds: float) -> None:
        """Let go whoever holds it and may be ended; it is free a moment later, if at all."""
        if not self._grace_seconds or not peer:
            return
        claim = Claim(maildrop, peer, self._clock() + wait_seconds)
        if maildrop in self._sessions:
            self._weigh(claim)
        else:
            self.tell_others(msgspec.json.encode(claim))

    def hear(self, octets: bytes) -> None:
        """Another worker tells of a claim."""
        self._weigh(msgspec.json.decode(octets, type=Claim))

    def _weigh(self, claim: Claim) -> None:
        session = self._sessions.get(claim.maildrop)
        if session is None or session.peer[0] != claim.peer or claim.until < self._clock():
            return
        # deviates: RFC 1939 §3, because the ten minutes of silence are for who might come back, and he has.
        if session.idle_seconds > self._grace_seconds:
            counts.sheet[_TAKEN_OVER] += 1
            session.dismiss(TakenOver("its owner came again"))


def _nobody(octets: bytes) -> None:
    return None
