"""Plots as SVG, which are read in the light and in the dark.

One kind is enough: a line of a plot is a measure, and on it lies a dot for each contender, with its range, on a scale
of powers of ten. What is the same for all is said once above; colours are those of the contenders in every plot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from bench.figures import Figure, number

WIDTH, LEFT, RIGHT, LINE, TOP = 860, 230, 30, 30, 74

_STYLE = """
svg { font: 13px system-ui, sans-serif; fill: #24292f; }
.back { fill: #ffffff; } .grid { stroke: #d8dee4; } .small { font-size: 11px; fill: #57606a; }
.floor { --c: #8c959f; } .ours { --c: #0969da; }
.first { --c: #bf5a00; } .second { --c: #8250df; } .third { --c: #1a7f37; }
.dot { fill: var(--c); } .range { stroke: var(--c); stroke-width: 3; stroke-linecap: round; opacity: .45; }
.bound { stroke: #57606a; stroke-width: 2; } .aim { stroke-dasharray: 2 3; }
@media (prefers-color-scheme: dark) {
svg { fill: #e6edf3; } .back { fill: #0d1117; } .grid { stroke: #30363d; } .small { fill: #9198a1; }
.floor { --c: #7d8590; } .ours { --c: #58a6ff; }
.first { --c: #f0883e; } .second { --c: #bc8cff; } .third { --c: #56d364; }
.bound { stroke: #9198a1; }
}
"""
_COLOURS = ("first", "second", "third")


@dataclass(frozen=True, slots=True)
class Dot:
    """One contender on a line."""

    who: str
    figure: Figure


@dataclass(frozen=True, slots=True)
class Line:
    """One measure. `least` and `aim` are marked, if there are any."""

    name: str
    dots: Sequence[Dot]
    least: float | None = None
    aim: float | None = None


def plot(title: str, scale: str, lines: Sequence[Line]) -> str:
    """The SVG. `scale` says what is on the axis; figures must be above zero."""
    values = [value for line in lines for dot in line.dots for value in (dot.figure.low, dot.figure.high)]
    values += [bound for line in lines for bound in (line.least, line.aim) if bound]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)) + 1e-9)
    span = WIDTH - LEFT - RIGHT

    def x(value: float) -> float:
        return LEFT + span * (math.log10(value) - low) / (high - low)

    height = TOP + LINE * len(lines) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<rect class="back" width="{WIDTH}" height="{height}" rx="6"/>',
        f'<text x="16" y="26" font-weight="600">{escape(title)}</text>',
        *_legend(lines),
        *_grid(low, high, x, height, scale),
    ]
    for index, line in enumerate(lines):
        parts += _line(line, TOP + LINE * index + LINE / 2, x, _colours(lines))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _colours(lines: Sequence[Line]) -> dict[str, str]:
    """The floor and ours have theirs; the others take what is left in the order in which they come."""
    names = list(dict.fromkeys(dot.who for line in lines for dot in line.dots))
    others = iter(_COLOURS)
    return {name: name if name in {"floor", "ours"} else next(others, _COLOURS[-1]) for name in names}


def _legend(lines: Sequence[Line]) -> list[str]:
    parts, at = [], 16.0
    for who, colour in _colours(lines).items():
        parts.append(f'<g class="{colour}"><circle class="dot" cx="{at + 5:.0f}" cy="48" r="5"/></g>')
        parts.append(f'<text x="{at + 15:.0f}" y="52">{escape(who)}</text>')
        at += 34 + 7.2 * len(who)
    if any(line.least for line in lines):
        parts.append(f'<path class="bound" d="M{at + 5:.0f} 42v12"/><text x="{at + 13:.0f}" y="52">at least</text>')
        parts.append(f'<path class="bound aim" d="M{at + 85:.0f} 42v12"/><text x="{at + 93:.0f}" y="52">aim</text>')
    return parts


def _grid(low: int, high: int, x: Callable[[float], float], height: int, scale: str) -> list[str]:
    parts = []
    for power in range(low, high + 1):
        place = x(10.0**power)
        label = number(10.0**power) if power < 0 else f"{10**power:,}"
        parts.append(f'<path class="grid" d="M{place:.1f} {TOP - 6}V{height - 28}"/>')
        parts.append(f'<text class="small" x="{place:.1f}" y="{height - 12}" text-anchor="middle">{label}</text>')
    parts.append(f'<text class="small" x="16" y="{height - 12}">{escape(scale)}</text>')
    return parts


def _line(line: Line, y: float, x: Callable[[float], float], colours: dict[str, str]) -> list[str]:
    parts = [f'<text x="{LEFT - 14}" y="{y + 4:.0f}" text-anchor="end">{escape(line.name)}</text>']
    for bound, kind in ((line.least, "bound"), (line.aim, "bound aim")):
        if bound:
            parts.append(f'<path class="{kind}" d="M{x(bound):.1f} {y - 9:.0f}v18"/>')
    for dot in line.dots:
        figure = dot.figure
        hint = f"{dot.who}: {figure}"
        parts.append(
            f'<g class="{colours[dot.who]}"><title>{escape(hint)}</title>'
            f'<path class="range" d="M{x(figure.low):.1f} {y:.0f}H{x(figure.high):.1f}"/>'
            f'<circle class="dot" cx="{x(figure.median):.1f}" cy="{y:.0f}" r="5"/></g>'
        )
    return parts
