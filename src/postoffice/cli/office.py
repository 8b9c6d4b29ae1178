"""An office: made, opened, looked into."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from postoffice.cli.folder import data_folder, data_option, has_office, with_store
from postoffice.cli.secrets import new_password, password_stdin
from postoffice.cli.serving import from_options, serve_files
from postoffice.errors import UsageError

PORT_HELP = "The port of one door (smtp, submission, submissions, pop3, pop3s, lmtp, metrics); 0: any, -1: closed."


@click.command()
@click.argument("address")
@data_option
@password_stdin
def init(address: str, data: Path | None, password_stdin: bool) -> None:
    """Make an office for the domain of ADDRESS, with ADDRESS as its first account.

    Makes the data folder (readable by its owner only), a certificate signed by itself, the domain and the account.
    As root, gives it all to the user postoffice, or nobody where there is none, who will run the office.
    """
    from postoffice.app.privilege import check_way, give_away
    from postoffice.cli.people import add_account
    from postoffice.cli.residents import normalized
    from postoffice.net.self_signed import make_self_signed
    from postoffice.store.embedded import EmbeddedStore

    folder = data_folder(data)
    name = normalized(address)
    if has_office(folder):
        raise UsageError(f"{folder}: there is an office here already", os.EX_CANTCREAT)
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"{folder}: is not empty; an office wants a folder of its own", os.EX_CANTCREAT)
    check_way(folder)
    password = new_password(name, from_stdin=password_stdin)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        (folder / "tls").mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be made: {error.strerror}", os.EX_CANTCREAT) from error
    domain = name.rpartition("@")[2]
    make_self_signed(folder / "tls", [domain, "localhost", "127.0.0.1", "::1"])

    async def furnish() -> None:
        store = EmbeddedStore.open(folder)
        try:
            await add_account(store, name, password)
        finally:
            await store.close()

    asyncio.run(furnish())
    owner = give_away(folder)
    belongs = f" and belongs to the user {owner}" if owner else ""
    click.echo(f"an office for {domain} is in {folder}{belongs}; open it with: postoffice serve --data {folder}")


@click.command()
@data_option
@click.option(
    "--config",
    type=click.Path(path_type=Path, readable=False),
    default=None,
    help="A TOML file; everything has a default.",
)
@click.option("--listen", multiple=True, metavar="ADDRESS", help="Listen there instead of on loopback; repeatable.")
@click.option("--port-offset", type=click.IntRange(0, 56425), metavar="N", help="Added to every standard port.")
@click.option("--port", "ports", multiple=True, metavar="DOOR=PORT", help=PORT_HELP)
@click.option(
    "--workers", type=click.IntRange(min=1), default=None, help="Processes that answer (default: one per core)."
)
@click.option("--log-json", is_flag=True, help="Log as JSON, one object a line, whatever the file says.")
@click.option("--trace", is_flag=True, help="Log every conversation as C: and S: lines, without secrets.")
@from_options
def serve(
    data: Path | None,
    config: Path | None,
    listen: tuple[str, ...],
    port_offset: int | None,
    ports: tuple[str, ...],
    workers: int | None,
    log_json: bool,
    trace: bool,
    files: tuple[Path, ...],
    **how: Any,
) -> None:
    """Open the doors: SMTP 25, submission 587 and 465, POP3 110 and 995, each plus the offset.

    LMTP, 24, opens where it is named, by `--port lmtp=24` or in the file, on loopback.

    Prometheus reads /metrics at the door `metrics`, 9110, on loopback.

    Prints one line `ready` with every door and port when all are open. SIGTERM lets everybody finish; SIGHUP reads
    the certificates again, and opens the log's file anew.

    With --from FILE no office is opened: a mailbox file of yours is handed to any mail program on this machine, by
    POP3 at port 10110. User name and password are printed. Letters that the program deletes stay in FILE.
    """
    if files:
        if data or config or workers:
            raise UsageError("--from serves a mailbox file: --data, --config and --workers are those of an office")
        serve_files(files, listen, port_offset, _ports(ports), log_json=log_json, trace=trace, **how)
        return
    if any(how.values()):
        named = next(name for name, value in how.items() if value)
        raise UsageError(f"--{named.replace('_', '-')} goes with --from FILE")
    from postoffice.app.config import Config, read_config
    from postoffice.app.run import ServeOptions
    from postoffice.app.run import serve as run

    settings = read_config(config, _warn) if config else Config()
    office = settings.office
    office = replace(
        office,
        data=data or office.data or data_folder(None),
        addresses=listen or office.addresses,
        port_offset=office.port_offset if port_offset is None else port_offset,
        ports=office.ports | _ports(ports),
        workers=workers or office.workers,
    )
    log = replace(settings.log, format="json") if log_json else settings.log
    sys.exit(run(replace(settings, office=office, log=log), ServeOptions(trace)))


def _warn(about: str) -> None:
    click.echo(f"postoffice: {about}", err=True)


def _ports(words: tuple[str, ...]) -> dict[str, int]:
    if not words:
        return {}
    from postoffice.app.config import PORTS

    ports = {}
    for word in words:
        door, _, port = word.partition("=")
        if door not in PORTS or not port.lstrip("-").isdecimal() or not -1 <= int(port) <= 65535:
            raise UsageError(f"--port {word}: is not DOOR=PORT with a door of {', '.join(PORTS)}", os.EX_USAGE)
        ports[door] = int(port)
    return ports


@click.command()
@data_option
@click.option("--now", is_flag=True, help="All of it is due now: a running office tries it within half a minute.")
def queue(data: Path | None, now: bool) -> None:
    """Show what is on its way to other offices, one line a letter and domain."""
    import time

    from postoffice.store.base import Store
    from postoffice.store.model import QueueItem

    async def look(store: Store) -> list[QueueItem]:
        if now:
            await store.office.expedite(time.time())
        return await store.office.queue()

    items = with_store(data, look)
    for item in items:
        state = "carried" if item.leased_until > time.time() else f"due {_moment(item.due)}"
        reply = f"  last: {item.last_reply}" if item.last_reply else ""
        sender = item.reverse_path or "<>"
        click.echo(
            f"{item.letter_id}  {item.content.octets} octets  from {sender}  to {' '.join(item.recipients)}"
            f"  {item.attempts} tries  {state}  until {_moment(item.expires)}{reply}"
        )
    click.echo(f"{len(items)} on the way" if items else "nothing is on its way", err=True)


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}Z"
