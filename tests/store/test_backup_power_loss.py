"""The power fails at any sync of a backup or a restore: what is there is whole, and the next try brings the rest."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from postoffice.errors import StoreUnavailable, UsageError
from postoffice.store.embedded import EmbeddedStore, backup
from postoffice.store.embedded.backup import Contents, Vault
from postoffice.store.model import CHUNK_OCTETS
from postoffice.testing.check_store.walk import deliver, new_account, seen
from postoffice.testing.disk import Disk, Names

BOB = 1
QUICK_MOMENTS = 8
LARGE = b"Subject: large\r\n\r\n" + b"x" * 78 + b"\r\n" * (CHUNK_OCTETS // 2)


@pytest.fixture(
    params=[False, pytest.param(True, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])],
    ids=["some_moments", "every_moment"],
)
def thorough(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[EmbeddedStore]:
    """Someone has letters in the file, a large one among them, and some that have just arrived."""
    store = EmbeddedStore.open(tmp_path / "office")
    await new_account(store)
    for number in range(3):
        await deliver(store, b"Subject: %d\r\n\r\n" % number, BOB)
    await store.office.tidy()
    await deliver(store, LARGE, BOB)
    await deliver(store, b"Subject: last\r\n\r\n", BOB)
    yield store
    await store.close()


def take(data: Path, root: Path) -> str:
    with Vault.to_work_in(root, backup.office_name(data)) as vault:
        return backup.take(data, vault).backup.name


def restore(root: Path, to: Path) -> list[str]:
    with Vault.to_read(root) as vault:
        return backup.restore(Contents(vault, vault.find()), to).damages


def sound(root: Path) -> list[str]:
    """The names of the backups in a vault; everything in each of them is right."""
    with suppress(UsageError), Vault.to_read(root) as vault:
        for one in vault.backups():
            assert list(Contents(vault, one).damages()) == []
        return [one.name for one in vault.backups()]
    return []


async def shown(data: Path) -> list[bytes]:
    store = EmbeddedStore.open(data)
    try:
        assert await store.office.check() == []
        return await seen(await store.office.mailbox(BOB))
    finally:
        await store.close()


@dataclass(frozen=True, slots=True)
class Outage:
    """`work` on a copy of a folder, with the power failing at each sync, or at some of them."""

    prepared: Path
    folder: Path
    thorough: bool

    def play(self, work: Callable[[Path], object]) -> list[tuple[Path, bool]]:
        """What each loss of power leaves, and whether the work had come to its end."""
        with Disk(self._copy("whole")) as disk:
            work(disk.root)
        assert disk.moments > 5, "hardly anything was synced"
        step = 1 if self.thorough else max(1, disk.moments // QUICK_MOMENTS)
        left = []
        for moment in [*range(1, disk.moments + 1, step), None]:
            for names in Names:
                with Disk(self._copy("now"), moment) as disk:
                    if moment is None:
                        work(disk.root)
                    else:
                        with pytest.raises(StoreUnavailable):
                            work(disk.root)
                disk.leave(self.folder / f"left-{moment}-{names.name}", names)
                left.append((self.folder / f"left-{moment}-{names.name}", moment is None))
        return left

    def _copy(self, name: str) -> Path:
        target = self.folder / name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.prepared, target)
        return target


async def test_only_whole_backups_are_backups(office: EmbeddedStore, tmp_path: Path, thorough: bool) -> None:
    data = tmp_path / "office"
    (tmp_path / "prepared").mkdir()
    for folder, is_done in Outage(tmp_path / "prepared", tmp_path, thorough).play(
        lambda disk: take(data, disk / "vault")
    ):
        there = sound(folder / "vault")
        assert there or not is_done
        take(data, folder / "vault")
        assert len(sound(folder / "vault")) == 1 + len(there)
        assert restore(folder / "vault", folder / "office") == []
        assert await shown(folder / "office") == await shown(data)


async def test_what_was_cut_off_is_not_taken_for_durable(office: EmbeddedStore, tmp_path: Path, thorough: bool) -> None:
    """A backup fails, the next one takes what is there, and the power fails after that."""
    data, root = tmp_path / "office", tmp_path / "disk"
    for moment in range(1, 40, 1 if thorough else 5):
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        with Disk(root, moment) as disk:
            with suppress(StoreUnavailable):
                take(data, root / "vault")
            disk.mend()
            take(data, root / "vault")
        disk.leave(tmp_path / "left", Names.LOST)
        assert sound(tmp_path / "left" / "vault")


async def test_the_backups_before_stay_whole(office: EmbeddedStore, tmp_path: Path, thorough: bool) -> None:
    """Also where the next one shares with them what has not changed, and drops some of them."""
    data = tmp_path / "office"
    first = [take(data, tmp_path / "prepared" / "vault") for _ in range(3)]
    mailbox = await office.office.mailbox(BOB)
    await mailbox.remove((await mailbox.snapshot()).keys[:1])
    await deliver(office, b"Subject: new\r\n\r\n", BOB)

    def take_and_keep(disk: Path) -> None:
        with Vault.to_work_in(disk / "vault", backup.office_name(data)) as vault:
            backup.take(data, vault)
            backup.keep_newest(vault, 2)

    for folder, is_done in Outage(tmp_path / "prepared", tmp_path, thorough).play(take_and_keep):
        there = sound(folder / "vault")
        assert first[-1] in there
        assert len(there) >= 2
        assert not is_done or len(there) == 2
        take_and_keep(folder)
        assert len(sound(folder / "vault")) == 2
        assert restore(folder / "vault", folder / "office") == []
        assert await shown(folder / "office") == await shown(data)


async def test_only_a_whole_office_is_an_office(office: EmbeddedStore, tmp_path: Path, thorough: bool) -> None:
    data, root = tmp_path / "office", tmp_path / "vault"
    take(data, root)
    (tmp_path / "prepared").mkdir()
    for folder, is_done in Outage(tmp_path / "prepared", tmp_path, thorough).play(
        lambda disk: restore(root, disk / "new")
    ):
        if not (folder / "new" / "office.db").exists():
            assert not is_done
            restore(root, folder / "new")
        assert await shown(folder / "new") == await shown(data)
