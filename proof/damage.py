"""`./po damage`: docs/damage.md, what is saved from a mailbox file that was damaged in each of many ways.

A file with small and large letters, some removed, is made once and damaged with fixed seeds.
A letter is *intact* if no octet of its rows was changed, wherever they lie. Each intact one must be saved, none with
other octets, and none that was removed may lie among the others.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import apsw

from postoffice.database.key import LOCKED_PAGE_OCTETS, RESERVED_OCTETS, Key, new_key
from postoffice.database.sqlite import PAGE_OCTETS
from postoffice.errors import DamagedStore
from postoffice.store.embedded import MailboxFile
from postoffice.store.embedded.contents import digest_of
from postoffice.store.embedded.salvage import FOUND, Report, repair
from postoffice.store.embedded.salvage.findings import Findings
from postoffice.store.embedded.salvage.gathering import Gathering
from postoffice.store.embedded.salvage.pages import KINDS as TREE_PAGES
from postoffice.store.embedded.salvage.pages import row_at
from postoffice.store.embedded.salvage.views import DamagedFile
from postoffice.store.embedded.salvage.wal import FRAME_HEAD_OCTETS, HEAD_OCTETS
from postoffice.store.model import REMOVED, Flag, Letter, Origin
from postoffice.testing.check_store.walk import NOON, keys, large_text, staged, text
from postoffice.testing.pages import pages_of
from proof import tampering

PAGE = Path(__file__).parents[1] / "docs" / "damage.md"
SEEDS = 5
BLOCK_OCTETS = 16
FILE, LOG = "home.mailbox", "home.mailbox-wal"
SOURCE = "pops://me@pop.example.org"


@dataclass(frozen=True, slots=True)
class Rows:
    """Where the rows of a letter lie: pieces of the file and of the log."""

    name: bytes
    pieces: tuple[tuple[str, int, int], ...]


@dataclass(slots=True)
class Pattern:
    """A sound file to be damaged: its octets by name, its letters, and the names of those that were removed."""

    files: dict[str, bytes]
    letters: dict[bytes, Rows]
    gone: set[bytes]
    entries: int
    key: Key | None = None
    page_octets: int = PAGE_OCTETS


@dataclass(slots=True)
class Outcome:
    """What came of it. `by_sql` counts what SQLite reads of the same file, letter by letter.

    `knows_removals`: the log is whole; where a part of it is gone, so may be all that said that a letter was removed.
    """

    intact: set[bytes]
    saved: set[bytes] = field(default_factory=set)
    found: set[bytes] = field(default_factory=set)
    wrong: int = 0
    by_sql: int = 0
    is_sound: bool = True
    knows_removals: bool = True
    report: Report | None = None


async def pattern(
    letters: int = 150, *, at_rest: bool, key: Key | None = None, page_octets: int = PAGE_OCTETS
) -> Pattern:
    """A mailbox at home, closed, or while it is open: then the last third of its letters lies in the log. With a `key`,
    it is locked, and has the pages of any that is."""
    folder = Path(tempfile.mkdtemp(prefix="postoffice-damage-"))
    try:
        with pages_of(page_octets):
            mailbox = MailboxFile.open(folder / FILE, create=True, key=key)
        plains = [text(number, lines=4 + number % 40 * 12) for number in range(letters)]
        plains.insert(letters // 2, large_text("large"))
        half = letters * 2 // 3
        await _put(mailbox, plains[:half], 0)
        await mailbox.remove((await keys(mailbox))[10:30])
        await mailbox.close()
        mailbox = MailboxFile.open(folder / FILE, key=key)
        await _put(mailbox, plains[half:], half)
        await mailbox.remove((await keys(mailbox))[-12:-7])
        await mailbox.remove((await keys(mailbox))[:3], into=REMOVED)
        everything = {sha256(plain).digest() for plain in plains}
        files = {} if at_rest else {name: (folder / name).read_bytes() for name in (FILE, LOG)}
        await mailbox.close()
        files = files or {FILE: (folder / FILE).read_bytes()}
        for name, octets in files.items():
            (folder / name).write_bytes(octets)
        rows = {one.name: one for one in _rows(folder / FILE, key)}
        page_octets = page_octets if key is None else LOCKED_PAGE_OCTETS
        return Pattern(files, rows, everything - set(rows), len(rows), key, page_octets)
    finally:
        shutil.rmtree(folder)


async def _put(mailbox: MailboxFile, plains: list[bytes], first: int) -> None:
    for number, plain in enumerate(plains, first):
        origin = Origin(SOURCE, f"uid-{number}", len(plain), sha256(plain).digest()[:8], NOON)
        letter = Letter(await staged(mailbox, plain), NOON + number, flags=Flag(number % 4), origin=origin)
        await mailbox.append([letter])


def _rows(path: Path, key: Key | None) -> Iterator[Rows]:
    """Every letter of a sound file, and where its rows lie."""
    with closing(DamagedFile(path, key)) as file, closing(Findings()) as findings:
        Gathering(file, findings, lambda _: None).all()
        page_octets = file.layout.page_octets

        def place(page: int) -> tuple[str, int]:
            at = file.today.over.get(page)
            return (FILE, (page - 1) * page_octets) if at is None else (LOG, at)

        for (content_id,) in findings.ask("SELECT content_id FROM entries WHERE grade = 0 GROUP BY content_id"):
            pieces, name = [], b""
            for page, at, octets, last in findings.ask(
                "SELECT page, cell_at, octets, sha256 FROM chunks WHERE chunk_id >> 20 = ? AND grade = 0", (content_id,)
            ):
                cell = row_at(file.today.page(page), at, octets)
                where, start = place(page)
                first, behind = at - 12, at + len(cell.local) + (4 if cell.overflow else 0)
                if key is not None:  # a block of the cipher needs the one before, or the page's vector
                    vector = start + page_octets - RESERVED_OCTETS
                    pieces.append((where, vector, vector + BLOCK_OCTETS))
                    first, behind = (
                        first // BLOCK_OCTETS * BLOCK_OCTETS - BLOCK_OCTETS,
                        -(-behind // BLOCK_OCTETS) * BLOCK_OCTETS,
                    )
                pieces.append((where, start + max(first, 0), start + behind))
                pieces += [(w, s, s + page_octets) for w, s in map(place, file.today.payload(cell)[1])]
                name = last or name
            yield Rows(name, tuple(pieces))


# --- kinds of damage -------------------------------------------------------------------------------------------


class Files(dict[str, bytearray]):
    """The octets of a file and of its log, by their names."""

    def __init__(self, sound: Pattern) -> None:
        super().__init__((name, bytearray(octets)) for name, octets in sound.files.items())
        self.page_octets = sound.page_octets

    def pages(self) -> range:
        """Where those of the file begin."""
        return range(0, len(self[FILE]), self.page_octets)

    def frames(self) -> range:
        """Where those of the log begin."""
        return range(HEAD_OCTETS, len(self[LOG]), FRAME_HEAD_OCTETS + self.page_octets)


Damage = Callable[[Files, random.Random], None]
KINDS: dict[str, Damage] = {}


def kind(name: str) -> Callable[[Damage], Damage]:
    def keep(damage: Damage) -> Damage:
        KINDS[name] = damage
        return damage

    return keep


@kind("none")
def _none(files: Files, chance: random.Random) -> None:
    pass


def _flipping(bits: int, name: str) -> Damage:
    def damage(files: Files, chance: random.Random) -> None:
        for _ in range(bits):
            files[name][chance.randrange(len(files[name]))] ^= 1 << chance.randrange(8)

    return damage


for bits in (1, 10, 100, 1000):
    KINDS[f"{bits} {'bit' if bits == 1 else 'bits'} flipped in the file"] = _flipping(bits, FILE)
for bits in (1, 20):
    KINDS[f"{bits} {'bit' if bits == 1 else 'bits'} flipped in the log"] = _flipping(bits, LOG)


def _blanking(share: float, fill: Callable[[random.Random, int], bytes]) -> Damage:
    def damage(files: Files, chance: random.Random) -> None:
        pages = files.pages()
        for at in chance.sample(pages, max(1, int(len(pages) * share))):
            files[FILE][at : at + files.page_octets] = fill(chance, files.page_octets)

    return damage


for share in (0.0, 0.02, 0.2):
    name = f"{share:.0%} of the pages" if share else "a page"
    KINDS[f"{name} zeroed"] = _blanking(share, lambda _, octets: bytes(octets))
    KINDS[f"{name} overwritten with noise"] = _blanking(share, random.Random.randbytes)


@kind("the file cut at a page")
def _cut(files: Files, chance: random.Random) -> None:
    del files[FILE][chance.choice(files.pages()[1:]) :]


@kind("the file cut within a page")
def _cut_within(files: Files, chance: random.Random) -> None:
    del files[FILE][chance.randrange(files.page_octets, len(files[FILE])) :]


def _beginning(octets: int, *names: str) -> Damage:
    def damage(files: Files, chance: random.Random) -> None:
        for name in names:
            files[name][:octets] = chance.randbytes(octets)

    return damage


KINDS["the file's header destroyed"] = _beginning(100, FILE)


@kind("its first page destroyed")
def _first_page(files: Files, chance: random.Random) -> None:
    _beginning(files.page_octets, FILE)(files, chance)


KINDS["its first 64 KiB destroyed"] = _beginning(1 << 16, FILE)


@kind("every page above others destroyed")
def _interior(files: Files, chance: random.Random) -> None:
    for at in files.pages()[1:]:
        if files[FILE][at] in (2, 5):
            files[FILE][at : at + files.page_octets] = bytes(files.page_octets)


@kind("the head of every page destroyed")
def _heads(files: Files, chance: random.Random) -> None:
    for at in files.pages()[1:]:
        if files[FILE][at] in TREE_PAGES:
            files[FILE][at : at + 8] = chance.randbytes(8)


@kind("the log missing")
def _no_log(files: Files, chance: random.Random) -> None:
    del files[LOG]


@kind("the log cut")
def _log_cut(files: Files, chance: random.Random) -> None:
    del files[LOG][chance.randrange(HEAD_OCTETS, len(files[LOG])) :]


KINDS["the log's header destroyed"] = _beginning(HEAD_OCTETS, LOG)


@kind("a frame of the log overwritten with noise")
def _wrong_frame(files: Files, chance: random.Random) -> None:
    at = chance.choice(files.frames())
    octets = FRAME_HEAD_OCTETS + files.page_octets
    files[LOG][at : at + octets] = chance.randbytes(octets)


@kind("every frame of the log overwritten but for its head")
def _wrong_frames(files: Files, chance: random.Random) -> None:
    for at in files.frames():
        body = at + FRAME_HEAD_OCTETS
        files[LOG][body : body + files.page_octets] = chance.randbytes(files.page_octets)


@kind("all of it: bits, pages, the log's header, the end")
def _everything(files: Files, chance: random.Random) -> None:
    for name in ("100 bits flipped in the file", "2% of the pages zeroed", "the log's header destroyed"):
        KINDS[name](files, chance)
    del files[FILE][len(files[FILE]) * 9 // 10 :]


BY_WHAT_PAGES_SHOW = frozenset({"every page above others destroyed", "the head of every page destroyed"})
"""Those that need to see what kind a page is, which nobody can who has no key."""


# --- the judgement ---------------------------------------------------------------------------------------------


async def judge(sound: Pattern, damage: Damage, seed: int, folder: Path) -> Outcome:
    """Damage a copy, save what can be saved, and compare."""
    files = Files(sound)
    damage(files, random.Random(seed))  # noqa: S311 damage is to be the same each time
    for name, octets in files.items():
        (folder / name).write_bytes(octets)
    outcome = Outcome({name for name, rows in sound.letters.items() if _is_intact(sound, files, rows)})
    outcome.knows_removals = files.get(LOG) == sound.files.get(LOG)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    new = folder / "new.mailbox"
    try:
        outcome.report = await repair(folder / FILE, new, key=sound.key)
    except DamagedStore:
        if outcome.intact:
            raise
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path != new} == before, "it was written to"
    if new.exists():
        await _look_into(new, sound, outcome)
    outcome.by_sql = _by_sql(folder / FILE, sound)
    return outcome


def _is_intact(sound: Pattern, files: dict[str, bytearray], rows: Rows) -> bool:
    return all(
        name in files and files[name][start:end] == sound.files[name][start:end] for name, start, end in rows.pieces
    )


async def _look_into(new: Path, sound: Pattern, outcome: Outcome) -> None:
    mailbox = MailboxFile.open(new, key=sound.key)
    try:
        outcome.is_sound = not await mailbox.check()
        for folder in await mailbox.folders():
            snapshot = await mailbox.snapshot(None, folder.name)
            for entry in await mailbox.describe(snapshot.keys):
                assert entry is not None
                if entry.sha256 not in sound.letters and entry.sha256 not in sound.gone:
                    outcome.wrong += 1
                (outcome.found if folder.name == FOUND else outcome.saved).add(entry.sha256)
    finally:
        await mailbox.close()


def _by_sql(path: Path, sound: Pattern) -> int:
    """How many letters SQLite reads of it, asked for one by one."""
    readable = 0
    try:
        with closing(apsw.Connection(str(path))) as connection:
            for pragma in sound.key.pragmas() if sound.key is not None else ():
                connection.execute(pragma)
            ids = [row[0] for row in connection.execute("SELECT content_id FROM entries")]
            for content_id in ids:
                try:
                    sql = "SELECT data FROM chunks WHERE chunk_id >= ?1 << 20 AND chunk_id < (?1 + 1) << 20"
                    _, name = digest_of(row[0] or b"" for row in connection.execute(sql, (content_id,)))
                except apsw.Error:
                    continue
                readable += name in sound.letters
    except apsw.Error:
        pass
    return readable


async def page() -> str:
    """The document."""
    patterns = {at_rest: await pattern(at_rest=at_rest) for at_rest in (True, False)}
    lines = await _lines(patterns, KINDS)
    sound = patterns[True]
    key = new_key()
    locked = {at_rest: await pattern(at_rest=at_rest, key=key) for at_rest in (True, False)}
    kinds = {name: damage for name, damage in KINDS.items() if name not in BY_WHAT_PAGES_SHOW}
    head = _HEAD.format(letters=len(sound.letters), gone=len(sound.gone), seeds=SEEDS)
    tables = "\n".join((head + _TABLE, *lines, _LOCKED + _TABLE, *await _lines(locked, kinds)))
    return f"{tables}\n{await tampering.table()}{_FOOT}"


async def _lines(patterns: dict[bool, Pattern], kinds: dict[str, Damage]) -> list[str]:
    """A row of the table for each kind of damage."""
    lines = []
    for name, damage in kinds.items():
        sound = patterns["log" not in name]
        sums = [0] * 8
        for seed in range(SEEDS):
            with tempfile.TemporaryDirectory(prefix="postoffice-damage-") as folder:
                one = await judge(sound, damage, seed, Path(folder))
            living = set(sound.letters)
            saved = (one.saved | one.found) & living
            figures = (
                *(len(one.intact), len(saved), len(one.found & living - one.saved), len(one.intact - saved)),
                *(one.wrong, len(one.saved & sound.gone), len(one.found & sound.gone), one.by_sql),
            )
            sums = [total + figure for total, figure in zip(sums, figures, strict=True)]
        lines.append(f"| {name} | {' | '.join(f'{total / SEEDS:g}' for total in sums)} |")
        print(lines[-1], file=sys.stderr)
    return lines


_HEAD = """# What is saved from a damaged mailbox file

