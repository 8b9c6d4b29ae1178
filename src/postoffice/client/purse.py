"""The purse: what people allowed us at identity providers, a file for each address, readable for its owner alone.

    $XDG_STATE_HOME/postoffice/logins/bob@b.example.json     or below ~/.local/state

A provider may give a new refresh token with each access token, and takes the old one for stolen when it is shown
again (RFC 9700 §4.14). So one process at a time renews a login, what it got is durable before it is used, and that the
file can be written is tried before the old token is spent.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

from postoffice.client.collect import Options
from postoffice.client.private import state_folder, sync_folder, write_file
from postoffice.clock import Clock, system_clock
from postoffice.errors import UsageError
from postoffice.events import event

if TYPE_CHECKING:
    from postoffice.client.authorization import Grant

T = TypeVar("T")

MARGIN_SECONDS: Final = 60.0
"""A token that is over sooner is not used to begin with."""
_SUFFIX: Final = ".json"


class Token(str):
    """An access token out of a purse, which can give another one."""

    __slots__ = ()


class Purse:
    """The logins of one person of this machine."""

    def __init__(self, folder: Path | None = None, clock: Clock = system_clock) -> None:
        self._folder = folder or state_folder() / "logins"
        self._clock = clock

    def addresses(self) -> list[str]:
        names = [path.name.removesuffix(_SUFFIX) for path in self._folder.glob(f"*{_SUFFIX}")]
        return sorted(grant.address for grant in map(self._read, names) if grant)

    def find(self, address: str) -> Grant | None:
        """What is kept for an address. Raises UsageError if others may read it, or it is no such file."""
        return self._read(_name(address))

    def keep(self, grant: Grant) -> None:
        """It is durable on return."""
        with self._alone(grant.address):
            self._write(grant)

    def forget(self, address: str) -> None:
        with self._alone(address):
            self._path(_name(address)).unlink(missing_ok=True)
            sync_folder(self._folder)

    def token(self, address: str, refused: str = "") -> Token:
        """One that is good now, and is not the `refused` one. Raises Refused, UsageError."""
        with self._alone(address):
            grant = self.find(address)
            if grant is None:
                raise UsageError(f"nobody logged in as {address}: postoffice auth login {address}", os.EX_NOPERM)
            if grant.access_token == refused or grant.ends - MARGIN_SECONDS <= self._clock():
                self._write(grant)
                from postoffice.client import authorization

                grant = authorization.renewed(grant, self._clock)
                self._write(grant)
                event("login.renewed", address=address, provider=grant.provider)
            return Token(grant.access_token)

    def is_over(self, address: str) -> bool:
        grant = self.find(address)
        return grant is not None and grant.ends <= self._clock()

    # --- files

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}{_SUFFIX}"

    @contextmanager
    def _alone(self, address: str) -> Iterator[None]:
        """No other process changes this login meanwhile; who dies lets go of it."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._folder / f"{_name(address)}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UsageError(f"{self._folder}: {error.strerror}", os.EX_CANTCREAT) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _read(self, name: str) -> Grant | None:
        import json

        path = self._path(name)
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & 0o077:
                    raise UsageError(f"{path}: others may read it: chmod 600, or log in again", os.EX_NOPERM)
                fields: dict[str, Any] = json.load(file)
            from postoffice.client.authorization import Grant

            return Grant(**fields | {"hosts": tuple(fields["hosts"])})
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}", os.EX_NOPERM) from error
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(f"{path}: is no login of ours: remove it, and log in again", os.EX_DATAERR) from error

    def _write(self, grant: Grant) -> None:
        import json
        from dataclasses import asdict

        write_file(self._path(_name(grant.address)), json.dumps(asdict(grant)).encode())


async def renewing(purse: Purse, address: str, options: Options, pull: Callable[[Options], Awaitable[T]]) -> T:
    """A pull whose token is renewed, once for each time that it got in, if it was refused or ended on the way."""

    async def renewal(password: str, is_refused: bool) -> str | None:
        if not isinstance(password, Token) or not (is_refused or purse.is_over(address)):
            return None
        return await asyncio.to_thread(purse.token, address, password)

    return await pull(options._replace(renewal=renewal))


def _name(address: str) -> str:
    return quote(address.lower(), safe="@+")
