"""An office as people run it, for tests: a folder made by the API, and `postoffice serve` on it as real processes.

The server leads a process group of its own, so a test can kill all of it at one moment, as a crash of the machine
would, and start it again on the same folder. What it says on standard error goes to a file beside the folder. Ports
are any free ones; the line `ready` tells them. Nothing runs any more when a `with` is left.
"""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Self

from postoffice.accounts import verifiers
from postoffice.app.config import PORTS
from postoffice.app.privilege import give_away
from postoffice.clock import system_clock
from postoffice.net.self_signed import make_self_signed
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.model import Credential, Damage
from postoffice.testing.certificates import Authority

START_SECONDS = 30.0
STOP_SECONDS = 30.0
PAUSE_SECONDS = 0.01

CLEAR_TEXT = '[login]\nclear_text_networks = ["127.0.0.0/8", "::1/128"]\n'
"""The setting that lets tests log in without TLS."""


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder for offices, taken away at the end. Others may pass through it: root's servers become others."""
    with TemporaryDirectory(prefix="postoffice-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


class ServerFailed(Exception):
    """The server did not do what it was told. Says what it wrote last."""


def make_office(
    data: Path,
    accounts: Mapping[str, str],
    authority: Authority | None = None,
    *,
    scram: bool = False,
    clear: bool = False,
) -> None:
    """An office in a new folder, with passwords by address, fit for SCRAM or not, or kept in clear. Its certificate is
    the authority's, or its own."""
    data.mkdir(mode=0o700, parents=True)
    tls = data / "tls"
    tls.mkdir(mode=0o700)
    names = [
        *dict.fromkeys(address.rpartition("@")[2] for address in accounts),
        "localhost",
        "127.0.0.1",
        "::1",
    ]
    if authority is None:
        make_self_signed(tls, names)
    else:
        authority.issue(names, tls)
    asyncio.run(_furnish(data, accounts, scram=scram, clear=clear))
    give_away(data)


async def _furnish(data: Path, accounts: Mapping[str, str], *, scram: bool, clear: bool) -> None:
    store = EmbeddedStore.open(data)
    try:
        made: dict[str, str] = {}
        for address, password in accounts.items():
            domain = address.rpartition("@")[2]
            if not await store.directory.has_domain(domain):
                await store.directory.add_domain(domain)
            account = await store.directory.add_account(address, system_clock())
            if clear:
                made[password] = verifiers.of_clear(password)
            elif scram:
                made[password] = verifiers.of_own_with_scram(password, address, await store.directory.secret())
            elif password not in made:
                made[password] = verifiers.of_own(password)
            await store.directory.set_credential(Credential(account.account_id, "password", made[password]))
    finally:
        await store.close()


def check_office(data: Path) -> list[Damage]:
    """Everything in a folder that is not as it must be. Nobody serves it meanwhile."""

    async def look() -> list[Damage]:
        store = EmbeddedStore.open(data)
        try:
            return await store.office.check()
        finally:
            await store.close()

    found = asyncio.run(look())
    give_away(data)
    return found


class OfficeProcess:
    """A server on `data`. `config` is TOML; `options` are more words for `postoffice serve`.

    `ports` are by door, while it runs. Entering starts it, leaving ends it.
    """

    def __init__(self, data: Path, config: str = CLEAR_TEXT, options: Sequence[str] = ()) -> None:
        self.data = data
        self.log = data.with_name(data.name + ".log")
        self.ports: dict[str, int] = {}
        self.ready = ""
        self._config = data.with_name(data.name + ".toml")
        self._config.write_text(config, encoding="utf-8")
        self._options = tuple(options)
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    # --- its life

    def start(self) -> None:
        """Return when it is ready."""
        self.launch()
        self.ready = self._read_ready()
        self.ports = {}
        for word in self.ready.split()[1:]:
            door, _, address = word.partition("=")
            if not address.startswith("/"):  # a Unix socket has no port
                self.ports.setdefault(door, int(address.rpartition(":")[2]))

    def launch(self) -> subprocess.Popen[str]:
        """Start it, and wait for nothing."""
        words = [
            sys.executable,
            "-m",
            "postoffice",
            "serve",
            "--data",
            str(self.data),
            "--config",
            str(self._config),
        ]
        words += [word for door in PORTS for word in ("--port", f"{door}=0")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*words, "--log-json", *self._options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        return self._process

    def stop(self) -> int:
        """SIGTERM, and wait for the end of all of it; gives the exit status."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait until it has ended; gives the exit status."""
        process = self._running
        try:
            status = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise self.failed("does not stop") from None
        self._bury()
        return status

    def kill(self) -> None:
        """SIGKILL to the whole group at one moment. Nothing of it runs when this returns; not running is fine."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._bury()

    def _bury(self) -> None:
        process, self._process = self._running, None
        self.ports = {}
        wait_until(lambda: not _group(process.pid), "the server's children have ended")
        if process.stdout is not None:
            process.stdout.close()

    def signal(self, number: int) -> None:
        """To the parent alone, as a person or systemd does."""
        self._running.send_signal(number)

    # --- what can be seen of it

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._running.pid

    def pids(self) -> list[int]:
        """All its processes, the parent first."""
        return sorted(_group(self.pid), key=lambda pid: (pid != self.pid, pid))

    def children(self, kind: str) -> list[int]:
        """Its processes of a kind, `committer` or `worker`."""
        named = {pid: _name(pid) for pid in self.pids()}
        return [pid for pid, name in named.items() if name.startswith(f"po {kind}")]

    def events(self) -> Iterator[dict[str, Any]]:
        """What it told so far."""
        for line in self.log.read_bytes().split(b"\n"):
            if line.startswith(b"{"):
                with suppress(json.JSONDecodeError):  # what was being written when it was killed
                    yield json.loads(line)

    def failed(self, why: str) -> ServerFailed:
        """The error for `why`, with the end of the log."""
        last = self.log.read_text(errors="replace").strip().splitlines()[-10:]
        return ServerFailed("\n  ".join([f"the server on {self.data} {why}", *last]))

    @property
    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise self.failed("does not run")
        return self._process

    def _read_ready(self) -> str:
        process = self._running
        assert process.stdout is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if select.select([process.stdout], [], [], 0.1)[0]:
                line = process.stdout.readline()
                if line.startswith("ready"):
                    return line
                if not line:
                    raise self.failed(f"ended with status {process.wait()}")
        raise self.failed("is not ready")


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Look again and again until it is so; an AssertionError if it never is."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds:.0f} s it is still not so that {what}"
        time.sleep(PAUSE_SECONDS)


def resident_peak(pid: int) -> int:
    """The most memory that a process ever had in use, in octets."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _group(leader: int) -> list[int]:
    """The living processes of a group."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == leader and fields[0] not in "ZX":
            found.append(int(entry.name))
    return found


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
