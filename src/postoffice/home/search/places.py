"""Where is looked: in all folders but those for what was put aside, unless a question names one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Final

from postoffice.errors import UsageError
from postoffice.home.letters import is_aside
from postoffice.message.printable import safe
from postoffice.store.embedded.index import AnyOf, Clause, Within, Without

EVERYWHERE: Final = "all"


def placed(clauses: Sequence[Clause], folders: Sequence[str]) -> list[Clause]:
    """The clauses with the folders that their names mean, and without what was put aside if they name none.

    Raises UsageError (66) for a name that no folder has.
    """
    found = [_placed(clause, folders) for clause in clauses]
    aside = tuple(name for name in folders if is_aside(name))
    if aside and not any(_names_one(clause) for clause in clauses):
        found.append(Without(Within(aside)))
    return found


def _placed(clause: Clause, folders: Sequence[str]) -> Clause:
    match clause:
        case Within(names):
            return Within(tuple(dict.fromkeys(folder for name in names for folder in _meant(name, folders))))
        case Without(inner):
            return Without(_placed(inner, folders))
        case AnyOf(clauses):
            return AnyOf(tuple(_placed(one, folders) for one in clauses))
        case _:
            return clause


def _meant(name: str, folders: Sequence[str]) -> Iterable[str]:
    if name.lower() == EVERYWHERE:
        return folders
    wanted = name.lower()
    exact = [folder for folder in folders if folder.lower() == wanted]
    found = exact or [folder for folder in folders if folder.lower().replace(".", "/").endswith("/" + wanted)]
    if not found:
        there = ", ".join(safe(folder) for folder in folders[:20])
        raise UsageError(f"in:{safe(name)}: there is no such folder; there are: {there}", os.EX_NOINPUT)
    return found


def _names_one(clause: Clause) -> bool:
    """Whether a clause says where to look, and not only where not to."""
    match clause:
        case Within():
            return True
        case AnyOf(clauses):
            return any(_names_one(one) for one in clauses)
        case _:
            return False