Made by `./po damage`, which damages a mailbox file of {letters} letters ({gone} more were removed) in each way {seeds}
times with fixed seeds and gives the means. Where the log is damaged, the last third of the letters lies in it.
Pages have 8 KiB; with 4, as in files that were made before, nothing is missed or wrong either.

- *intact*: no octet of its rows was changed. *saved* may be more: a page may stand in the log, or on a free page, too.
- *in Found*: those of the saved of which the file does not say any more where they were, or whether they were removed.
- *missed*: intact, but not saved. *wrong*: saved with other octets. *back*: removed, but among the others again.
  Where a part of the log is gone, so is what said that they were removed.
- *back in Found*: removed, and now in that folder.
- *by SQL*: what SQLite gives of the same file, asked for one letter after the other.

"""
_TABLE = """| damage | intact | saved | in Found | missed | wrong | back | back in Found | by SQL |
|---|---|---|---|---|---|---|---|---|"""
_LOCKED = """
## The same file, locked

With its key. Its pages have 4 KiB, as those of every locked file. A letter is intact here if no octet was changed that
its octets are reckoned from: a page is encrypted in blocks of 16 octets, each with the one before it. SQLite gives
nothing of a page in which any bit was changed.

"""
_FOOT = """
How to go about it: [operating.md](operating.md#is-it-sound).
"""


def main() -> None:
    PAGE.write_text(asyncio.run(page()), encoding="utf-8")


if __name__ == "__main__":
    main()
