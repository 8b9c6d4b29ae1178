"""What is measured: scenes (what mail there is) and in each of them rows (what the load does).

A subject is what a person asks for by name, `./po bench SUBJECT`; it has one scene or several.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.letters import LETTER_OCTETS

LARGE_OCTETS = 5_000_000
FEW = 64
"""Connections that everybody can hold, also who has a process for each."""

SMALL_OCTETS = 1024


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of work. `each` is what is counted as one operation; `arguments` are those of `bench/load.c`.

    A delivery is over when the letter lies in its mailbox, which may be later than its 250. `mode` is the load's, if
    it is not the scene's; `accounts`, if not all of the scene's are used. `is_cold`: every server is started anew
    before each run, `without_index`: and without what it could make anew.
    """

    name: str
    what: str
    each: str
    arguments: tuple[str, ...] = ()
    is_delivery: bool = False
    is_tls: bool = False
    is_cold: bool = False
    without_index: bool = False
    mode: str = ""
    accounts: int = 0


@dataclass(frozen=True, slots=True)
class Scene:
    """Rows that share their mail.

    `mode` is the load's; `accounts`, `letters` and `octets` say what is there. With `is_used_up` every round needs
    `accounts` fresh ones. `is_pinned` gives the server a core of its own and the load another.
    `with_scram`: every password can be used by SCRAM too; only those contenders run whose passwords are kept so.
    `in_clear`: nobody hashes passwords, for where so many accounts log in for the first time that hashing would be all.
    `just_arrived`: the letters came a moment ago; else they have been kept for long.
    `without` are those who cannot, with the reason.
    """

    mode: str
    protocol: str
    accounts: int
    letters: int
    rows: tuple[Row, ...]
    octets: int = LETTER_OCTETS
    is_used_up: bool = False
    is_pinned: bool = True
    with_scram: bool = False
    in_clear: bool = False
    just_arrived: bool = False
    without: tuple[tuple[str, str], ...] = ()


def _sessions(*, quick: bool) -> tuple[Scene, ...]:
    crowds = (64,) if quick else (1, 16, 64)
    what = "CAPA USER PASS STAT UIDL QUIT; {accounts} accounts with {letters} letters of 10 KB in turn"
    rows = tuple(Row(f"sessions c={c}", what, "session", ("--connections", str(c))) for c in crowds)
    return (Scene("sessions", "pop3", 256, 20, rows),)


def _tls(*, quick: bool) -> tuple[Scene, ...]:
    del quick
    sessions = "connect, full TLS handshake, CAPA USER PASS STAT UIDL QUIT; {accounts} accounts with {letters} letters"
    rows = (
        Row("tls sessions c=16", sessions, "session", ("--connections", "16"), is_tls=True),
        Row(
            "tls greeting c=16",
            "connect, full handshake, greeting, QUIT",
            "connection",
            ("--connections", "16"),
            is_tls=True,
            mode="greet",
        ),
    )
    return (Scene("sessions", "pop3", 256, 20, rows),)


def _logins(*, quick: bool) -> tuple[Scene, ...]:
    del quick
    what = "CAPA, login, STAT UIDL QUIT; {accounts} accounts with {letters} letters of 10 KB in turn, login by "
    logins = {"PASS": "USER and PASS", "SCRAM-SHA-256": "SCRAM-SHA-256, 32,768 rounds"}
    rows = tuple(
        Row(f"login {how}", what + text, "session", ("--connections", "16", "--how", how))
        for how, text in logins.items()
    )
    return (Scene("logins", "pop3", 32, 20, rows, with_scram=True),)


def _pull(*, quick: bool) -> tuple[Scene, ...]:
    what = "login, RETR of {letters} letters of 10 KB, QUIT; one connection, 4 accounts in turn"
    ahead, large = (
        ("--window", "64"),
        "login, RETR of {letters} letters of 5 MB, QUIT; one connection, 2 accounts in turn",
    )
    rows = (
        Row("pull pipelined", what, "letter", ahead),
        Row("pull lock-step", what, "letter", ("--window", "1")),
        Row("pull tls pipelined", what + "; inside TLS", "letter", ahead, is_tls=True),
    )
    small = Scene("pull", "pop3", 4, 200 if quick else 1000, rows[:1] if quick else rows)
    if quick:
        return (small,)
    arrived, kept = (
        tuple(
            Row(f"pull{tls} 5 MB{which}", f"{large}; {when}{inside}", "letter", ahead, is_tls=bool(tls))
            for tls, inside in (("", ""), (" tls", "; inside TLS"))
        )
        for which, when in (("", "they have just arrived"), (" kept", "they have been kept for more than an hour"))
    )
    return (
        small,
        Scene("pull", "pop3", 2, 20, arrived, octets=LARGE_OCTETS, just_arrived=True),
        Scene("pull", "pop3", 2, 20, kept, octets=LARGE_OCTETS),
    )


def _pull_dele(*, quick: bool) -> tuple[Scene, ...]:
    what = "the same with DELE of every letter and a durable UPDATE at QUIT; one connection"
    rows = (Row("pull-dele pipelined", what, "letter", ("--window", "64")),)
    return (Scene("pull-dele", "pop3", 4, 200 if quick else 1000, rows, is_used_up=True),)


