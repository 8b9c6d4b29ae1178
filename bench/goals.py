"""What the figures must be: for each measure what it reaches at least, and what is aimed at.

A measure has parts, each a figure with its two bounds; it is met when all of them are. Ratios are of medians within one
run, by processor time and by rate; above 1 we are cheaper or faster. Time that the machine spends is what a server
costs; a rate also tells what else was in the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from bench.figures import OURS, Summary, number

Lines = Mapping[tuple[str, str], Summary]
Reading = Callable[[Lines], float | None]


class Verdict(Enum):
    """How a figure stands to its bounds."""

    AIM = "aim"
    MET = "met"
    MISSED = "missed"
    OPEN = "not measured"


@dataclass(frozen=True, slots=True)
class Part:
    """One figure. `form` writes it; a bound that is None is no bound. `is_most`: less is better."""

    what: str
    read: Reading
    least: float | None
    aim: float | None
    form: str = "x {}"
    is_most: bool = False

    def verdict(self, value: float | None) -> Verdict:
        if value is None:
            return Verdict.OPEN
        if not self._is_within(value, self.least):
            return Verdict.MISSED
        return Verdict.AIM if self._is_within(value, self.aim) else Verdict.MET

    def _is_within(self, value: float, bound: float | None) -> bool:
        return bound is None or (value <= bound if self.is_most else value >= bound)

    def told(self, value: float) -> str:
        return f"{self.what} {self.form.format(number(value))}".strip()


@dataclass(frozen=True, slots=True)
class Goal:
    """One row of the table: a measure, what is wanted in words, and its parts."""

    measure: str
    least: str
    aim: str
    parts: Sequence[Part]

    def verdict(self, lines: Lines) -> Verdict:
        """The worst of its parts."""
        found = {part.verdict(part.read(lines)) for part in self.parts}
        return next(one for one in (Verdict.MISSED, Verdict.OPEN, Verdict.MET, Verdict.AIM) if one in found)


def _cpu(row: str, peer: str) -> Reading:
    """How many times more processor time the peer needs."""

    def read(lines: Lines) -> float | None:
        ours, theirs = lines.get((row, OURS)), lines.get((row, peer))
        return theirs.cpu_us.median / ours.cpu_us.median if ours and theirs else None

    return read


def _rate(row: str, peer: str, *, is_settled: bool = False) -> Reading:
    """How many times faster we are; `is_settled`: until everything is in its place, on both sides."""

    def read(lines: Lines) -> float | None:
        ours, theirs = lines.get((row, OURS)), lines.get((row, peer))
        if not ours or not theirs:
            return None
        if is_settled:
            return ours.settled_rate.median / theirs.settled_rate.median
        return ours.rate.median / theirs.rate.median

    return read


def _own(row: str, read: Callable[[Summary], float]) -> Reading:
    """A figure of ours alone."""
    return lambda lines: read(lines[row, OURS]) if (row, OURS) in lines else None


def _both(row: str, peer: str, least: float, aim: float, name: str = "") -> tuple[Part, Part]:
    words = f"{name} " if name else ""
    return (
        Part(f"{words}CPU", _cpu(row, peer), least, aim),
        Part(f"{words}rate", _rate(row, peer, is_settled=True), least, aim),
    )


def _fall(row: str, first: str, read: Callable[[Summary], float]) -> Reading:
    """By how many percent what `read` gives is less in `row` than in `first`."""

    def fall(lines: Lines) -> float | None:
        now, then = lines.get((row, OURS)), lines.get((first, OURS))
        return max(0.0, (1 - read(now) / read(then)) * 100) if now and then else None

    return fall


def _median(row: str, least: float, aim: float, what: str) -> Part:
    return Part(what, _own(row, lambda line: line.p50_ms), least, aim, "{} ms", is_most=True)


def _memory(row: str, what: str) -> Part:
    return Part(what, _own(row, lambda line: line.memory_octets / 2**20), 300, 150, "{} MiB", is_most=True)


def _each(row: str, least: float, aim: float, what: str) -> Part:
    return Part(what, _own(row, lambda line: line.more["octets each"].median / 1000), least, aim, "{} kB", is_most=True)


def _deliveries(crowd: int) -> tuple[Part, ...]:
    row, peer = f"deliver c={crowd}", "postfix-lmtp"
    return (
        Part(f"c={crowd}: accepted", _rate(row, peer), 5, 8),
        Part("delivered", _rate(row, peer, is_settled=True), 10, 15),
        Part("CPU", _cpu(row, peer), 10, 15),
    )


def _spread(count: int) -> tuple[Part, ...]:
    row, first = f"mailboxes {count}", "mailboxes 10"
    return (
        Part(
            f"{count:,}: by CPU", _fall(row, first, lambda line: 1 / line.cpu_us.median), 30, 10, "{} %", is_most=True
        ),
        Part("by rate", _fall(row, first, lambda line: line.settled_rate.median), 30, 10, "{} %", is_most=True),
    )


def _of_clear(lines: Lines) -> float | None:
    ours, clear = lines.get(("login PASS", OURS)), lines.get(("login PASS", "ours-clear"))
    return ours.cpu_us.median / clear.cpu_us.median if ours and clear else None


_TUNED, _DEFAULT = "dovecot-tuned", "dovecot-default"
_OWN_CPU = Part("ours", _own("sessions c=64", lambda line: line.cpu_us.median), None, 130, "{} µs", is_most=True)
_KEPT = "deliver kept c=64"

GOALS = (
    Goal(
        "sessions, 64 connections, 256 accounts with 20 letters",
        "4 x tuned Dovecot, 50 x default",
        "6 x; 130 µs CPU",
        (*_both("sessions c=64", _TUNED, 4, 6), *_both("sessions c=64", _DEFAULT, 50, 50, "default:"), _OWN_CPU),
    ),
    Goal(
        "TLS sessions, full handshake, 16 connections", "2 x tuned", "2.5 x", _both("tls sessions c=16", _TUNED, 2, 2.5)
    ),
    Goal(
        "pull 1000 x 10 KB pipelined: plain, TLS",
        "3 x, 4 x tuned",
        "4.5 x, 5 x",
        (*_both("pull pipelined", _TUNED, 3, 4.5), *_both("pull tls pipelined", _TUNED, 4, 5, "TLS:")),
    ),
    Goal("the same in lock-step, CPU", "1.5 x", "2 x", (_both("pull lock-step", _TUNED, 1.5, 2)[0],)),
    Goal(
        "pull 20 x 5 MB: plain, TLS",
        "4 x, 5 x tuned",
        "8 x, 8 x",
        (
            *_both("pull 5 MB", _TUNED, 4, 8),
            *_both("pull tls 5 MB", _TUNED, 5, 8, "TLS:"),
            Part("kept for more than an hour: CPU", _cpu("pull 5 MB kept", _TUNED), None, None),
            Part("TLS: CPU", _cpu("pull tls 5 MB kept", _TUNED), None, None),
        ),
    ),
    Goal(
        "a POP3 user's day: 20 letters in, out, DELE",
        "4 x Postfix and tuned Dovecot",
        "8 x",
        _both("day", "postfix-lmtp", 4, 8),
    ),
    Goal(
        "login, STAT, UIDL, LIST of 100,000 letters: warm, cold",
        "20 ms, 200 ms",
        "5 ms, 100 ms",
        (_median("list warm", 20, 5, ""), _median("list cold", 200, 100, "cold")),
    ),
    Goal(
        "an idle connection, 10,000 in one process: plain, TLS",
        "12 kB, 40 kB",
        "8 kB, 30 kB",
        (_each("idle", 12, 8, ""), _each("idle tls", 40, 30, "TLS")),
    ),
    Goal(
        "durable delivery, 10 KB, 16 and 64 connections, one letter each",
        "5 x Postfix accepted, 10 x Postfix and LMTP delivered",
        "8 x, 15 x",
        (*_deliveries(16), *_deliveries(64)),
    ),
    Goal(
        "the same on kept connections, 64",
        "4,000/s and 8 x Postfix",
        "8,000/s",
        (
            Part("", _own(_KEPT, lambda line: line.rate.median), 4000, 8000, "{}/s"),
            Part("accepted", _rate(_KEPT, "postfix-lmtp"), 8, 8),
        ),
    ),
    Goal("relay office to office", "4 x Postfix to Postfix", "8 x", _both("relay c=16", "postfix-postfix", 4, 8)),
    Goal(
        "pulling home 1000 x 10 KB: no delay, 50 ms round trip",
        "5 x, 3 x mpop",
        "9 x, 4 x",
        (
            Part("time", _rate("home 1000 x 10 KB", "mpop"), 5, 9),
            Part("50 ms", _rate("home 1000 x 10 KB, 50 ms round trip", "mpop"), 3, 4),
        ),
    ),
    Goal("pulling home 20 x 5 MB", "1.0 x mpop", "1.5 x", (Part("time", _rate("home 20 x 5 MB", "mpop"), 1.0, 1.5),)),
    Goal(
        "login with argon2id, remembered, CPU",
        "1.3 x of clear text's",
        "1.1 x",
        (Part("", _of_clear, 1.3, 1.1, is_most=True),),
    ),
    Goal(
        "memory while 64 letters of 100 MB pass at once",
        "300 MiB",
        "150 MiB",
        (_memory("memory in", "in"), _memory("memory out", "out"), _memory("memory home", "home")),
    ),
    Goal(
        "sessions with 256 and with 100,000 accounts, in any order",
        "3 x tuned Dovecot with as many",
        "5 x",
        (*_both("accounts 256", _TUNED, 3, 5, "256:"), *_both("accounts 100000", _TUNED, 3, 5, "100,000:")),
    ),
    Goal(
        "deliveries spread over 10, 1,000, 10,000 mailboxes",
        "falls by less than 30 %",
        "10 %",
        (*_spread(1_000), *_spread(10_000)),
    ),
    Goal(
        "`postoffice --help`; `serve` until the first greeting",
        "150 ms; 1 s",
        "100 ms; 0.5 s",
        (_median("start --help", 150, 100, ""), _median("start serve", 1000, 500, "serve")),
    ),
)
"""In the order of the table; the first has number 1."""
