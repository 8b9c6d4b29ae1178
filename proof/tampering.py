"""What `check` tells of a mailbox file into which something else than our programs wrote: a table of docs/damage.md.

Whoever writes is no fool: numbers, references and sizes are right afterwards, where it can be, so that no rule is
broken. How often it is told is counted apart for SQLite with the rules and the hashes of contents, for the chain of
commits, and for a chain of which an earlier commit was noted.
"""

from __future__ import annotations

import random
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import apsw

from postoffice.database.sqlite import open_reader
from postoffice.store.embedded import MailboxFile
from postoffice.store.embedded.following import Noted, chain_findings
from postoffice.store.embedded.inspection import inspect_mailbox
from postoffice.testing.check_store.walk import keys, put, text

SEEDS = 5
LETTERS = 40
PREFIX = b"Received: from a.example by b.example\r\n"


@dataclass(slots=True)
class Scene:
    """A file, what it was some commits ago, and chance."""

    path: Path
    older: bytes
    chance: random.Random

    def sql(self, *statements: str) -> None:
        number = self.chance.randint(6, LETTERS - 5)
        with closing(apsw.Connection(str(self.path))) as connection:
            for one in statements:
                connection.execute(one.format(number=number))

    async def pull(self, *letters: str) -> None:
        mailbox = MailboxFile.open(self.path)
        for letter in letters:
            await put(mailbox, text(letter))
        await mailbox.close()


@dataclass(slots=True)
class Told:
    """How often."""

    by_rules: int = 0
    by_chain: int = 0
    by_noted: int = 0


DEEDS: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "flags altered": ("UPDATE entries SET flags = flags | 1 WHERE uid = {number}",),
    "a letter's date altered": ("UPDATE entries SET internal_date = internal_date - 86400 WHERE uid = {number}",),
    "what stands above a letter altered": (
        "UPDATE entries SET prefix = CAST(replace(CAST(prefix AS TEXT), 'a.ex', 'x.ex') AS BLOB) WHERE uid = {number}",
    ),
    "a letter's unique-id altered": (
        "UPDATE entries SET email_id = 'another', unique_id = 'another' WHERE uid = {number}",
    ),
    "a letter's uid altered": (
        "INSERT INTO vanished SELECT folder_id, modseq, uid FROM entries WHERE uid = {number}",
        "UPDATE entries SET uid = (SELECT uid_next FROM folders WHERE name = 'INBOX') WHERE uid = {number}",
        "UPDATE folders SET uid_next = uid_next + 1 WHERE name = 'INBOX'",
    ),
    "a letter's row taken out": ("DELETE FROM entries WHERE uid = {number}",),
    "a letter taken out, and all that refers to it": (
        "INSERT INTO vanished SELECT folder_id, modseq, uid FROM entries WHERE uid = {number}",
        "UPDATE contents SET holds = 0, sha256 = NULL"
        " WHERE content_id = (SELECT content_id FROM entries WHERE uid = {number})",
        "DELETE FROM entries WHERE uid = {number}",
    ),
    "a letter put in, and counted everywhere": (
        "INSERT INTO entries SELECT NULL, folder_id, (SELECT uid_next FROM folders WHERE name = 'INBOX'), content_id,"
        " 'new', 'new', octets, surrogate_octets, has_dot_lines, flags, modseq, internal_date, arrival, prefix, saved"
        " FROM entries WHERE uid = {number}",
        "UPDATE folders SET uid_next = uid_next + 1 WHERE name = 'INBOX'",
        "UPDATE contents SET holds = 2 WHERE content_id = (SELECT content_id FROM entries WHERE uid = {number})",
    ),
    "a commit altered": ("UPDATE chain SET letters = letters + 1 WHERE number = {number}",),
    "a commit taken out": ("DELETE FROM chain WHERE number = {number}",),
    "the last commit taken out": ("DELETE FROM chain WHERE number = (SELECT max(number) FROM chain)",),
    "the chain taken away": ("DROP TABLE chain",),
}


async def told_of(kind: str, seeds: int = SEEDS) -> Told:
    """What is told, over all seeds."""
    told = Told()
    for seed in range(seeds):
        with tempfile.TemporaryDirectory(prefix="postoffice-tampering-") as folder:
            path = Path(folder) / "home.mailbox"
            scene, noted = await _made(path, seed)
            await _do(kind, scene)
            with closing(open_reader(path)) as connection:
                by_chain = list(chain_findings(connection, ""))
                by_noted = list(chain_findings(connection, "", noted))
            damages = [one for one in inspect_mailbox(path, "") if not one.is_harmless]
            told.by_rules += any(one not in by_chain for one in damages)
            told.by_chain += bool(by_chain)
            told.by_noted += bool(by_noted)
    return told


async def _made(path: Path, seed: int) -> tuple[Scene, Noted]:
    mailbox = MailboxFile.open(path, create=True)
    for number in range(LETTERS):
        await put(mailbox, text(f"{number} of {seed}"), prefix=PREFIX)
    await mailbox.remove((await keys(mailbox))[:3])
    await mailbox.close()
    scene = Scene(path, path.read_bytes(), random.Random(seed))  # noqa: S311 it is to be the same each time
    await scene.pull("later", "and later")
    with closing(open_reader(path)) as connection:
        number, link = connection.execute("SELECT number, link FROM chain ORDER BY number DESC").fetchone() or (0, b"")
    return scene, Noted(number, link.hex())


async def _do(kind: str, scene: Scene) -> None:
    match kind:
        case "the chain taken away, and begun anew by the next pull":
            scene.sql(*DEEDS["the chain taken away"])
            await scene.pull("new")
        case "an older file put back":
            scene.path.write_bytes(scene.older)
        case "an older file put back, and pulled into":
            scene.path.write_bytes(scene.older)
            await scene.pull("one", "two", "three")
        case _:
            scene.sql(*DEEDS[kind])


KINDS = (
    *DEEDS,
    "the chain taken away, and begun anew by the next pull",
    "an older file put back",
    "an older file put back, and pulled into",
)


async def table() -> str:
    """The part of the page."""
    lines = []
    for kind in KINDS:
        told = await told_of(kind)
        answers = [yes_or_no(times, SEEDS) for times in (told.by_rules, told.by_chain, told.by_noted)]
        lines.append(f"| {kind} | {' | '.join(answers)} |")
    return _HEAD + "\n".join(lines) + "\n"


def yes_or_no(times: int, seeds: int) -> str:
    return {0: "no", seeds: "yes"}.get(times, f"{times} of {seeds}")


_HEAD = f"""
## What `check` tells of letters that were changed past our programs

Something else writes into a file of {LETTERS} letters, {SEEDS} times in each way, and breaks no more rules than it
must. Is it told: by SQLite, the rules and the hashes of letters; by the chain of commits; by the chain, if its last
commit was noted before (`--after`)? Whoever goes on with the chain as our programs do is told by none of these.

| done | by the rules | by the chain | with a commit that was noted |
|---|---|---|---|
"""
