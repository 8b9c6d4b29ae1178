"""What a pull would do, without doing it: a listing is compared with what a mailbox file remembers of the maildrop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from postoffice.client.collect import Options
from postoffice.client.listing import Listed
from postoffice.client.recognition import recognize
from postoffice.client.rules import NOW, Lying, Scene
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

    A letter that is in doubt counts as known: only its header or its octets could tell. Raises what a pull raises.
    """
    memory = await _memory(source, file)
    listed = (await survey(source, options, lambda listed: [])).listed
    found = recognize(listed, memory)
    fetched = [met.item for met in found.new if options.largest is None or met.item.octets <= options.largest]
    known = sorted([met.item for met in found.known] + [doubt.item for doubt in found.doubtful])
    scene = Scene(
        [Lying(met, memory[met.source_id]) for met in sorted(found.known)],
        sum(item.octets for item in listed),
        options.clock(),
        options.whole_in,
    )
    numbers = {item.number for item in fetched} if NOW in options.rules else set()
    for rule in options.rules:
        numbers |= await rule.chosen(scene)
    return Preview(fetched, known, [item for item in listed if item.number in numbers])


async def _memory(source: Source, file: Path) -> dict[str, Pulled]:
    if not file.exists() and file.parent.is_dir():
        return {}
    mailbox = opening(file, sweeps=False)()
    try:
        return await mailbox.pulled(source.maildrop)
    finally:
        await mailbox.close()
