"""What a maildrop shows, without taking anything: a listing, and the true sizes of letters whose size is in doubt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from postoffice.client.collect import CLOSE_SECONDS, Options
from postoffice.client.entrance import Key, enter
from postoffice.client.listing import Listed, listing
from postoffice.client.talk import Talk
from postoffice.client.url import Source
from postoffice.errors import RemoteProtocolError
from postoffice.net.dial import dial
from postoffice.net.dialogue import Dialogue
from postoffice.net.switchboard import Switchboard
from postoffice.net.tls import client_context
from postoffice.protocols.dots import Unstuffer
from postoffice.protocols.pop3 import commands
from postoffice.protocols.pop3.client import Body, Pop3Client


@dataclass(frozen=True, slots=True)
class Survey:
    """`listed` is the maildrop in the server's order; `measured` what letters have, by number, where it was looked."""

    listed: list[Listed] = field(default_factory=list)
    measured: dict[int, int] = field(default_factory=dict)


async def survey(source: Source, options: Options, doubtful: Callable[[Sequence[Listed]], Sequence[Listed]]) -> Survey:
    """Look at a maildrop; letters that are `doubtful` are fetched to count their octets, and forgotten.

    Raises Refused, UsageError, Disconnected, RemoteProtocolError.
    """
    tls = options.tls or client_context() if source.implicit_tls else options.tls
    key = Key(source, options.password, tls, options.allows_clear_text)
    found = Survey()

    async def converse(dialogue: Dialogue[Pop3Client]) -> None:
        talk = Talk(dialogue, source.host)
        dialogue.patience = options.patience_seconds
        try:
            capabilities = await enter(talk, key)
            can_pipeline = b"PIPELINING" in capabilities
            found.listed.extend(await listing(talk, can_pipeline=can_pipeline, needs_unique_ids=True))
            for item in doubtful(found.listed):
                found.measured[item.number] = await _measured(talk, item)
            await talk.ask(commands.QUIT)
        except RemoteProtocolError as problem:
            raise RemoteProtocolError(f"{source.host} broke the protocol: {problem}") from problem

    switchboard = Switchboard(options.tracer)
    try:
        await dial(
            (source.host, source.port),
            Pop3Client(),
            converse,
            switchboard,
            tls=tls if source.implicit_tls else None,
            close_seconds=CLOSE_SECONDS,
        )
    finally:
        switchboard.close()
    return found


async def _measured(talk: Talk, item: Listed) -> int:
    """How many octets RETR gives; what the server announced, if it does not give the letter."""
    talk.say(commands.retrieve(item.number))
    if not (await talk.answer()).has_body:
        return item.octets
    unstuffer, octets = Unstuffer(), 0
    while isinstance(heard := await talk.hear(), Body):
        octets += len(unstuffer.feed(heard.wire))
    return octets
