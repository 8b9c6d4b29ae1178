"""Taking letters in: from an old store into a mailbox, each once, however often it is tried.

    found ─▶ known here? ─▶ stage ─▶ batch ─▶ append, durably

A letter and the memory of where it was are one transaction (`Mailbox.append`), so an end at any moment neither doubles
nor loses one: the next run goes on where this one ended. A mailbox shows no unique-id twice (RFC 1939 §7): a letter
whose own is taken or cannot be shown gets a new one, and that is said.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from postoffice.errors import PostofficeError, StoreError, StoreUnavailable
from postoffice.moving.letters import FIT_TO_SHOW, Complaint, Found, OldStore, Unfit, WithFolders
from postoffice.moving.sameness import Here
from postoffice.protocols.dots import Stuffer
from postoffice.store.base import Mailbox, Stage
from postoffice.store.model import REMOVED, Letter, Origin, Pulled

BATCH_LETTERS: Final = 256
BATCH_OCTETS: Final = 4 * 1024 * 1024
FLOOR_OCTETS: Final = 256 * 1024 * 1024
"""How much room on the disk is left to others."""
NOT_REMOVED: Final = "Removed letters"
"""Where letters of a folder `Removed` come: in ours lies what people deleted here, and from there it goes for ever."""
FULL: Final = "the disk is full but for what is left to letters that come by themselves"


@dataclass(slots=True)
class Report:
    """What became of a move. `letters` and `octets` came and are durable; `known` were here before.

    `renamed` got a new unique-id in place of one that could not stay; `unnamed` had none that is known, where that
    matters to somebody; `lost` could not be read; `damaged` are not what they were, and went out all the same.
    """

    total: int = 0
    letters: int = 0
    octets: int = 0
    known: int = 0
    renamed: int = 0
    unnamed: int = 0
    lost: int = 0
    damaged: int = 0

    @property
    def done(self) -> int:
        return self.letters + self.known + self.lost


@dataclass(frozen=True, slots=True)
class Witness:
    """Who is told how it goes: of each complaint, and after each batch."""

    complain: Callable[[Complaint], None]
    progress: Callable[[Report], None]


@dataclass(slots=True)
class _Batch:
    stages: list[Stage] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    octets: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.letters) >= BATCH_LETTERS or self.octets >= BATCH_OCTETS


async def take_in(
    store: OldStore,
    mailbox: Mailbox,
    witness: Witness,
    free_octets: Callable[[], Awaitable[int]] | None = None,
    here: Here | None = None,
) -> Report:
    """Everything that the old store has and the mailbox has not; what the report counts is durable.

    With `here`, which is what the mailbox has, a letter with the octets of one of those is known too, whatever it was
    called there. A disk without room is a `StoreUnavailable`, anything else that the mailbox refuses a `StoreError`;
    what came before it stays.
    """
    return await _Taking(store, mailbox, witness, free_octets, here).run()


class _Taking:
    def __init__(
        self,
        store: OldStore,
        mailbox: Mailbox,
        witness: Witness,
        free_octets: Callable[[], Awaitable[int]] | None,
        here: Here | None,
    ) -> None:
        self._store = store
        self._here = here
        self._mailbox = mailbox
        self._witness = witness
        self._free_octets = free_octets
        self._report = Report(total=store.total)
        self._batch = _Batch()
        self._shown: dict[str, set[str]] = {}

    async def run(self) -> Report:
        try:
            await self._take_all()
        except StoreError:
            raise
        except PostofficeError:  # the old store failed; what came whole is kept all the same
            await self._keep()
            raise
        await self._keep()
        return self._report

    async def _take_all(self) -> None:
        known = await self._mailbox.pulled(self._store.source)
        for folder in self._store.folders if isinstance(self._store, WithFolders) else ():
            await self._shown_in(_place(folder))
        for found in self._store.letters():
            if isinstance(found, Complaint):
                self._complain(found)
            elif found.source_id in known:
                self._report.known += 1
                await self._find_here(known[found.source_id])
            else:
                await self._take(found)
                if self._batch.is_full:
                    await self._keep()

    def _complain(self, complaint: Complaint) -> None:
        self._report.lost += complaint.loses
        self._witness.complain(complaint)

    async def _take(self, found: Found) -> None:
        """One letter into the batch, or a complaint."""
        stage = await self._mailbox.stage()
        try:
            opened = found.open()
            stuffer = Stuffer()
            for portion in opened.octets:
                await stage.write(stuffer.feed(portion))
            await stage.write(stuffer.end())
            staged = await stage.finish()
        except (OSError, Unfit) as error:
            await stage.abandon()
            why = getattr(error, "strerror", None) or str(error)
            self._complain(Complaint(found.where, f"cannot be read: {why}", loses=True))
            return
        except StoreError:
            await self._abandon(stage)
            raise
        except PostofficeError:
            await stage.abandon()
            raise
        content = staged.content
        if self._here is not None and not opened.prefix and await self._here.finds(content.sha256, content.octets):
            await stage.abandon()
            self._report.known += 1
            return
        letter = Letter(
            staged,
            opened.internal_date,
            opened.prefix,
            unique_id=await self._unique_id(found),
            flags=found.flags,
            origin=Origin(self._store.source, found.source_id) if found.source_id is not None else None,
            folder=_place(found.folder),
        )
        self._batch.stages.append(stage)
        self._batch.letters.append(letter)
        self._batch.octets += staged.content.octets

    async def _find_here(self, pulled: Pulled) -> None:
        """A letter that is known by its name is here once, and not once more for another one like it."""
        if self._here is not None and pulled.is_here and pulled.sha256 is not None:
            await self._here.finds(pulled.sha256, pulled.octets or 0)

    async def _unique_id(self, found: Found) -> str | None:
        """The letter's own, if its folder can show it."""
        folder = _place(found.folder)
        shown = self._shown.get(folder)
        if shown is None:
            shown = self._shown[folder] = await self._shown_in(folder)
        if found.unique_id is None:
            self._report.unnamed += self._here is None
            return None
        unfit = ""
        if not FIT_TO_SHOW.fullmatch(found.unique_id):
            unfit = "as unique-id is not 1 to 70 octets that POP3 can show"
        elif found.unique_id in shown:
            unfit = "as unique-id is another letter's already"
        if unfit:
            self._report.renamed += 1
            self._complain(Complaint(found.where, f"{found.unique_id[:100]!r} {unfit}; it gets a new unique-id"))
            return None
        shown.add(found.unique_id)
        return found.unique_id

    async def _shown_in(self, folder: str) -> set[str]:
        """The unique-ids of a folder, which is made if it is not there."""
        if folder not in [one.name for one in await self._mailbox.folders()]:
            await self._mailbox.create_folder(folder)
        return set((await self._mailbox.snapshot(folder=folder)).unique_ids)

    async def _keep(self) -> None:
        """The batch becomes durable."""
        batch, self._batch = self._batch, _Batch()
        try:
            if self._free_octets is not None and await self._free_octets() < FLOOR_OCTETS + batch.octets:
                raise StoreUnavailable(FULL)
            keys = await self._mailbox.append(await self._judged(batch.letters)) if batch.letters else []
        except StoreError:
            await self._abandon(*batch.stages)
            raise
        for key, letter, stage in zip(keys, batch.letters, batch.stages, strict=True):
            if key:
                self._report.letters += 1
                self._report.octets += letter.staged.content.octets
            else:
                self._report.known += 1
                await stage.abandon()
        self._witness.progress(self._report)

    async def _judged(self, letters: list[Letter]) -> list[Letter]:
        """One in which a scanner found something when it was here before goes where it went then."""
        said = await self._mailbox.scans([letter.staged.content.sha256 for letter in letters])
        return [
            letter._replace(scan=scan) if scan is not None and scan.is_dangerous else letter
            for letter, scan in zip(letters, said, strict=True)
        ]

    async def _abandon(self, *stages: Stage) -> None:
        """Nothing is half kept; a disk that is full may refuse even this, and then the next opening sweeps."""
        for stage in (*stages, *self._batch.stages):
            with suppress(StoreError):
                await stage.abandon()
        self._batch = _Batch()


def _place(folder: str) -> str:
    """The folder here for one of that name there."""
    return NOT_REMOVED if folder == REMOVED else folder
