"""What a pull would do, without doing it: a listing is compared with what a mailbox file remembers of the maildrop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from postoffice.client.collect import Options
from postoffice.client.listing import Listed
from postoffice.client.survey import survey
from postoffice.client.url import Source
from postoffice.home.mailbox import opening
from postoffice.store.model import Pulled


@dataclass(frozen=True, slots=True)
class Preview:
    """Letters as the server lists them, in its order; `deleted` are some of the others."""

    fetched: Sequence[Listed] = field(default_factory=list)
    known: Sequence[Listed] = field(default_factory=list)
    deleted: Sequence[Listed] = field(default_factory=list)


async def preview(source: Source, file: Path, options: Options) -> Preview:
    """What would be fetched, deleted, and is known. The file is neither made nor changed, and nothing is deleted.

    A letter whose size is not what was fetched under its unique-id counts as known: only its octets could tell. Raises
    what a pull raises.
    """
    memory = await _memory(source, file)
    found = await survey(source, options, lambda listed: [])
    fetched = [item for item in found.listed if not _is_here(memory.get(item.source_id))]
    known = [item for item in found.listed if _is_here(memory.get(item.source_id))]
    return Preview(fetched, known, found.listed if options.delete else [])


async def _memory(source: Source, file: Path) -> dict[str, Pulled]:
    if not file.exists() and file.parent.is_dir():
        return {}
    mailbox = opening(file, sweeps=False)()
    try:
        return await mailbox.pulled(source.maildrop)
    finally:
        await mailbox.close()


def _is_here(pulled: Pulled | None) -> bool:
    return pulled is not None and pulled.fetched is not None
