"""A pull that deletes may end at every write, sync and send: no letter is lost, doubled or cut, whatever the disk kept.

It ends there as a process is killed, and as a machine loses power, with all, some or half of a write of what was not
synced. What the server has no more is at home then; and plain pulls afterwards bring the rest, once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path

import pytest

from postoffice.store.embedded import MailboxFile
from postoffice.store.embedded.inspection import inspect_mailbox
from postoffice.store.embedded.soundness import Tally
from postoffice.store.model import CHUNK_OCTETS
from postoffice.testing.check_store.walk import must_be_sound, seen
from postoffice.testing.crashes import DISK, HEARD, SENT, Crashes, Pull, crashes
from postoffice.testing.peer import Pop3Peer, Session
from postoffice.testing.power import Loss

LETTERS = {
    f"id-{number}": b"Message-ID: <%d@b.example>\r\nSubject: %d\r\n\r\n" % (number, number) + b".x\r\n" * (number * 300)
    for number in range(1, 6)
}
LARGE = b"Subject: large\r\n\r\n" + b"as long as a chunk and more\r\n" * (CHUNK_OCTETS // 28)

LOSSES = (None, *(loss.name for loss in Loss))
QUICK_DISK_MOMENTS = 12
PULLS = 3


@pytest.fixture
async def crashing() -> AsyncIterator[Crashes]:
    async with crashes() as running:
        yield running


class Hasty(Session):
    """Removes a letter at DELE, which is against RFC 1939 §6, and tells whether it was durable at home by then."""

    def answer(self, line: str) -> bytes | Iterable[bytes]:
        said = super().answer(line)
        if line.startswith("DELE"):
            self.remove()
        return said


DRAFTS = pytest.mark.parametrize("drafts", [False, True], ids=["file", "draft"])
SERVERS = pytest.mark.parametrize("server", [Session, Hasty], ids=["removed_at_quit", "removed_at_dele"])


class Scene:
    """One maildrop, one home, one end after the other."""

    def __init__(
        self, crashing: Crashes, folder: Path, letters: dict[str, bytes], server: type[Session], *, drafts: bool
    ) -> None:
        self._crashing = crashing
        self._drafts = drafts
        self._file = folder / "home.mailbox"
        self._letters = letters
        self._server = server

    async def play(self, ends_at: int | None, loss: str | None) -> list[str]:
        """A pull up to a moment, and those that come after it; gives the kinds of the moments that it came to."""
        for path in self._file.parent.iterdir():
            path.unlink()
        peer = Pop3Peer(dict(self._letters), session=self._server)
        async with peer.listening() as port:
            pull = Pull(port, str(self._file), ends_at, loss, drafts=self._drafts)
            moments = await self._crashing.run(pull)
            where = f"the end was moment {ends_at}, {moments[-1]}, {loss}"
            here = await self._at_home()
            assert all(times == 1 for times in here.values()), f"doubled: {where}"
            assert set(here) <= set(self._letters.values()), f"cut: {where}"
            lost = [name for name, letter in self._letters.items() if name not in peer.letters and letter not in here]
            assert not lost, f"lost {lost}: {where}"
            for _ in range(PULLS):
                await Pull(port, str(self._file), drafts=self._drafts).run()
            assert peer.letters == {}, f"not deleted: {where}"
        assert await self._at_home() == Counter(self._letters.values()), f"lost or doubled in the end: {where}"
        tally = Tally()
        assert list(inspect_mailbox(self._file, "home", tally)) == []
        assert tally.commit is not None, f"no chain: {where}"
        assert tally.commit.letters == len(self._letters), f"the chain ends elsewhere: {where}"
        return moments

    async def _at_home(self) -> Counter[bytes]:
        if not self._file.exists() or not self._file.stat().st_size:
            return Counter()
        mailbox = MailboxFile.open(self._file)
        try:
            await must_be_sound(mailbox)
            return Counter(await seen(mailbox))
        finally:
            await mailbox.close()


@DRAFTS
@SERVERS
async def test_a_pull_that_ends_at_some_moment_loses_nothing(
    crashing: Crashes, tmp_path: Path, server: type[Session], drafts: bool
) -> None:
    scene = Scene(crashing, tmp_path, LETTERS, server, drafts=drafts)
    moments = await scene.play(None, None)
    assert {DISK, SENT, HEARD} == set(moments)
    for number, moment in enumerate(_some(moments)):
        await scene.play(moment, LOSSES[number % len(LOSSES)])


@pytest.mark.slow
@pytest.mark.timeout(1200)
@DRAFTS
@SERVERS
@pytest.mark.parametrize("loss", LOSSES)
async def test_a_pull_that_ends_at_any_moment_loses_nothing(
    crashing: Crashes, tmp_path: Path, server: type[Session], loss: str | None, drafts: bool
) -> None:
    scene = Scene(crashing, tmp_path, {"id-0": LARGE, **LETTERS}, server, drafts=drafts)
    moment = 1
    while len(await scene.play(moment, loss)) == moment:  # it came to it
        moment += 1
    assert moment > 50, "hardly anything happened"


def _some(moments: list[str]) -> Iterator[int]:
    """All at which something was sent, and some of those of the disk; counted from 1."""
    disk = [number for number, kind in enumerate(moments, 1) if kind == DISK]
    chosen = set(disk[:: max(1, len(disk) // QUICK_DISK_MOMENTS)])
    yield from (number for number, kind in enumerate(moments, 1) if kind == SENT or number in chosen)
