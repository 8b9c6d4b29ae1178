"""`serve --from FILE`: a mailbox file is handed to mail programs, and what they do there is told."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from postoffice.cli.loop import with_loop
from postoffice.cli.secrets import generated_password, named_places, password_places
from postoffice.errors import UsageError
from postoffice.events import Fact, listen
from postoffice.message.printable import safe
from postoffice.quantities import counted

if TYPE_CHECKING:
    from postoffice.home.serving import Served, Wish
    from postoffice.net.listen import Door

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--from",
        "files",
        type=click.Path(path_type=Path, readable=False),
        multiple=True,
        metavar="FILE",
        help="Hand this mailbox file to mail programs, instead of an office; repeatable.",
    ),
    click.option(
        "--user", metavar="NAME", help="With --from: the name to log in with; each name has deletions of its own."
    ),
    click.option("--delete", is_flag=True, help="With --from: what the mail program deletes leaves FILE."),
    click.option(
        "--tls",
        type=click.Path(path_type=Path, readable=False),
        metavar="FOLDER",
        help="With --from: TLS too, port 10995, by the certificate in FOLDER, which is made if there is none.",
    ),
    *password_places,
)


def from_options(command: Command) -> Command:
    """The options that go with a file."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def serve_files(
    files: tuple[Path, ...],
    listen: tuple[str, ...],
    port_offset: int | None,
    ports: Mapping[str, int],
    *,
    log_json: bool,
    trace: bool,
    user: str | None,
    delete: bool,
    tls: Path | None,
    **places: Any,
) -> None:
    """Until a signal comes. Standard output gets where, who and, if it was made here, the password; standard error what
    mail programs do."""
    from postoffice.cli.elsewhere import tracer
    from postoffice.home.maildrops import Deleting
    from postoffice.home.serving import LOOPBACK, PORTS, Wish, must_be_possible
    from postoffice.net.listen import serving_loop

    if strange := sorted(ports.keys() - PORTS.keys()):
        raise UsageError(f"--port {strange[0]}: a mailbox file has the doors {' and '.join(PORTS)}")
    if any(port < 0 for port in ports.values()):
        raise UsageError("--port: a mailbox file is served at pop3, with --tls at pop3s too; neither is closed")
    usual = PORTS if port_offset is None else {name: port - 10000 + port_offset for name, port in PORTS.items()}
    password = _password(**places)
    wish = Wish(
        files,
        password or generated_password(),
        user or "",
        Deleting.FOR_ALL if delete else Deleting.FOR_ITSELF,
        listen or LOOPBACK,
        {**usual, **ports},
        tls,
        tracer if trace else None,
    )
    must_be_possible(wish)

    def told(served: Sequence[Served], doors: Mapping[str, Door]) -> None:
        for one in served:
            stays = "what is deleted stays in it" if not delete else "what is deleted leaves it"
            means = stays if one.is_writable else "cannot be written: nothing can be deleted"
            secret = "the one that was given" if password else wish.password
            letters = counted(one.letters, "letter")
            click.echo(f"{safe(str(one.file))}: {letters}, {means}; user {one.user}, password {secret}")
        click.echo(" ".join(("ready", *(f"{name}={at}" for name, door in doors.items() for at in door.addresses))))
        sys.stdout.flush()

    with _log(as_json=log_json):
        with_loop(lambda: _until_a_signal(wish, told), serving_loop)


def _password(**places: Any) -> str | None:
    """The one that is given, if one is."""
    from postoffice.client.url import Source

    named = named_places(Source("", 0, ""), "mail programs", **places)
    if len(named) > 1:
        raise UsageError("the password is in one place: name one")
    return named[0]() if named else None


async def _until_a_signal(wish: Wish, told: Callable[[Sequence[Served], Mapping[str, Door]], None]) -> None:
    from postoffice.home.serving import serve

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    await serve(wish, told, stop)


@contextmanager
def _log(*, as_json: bool) -> Iterator[None]:
    """What happens, on standard error."""
    if as_json:
        from postoffice.app.observe import Log, LogSettings, open_log

        settings = LogSettings(format="json")
        log = Log(settings, open_log(settings))
        try:
            yield
        finally:
            log.close()
        return
    stop = listen(_in_words)
    try:
        yield
    finally:
        stop()


def _in_words(name: str, facts: dict[str, Fact]) -> None:
    match name:
        case "pop3.closed":
            who = safe(str(facts["account"]).removesuffix("@localhost"))
            what = f"{facts['retrieved']} of {facts['letters']} letters fetched, {facts['removed']} deleted"
            ending = "" if facts["end"] == "quit" else f"; ended: {facts['end']}"
            click.echo(f"{who}: {what}{ending}", err=True)
        case "login.failed":
            click.echo(f"postoffice: a wrong name or password: {safe(str(facts['username']))}", err=True)
        case "pop3.failed" | "pop3.update_failed":
            click.echo(f"postoffice: {safe(str(facts['error']))}", err=True)
