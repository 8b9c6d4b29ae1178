"""The data folder as commands see it: where it is, and the store in it, opened as its owner."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from postoffice.errors import UsageError

if TYPE_CHECKING:
    from postoffice.store.base import Store

T = TypeVar("T")

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, readable=False),
    envvar="POSTOFFICE_DATA",
    default=None,
    help="The office's data folder (or $POSTOFFICE_DATA; default: ./postoffice).",
)


def data_folder(data: Path | None) -> Path:
    return data or Path("postoffice")


def has_office(folder: Path) -> bool:
    """Whether there is an office. Who may not look gets a `UsageError` (77)."""
    try:
        (folder / "office.db").lstat()
    except PermissionError as error:
        raise UsageError(f"{folder}: you may not look into it: {error.strerror}", os.EX_NOPERM) from error
    except OSError:
        return False
    return True


def with_store(data: Path | None, use: Callable[[Store], Awaitable[T]]) -> T:
    """Open the office in the folder, use it, close it. What the store refuses is a `UsageError`."""
    from postoffice.app.privilege import settle_in
    from postoffice.store.embedded import EmbeddedStore

    folder = data_folder(data)
    if not has_office(folder):
        raise UsageError(f"{folder}: there is no office here; make one with: postoffice init", os.EX_NOINPUT)
    settle_in(folder)

    async def run() -> T:
        store = EmbeddedStore.open(Path())
        try:
            return await use(store)
        finally:
            await store.close()

    return asyncio.run(run())
