"""Copying the tables of one file into another, whatever they are: rows, indexes, kind and version.

The copy is as the source was at one moment, if that is inside a transaction. Tables that are left out are there and
empty, so the copy is a file of the same kind, and what is missing in it can be filled in later. Virtual tables and
triggers are not copied: what they keep is made of the rest, by whoever asks for it.
"""

from __future__ import annotations

from collections.abc import Container

from postoffice.database.sqlite import Connection, one_number, transaction

_TABLES = (
    "SELECT s.name, s.sql FROM sqlite_schema s JOIN pragma_table_list t ON t.name = s.name AND t.schema = 'main'"
    " WHERE t.type = 'table' AND s.type = 'table' AND s.name NOT LIKE 'sqlite_%'"
)
_INDEXES = "SELECT sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
_HAS_COUNTERS = "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'"
"""Which ids were given in tables that never give one twice."""


def copy_tables(source: Connection, draft: Connection, but: Container[str] = ()) -> None:
    """Everything in `source`, but for the rows of the tables in `but`, into the empty file of `draft`."""
    tables = source.execute(_TABLES).fetchall()
    indexes = source.execute(_INDEXES).fetchall()
    with transaction(draft):
        for _, sql in tables:
            draft.execute(sql)
        for name, _ in tables:
            if name not in but:
                _copy_rows(source, draft, name)
        if source.execute(_HAS_COUNTERS).fetchone():
            draft.execute("DELETE FROM sqlite_sequence")
            _copy_rows(source, draft, "sqlite_sequence")
        for (sql,) in indexes:
            draft.execute(sql)
    for pragma in ("application_id", "user_version"):
        draft.execute(f"PRAGMA {pragma} = {one_number(source, f'PRAGMA {pragma}')}")


def _copy_rows(source: Connection, draft: Connection, name: str) -> None:
    columns = len(source.execute(f"PRAGMA table_info({name})").fetchall())
    marks = ", ".join("?" * columns)
    draft.executemany(f"INSERT INTO {name} VALUES ({marks})", source.execute(f"SELECT * FROM {name}"))  # noqa: S608
