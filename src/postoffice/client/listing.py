"""What a maildrop holds, as its server lists it: UIDL and LIST, side by side (RFC 1939 §5, §7).

UIDL is optional, and there are servers without it; what lists nothing is then named by nobody.
"""

import os
import re
from collections import Counter
from typing import Final, NamedTuple

from postoffice.client.talk import Talk
from postoffice.errors import RemoteProtocolError
from postoffice.protocols.pop3 import commands

_SCAN: Final = re.compile(rb"([0-9]{1,18})[ \t]+([0-9]{1,18})(?:[ \t].*)?")
_UNIQUE_ID: Final = re.compile(rb"([0-9]{1,18})[ \t]+([^ \t\n]+(?:[ \t]+[^ \t\n]+)*)[ \t]*")


class Listed(NamedTuple):
    """A letter of the server's listing. `unique_id` is empty where the server has none.

    `source_id` is the unique-id, told apart by a count from those that are the same, against RFC 1939 §7, and come
    before it in the listing.
    """

    number: int
    octets: int
    unique_id: str
    source_id: str


async def listing(
    talk: Talk, *, can_pipeline: bool, says_uidl: bool = True, needs_unique_ids: bool = False
) -> list[Listed]:
    """The whole maildrop in the server's order.

    `says_uidl`: the server announces UIDL, so that a refusal is a failure. Raises Refused, RemoteProtocolError.
    """
    talk.say(commands.UIDL)
    if can_pipeline:
        talk.say(commands.LIST)
    answer = await talk.answer()
    has_unique_ids = answer.reply.is_ok
    if not has_unique_ids and (says_uidl or needs_unique_ids):
        status = os.EX_UNAVAILABLE if needs_unique_ids else os.EX_TEMPFAIL
        raise talk.refused(
            "UIDL, without which nobody can tell a letter that is here from one that is new", answer.reply, status
        )
    unique_ids = unique_ids_of(await talk.listing()) if has_unique_ids else {}
    if not can_pipeline:
        talk.say(commands.LIST)
    answer = await talk.answer()
    if not answer.reply.is_ok:
        raise talk.refused("LIST", answer.reply)
    octets = octets_of(await talk.listing())
    if has_unique_ids and octets.keys() != unique_ids.keys():
        raise RemoteProtocolError("LIST and UIDL tell of different letters")
    return _items(unique_ids or dict.fromkeys(octets, b""), octets)


def _items(unique_ids: dict[int, bytes], octets: dict[int, int]) -> list[Listed]:
    """The listing in order."""
    met: Counter[bytes] = Counter()
    items = []
    for number, raw in unique_ids.items():
        met[raw] += 1
        unique_id = raw.decode("ascii", "backslashreplace")
        source_id = unique_id if met[raw] == 1 and raw else f"{unique_id}\n{met[raw]}"
        items.append(Listed(number, octets[number], unique_id, source_id))
    return items


def octets_of(lines: list[bytes]) -> dict[int, int]:
    """The scan listings of LIST (RFC 1939 §5); what stands behind the size is passed over."""
    return {number: int(octets) for number, octets in _numbered(lines, _SCAN, "LIST").items()}


def unique_ids_of(lines: list[bytes]) -> dict[int, bytes]:
    """The lines of UIDL (RFC 1939 §7)."""
    return _numbered(lines, _UNIQUE_ID, "UIDL")


def _numbered(lines: list[bytes], form: re.Pattern[bytes], what: str) -> dict[int, bytes]:
    """What stands behind the number in each line; no number is there twice."""
    numbered = {int(found[1]): found[2] for found in map(form.fullmatch, lines) if found is not None}
    if len(numbered) < len(lines):
        raise RemoteProtocolError(f"the listing of {what} cannot be read")
    return numbered
