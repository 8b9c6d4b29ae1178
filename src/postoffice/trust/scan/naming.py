"""Which scanner is meant, in a person's words."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from postoffice.errors import UsageError
from postoffice.trust.scan.answers import Scanner

_AT_PORT: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/\[\]]+)):([0-9]{1,5})")


def scanner(text: str, folder: Path | None = None) -> Scanner:
    """`clamd:/run/clamav/clamd.ctl`, `clamd:HOST:PORT` or `command:CMD`; `folder` is for large letters under way.

    Nobody is asked yet. Raises UsageError, status 64.
    """
    kind, _, rest = text.partition(":")
    if kind == "command" and rest.strip():
        from postoffice.trust.scan.command import Command

        return Command(rest.strip(), folder)
    if kind == "clamd" and rest:
        from postoffice.trust.scan.clamd import Clamd

        path = Path(rest).expanduser() if rest.startswith(("/", "~")) else None
        if path is not None and path.is_absolute():
            return Clamd(str(path))
        if (found := _AT_PORT.fullmatch(rest)) and 0 < int(found[3]) < 65536:
            return Clamd((found[1] or found[2], int(found[3])))
    raise UsageError(f"{text!r} is no scanner: clamd:/path/of/its/socket, clamd:HOST:PORT or command:CMD", os.EX_USAGE)
