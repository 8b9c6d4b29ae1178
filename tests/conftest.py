"""What all tests share: the engines, and the switch for the long and the wide sets."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from postoffice.store.base import Store
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.memory import MemoryStore
from postoffice.store.slow import SlowStore

ENGINES = ("memory", "slow", "embedded")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="also run what is slow and what needs programs of the system")


def pytest_configure(config: pytest.Config) -> None:
    hypothesis.settings.register_profile("whatever the machine is doing", deadline=None)
    hypothesis.settings.load_profile("whatever the machine is doing")
    if config.getoption("--all"):
        config.option.markexpr = ""


@pytest.fixture(scope="session", autouse=True)
def nobodys_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whoever runs the tests has settings of his own, which commands under test would read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture
def small_disk() -> Iterator[Callable[[Path, str], None]]:
    """Makes a folder that is a disk of its own, of a size as mount(8) has it (`512K`). Skips where that cannot be."""
    mounted: list[Path] = []

    def mount(place: Path, size: str) -> None:
        place.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if os.geteuid() or subprocess.run(words, check=False, timeout=10).returncode:
            pytest.skip("no small disk can be mounted here")
        mounted.append(place)

    yield mount
    for place in mounted:
        subprocess.run(["umount", place], check=True, timeout=10)


def open_engine(name: str, folder: Path) -> Store:
    """An engine by its name; `slow` is one whose every verb has to wait."""
    match name:
        case "memory":
            return MemoryStore()
        case "slow":
            return SlowStore(MemoryStore())
        case _:
            return EmbeddedStore.open(folder / "office")


@pytest.fixture(params=ENGINES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """Every engine in turn: what is true of a door is true on all of them."""
    opened = open_engine(request.param, tmp_path)
    yield opened
    await opened.close()
