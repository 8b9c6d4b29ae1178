"""The engine in memory keeps every promise of the waists, at once and slowly."""

import pytest

from postoffice.store.memory import MemoryStore
from postoffice.store.slow import SlowStore
from postoffice.testing.check_store import CHECKS, Check, name_of


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
async def test_the_engine_in_memory_keeps(check: Check) -> None:
    await check(MemoryStore())


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
async def test_the_engine_made_slow_keeps(check: Check) -> None:
    await check(SlowStore(MemoryStore(), seconds=0))
