"""What is measured: scenes (what mail there is) and in each of them rows (what the load does)."""

from __future__ import annotations

from dataclasses import dataclass

SUBJECTS = ("sessions", "logins", "pull", "pull-dele", "deliver")


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of work. `each` is what is counted as one operation; `arguments` are those of `bench/load.c`.

    A delivery is over when the letter lies in its mailbox, which may be later than its 250.
    """

    name: str
    what: str
    each: str
    arguments: tuple[str, ...]
    is_delivery: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """Rows that share their mail.

    `mode` is the load's; `accounts` and `letters` say what is there. With `is_used_up` every round needs
    `accounts` fresh ones. `is_pinned` gives the server a core of its own and the load another.
    `with_scram`: every password can be used by SCRAM too; only those contenders run whose passwords are kept so.
    """

    mode: str
    protocol: str
    accounts: int
    letters: int
    rows: tuple[Row, ...]
    is_used_up: bool = False
    is_pinned: bool = True
    with_scram: bool = False


def scene(subject: str, *, quick: bool) -> Scene:
    """The scene of one of the `SUBJECTS`; `quick` has less mail and fewer rows."""
    if subject == "sessions":
        crowds = (64,) if quick else (1, 16, 64)
        what = "CAPA USER PASS STAT UIDL QUIT; {accounts} accounts with {letters} letters of 10 KB in turn"
        rows = tuple(Row(f"sessions c={c}", what, "session", ("--connections", str(c))) for c in crowds)
        return Scene("sessions", "pop3", 256, 20, rows)
    if subject == "logins":
        what = "CAPA, login, STAT UIDL QUIT; {accounts} accounts with {letters} letters of 10 KB in turn, login by "
        logins = {"PASS": "USER and PASS, argon2id at rest", "SCRAM-SHA-256": "SCRAM-SHA-256, 32,768 rounds"}
        rows = tuple(
            Row(f"login {how}", what + text, "session", ("--connections", "16", "--how", how))
            for how, text in logins.items()
        )
        return Scene("logins", "pop3", 32, 20, rows, with_scram=True)
    if subject == "pull":
        windows = {"pipelined": 64} if quick else {"pipelined": 64, "lock-step": 1}
        what = "login, RETR of {letters} letters of 10 KB, QUIT; one connection, 4 accounts in turn"
        rows = tuple(Row(f"pull {name}", what, "letter", ("--window", str(w))) for name, w in windows.items())
        return Scene("pull", "pop3", 4, 200 if quick else 1000, rows)
    if subject == "pull-dele":
        what = "the same with DELE of every letter and a durable UPDATE at QUIT; one connection"
        rows = (Row("pull-dele pipelined", what, "letter", ("--window", "64")),)
        return Scene("pull-dele", "pop3", 4, 200 if quick else 1000, rows, is_used_up=True)
    what = "letters of 10 KB by SMTP to {accounts} mailboxes, HOW; 250 after the letter is durable"
    ways = [("each on a new connection", f"deliver c={c}", c, 1) for c in ((16,) if quick else (1, 16, 64))]
    ways.append(("100 on a connection", "deliver kept c=64", 64, 100))
    rows = tuple(
        Row(name, what.replace("HOW", how), "letter", ("--connections", str(c), "--kept", str(kept)), is_delivery=True)
        for how, name, c, kept in ways
    )
    return Scene("deliver", "smtp", 256, 0, rows, is_pinned=False)
