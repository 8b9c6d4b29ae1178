"""What a login can know of its connection: TLS at both ends, and by which names a client means us."""

from __future__ import annotations

from typing import Any

from postoffice.net.dialogue import Dialogue
from postoffice.net.tls import ServerContext, client_certificate, end_point
from postoffice.protocols.sasl.terms import Channel


def channel_of(dialogue: Dialogue[Any], host: str, ports: frozenset[int]) -> Channel:
    """`host` is our own name, `ports` the standard ones of this protocol: a router may lead from them to ours."""
    tls = dialogue.tls
    if tls is None:
        return Channel(host=host)
    context, local = tls.context, dialogue.local
    shown = context.names if isinstance(context, ServerContext) else frozenset()
    return Channel(
        end_point(tls),
        certificate=client_certificate(tls),
        host=host,
        names=shown | {host, local[0]},
        ports=ports | {local[1]},
    )
