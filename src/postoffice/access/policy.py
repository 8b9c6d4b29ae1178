"""What a site does with letters and logins, as CAPA tells it (RFC 2449 §6.5, §6.7).

Before login nobody knows whose maildrop it will be, so the longest delay and the shortest retention are told, with
`USER` where somebody's differ; after login the account's own.
"""

from __future__ import annotations

from postoffice.accounts.terms import NOTHING_SET, Announced, Terms

USUAL = ("EXPIRE NEVER",)


def site_policy(announced: Announced, own: Terms | None) -> tuple[str, ...]:
    """The lines of CAPA; `own` are the terms of who has logged in."""
    if announced is NOTHING_SET:
        return USUAL
    if own is not None:
        # What was announced before login is announced after it (RFC 2449 §5), also where it is no delay at all.
        delay = f"LOGIN-DELAY {own.login_delay}" if announced.login_delay else ""
        return tuple(filter(None, (_expire(own.retain_days), delay)))
    expire = _expire(announced.retain_days) + (" USER" if announced.retain_differs else "")
    delay = f"LOGIN-DELAY {announced.login_delay}" + (" USER" if announced.delay_differs else "")
    return (expire, delay) if announced.login_delay else (expire,)


def _expire(days: int | None) -> str:
    return "EXPIRE NEVER" if days is None else f"EXPIRE {days}"
