"""Accounts of fetchmail, getmail and mpop, read from their files. No command in them is run, and no server is asked.

Each grammar is read as its program reads it. What has no counterpart here is told with its line, and never left out
in silence; passwords come out beside the settings, for a place of their own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from postoffice.errors import UsageError
from postoffice.home.rcfiles import fetchmail, getmail, mpop
from postoffice.home.rcfiles.found import RcFile

FILE_OCTETS: Final = 1 << 20

_BY_CONTENT: Final[tuple[tuple[re.Pattern[str], Callable[[str], RcFile]], ...]] = (
    (re.compile(r"^\[retriever\]", re.MULTILINE), getmail.parse),
    (re.compile(r"^\s*account\s", re.MULTILINE), mpop.parse),
    (re.compile(r"^\s*(poll|server|skip)\s", re.MULTILINE), fetchmail.parse),
)


def read(path: Path) -> RcFile:
    """What is in a file. Raises UsageError: 66 where it cannot be read, 65 where it is not as its program wants it."""
    try:
        with path.open("rb") as file:
            octets = file.read(FILE_OCTETS + 1)
        text = octets.decode()
    except OSError as error:
        status = os.EX_NOPERM if isinstance(error, PermissionError) else os.EX_NOINPUT
        raise UsageError(f"{path}: cannot be read: {error.strerror}", status) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8", os.EX_DATAERR) from error
    if len(octets) > FILE_OCTETS:
        raise UsageError(f"{path}: is too large to be settings", os.EX_DATAERR)
    parse = next((parse for form, parse in _BY_CONTENT if form.search(text)), None)
    if parse is None:
        raise UsageError(f"{path}: has no account of fetchmail, getmail or mpop in it", os.EX_DATAERR)
    try:
        rc = parse(text)
    except UsageError as error:
        raise UsageError(f"{path}: {error}", os.EX_DATAERR) from error
    for account in rc.accounts:
        if any(character in account.password for character in "\r\n\0"):
            account.password = ""
            rc.remark(account.line, "password", "no login can carry it: there is a line end or a NUL in it")
    return rc
