"""A mailbox at home that is pulled into for the first time: a draft beside its place, until it is settled."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from stat import S_IMODE

import pytest

from postoffice.errors import StoreError, UsageError
from postoffice.home.mailbox import lock_octet, pulling_into
from postoffice.store.embedded import MailboxFile, draft
from postoffice.store.embedded.draft import Draft
from postoffice.store.embedded.inspection import inspect_mailbox
from postoffice.store.embedded.soundness import Tally
from postoffice.store.model import CHUNK_OCTETS, Letter, Origin, Pulled, Staged
from postoffice.testing.check_store.walk import large_text, must_be_sound, seen, staged, text
from postoffice.testing.power import PowerSupply

NAME, DRAFT = "home.mailbox", "home.mailbox.draft"


@asynccontextmanager
async def drafted(path: Path, vfs: str | None = None) -> AsyncIterator[MailboxFile]:
    begun = Draft.begin(path, lambda _: None)
    assert begun is not None
    with closing(begun):
        mailbox = MailboxFile.begin(begun, vfs=vfs)
        try:
            yield mailbox
        finally:
            await mailbox.close()


async def put(mailbox: MailboxFile, *plains: bytes) -> list[int]:
    return await mailbox.append([Letter(await staged(mailbox, plain), 1.0) for plain in plains], may_wait=True)


async def at_home(path: Path) -> list[bytes]:
    """What is in a file, which must be sound, with its chain."""
    tally = Tally()
    assert list(inspect_mailbox(path, "home", tally)) == []
    assert tally.commit is not None
    mailbox = MailboxFile.open(path)
    try:
        await must_be_sound(mailbox)
        letters = await seen(mailbox)
        assert tally.commit.letters == len(letters)
        return letters
    finally:
        await mailbox.close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_it_has_no_name_until_it_is_settled(tmp_path: Path) -> None:
    async with drafted(tmp_path / NAME) as mailbox:
        await put(mailbox, text(1), large_text("large"))
        assert await seen(mailbox) == [text(1), large_text("large")]
        assert names(tmp_path) == [DRAFT]
        assert S_IMODE((tmp_path / DRAFT).stat().st_mode) == 0o600
        assert await mailbox.settle()
        assert names(tmp_path) == [NAME]
        assert await seen(mailbox) == [text(1), large_text("large")]
        await put(mailbox, text(2))
        assert await seen(mailbox) == [text(1), large_text("large"), text(2)]
    assert names(tmp_path) == [NAME]
    assert await at_home(tmp_path / NAME) == [text(1), large_text("large"), text(2)]


async def test_closed_it_has_its_name(tmp_path: Path) -> None:
    async with drafted(tmp_path / NAME) as mailbox:
        await put(mailbox, text(1))
    assert names(tmp_path) == [NAME]
    assert await at_home(tmp_path / NAME) == [text(1)]


async def test_one_into_which_nothing_came_is_an_empty_mailbox(tmp_path: Path) -> None:
    async with drafted(tmp_path / NAME):
        pass
    assert await at_home(tmp_path / NAME) == []


async def test_it_is_settled_at_once_by_whatever_promises_to_be_durable(tmp_path: Path) -> None:
    async def append(mailbox: MailboxFile) -> None:
        await mailbox.append([Letter(await staged(mailbox, text(2)), 1.0)])

    verbs: dict[str, Callable[[MailboxFile], Awaitable[object]]] = {
        "append": append,
        "folder": lambda mailbox: mailbox.create_folder("Work"),
        "note": lambda mailbox: mailbox.note("pop://there", {"1": Pulled(octets=9)}),
        "judge": lambda mailbox: mailbox.judge({}, {"Quarantine": [1]}),
        "remove": lambda mailbox: mailbox.remove([1]),
    }
    for name, verb in verbs.items():
        async with drafted(tmp_path / name) as mailbox:
            await put(mailbox, text(1))
            await verb(mailbox)
            assert (tmp_path / name).exists(), name


async def test_it_is_put_off_until_it_is_much_or_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with drafted(tmp_path / NAME) as mailbox:
        await put(mailbox, text(1))
        assert not await mailbox.settle(at_once=False)
        monkeypatch.setattr(draft, "MOST_OCTETS", 2 * len(text(1)))
        await put(mailbox, text(2))
        assert await mailbox.settle(at_once=False)
        assert names(tmp_path) != [DRAFT]
    monkeypatch.setattr(draft, "MOST_SECONDS", 0.0)
    async with drafted(tmp_path / "other") as mailbox:
        assert await mailbox.settle(at_once=False)


async def test_a_letter_that_was_coming_when_it_was_settled_is_kept(tmp_path: Path) -> None:
    """Its first chunks are in the draft, and the last ones in the file of that name."""
    plain = large_text("large") * 9
    async with drafted(tmp_path / NAME) as mailbox:
        stage = await mailbox.stage()
        half = len(plain) // 2 // 100 * 100
        assert half > 8 * CHUNK_OCTETS
        await stage.write(plain.replace(b"\r\n.", b"\r\n_")[:half])
        await mailbox.settle()
        await stage.write(plain.replace(b"\r\n.", b"\r\n_")[half:])
        await mailbox.append([Letter(await stage.finish(), 1.0)])
        await must_be_sound(mailbox)
    assert await at_home(tmp_path / NAME) == [plain.replace(b"\r\n.", b"\r\n_")]


async def test_a_transaction_that_fails_takes_nothing_with_it(tmp_path: Path) -> None:
    async with drafted(tmp_path / NAME) as mailbox:
        await put(mailbox, text(1))
        gone = Staged((await staged(mailbox, large_text("large"))).content, b"", "row:77", None)
        with pytest.raises(StoreError):
            await mailbox.append([Letter(await staged(mailbox, text(2)), 1.0), Letter(gone, 1.0)], may_wait=True)
        assert await seen(mailbox) == [text(1)]
        await put(mailbox, text(3))
    assert await at_home(tmp_path / NAME) == [text(1), text(3)]


async def test_a_letter_that_was_pulled_before_is_passed_over_in_a_draft_too(tmp_path: Path) -> None:
    async with drafted(tmp_path / NAME) as mailbox:
        for expected in ([1], [0]):
            letter = Letter(await staged(mailbox, text(1)), 1.0, origin=Origin("there", "id", 9, b"", 1.0))
            assert await mailbox.append([letter], may_wait=True) == expected


async def test_what_somebody_else_made_there_meanwhile_is_left_alone(tmp_path: Path) -> None:
    async def pull() -> None:
        async with drafted(tmp_path / NAME) as mailbox:
            await put(mailbox, text(1))
            (tmp_path / NAME).write_bytes(b"mine")
            await mailbox.settle()

    with pytest.raises(StoreError, match="somebody else made it"):
        await pull()
    assert names(tmp_path) == [NAME]
    assert (tmp_path / NAME).read_bytes() == b"mine"


async def test_a_draft_that_was_taken_away_is_told(tmp_path: Path) -> None:
    async def pull() -> None:
        async with drafted(tmp_path / NAME) as mailbox:
            await put(mailbox, text(1))
            (tmp_path / DRAFT).unlink()
            await mailbox.settle()

    with pytest.raises(StoreError):
        await pull()
    assert names(tmp_path) == []


async def test_one_that_a_killed_process_left_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / DRAFT).write_bytes(b"half of something")
    async with drafted(tmp_path / NAME) as mailbox:
        await put(mailbox, text(1))
    assert names(tmp_path) == [NAME]
    assert await at_home(tmp_path / NAME) == [text(1)]


async def test_a_mailbox_that_has_its_draft_s_name_still_is_not_written_into(tmp_path: Path) -> None:
    """Killed between the two names; then somebody put the mailbox elsewhere, and pulls anew."""
    async with drafted(tmp_path / NAME) as mailbox:
        await put(mailbox, text(1))
    (tmp_path / DRAFT).hardlink_to(tmp_path / NAME)
    (tmp_path / NAME).rename(tmp_path / "old.mailbox")
    async with drafted(tmp_path / NAME) as mailbox:
        await put(mailbox, text(2))
    assert names(tmp_path) == [NAME, "old.mailbox"]
    assert await at_home(tmp_path / "old.mailbox") == [text(1)]
    assert await at_home(tmp_path / NAME) == [text(2)]


async def test_the_second_name_goes_with_the_next_pull(tmp_path: Path) -> None:
    async with pulling_into(tmp_path / NAME, may_wait=True) as mailbox:
        await put(mailbox, text(1))
    (tmp_path / DRAFT).hardlink_to(tmp_path / NAME)
    async with pulling_into(tmp_path / NAME, may_wait=True) as mailbox:
        assert await seen(mailbox) == [text(1)]
    assert names(tmp_path) == [NAME]


async def test_nobody_else_pulls_into_a_draft_nor_when_it_has_its_name(tmp_path: Path) -> None:
    async def must_be_refused() -> None:
        with pytest.raises(UsageError, match="somebody else pulls") as refused:
            async with pulling_into(tmp_path / NAME, may_wait=True):
                pass
        assert refused.value.status == os.EX_TEMPFAIL

    async with pulling_into(tmp_path / NAME, may_wait=True) as mailbox:
        await put(mailbox, text(1))
        await must_be_refused()
        assert names(tmp_path) == [DRAFT]
        await mailbox.settle()
        await must_be_refused()
        await put(mailbox, text(2))
    assert await at_home(tmp_path / NAME) == [text(1), text(2)]


def test_whoever_was_quicker_keeps_what_he_made(tmp_path: Path) -> None:
    """While a lock was waited for, the file got its name, or another draft took this one's place."""

    def named(_: int) -> None:
        (tmp_path / NAME).write_bytes(b"his")

    assert Draft.begin(tmp_path / NAME, named) is None
    assert names(tmp_path) == [NAME]
    (tmp_path / NAME).unlink()

    def replaced(_: int) -> None:
        (tmp_path / DRAFT).unlink()
        (tmp_path / DRAFT).write_bytes(b"his")

    assert Draft.begin(tmp_path / NAME, replaced) is None
    assert (tmp_path / DRAFT).read_bytes() == b"his"


