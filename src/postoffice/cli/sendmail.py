"""`postoffice sendmail`: how cron, monitors, PHP and git send mail on this machine.

Its options are those of every sendmail since 1983, as programs use them. A letter is read, mended where a program
leaves that to its post (`message.draft`), and handed over: at the socket of an office that runs (`office.sockets`),
or, for who owns the data folder, into that, whether the office runs or not. Status 0 means that it is durable there.
"""

from __future__ import annotations

import getopt
import os
import pwd
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from postoffice.cli.folder import data_option
from postoffice.errors import UsageError

SOCKET: Final = Path("/run/postoffice/sendmail")
"""Where an office is looked for."""

_OPTIONS: Final = "A:B:C:F:GIL:N:O:R:UV:X:b:d:e:f:h:imno:p:r:stv"
"""Those that some sendmail has, with a colon where a value follows. Most of them change nothing here: where settings
are, error modes, notifications, queues of its own."""
_MODES: Final = {
    "s": "the SMTP doors of `postoffice serve`",
    "d": "`postoffice serve`",
    "D": "`postoffice serve`",
    "l": "`postoffice serve`",
    "p": "`postoffice queue`",
    "v": "`postoffice account list`",
    "h": "`postoffice status`",
    "H": "`postoffice status`",
}
"""Other things that a sendmail can be asked to do, and what does them here."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the options ask for. `reverse_path` None: whose program it is; empty: nobody wants to hear of failures."""

    recipients: tuple[str, ...]
    from_header: bool = False
    ends_at_dot: bool = True
    reverse_path: str | None = None
    name: str | None = None
    is_told: bool = False
    does_nothing: bool = False


def order(words: Sequence[str]) -> Order:
    """Read the options. A `UsageError` (64) names what there is not."""
    words, asks_for_queue = _without_queue_runs(words)
    try:
        options, recipients = getopt.getopt(words, _OPTIONS)
    except getopt.GetoptError as error:
        raise UsageError(f"sendmail: {error.msg}", os.EX_USAGE) from error
    chosen: dict[str, str] = {option[1:]: value for option, value in options}
    mode = chosen.get("b", "m")[:1]
    if mode in _MODES:
        raise UsageError(f"sendmail -b{mode}: use {_MODES[mode]}", os.EX_USAGE)
    if mode not in ("m", "i"):
        raise UsageError(f"sendmail -b{mode}: there is no such mode", os.EX_USAGE)
    reverse_path = chosen.get("f", chosen.get("r"))
    return Order(
        recipients=tuple(address for word in recipients for address in word.split(",") if address),
        from_header="t" in chosen,
        ends_at_dot="i" not in chosen and ("-o", "i") not in options,
        reverse_path=reverse_path.strip("<>") if reverse_path is not None else None,
        name=chosen.get("F"),
        is_told="v" in chosen,
        does_nothing=mode == "i" or "I" in chosen or (asks_for_queue and not recipients),
    )


def _without_queue_runs(words: Sequence[str]) -> tuple[list[str], bool]:
    """`-q` with or without a time: an office carries its queue unasked."""
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if not word.startswith("-q")]
    return [*kept, *words[end:]], len(kept) < end


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": ["--help"]}
)
@data_option
@click.option(
    "--socket",
    type=click.Path(path_type=Path, readable=False),
    default=SOCKET,
    show_default=True,
    help="Where the office takes letters of programs (office.sockets).",
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF SENDMAIL] [RECIPIENT]...")
def sendmail(data: Path | None, socket: Path, words: tuple[str, ...]) -> None:
    """Send a letter from standard input, as every sendmail does: for cron, monitors, PHP and git.

    -t takes the recipients from To, Cc and Bcc. -i lets a line with only a dot be a part of the letter. -f ADDRESS is
    who hears of failures, -F NAME the name in From, where the letter has none. -v says what became of it. Further
    options of other sendmails are ignored where they change nothing here; others are named, with status 64.

    With --data the letter goes into the office of that folder, which its owner may do, whether it runs or not; else to
    the office at the socket. Either all recipients get it, or nobody does and the exit status is not 0.
    """
    from postoffice.cli.handover import at_socket, into_office

    asked = order(words)
    if asked.does_nothing:
        return
    if not asked.recipients and not asked.from_header:
        raise UsageError("sendmail: to whom? Name recipients, or use -t", os.EX_USAGE)
    octets = b"".join(_lines(sys.stdin.buffer, ends_at_dot=asked.ends_at_dot))
    letter_id = into_office(data, asked, octets) if data is not None else at_socket(socket, asked, octets)
    if asked.is_told:
        click.echo(f"taken as {letter_id}")


def _lines(given: Iterable[bytes], *, ends_at_dot: bool) -> Iterator[bytes]:
    for line in given:
        if ends_at_dot and line.rstrip(b"\r\n") == b".":
            return
        yield line


def own_user() -> tuple[int, str, str]:
    """Whose program this is: number, login name, and the name for people (may be empty)."""
    number = os.getuid()
    try:
        entry = pwd.getpwuid(number)
    except KeyError:
        return number, f"uid-{number}", ""
    return number, entry.pw_name, entry.pw_gecos.partition(",")[0].replace("&", entry.pw_name.capitalize())
