"""The verdicts of a run: lines for people, JSON for programs, one self-contained file for browsers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape

from postoffice.conformance.run import Verdict

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .6rem; vertical-align: top; }
tr { border-top: 1px solid #ddd; } code { overflow-wrap: anywhere; }
.pass { color: #176b2c; } .fail { color: #a11; font-weight: bold; } .not { color: #777; }
"""


@dataclass(frozen=True, slots=True)
class Report:
    """Who was asked, when (a date), and what came of it."""

    server: str
    greeting: str
    date: str
    verdicts: Sequence[Verdict]

    @property
    def counts(self) -> Counter[str]:
        return Counter(verdict.outcome for verdict in self.verdicts)

    @property
    def summary(self) -> str:
        counts = self.counts
        return f"{counts['pass']} pass, {counts['fail']} fail, {counts['not applicable']} not applicable"

    def as_json(self) -> str:
        verdicts = [asdict(verdict) for verdict in self.verdicts]
        facts = {
            "server": self.server,
            "greeting": self.greeting,
            "date": self.date,
            "counts": dict(self.counts),
        }
        return json.dumps({**facts, "rows": verdicts}, indent=1, ensure_ascii=False) + "\n"

    def as_html(self) -> str:
        rows = "".join(_html_row(verdict) for verdict in self.verdicts)
        title = f"POP3 conformance of {escape(self.server)}"
        return (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
            f"<h1>{title}</h1><p>{escape(self.date)}. Greeting: <code>{escape(self.greeting)}</code></p>"
            f"<p>{self.summary}</p><table><tr><th>outcome<th>section<th>claim<th>expected<th>heard</tr>"
            f"{rows}</table></html>\n"
        )


def as_line(verdict: Verdict) -> str:
    """A row for a terminal; what was expected and heard in lines of their own."""
    line = f"{verdict.outcome:<14}  {verdict.section:<28}  {verdict.claim}"
    if verdict.outcome == "fail":
        return f"{line}\n{'':16}expected: {verdict.expected}\n{'':16}heard:    {verdict.heard}"
    return f"{line} ({verdict.heard})" if verdict.heard else line


def _html_row(verdict: Verdict) -> str:
    kind = verdict.outcome.partition(" ")[0]
    return (
        f'<tr id="{escape(verdict.name)}"><td class="{kind}">{verdict.outcome}<td>{escape(verdict.section)}'
        f"<td>{escape(verdict.claim)}<td><code>{escape(verdict.expected)}</code>"
        f"<td><code>{escape(verdict.heard)}</code></tr>\n"
    )
