"""What a pull would do, without doing it: a listing is compared with what a mailbox file remembers of the maildrop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from postoffice.client.collect import Options
from postoffice.client.listing import Listed
from postoffice.client.recognition import recognize
from postoffice.client.rules import Lying, Scene
from postoffice.client.survey import survey
from postoffice.client.url import Source
from postoffice.database.key import Key
from postoffice.home.copies import must_be_another
from postoffice.home.mailbox import opening
from postoffice.store.model import Pulled


@dataclass(frozen=True, slots=True)
class Preview:
    """Letters as the server lists them, in its order. `doubtful` are known, or new under a name that another one had:
    their header or their octets would tell. `deleted` are some of those that are known or would be fetched."""

    fetched: Sequence[Listed]
    known: Sequence[Listed]
    doubtful: Sequence[Listed]
    deleted: Sequence[Listed]


async def preview(
    source: Source, file: Path, options: Options, *, needs_folder: bool = True, key: Key | None = None
) -> Preview:
    """What would be fetched and deleted, and what is known. The file is neither made nor changed, nothing is deleted.

    Raises what a pull raises; a server without UIDL is a `Refused`. `needs_folder`: a pull would not make that of the
    file.
    """
    must_be_another(options.rules, file)
    memory = await _memory(source, file, key, needs_folder=needs_folder)
    listed = (await survey(source, options, lambda listed: [])).listed
    found = recognize(listed, memory)
    new = [met for met in found.new if not options.leaves(met.item)]
    now = options.clock()
    lying = [Lying(met, memory[met.source_id]) for met in found.known]
    lying += [Lying(met, Pulled(email_id=met.source_id, is_here=True, fetched=now)) for met in new]
    lying.sort(key=lambda one: one.met.item.number)
    scene = Scene(lying, sum(item.octets for item in listed), now, options.whole_in)
    numbers = set[int]().union(*[await rule.chosen(scene) for rule in options.rules])
    return Preview(
        sorted(met.item for met in new),
        sorted(met.item for met in found.known),
        sorted(doubt.item for doubt in found.doubtful),
        [item for item in listed if item.number in numbers],
    )


async def _memory(source: Source, file: Path, key: Key | None, *, needs_folder: bool) -> dict[str, Pulled]:
    if not file.exists() and (file.parent.is_dir() or not needs_folder):
        return {}
    mailbox = opening(file, sweeps=False, key=key)()
    try:
        return await mailbox.pulled(source.maildrop)
    finally:
        await mailbox.close()
