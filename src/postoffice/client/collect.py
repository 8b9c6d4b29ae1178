"""Bringing mail home: a maildrop is pulled into a mailbox, every letter once, exactly as the server had it.

    enter ─▶ list ─▶ recognize ─▶ RETR what is new ─▶ keep, durably ─▶ DELE ✍ 3 ─▶ QUIT and its +OK
      ▲                                                                                   │
      └────────────── it broke off, some are left, nobody said that they are gone ────────┘

A letter and the memory that it was pulled are one transaction, so an end at any moment neither doubles nor loses
one: what was not kept is fetched again, what was kept is passed over. DELE is said only about letters that are durable
at home; the server removes them at QUIT (RFC 1939 §6), and where it did not say so, the next session looks.

A run is as many sessions as it needs. It ends when all is here that the server gives, when a session got nowhere
several times, or when something happened that no session can mend.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from postoffice.client.entrance import Key
from postoffice.client.run import PART, Options, Order, Report, Run
from postoffice.client.session import CLOSE_SECONDS, Session
from postoffice.client.talk import Endless
from postoffice.client.url import Source
from postoffice.errors import Disconnected, PostofficeError, Refused, RemoteProtocolError
from postoffice.events import event
from postoffice.net.dial import dial
from postoffice.net.switchboard import Switchboard
from postoffice.net.tls import client_context
from postoffice.protocols.pop3.client import Pop3Client

if TYPE_CHECKING:
    from postoffice.store.base import Mailbox

__all__ = ["CLOSE_SECONDS", "Options", "Order", "Report", "collect"]


async def collect(source: Source, mailbox: Mailbox, options: Options) -> Report:
    """Pull what is new. When it returns, everything that the report counts is durable.

    Raises Refused where the server says no, UsageError, Disconnected, RemoteProtocolError, StoreError; letters that
    had come whole before that are kept all the same.
    """
    tls = options.tls or client_context() if source.implicit_tls else options.tls
    key = Key(source, options.password, tls, options.allows_clear_text)
    run = Run(options)
    while True:
        session = Session(run, key, mailbox)
        problem: PostofficeError | None = None
        try:
            await _hold(session, key, options)
        except (Disconnected, RemoteProtocolError, Refused) as broken:
            problem = broken
        run.fruitless = 0 if session.is_fruitful else run.fruitless + 1
        if problem is None and not _may_have_more(session):
            return run.told()
        renewed = await _renewed(run, key, problem)
        wait = run.wait()
        if not (renewed or _goes_on(run, session, problem)) or wait > options.longest_wait:
            if problem is None:
                return run.told()
            raise problem
        key = renewed or key
        event("home.resumed", session=run.report.sessions + 1, after=wait, because=str(problem or "there may be more"))
        await options.pause(wait)


async def _hold(session: Session, key: Key, options: Options) -> None:
    """One session, from the call to the last word."""
    switchboard = Switchboard(options.tracer)
    try:
        await dial(
            (key.source.host, key.source.port),
            Pop3Client(),
            session.converse,
            switchboard,
            tls=key.tls if key.source.implicit_tls else None,
            close_seconds=CLOSE_SECONDS,
        )
    finally:
        await session.ended()
        switchboard.close()


async def _renewed(run: Run, key: Key, problem: PostofficeError | None) -> Key | None:
    """Another key where this one ended: once for each time that a session got in."""
    is_refused = isinstance(problem, Refused) and problem.status == os.EX_NOPERM
    if run.options.renewal is None or run.is_renewed or not (is_refused or isinstance(problem, Disconnected)):
        return None
    password = await run.options.renewal(key.password, is_refused)
    run.is_renewed = password is not None
    return key._replace(password=password) if password is not None else None


def _goes_on(run: Run, session: Session, problem: PostofficeError | None) -> bool:
    """Whether another session can help."""
    if not (run.has_entered or session.has_learned) or run.fruitless > run.options.retries:
        return False
    if run.fruitless and problem is not None and isinstance(problem.__cause__, Endless):
        return False
    return not isinstance(problem, Refused) or problem.is_temporary


def _may_have_more(session: Session) -> bool:
    """Whether this was a server that shows a part of what it has."""
    return session.new in PART and session.new * 2 > session.listed
