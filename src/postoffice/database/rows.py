"""Many rows, put by few statements.

SQLite works through the rows of one statement without the interpreter's lock, and needs half the time that it needs
for one statement each: a thread that puts rows one by one stands in the way of whoever runs Python meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import chain
from typing import Final

from postoffice.database.sqlite import Connection, one_number

_AT_ONCE: Final = (32, 8, 1)
"""Few sizes, so that each statement is prepared once. More rows at once gain nothing."""


def put(connection: Connection, insert: str, rows: Sequence[Sequence[object]]) -> None:
    """Insert rows in their order; `insert` is for one of them, and ends with its values. In the caller's transaction.

    Without one, a row that cannot be put leaves up to 31 before it out, and others in.
    """
    done = 0
    for size in _AT_ONCE:
        while len(rows) - done >= size:
            values = tuple(chain.from_iterable(rows[done : done + size]))
            connection.execute(_insert_of(insert, size), values)
            done += size


@cache
def _insert_of(insert: str, rows: int) -> str:
    head, _, values = insert.rpartition("VALUES ")
    return f"{head}VALUES {', '.join([values] * rows)}"


def next_id(connection: Connection, table: str) -> int:
    """What a table's AUTOINCREMENT gives the next row that has no id: it was never given before. In a transaction."""
    in_use = f"SELECT max(rowid) FROM {table}"  # noqa: S608 our own names
    given = "SELECT seq FROM sqlite_sequence WHERE name = ?"
    return one_number(connection, f"SELECT 1 + max(ifnull(({in_use}), 0), ifnull(({given}), 0))", (table,))
