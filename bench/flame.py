"""A flame graph as SVG: who called whom is one above the other, and as wide as it takes time. It needs no script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape

WIDTH, LINE, TOP, LETTER = 1200, 17, 40, 6.6
NARROWEST = 2.0
"""Pixels; what takes less is not drawn."""

_STYLE = """
svg { font: 11px ui-monospace, monospace; fill: #24292f; } .title { font: 14px system-ui, sans-serif; }
.back { fill: #ffffff; } .other { fill: #d0d7de; } .ours { fill: #9ecbff; } .loop { fill: #ffd8b5; }
rect { stroke: #ffffff; stroke-width: .5; }
@media (prefers-color-scheme: dark) {
svg { fill: #e6edf3; } .back { fill: #0d1117; } rect { stroke: #0d1117; }
.other { fill: #30363d; } .ours { fill: #1f4d85; } .loop { fill: #6b4420; }
}
"""


@dataclass
class _Frame:
    """A function under those that called it, with all its samples and those of whom it calls."""

    samples: int = 0
    called: dict[str, _Frame] = field(default_factory=dict)

    def depth(self) -> int:
        return 1 + max((one.depth() for one in self.called.values()), default=0)


def draw(title: str, stacks: Mapping[tuple[str, ...], int]) -> str:
    """The SVG of stacks, each from the outermost function to the innermost, with how often it was seen."""
    root = _Frame()
    for stack, samples in stacks.items():
        root.samples += samples
        frame = root
        for name in stack:
            frame = frame.called.setdefault(name, _Frame())
            frame.samples += samples
    height = TOP + root.depth() * LINE
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<rect class="back" width="{WIDTH}" height="{height}"/>',
        f'<text class="title" x="8" y="24">{escape(title)}</text>',
    ]
    lines += _bars(root, WIDTH / max(root.samples, 1), 0.0, TOP)
    return "\n".join([*lines, "</svg>", ""])


def _bars(frame: _Frame, scale: float, x: float, y: int) -> Iterator[str]:
    for name, one in sorted(frame.called.items()):
        width = one.samples * scale
        if width >= NARROWEST:
            share = f"{width / WIDTH:.1%}"
            yield f'<g><title>{escape(name)}: {share}</title><rect class="{_kind(name)}" x="{x:.1f}" y="{y}"'
            yield f' width="{width:.1f}" height="{LINE}"/>'
            if (room := int(width / LETTER) - 1) > 2:
                shown = name if len(name) <= room else f"{name[: room - 1]}…"
                yield f'<text x="{x + 3:.1f}" y="{y + 12}">{escape(shown)}</text>'
            yield "</g>"
            yield from _bars(one, scale, x, y + LINE)
        x += width


def _kind(name: str) -> str:
    return "ours" if "postoffice/" in name else "loop" if "asyncio/" in name or "uvloop" in name else "other"