async def test_where_a_file_cannot_have_two_names_it_is_made_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")  # as FAT does

    monkeypatch.setattr(os, "link", refuse)
    async with pulling_into(tmp_path / NAME, may_wait=True) as mailbox:
        await put(mailbox, text(1))
        assert (tmp_path / NAME).exists()
    assert names(tmp_path) == [NAME]
    assert await at_home(tmp_path / NAME) == [text(1)]


async def test_what_a_link_names_is_made_where_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere" / NAME)
    async with pulling_into(tmp_path / NAME, may_wait=True) as mailbox:
        await put(mailbox, text(1))
    assert (tmp_path / NAME).is_symlink()
    assert await at_home(tmp_path / "elsewhere" / NAME) == [text(1)]


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[PowerSupply]:
    """Sees what is not synced when a draft gets its name."""
    with PowerSupply() as supply:
        put_in_place = Draft.put_in_place

        def look(self: Draft) -> None:
            assert supply.disk(str(self.lies_at)).since == [], "it gets a name before it is durable"
            put_in_place(self)
            supply.rename(str(self.lies_at), str(self.path))

        monkeypatch.setattr(Draft, "put_in_place", look)
        yield supply


async def test_it_is_durable_when_it_gets_its_name_and_synced_once(tmp_path: Path, watched: PowerSupply) -> None:
    async with drafted(tmp_path / NAME, watched.name) as mailbox:
        await put(mailbox, text(1), large_text("large"))
        await put(mailbox, text(2))
        disk = watched.disk(str(tmp_path / DRAFT))
        assert disk.since, "something was synced before"
        await mailbox.settle()
        assert (tmp_path / NAME).exists()


def test_the_lock_is_one_of_the_kernel_s(tmp_path: Path) -> None:
    """What `pulling_into` holds is held by the open file, whatever name that has."""
    begun = Draft.begin(tmp_path / NAME, lambda descriptor: lock_octet(descriptor, 7))
    assert begun is not None
    with closing(begun), (tmp_path / DRAFT).open("rb+") as other:
        assert not lock_octet(other.fileno(), 7)
