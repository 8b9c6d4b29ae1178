"""What the command that runs, or the account that is pulled, says about passphrases; imports next to nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from postoffice.errors import UsageError

if TYPE_CHECKING:
    from postoffice.client.secrets import Places


class NobodyToAsk(UsageError):
    """The passphrase was not said, and there is no terminal."""

    status = os.EX_NOPERM


def nobody(file: Path, _is_again: bool) -> str:
    """Where there is no terminal."""
    raise NobodyToAsk(
        f"{file}: is locked, and there is no terminal to ask for the passphrase; unlock it before, or say where the"
        " passphrase is, with --passphrase-file for example"
    )


class Asking(NamedTuple):
    """Where a passphrase comes from. `person` is asked for that of a file, so
    often as there are `tries`, and told whether the last was wrong."""

    places: Places | None = None
    person: Callable[[Path, bool], str] = nobody
    tries: int = 1

    def said(self) -> str | None:
        """The passphrase, where it was said where it is. Raises UsageError."""
        places = self.places
        if places is None:
            return None
        from postoffice.client.secrets import of_command, of_credential, of_file, of_variable

        if places.command is not None:
            return of_command(places.command)
        if places.file is not None:
            return of_file(places.file)
        if places.variable is not None:
            return of_variable(places.variable)
        if places.credential is not None:
            return of_credential(places.credential)
        return None


asking: Final[ContextVar[Asking]] = ContextVar("asking", default=Asking())  # noqa: B039 it is frozen
