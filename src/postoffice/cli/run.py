"""`run`: every account of the settings file is pulled again and again, by a service that nobody looks at."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from postoffice.cli.accounts import config_option
from postoffice.cli.fetch_telling import NOT_TOLD, say, trouble_of
from postoffice.cli.loop import with_loop
from postoffice.events import Fact, listen
from postoffice.message.printable import safe

if TYPE_CHECKING:
    from postoffice.home.config import Home


@click.command()
@config_option
@click.option("--hook", metavar="CMD", help="Run this when letters came, instead of new_mail of the settings.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for each thing that happens.")
def run(config: Path | None, hook: str | None, as_json: bool) -> None:
    """Pull every account of the settings again and again, each as often as its `every` says.

    SIGTERM ends it, SIGHUP reads the settings anew, SIGUSR1 pulls now.
    """
    from postoffice.home.config import read_home
    from postoffice.home.locking.asking import Asking, asking
    from postoffice.home.places import usual_path

    asking.set(Asking(asking.get().places))  # no person is asked, also where one looks on

    def read() -> Home:
        home = read_home(config or usual_path())
        return home if hook is None else replace(home, hooks=home.hooks._replace(new_mail=hook))

    stop = listen(_as_json if as_json else _in_words)
    try:
        with_loop(lambda: _rounds(read))
    finally:
        stop()


async def _rounds(read: Callable[[], Home]) -> None:
    from postoffice.home.network import address_watch
    from postoffice.home.rounds import Rounds

    rounds = Rounds(read)
    loop = asyncio.get_running_loop()
    for number, heard in (
        (signal.SIGTERM, rounds.stop),
        (signal.SIGINT, rounds.stop),
        (signal.SIGHUP, rounds.reload),
        (signal.SIGUSR1, rounds.poke),
    ):
        loop.add_signal_handler(number, heard)
    with address_watch(rounds.network_came):
        await rounds.run()


def _as_json(name: str, facts: dict[str, Fact]) -> None:
    from postoffice.home.pulling import account_pulled

    if name in NOT_TOLD:
        return
    account = account_pulled.get()
    say(name.removeprefix("home.").removeprefix("handing."), **({"account": account} if account else {}) | facts)


def _in_words(name: str, facts: dict[str, Fact]) -> None:
    """What is worth a line of the log: letters that came, and what goes wrong."""
    from postoffice.home.pulling import account_pulled

    who = safe(str(facts.get("account", "")))
    match name:
        case "home.ready":
            click.echo(f"ready accounts={facts['accounts']}")
        case "home.pulled" if facts["letters"] or facts["staying"] or facts["unscanned"]:
            waiting = f"; {facts['staying']} wait to be handed over" if facts["staying"] else ""
            waiting += f"; {facts['unscanned']} wait to be scanned" if facts["unscanned"] else ""
            click.echo(f"{who}: {facts['letters']} letters, {facts['octets']} octets{waiting}")
        case "home.scanned_again":
            left = f", {facts['left']} to go" if facts["left"] else ""
            click.echo(f"{who}: {facts['letters']} letters scanned again, {facts['infected']} infected{left}")
        case "home.not_scanned_again":
            click.echo(f"postoffice: {who}: letters are not scanned again: {safe(str(facts['because']))}", err=True)
        case "home.well_again":
            click.echo(f"{who}: well again")
        case "home.reloaded":
            click.echo(f"the settings were read: accounts={facts['accounts']}")
        case "home.failed":
            click.echo(f"postoffice: {who}: {safe(str(facts['because']))}", err=True)
        case "home.hook_failed":
            click.echo(f"postoffice: the hook {facts['hook']}: {facts['because']}", err=True)
        case "home.not_reloaded":
            click.echo(f"postoffice: the settings of before stay: {facts['because']}", err=True)
        case _:
            if trouble := trouble_of(name, facts):
                click.echo(f"postoffice: {who or safe(account_pulled.get())}: {safe(trouble)}", err=True)
