"""`./po bench report FILE`: write what is figures in docs/performance.md, and its plots.

python -m bench report FILE [--into docs/performance.md]

FILE is what `./po bench all --json FILE` wrote. What it sums up is kept beside the page, so that anybody can reckon
with it and a test can see that the page says the same; the single rounds are not. In the page, what stands between
`<!-- NAME -->` and `<!-- end -->` is written here, and all else by people.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import home, memory, start
from bench.figures import Figure, Summary, table
from bench.goals import GOALS, Goal, Lines, Part, Verdict
from bench.plot import Dot, Line, plot
from bench.programs import HERE
from bench.results import Results
from bench.rows import SUBJECTS, Row, scenes

PAGE = HERE.parent / "docs" / "performance.md"
KEPT = "performance.json"
_CPU = (
    ("sessions c=64", "session"),
    ("tls sessions c=16", "session in TLS"),
    ("pull pipelined", "letter of 10 KB pulled"),
    ("pull lock-step", "the same, one by one"),
    ("pull tls pipelined", "the same in TLS"),
    ("pull 5 MB", "letter of 5 MB pulled"),
    ("pull 5 MB kept", "the same, kept for long"),
    ("day", "letter in, out, deleted"),
    ("deliver c=64", "letter delivered"),
    ("deliver kept c=64", "the same, kept connection"),
    ("relay c=16", "letter relayed"),
    ("accounts 100000", "session, 100,000 accounts"),
)


def rows() -> dict[str, tuple[Row, str]]:
    """Every row that can be measured, with the words that say what it is."""
    found = {}
    for subject in SUBJECTS:
        for scene in scenes(subject, quick=False):
            for row in scene.rows:
                found[row.name] = row, row.what.format(accounts=scene.accounts, letters=scene.letters)
    for row in (*start.ROWS, *memory.ROWS):
        found[row.name] = row, row.what.format(accounts=10, letters=memory.LETTERS)
    for pull in home.ROWS:
        row = Row(pull.name, "the whole command, from its start to its end", "letter")
        found[row.name] = row, row.what
    return found


def goals(lines: Lines) -> str:
    """The table of what was wanted and what is."""
    text = ["| # | measure | at least | aim | measured | verdict |", "|---|---|---|---|---|---|"]
    for index, goal in enumerate(GOALS, start=1):
        verdict = goal.verdict(lines)
        shown = f"**{verdict.value}**" if verdict is Verdict.MISSED else verdict.value
        text.append(f"| {index} | {goal.measure} | {goal.least} | {goal.aim} | {_told(goal, lines)} | {shown} |")
    return "\n".join(text)


def _told(goal: Goal, lines: Lines) -> str:
    """Its parts; what misses its bound stands out."""

    def one(part: Part) -> str:
        value = part.read(lines)
        if value is None:
            return f"{part.what} –".strip()
        text = part.told(value)
        return f"**{text}**" if part.verdict(value) is Verdict.MISSED else text

    return ", ".join(one(part) for part in goal.parts)


def machine(results: Results) -> str:
    """Where, when and with whom."""
    facts = results.machine
    text = [
        f"{facts['processor']}, {facts['cores']} cores, {facts['memory_mb'] / 1024:.0f} GiB, {facts['kernel']}, "
        f"{facts['file_system']}, Python {facts['python']}.",
        "",
        "| subject | measured | rounds | load when it ended | an addition in Python | a look into memory | who |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, kept in results.subjects.items():
        who = ", ".join(sorted(set(kept["versions"].values()) - {"bench/floor.c", "python -c pass"}))
        pace = (f"{kept[fact]} ns" if fact in kept else "–" for fact in ("addition_ns", "look_ns"))
        when = f"{kept['date']} | {kept['rounds']} | {kept['load_after']:.1f}"
        text.append(f"| {name} | {when} | {' | '.join(pace)} | {who} |")
    return "\n".join(text)


def tables(results: Results) -> str:
    """Every row as the terminal shows it."""
    known, text = rows(), []
    lines = results.lines()
    for name in dict.fromkeys(row for row, _ in lines):
        if name in known:
            row, words = known[name]
            told = table(row, [line for (of, _), line in lines.items() if of == name])
            text.append(f"{name}: {words}\n\n```\n{told}\n```")
    return "\n\n".join(text)


def _ratio_line(number: int, part: Part, lines: Lines) -> Line | None:
    value = part.read(lines)
    if value is None or value <= 0 or part.form != "x {}" or part.is_most:
        return None
    return Line(f"{number} {part.what}".strip(), [Dot("ours", Figure(value, value, value))], part.least, part.aim)


def plots(lines: Lines) -> dict[str, str]:
    """Every plot by the name of its file."""
    ratios = [
        line
        for index, goal in enumerate(GOALS, start=1)
        for part in goal.parts
        if (line := _ratio_line(index, part, lines)) is not None
    ]
    found = {}
    if ratios:
        found["ratios.svg"] = plot("How many times cheaper or faster than the peer", "times", ratios)
    cpu = [Line(words, _dots(name, lines, lambda line: line.cpu_us)) for name, words in _CPU]
    if cpu := [line for line in cpu if line.dots]:
        found["cpu.svg"] = plot("Processor time for each", "microseconds", cpu)
    brought = [
        Line(pull.name.removeprefix("home "), _dots(pull.name, lines, lambda line: line.rate)) for pull in home.ROWS
    ]
    if brought := [line for line in brought if line.dots]:
        found["home.svg"] = plot("Letters brought home in a second", "letters", brought)
    return found


def _dots(row: str, lines: Lines, read: Callable[[Summary], Figure]) -> list[Dot]:
    return [Dot(who, read(line)) for (name, who), line in lines.items() if name == row]


def page(text: str, results: Results) -> str:
    """The page with what is figures written anew. ValueError: a place for them is missing."""
    lines = results.lines()
    written = {"goals": goals(lines), "machine": machine(results), "tables": tables(results)}
    for name, part in written.items():
        place = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        found = place.search(text)
        if found is None:
            raise ValueError(f"the page has no place for {name}")
        text = text[: found.end(1)] + part + text[found.start(2) :]
    return text


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./po bench report", description=__doc__.partition("\n\n")[0])
    parser.add_argument("file", type=Path, help="what ./po bench all --json FILE wrote")
    parser.add_argument("--into", type=Path, default=PAGE, help="the page (docs/performance.md)")
    options = parser.parse_args(words)
    try:
        results = Results.read(options.file).without_rounds()
        text = page(options.into.read_text(), results)
    except (OSError, ValueError) as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 66 if isinstance(failure, OSError) else 65
    lines = results.lines()
    options.into.write_text(text)
    results.write(options.into.with_name(KEPT))
    folder = options.into.with_suffix("")
    folder.mkdir(exist_ok=True)
    for name, drawn in plots(lines).items():
        (folder / name).write_text(drawn)
    print(goals(lines))
    return 0
