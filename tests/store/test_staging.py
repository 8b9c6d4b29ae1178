"""Large letters that come in at once: the more they are, the less of each waits in memory."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from weakref import WeakSet

import pytest

from postoffice.store.embedded.staging import SPILL_CHUNKS, SPILL_CHUNKS_IN_ALL, Chunk, GrowingStage
from postoffice.store.model import CHUNK_OCTETS

LINE = b"x" * 62 + b"\r\n"


@pytest.fixture(autouse=True)
def no_other_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """A letter that an earlier test left half-way and something still holds takes no share here."""
    monkeypatch.setattr(GrowingStage, "_large", WeakSet())


class Noted:
    """An `Overflow` that tells how many chunks came together."""

    place = "nowhere"

    def __init__(self) -> None:
        self.together: list[int] = []

    def add(self, chunks: list[Chunk], sha256: bytes | None) -> asyncio.Future[None]:
        self.together.append(len(chunks))
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def read(self, index: int, wire_octets: int) -> tuple[bytes, bool]:
        raise NotImplementedError

    async def abandon(self) -> None:
        self.together.clear()


async def begun(stack: AsyncExitStack) -> GrowingStage:
    """A letter of which more than a chunk has come."""
    stage = GrowingStage(Noted())
    await stage.write(LINE * (CHUNK_OCTETS // len(LINE) + 1))
    stack.push_async_callback(stage.abandon)
    return stage


async def chunks_together() -> int:
    """How many chunks of a letter that comes now leave memory together."""
    overflow = Noted()
    stage = GrowingStage(overflow)
    for _ in range((SPILL_CHUNKS + 1) * CHUNK_OCTETS // (len(LINE) * 100)):
        await stage.write(LINE * 100)
    first, *_ = overflow.together
    await stage.abandon()
    return first


async def test_of_one_letter_many_chunks_leave_together() -> None:
    assert await chunks_together() == SPILL_CHUNKS


@pytest.mark.parametrize("count", [15, 31, 200])
async def test_of_many_letters_few_of_each_wait(count: int) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(count):
            await begun(stack)
        assert await chunks_together() == max(1, SPILL_CHUNKS_IN_ALL // (count + 1))
    assert await chunks_together() == SPILL_CHUNKS


async def test_a_letter_that_is_finished_takes_no_share() -> None:
    for _ in range(SPILL_CHUNKS_IN_ALL):
        stage = GrowingStage(Noted())
        await stage.write(LINE * (CHUNK_OCTETS // len(LINE) + 1))
        await stage.finish()
    assert await chunks_together() == SPILL_CHUNKS


async def test_a_letter_that_nobody_holds_any_more_takes_no_share() -> None:
    for _ in range(SPILL_CHUNKS_IN_ALL):
        stage = GrowingStage(Noted())
        await stage.write(LINE * (CHUNK_OCTETS // len(LINE) + 1))
    del stage
    assert await chunks_together() == SPILL_CHUNKS