def _list(*, quick: bool) -> tuple[Scene, ...]:
    what = "login, STAT UIDL LIST QUIT of {letters} letters of 1 KB; one connection; "
    rows = (
        Row("list warm", what + "again and again", "session"),
        Row(
            "list cold",
            what + "by a server that was started anew, without its index",
            "session",
            ("--seconds", "0"),
            is_cold=True,
            without_index=True,
        ),
    )
    return (Scene("list", "pop3", 1, 2_000 if quick else 100_000, rows, octets=SMALL_OCTETS),)


def _idle(*, quick: bool) -> tuple[Scene, ...]:
    count = 200 if quick else 10_000
    what = "logged in and silent, each with an account of its own and {letters} letters; memory of the server for each"
    rows = (
        Row("idle", what, "connection", ("--connections", str(count)), is_cold=True),
        Row("idle tls", what + "; inside TLS", "connection", ("--connections", str(count)), is_tls=True, is_cold=True),
    )
    no_account = ("floor", "keeps no account")
    per_process = ("dovecot-default", "courier", "cyrus")
    crowd = Scene(
        "idle",
        "pop3",
        count,
        1 if quick else 2,
        rows,
        octets=SMALL_OCTETS,
        in_clear=True,
        without=(no_account, *((name, "a process for each connection: some hundreds") for name in per_process)),
    )
    if quick:
        return (crowd,)
    few = tuple(replace(row, name=f"{row.name} of {FEW}", arguments=("--connections", str(FEW))) for row in rows)
    return (crowd, Scene("idle", "pop3", FEW, 2, few, octets=SMALL_OCTETS, in_clear=True, without=(no_account,)))


def _deliver(*, quick: bool) -> tuple[Scene, ...]:
    what = "letters of 10 KB by SMTP to {accounts} mailboxes, HOW; 250 after the letter is durable"
    ways = [("each on a new connection", f"deliver c={c}", c, 1) for c in ((16,) if quick else (1, 16, 64))]
    ways.append(("100 on a connection", "deliver kept c=64", 64, 100))
    rows = tuple(
        Row(name, what.replace("HOW", how), "letter", ("--connections", str(c), "--kept", str(kept)), is_delivery=True)
        for how, name, c, kept in ways
    )
    return (Scene("deliver", "smtp", 256, 0, rows, is_pinned=False),)


def _day(*, quick: bool) -> tuple[Scene, ...]:
    what = (
        "20 letters of 10 KB to each of {accounts} mailboxes by SMTP, out by POP3 with DELE, QUIT; durable in and out"
    )
    rows = (Row("day", what, "letter", ("--connections", "16"), is_delivery=True),)
    return (Scene("day", "smtp", 16 if quick else 64, 0, rows, is_pinned=False),)


def _relay(*, quick: bool) -> tuple[Scene, ...]:
    what = "letters of 10 KB to one office, and on to the mailboxes of another one; durable at both"
    limit = "200" if quick else "2000"
    rows = (
        Row("relay c=16", what, "letter", ("--connections", "16", "--kept", "20", "--limit", limit), is_delivery=True),
    )
    return (Scene("relay", "smtp", 64, 0, rows, is_pinned=False),)


def _scale(*, quick: bool) -> tuple[Scene, ...]:
    many = 1_000 if quick else 100_000
    what = "CAPA USER PASS STAT UIDL QUIT; COUNT accounts with {letters} letters of 1 KB, at random"
    crowd = ("--connections", "64", "--shuffle", "1")
    logins = tuple(
        Row(f"accounts {count}", what.replace("COUNT", f"{count:,}"), "session", crowd, accounts=count)
        for count in (256, many)
    )
    letters = "letters of 10 KB by SMTP to {accounts} mailboxes in turn; 64 connections, 20 letters on each"
    spread = ("--connections", "64", "--kept", "20")
    deliveries = tuple(
        Row(
            f"mailboxes {count}",
            letters.replace("{accounts}", f"{count:,}"),
            "letter",
            spread,
            is_delivery=True,
            accounts=count,
        )
        for count in ((10, 100) if quick else (10, 1_000, 10_000))
    )
    fewer = tuple((name, "it is measured with fewer") for name in ("dovecot-default", "courier", "cyrus"))
    return (
        Scene("sessions", "pop3", many, 2, logins, octets=SMALL_OCTETS, in_clear=True, without=fewer),
        Scene(
            "deliver",
            "smtp",
            deliveries[-1].accounts,
            0,
            deliveries,
            is_pinned=False,
            in_clear=True,  # whoever counts what came logs in everywhere
            without=(("postfix-lmtp", "it is measured elsewhere"),),
        ),
    )


_SCENES = {
    "sessions": _sessions,
    "tls": _tls,
    "logins": _logins,
    "pull": _pull,
    "pull-dele": _pull_dele,
    "list": _list,
    "idle": _idle,
    "deliver": _deliver,
    "day": _day,
    "relay": _relay,
    "scale": _scale,
}

SUBJECTS = tuple(_SCENES)


def scenes(subject: str, *, quick: bool) -> tuple[Scene, ...]:
    """The scenes of one of the `SUBJECTS`; `quick` has less mail and fewer rows."""
    return _SCENES[subject](quick=quick)
