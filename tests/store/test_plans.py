"""A statement is planned once, whatever values it is asked with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from postoffice.database.sqlite import open_reader, open_writer, shut

LAST_OF = "SELECT max(number) FROM things WHERE owner = ?"


@pytest.mark.parametrize("opened", [open_reader, open_writer])
def test_another_value_is_no_reason_to_plan_anew(tmp_path: Path, opened: Callable[[Path], Any]) -> None:
    path = tmp_path / "file"
    writer = open_writer(path)
    writer.execute("CREATE TABLE things (owner, number)")
    writer.execute("CREATE INDEX things_of_owners ON things (owner, number)")
    connection = opened(path)
    planned: list[int] = []

    def plans(operation: int, *_: object) -> int:
        planned.append(operation)
        return apsw.SQLITE_OK

    connection.authorizer = plans
    connection.execute(LAST_OF, (1,)).fetchall()
    once = len(planned)
    connection.execute(LAST_OF, (2,)).fetchall()

    assert once
    assert len(planned) == once
    shut(connection)
    shut(writer)
