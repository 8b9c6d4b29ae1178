"""`python -m bench conformance`: ask ours and its peers with the conformance suite, and write the matrix.

python -m bench conformance [--peers Dovecot,Courier] [--into docs/conformance.md]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bench.contender import PASSWORD
from bench.peers.pop3 import Peer, peers
from bench.process import ServerFailed
from postoffice.conformance.dialogue import Failed, NotApplicable, Server
from postoffice.conformance.run import Suite, Verdict
from postoffice.errors import UsageError
from postoffice.net.tls import opportunistic_context

_SIGNS = {"pass": "✓", "fail": "**✗**", "not applicable": "–"}
_HEAD = """# POP3 conformance

Made by `./po bench conformance` on {date}; not written by hand. The suite is `postoffice conformance`, which anybody
can run against any server. ✓ pass, **✗** fail, – not applicable: the server does not announce it, or the letter could
not be placed. Every server runs as its package configures it, in clear on loopback.

"""


@dataclass(frozen=True, slots=True)
class Column:
    """One server in the matrix."""

    name: str
    version: str
    remark: str
    verdicts: Sequence[Verdict]

    def count(self, outcome: str) -> int:
        return sum(verdict.outcome == outcome for verdict in self.verdicts)


def ask(peer: Peer, home: Path, patience: float) -> Column:
    """Run a server and the suite against it."""
    with peer.open(home) as running:
        server = Server("127.0.0.1", running.port, running.user, PASSWORD, "none", opportunistic_context(), patience)
        verdicts = []
        for verdict in Suite(server, running.post):
            verdicts.append(verdict)
            if verdict.outcome == "fail":
                print(f"  {verdict.name}: expected {verdict.expected}, heard {verdict.heard}"[:400], flush=True)
    return Column(peer.name, peer.version(), peer.remark, verdicts)


def matrix(columns: Sequence[Column], absent: Sequence[str], date: str) -> str:
    """The page: who, a row for every claim, and what each failure was."""
    lines = [
        _HEAD.format(date=date),
        "| server | version | pass | fail | not applicable | remark |",
        "|---|---|---|---|---|---|",
    ]
    for column in columns:
        counts = " | ".join(str(column.count(outcome)) for outcome in _SIGNS)
        lines.append(f"| {column.name} | {column.version} | {counts} | {column.remark} |")
    lines += [f"\nNot asked: {one}." for one in absent]
    lines += ["\n## Rows\n", "| section | claim | " + " | ".join(column.name for column in columns) + " |"]
    lines.append("|---|---|" + ":-:|" * len(columns))
    found = [{verdict.name: verdict for verdict in column.verdicts} for column in columns]
    for first in columns[0].verdicts:
        signs = " | ".join(_SIGNS[verdicts[first.name].outcome] for verdicts in found)
        lines.append(f"| {first.section} | {first.claim} | {signs} |")
    lines.append("\n## What was heard instead\n")
    for column in columns:
        failed = [verdict for verdict in column.verdicts if verdict.outcome == "fail"]
        if failed:
            lines.append(f"### {column.name} {column.version}\n")
            lines += [_failure(verdict) for verdict in failed]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _failure(verdict: Verdict) -> str:
    expected, heard = (_code(text) for text in (verdict.expected, verdict.heard))
    return f"- {verdict.claim} ({verdict.section}): expected {expected}, heard {heard}"


def _code(text: str) -> str:
    short = text if len(text) <= 160 else f"{text[:160]}..."
    return f"`{short.replace('`', chr(39))}`"


def _without_place(column: Column, home: Path) -> Column:
    """The same without the folder it ran in, which is nobody's business."""
    clean = [replace(one, heard=one.heard.replace(str(home), "")) for one in column.verdicts]
    return replace(column, verdicts=clean)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./po bench conformance", description=__doc__.partition("\n\n")[0])
    everybody = peers()
    parser.add_argument("--peers", default=",".join(peer.name for peer in everybody), help="whom to ask (%(default)s)")
    parser.add_argument("--into", type=Path, default=Path("docs/conformance.md"), help="the page (%(default)s)")
    parser.add_argument("--patience", type=float, default=6.0, help="seconds to wait for a reply (6)")
    options = parser.parse_args(words)
    columns, absent = [], []
    for peer in everybody:
        if peer.name not in options.peers.split(","):
            continue
        if reason := peer.absence():
            absent.append(f"{peer.name}, {reason}")
            print(f"{peer.name} is left out: {reason}")
            continue
        print(f"{peer.name} {peer.version()}", flush=True)
        with tempfile.TemporaryDirectory(prefix="peer-", ignore_cleanup_errors=True) as folder:
            home = Path(folder)
            home.chmod(0o755)
            try:
                columns.append(_without_place(ask(peer, home, options.patience), home))
            except (ServerFailed, Failed, NotApplicable, UsageError) as failure:
                absent.append(f"{peer.name} {peer.version()}, because {str(failure).splitlines()[-1].strip()}")
                print(f"{peer.name} cannot be asked: {failure}", file=sys.stderr)
    if columns:
        options.into.write_text(matrix(columns, absent, f"{datetime.now(UTC):%Y-%m-%d}"))
    return 0 if columns and not any(column.count("fail") for column in columns if column.name == "postoffice") else 1
