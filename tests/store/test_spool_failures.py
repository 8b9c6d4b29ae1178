"""A large letter that could not be kept leaves nothing behind: no file, no descriptor, no place in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postoffice.errors import StoreError, StoreUnavailable
from postoffice.store.base import Stage
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.model import Acceptance, LocalDelivery, Settlement

LINE = b"x" * 998 + b"\r\n"
LARGE = LINE * 4000
NOBODY = 99


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    store = EmbeddedStore.open(tmp_path / "office")
    yield store
    await store.close()


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "office" / "spool"


async def stage(store: EmbeddedStore) -> Stage:
    stage = await store.office.stage()
    await stage.write(LARGE)
    return stage


def descriptors_into(folder: Path) -> int:
    """How many of our descriptors lead to files in a folder, or to files that were there."""
    links = Path("/proc/self/fd")
    found = 0
    for link in links.iterdir():
        try:
            found += str(link.readlink()).startswith(f"{folder}/")
        except FileNotFoundError:
            continue
    return found


async def test_a_folder_that_cannot_be_written_is_the_store_being_away(office: EmbeddedStore, spool: Path) -> None:
    spool.rmdir()
    incoming = await office.office.stage()
    await incoming.write(LARGE)
    with pytest.raises(StoreUnavailable, match="spool"):
        await incoming.finish()
    await incoming.abandon()
    spool.mkdir(mode=0o700)
    await (await stage(office)).abandon()
    assert list(spool.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are counted in /proc")
async def test_a_letter_that_is_not_accepted_holds_no_descriptor_and_is_tidied_away(
    office: EmbeddedStore, spool: Path
) -> None:
    for number in range(3):
        staged = await (await stage(office)).finish()
        with pytest.raises(StoreError):
            await office.office.accept(
                Acceptance(f"{number}", staged, "x@y.example", 1.0, local=(LocalDelivery(NOBODY, b""),))
            )
    assert await asyncio.to_thread(descriptors_into, spool) == 0
    await office.office.tidy()
    assert list(spool.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="descriptors are counted in /proc")
async def test_a_large_notice_that_is_not_ours_to_send_is_tidied_away(office: EmbeddedStore, spool: Path) -> None:
    staged = await (await stage(office)).finish()
    notice = Acceptance("notice", staged, "", 1.0, remote=("a@b.example",))
    assert await office.office.settle(Settlement(1, "nobody", {}, 2.0, "", notice)) is False
    assert await asyncio.to_thread(descriptors_into, spool) == 0
    await office.office.tidy()
    assert list(spool.iterdir()) == []
