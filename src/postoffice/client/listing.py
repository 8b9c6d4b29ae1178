"""What a maildrop holds, as its server lists it: UIDL and LIST, side by side (RFC 1939 §5, §7)."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final, NamedTuple

from postoffice.client.talk import Talk
from postoffice.errors import RemoteProtocolError
from postoffice.protocols.pop3 import commands

_SCAN: Final = re.compile(rb"([0-9]{1,18})[ \t]+([0-9]{1,18})(?:[ \t].*)?")
_UNIQUE_ID: Final = re.compile(rb"([0-9]{1,18})[ \t]+([^ \t].*?)[ \t]*")


class Listed(NamedTuple):
    """A letter of the server's listing. `source_id` is its name in our memory.

    `is_alone`: no other has its unique id.
    """

    number: int
    octets: int
    unique_id: str
    source_id: str
    is_alone: bool


async def listing(talk: Talk, *, can_pipeline: bool) -> list[Listed]:
    """The whole maildrop in the server's order. A server without UIDL is a `Refused`."""
    talk.say(commands.UIDL)
    if can_pipeline:
        talk.say(commands.LIST)
    answer = await talk.answer()
    if not answer.reply.is_ok:
        raise talk.refused(
            "UIDL, without which nobody can tell a letter that is here from one that is new", answer.reply
        )
    unique_ids = unique_ids_of(await talk.listing())
    if not can_pipeline:
        talk.say(commands.LIST)
    answer = await talk.answer()
    if not answer.reply.is_ok:
        raise talk.refused("LIST", answer.reply)
    octets = octets_of(await talk.listing())
    if octets.keys() != unique_ids.keys():
        raise RemoteProtocolError("LIST and UIDL tell of different letters")
    return _items(unique_ids, octets)


def _items(unique_ids: dict[int, bytes], octets: dict[int, int]) -> list[Listed]:
    """The listing in order. Where letters share a unique id, against RFC 1939 §7, all but the first are told apart by
    a count behind a line feed, which no unique id can hold."""
    times = Counter(unique_ids.values())
    met: Counter[bytes] = Counter()
    items = []
    for number, raw in unique_ids.items():
        met[raw] += 1
        unique_id = raw.decode("ascii", "backslashreplace")
        source_id = unique_id if met[raw] == 1 else f"{unique_id}\n{met[raw]}"
        items.append(Listed(number, octets[number], unique_id, source_id, times[raw] == 1))
    return items


def octets_of(lines: list[bytes]) -> dict[int, int]:
    """The scan listings of LIST (RFC 1939 §5); what stands behind the size is passed over."""
    found = [_SCAN.fullmatch(line) for line in lines]
    return {int(one[1]): int(one[2]) for one in _all(found, "LIST")}


def unique_ids_of(lines: list[bytes]) -> dict[int, bytes]:
    """The lines of UIDL (RFC 1939 §7)."""
    found = [_UNIQUE_ID.fullmatch(line) for line in lines]
    return {int(one[1]): one[2] for one in _all(found, "UIDL")}


def _all(found: list[re.Match[bytes] | None], what: str) -> list[re.Match[bytes]]:
    matches = [one for one in found if one is not None]
    if len(matches) < len(found) or len({int(one[1]) for one in matches}) < len(matches):
        raise RemoteProtocolError(f"the listing of {what} cannot be read")
    return matches
