"""Pulls that end at one moment, as a killed process or a machine without power does.

Each pull is a process of its own, forked from one that has everything loaded. A *moment* is a write, a sync or a
deletion of a file, something that is sent, something that has come. At the chosen one the files become what `Loss`
leaves of them, and the process is gone: no line behind it runs, nothing is closed, nothing is said.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from postoffice.client.collect import Options, collect
from postoffice.client.rules import NOW
from postoffice.client.url import Source
from postoffice.store.embedded import MailboxFile
from postoffice.store.embedded.draft import Draft
from postoffice.testing.peer import PASSWORD, USER
from postoffice.testing.power import Loss, PowerSupply

DISK, SENT, HEARD = "disk", "sent", "heard"


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull of bob's maildrop at a port of loopback into a file, which deletes what it has kept.

    It ends at the `ends_at`th moment, None: when it is over. `loss` is the name of a `Loss`, None: the process alone is
    killed, and what it wrote is there. `drafts`: a file that is not there yet is a draft at first.
    """

    port: int
    file: str
    ends_at: int | None = None
    loss: str | None = None
    window_letters: int = 2
    drafts: bool = False

    async def run(self, supply: _Ending | None = None) -> None:
        vfs, tracer = (supply.name, supply.hear) if supply is not None else (None, None)
        draft = self._begun(supply) if self.drafts else None
        if draft is not None:
            mailbox = MailboxFile.begin(draft, vfs=vfs)
        else:
            mailbox = MailboxFile.open(Path(self.file), create=True, vfs=vfs)
        try:
            options = Options(
                PASSWORD,
                rules=(NOW,),
                window_letters=self.window_letters,
                batch_letters=self.window_letters,
                tracer=(lambda _: tracer) if tracer else None,
            )
            await collect(Source("127.0.0.1", self.port, USER), mailbox, options)
        finally:
            await mailbox.close()
            if draft is not None:
                draft.close()

    def _begun(self, supply: _Ending | None) -> Draft | None:
        def hold(descriptor: int) -> None:
            """Nobody else is here."""

        draft = Draft.begin(Path(self.file), hold)
        if draft is None or supply is None:
            return draft
        return _Powered(draft, supply)


class _Ending(PowerSupply):
    """The process ends at a moment of this supply's; `kinds` are those that went by."""

    def __init__(self, ends_at: int | None, loss: Loss | None) -> None:
        super().__init__()
        self.kinds: list[str] = []
        self._ends_at = ends_at
        self._loss = loss
        self._one_at_a_time = threading.Lock()

    def moment(self) -> None:
        self.comes(DISK)

    def hear(self, who: str, octets: bytes) -> None:
        """A tracer: what we say is heard before it is sent."""
        if who in "CS":
            self.comes(SENT if who == "C" else HEARD)

    def comes(self, kind: str) -> None:
        with self._one_at_a_time:
            self.kinds.append(kind)
            if len(self.kinds) == self._ends_at:
                if self._loss is not None:
                    self.restore(self._loss, seed=self._ends_at)
                self.tell()
                os._exit(0)

    def tell(self) -> None:
        os.write(1, f"{json.dumps(self.kinds)}\n".encode())


class _Powered(Draft):
    """One that gets its name between two moments."""

    def __init__(self, draft: Draft, supply: _Ending) -> None:
        super().__init__(draft.path, draft.lies_at, draft.descriptor)
        self._supply = supply

    def put_in_place(self) -> None:
        self._supply.comes(DISK)
        super().put_in_place()
        self._supply.rename(str(self.lies_at), str(self.path))
        self._supply.comes(DISK)


class Crashes:
    """Runs pulls, one at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def run(self, pull: Pull) -> list[str]:
        """The kinds of the moments that it came to, the last one that of its end, if that was chosen and came."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(asdict(pull))}\n".encode())
        told = json.loads(await self._process.stdout.readline())
        assert isinstance(told, list), f"the pull failed: {told}"
        return told


@asynccontextmanager
async def crashes() -> AsyncIterator[Crashes]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", __name__, stdin=-1, stdout=-1)
    try:
        yield Crashes(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


# --- the process that forks


def _end_somewhere(pull: Pull) -> None:
    """Run a pull in this process, which is gone when it returns."""
    supply = _Ending(pull.ends_at, Loss[pull.loss] if pull.loss else None)
    asyncio.run(pull.run(supply))
    supply.tell()


def main() -> None:
    for line in sys.stdin.buffer:
        pull = Pull(**json.loads(line))
        child = os.fork()
        if child == 0:
            status = 1
            try:
                _end_somewhere(pull)
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        if status:
            os.write(1, b"%d\n" % status)


if __name__ == "__main__":
    main()
