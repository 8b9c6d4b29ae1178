"""Who removes an account, brings it back or forgets it may be killed at every step that reaches the disk: at each
moment the account or its copy is whole, the other is not there, and what is left over goes by itself."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from shutil import copytree

import pytest

from postoffice.store.embedded import EmbeddedStore
from postoffice.store.embedded.inspection import inspect
from postoffice.store.model import Credential
from postoffice.testing.check_store.walk import PREFIX, deliver, large_text, new_account, put, seen, text

STEPS = """
import apsw, asyncio, os, signal, sys
from pathlib import Path
from postoffice.store.embedded import EmbeddedStore

data, verb, last = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
steps = -1  # nothing counts until the verb begins

def step():
    global steps
    steps += steps >= 0
    if steps == last:
        os.kill(os.getpid(), signal.SIGKILL)

class Disk(apsw.VFS):
    def __init__(self):
        super().__init__("steps", "")

    def xOpen(self, name, flags):
        return File(name, flags)

class File(apsw.VFSFile):
    def __init__(self, name, flags):
        super().__init__("", name, flags)

    def xSync(self, flags):
        super().xSync(flags)
        step()

disk = Disk()
sys.addaudithook(lambda name, _: step() if name in {"os.rename", "os.link", "os.remove", "os.mkdir"} else None)

async def main():
    global steps
    store = EmbeddedStore.open(data, vfs="steps")
    steps = 0
    if verb == "set_aside":
        await store.attic.set_aside(1, 1.0, 2.0)
    else:
        await getattr(store.attic, verb)(1)
    done, steps = steps, -1
    await store.close()
    print(done)

asyncio.run(main())
"""

LETTERS = [PREFIX + text(1), PREFIX + text(2), PREFIX + large_text("large"), PREFIX + text(3)]
BOB = "bob@b.example"


@pytest.fixture
async def prepared(tmp_path: Path) -> Path:
    """An office with bob, who has letters in his file and letters that have just arrived, and carol."""
    store = EmbeddedStore.open(tmp_path / "prepared")
    bob, carol = await new_account(store), await new_account(store, "carol@b.example")
    await put(await store.office.mailbox(bob.account_id), text(1), text(2), prefix=PREFIX)
    await deliver(store, large_text("large"), bob.account_id, carol.account_id)
    await deliver(store, text(3), bob.account_id)
    await store.directory.set_credential(Credential(bob.account_id, "password", "one"))
    await store.directory.change_settings(BOB, {"recovery": "7"})
    await store.close()
    return tmp_path / "prepared"


def run_until(data: Path, verb: str, step: int) -> int | None:
    """Do it, and die at a step; gives how many there were if none was so late."""
    words = [sys.executable, "-c", STEPS, str(data), verb, str(step)]
    done = subprocess.run(words, capture_output=True, timeout=60, check=False)
    if done.returncode == -signal.SIGKILL:
        return None
    assert done.returncode == 0, done.stderr.decode()
    return int(done.stdout)


async def whole_once(data: Path, *, may_be_gone: bool = False) -> str:
    """Where bob is after that: he is whole there, and nowhere else. The office is tidied, and must be sound."""
    store = EmbeddedStore.open(data, clock=lambda: time.time() + 90_000)
    try:
        assert [one.what for one in inspect(data) if not one.is_harmless] == []
        await store.office.tidy()
        assert [one.what for one in inspect(data) if one.what != "it is no file of this office"] == []
        bob, aside = await store.directory.find(BOB), await store.attic.accounts()
        if bob is None and not aside:
            assert may_be_gone, "the account is lost"
            return "gone"
        assert (bob is None) == bool(aside), "it lives here and is set aside, or neither"
        if bob is None:
            bob = await store.attic.bring_back(aside[0].account.account_id)
        assert await seen(await store.office.mailbox(bob.account_id)) == LETTERS
        assert [one.verifier for one in await store.directory.credentials(bob.account_id)] == ["one"]
        assert (await store.directory.settings())[BOB] == {"recovery": "7"}
        assert await store.office.check() == []
        return "aside" if aside else "here"
    finally:
        await store.close()


EVERY_STEP = pytest.param(1, marks=[pytest.mark.slow, pytest.mark.timeout(1200)], id="every_step")
SOME_STEPS = pytest.param(4, id="some_steps")


@pytest.mark.parametrize("stride", [SOME_STEPS, EVERY_STEP])
@pytest.mark.parametrize(
    ("before", "verb", "ends"),
    [
        ([], "set_aside", ["here", "aside"]),
        (["set_aside"], "bring_back", ["aside", "here"]),
        (["set_aside"], "forget", ["aside", "gone"]),
    ],
)
async def test_who_dies_leaves_the_account_or_its_copy(
    prepared: Path, tmp_path: Path, before: list[str], verb: str, ends: list[str], stride: int
) -> None:
    for earlier in before:
        assert run_until(prepared, earlier, 10_000) is not None
    copytree(prepared, tmp_path / "whole")
    steps = run_until(tmp_path / "whole", verb, 10_000)
    assert steps is not None
    assert steps > 4, "hardly anything was written"
    told = []
    for step in range(1, steps + 1, stride):
        copytree(prepared, tmp_path / str(step))
        assert run_until(tmp_path / str(step), verb, step) is None
        told.append(await whole_once(tmp_path / str(step), may_be_gone=verb == "forget"))
    assert told == sorted(told, key=ends.index), "once it is done it stays done"
    assert told[0] == ends[0]


async def test_who_died_is_gone_over_again(prepared: Path) -> None:
    """A second try does it, whatever the first one left."""
    assert run_until(prepared, "set_aside", 5) is None
    assert run_until(prepared, "set_aside", 10_000) is not None
    assert run_until(prepared, "bring_back", 3) is None
    assert run_until(prepared, "bring_back", 10_000) is not None
    assert await whole_once(prepared) == "here"
