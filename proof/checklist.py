"""`./po checklist`: docs/checklist.md from `checklist.toml`, which says for every row what tests show it.

A proof names a file, a test in a file, a row of the conformance suite (`rows/NAME`) or a check of it (`checks/NAME`);
the last two are asked of our own office by `tests/conformance/test_suite.py`.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from postoffice.conformance.checks import CHECKS, WRONG_LOGINS

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "checklist.md"
LATER = {56, 57, 58, 64}
"""Discovery files, and what only IMAP needs."""
NUMBERS = [number for number in range(1, 66) if number not in LATER]

_ROWS = "src/postoffice/conformance/rows"
_CHECKS = "src/postoffice/conformance/checks.py"
_HEAD = """# The checklist

What a POP3 server owes the world, and which tests show it of ours. Made from `proof/checklist.toml` by
`./po checklist`. A proof is a test, a transcript (played against the door on every engine, octet by octet and
pipelined), or a row or check of the [conformance suite](conformance.md), asked of our office without TLS, by STLS
and under implicit TLS.

| # | claim | by | shown by |
|---|---|---|---|
"""
_FOOT = """
Rows 56 to 58 (discovery files) and 64 (what IMAP marks) are not there yet.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One claim. Without proofs it is only a wish."""

    number: int
    section: str
    claim: str
    proofs: tuple[str, ...]


def rows() -> list[Row]:
    found = tomllib.loads((Path(__file__).with_suffix(".toml")).read_text())["row"]
    return [Row(one["number"], one["section"], one["claim"], tuple(one["proofs"])) for one in found]


def page() -> str:
    """The document."""
    return (
        _HEAD + "".join(f"| {row.number} | {row.claim} | {row.section} | {_shown(row)} |\n" for row in rows()) + _FOOT
    )


def _shown(row: Row) -> str:
    return "<br>".join(f"[{_name(proof)}](../{place(proof)})" for proof in row.proofs) or "not yet"


def _name(proof: str) -> str:
    file, _, test = proof.partition("::")
    return test.removeprefix("test_").replace("_", " ") or Path(file).stem if "/" in file else file


def place(proof: str) -> str:
    """The file in which a proof stands, from the root of the project."""
    file = proof.partition("::")[0]
    match file.partition("/"):
        case "rows", _, name:
            return f"{_ROWS}/{name}.txt"
        case "checks", _, _:
            return _CHECKS
        case _:
            return file


def is_there(proof: str) -> bool:
    """Whether what is named exists."""
    if proof.startswith("checks/"):
        return proof.removeprefix("checks/") in {check.name for check in (*CHECKS, *WRONG_LOGINS)}
    path, test = ROOT / place(proof), proof.partition("::")[2]
    return path.is_file() and (not test or test in set(_tests(path)))


@cache
def _tests(path: Path) -> tuple[str, ...]:
    return tuple(_functions(ast.parse(path.read_text())))


def _functions(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


def main() -> None:
    PAGE.write_text(page())
    missing = [str(row.number) for row in rows() if not row.proofs]
    print(f"{PAGE.relative_to(ROOT)} is written; rows without a proof: {', '.join(missing) or 'none'}")


if __name__ == "__main__":
    main()
