"""A file that is made today, and one of any earlier version that is brought to today, have the same tables."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from postoffice.database.migrate import blank, prepare
from postoffice.database.sqlite import Kind
from postoffice.store.embedded.schema import MAILBOX, OFFICE
from postoffice.testing.old_kinds import of_version

KINDS = [MAILBOX, OFFICE]
VERSIONS = [(kind, version) for kind in KINDS for version in range(1, kind.version + 1)]


def layout(path: Path) -> dict[str, Any]:
    """Everything that SQLite knows of the tables of a file, by their names, and what stands in them."""
    with closing(apsw.Connection(str(path))) as connection:

        def ask(sql: str, *bindings: str) -> list[tuple[Any, ...]]:
            return connection.execute(sql, bindings).fetchall()

        found: dict[str, Any] = {"version": ask("PRAGMA user_version"), "kind": ask("PRAGMA application_id")}
        for name, columns, without_rowid, strict in ask(
            "SELECT name, ncol, wr, strict FROM pragma_table_list WHERE type = 'table' AND name != 'sqlite_schema'"
        ):
            [said] = ask("SELECT coalesce(max(sql), '') FROM sqlite_schema WHERE name = ?", name)
            indexes = ask('SELECT name, "unique", origin, partial FROM pragma_index_list(?) ORDER BY name', name)
            found[name] = (
                (columns, without_rowid, strict, "AUTOINCREMENT" in said[0], "CHECK" in said[0]),
                ask("SELECT * FROM pragma_table_xinfo(?)", name),
                [(index, ask("SELECT * FROM pragma_index_xinfo(?)", index[0])) for index in indexes],
                ask(f"SELECT count(*) FROM {name}") if name == "office" else ask(f"SELECT * FROM {name} ORDER BY 1"),
            )
        found["others"] = ask("SELECT type, name FROM sqlite_schema WHERE type NOT IN ('table', 'index')")
        return found


@pytest.mark.parametrize(("kind", "version"), VERSIONS, ids=lambda value: getattr(value, "name", value))
def test_every_version_leads_to_the_tables_of_today(kind: Kind, version: int, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    prepare(old, of_version(kind, version), create=True)
    assert layout(old)["version"] == [(version,)]
    prepare(old, kind, create=False)
    prepare(new, kind, create=True)
    assert layout(old) == layout(new)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_what_is_made_in_memory_is_the_same(kind: Kind, tmp_path: Path) -> None:
    file, written = tmp_path / "file", tmp_path / "written"
    prepare(file, kind, create=True)
    written.write_bytes(blank(kind))
    assert layout(written) == layout(file)


def test_the_secrets_of_two_offices_differ(tmp_path: Path) -> None:
    told = set()
    for name in ("one", "other"):
        prepare(tmp_path / name, OFFICE, create=True)
        with closing(apsw.Connection(str(tmp_path / name))) as connection:
            row: tuple[Any, ...] = connection.execute("SELECT incarnation, secret FROM office").fetchall()[0]
        assert (row[0] > 0, len(row[1])) == (True, 32)
        told |= set(row)
    assert len(told) == 4
