"""Figures: medians with their range, ratios, and the table that people read."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from bench.measurement import Measurement
from bench.rows import Row

OURS = "ours"
BUSY = 0.9
"""Above this share of a core the generator, and not the server, may be what limits the rate."""


@dataclass(frozen=True, slots=True)
class Figure:
    """The median of some rounds and their range."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Figure:
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1])

    def __str__(self) -> str:
        return f"{number(self.median)} [{number(self.low)}-{number(self.high)}]"


def number(value: float) -> str:
    """Three digits or more, and no more decimals than that needs."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


@dataclass(frozen=True, slots=True)
class Summary:
    """All rounds of one contender in one row."""

    row: str
    contender: str
    rate: Figure
    settled_rate: Figure
    cpu_us: Figure
    cpu_us_by_root: dict[str, float]
    p50_ms: float
    p99_ms: float
    memory_octets: int
    generator_share: float
    more: dict[str, Figure] = field(default_factory=dict)


def summary(rounds: Sequence[Measurement]) -> Summary:
    """Of the rounds of one contender in one row."""

    def figure(value: Callable[[Measurement], float]) -> Figure:
        return Figure.of(value(measurement) for measurement in rounds)

    roots = rounds[0].cpu_by_root
    return Summary(
        row=rounds[0].row,
        contender=rounds[0].contender,
        rate=figure(lambda m: m.rate),
        settled_rate=figure(lambda m: m.settled_rate),
        cpu_us=figure(lambda m: m.cpu_us),
        cpu_us_by_root={
            root: statistics.median(m.cpu_by_root[root] / m.operations * 1e6 for m in rounds) for root in roots
        },
        p50_ms=figure(lambda m: m.p50_ms).median,
        p99_ms=figure(lambda m: m.p99_ms).median,
        memory_octets=max(m.memory_octets for m in rounds),
        generator_share=figure(lambda m: m.generator_share).median,
        more={name: Figure.of(m.more[name] for m in rounds) for name in rounds[0].more},
    )


def summaries(measurements: Iterable[Measurement]) -> list[Summary]:
    """One for every row and contender, in the order in which they were first measured."""
    groups: dict[tuple[str, str], list[Measurement]] = {}
    for measurement in measurements:
        groups.setdefault((measurement.row, measurement.contender), []).append(measurement)
    return [summary(rounds) for rounds in groups.values()]


def ratios(ours: Summary, other: Summary) -> tuple[float, float]:
    """How many times more processor time the other needs, and how many times faster we are; above 1 is good."""
    return other.cpu_us.median / ours.cpu_us.median, ours.settled_rate.median / other.settled_rate.median


def table(row: Row, lines: Sequence[Summary]) -> str:
    """What one row of the benchmark says."""
    ours = next((line for line in lines if line.contender == OURS), None)
    head = ["", f"{row.each}s/s", *(["delivered/s"] if row.is_delivery else []), f"CPU us/{row.each}"]
    head += ["p50 / p99 ms", "memory MB", "generator", *(lines[0].more if lines else ()), "ours: CPU, rate"]
    cells = [head]
    for line in lines:
        cell = [
            line.contender,
            str(line.rate),
            *([str(line.settled_rate)] if row.is_delivery else []),
            str(line.cpu_us),
        ]
        cell.append(f"{number(line.p50_ms)} / {number(line.p99_ms)}")
        cell.append(number(line.memory_octets / 1e6))
        cell.append(f"{line.generator_share:.0%}{' (!)' if line.generator_share > BUSY else ''}")
        cell += [str(figure) for figure in line.more.values()]
        cell.append("x {:.1f}, x {:.1f}".format(*ratios(ours, line)) if ours and line is not ours else "")
        cells.append(cell)
    widths = [max(len(cell[column]) for cell in cells) for column in range(len(head))]
    text = ["  ".join(value.rjust(width) for value, width in zip(c, widths, strict=True)).rstrip() for c in cells]
    for line in lines:
        if row.is_delivery and len(line.cpu_us_by_root) > 1:
            parts = ", ".join(f"{root} {number(value)}" for root, value in line.cpu_us_by_root.items() if value)
            text.append(f"  {line.contender}: CPU us of {parts}")
    return "\n".join(text)
