"""Accounts of a person's settings as commands see them: where the file is, and how several of them are pulled."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from postoffice.cli.elsewhere import explained, traced
from postoffice.cli.loop import with_loop
from postoffice.cli.secrets import known_password
from postoffice.errors import PostofficeError, UsageError, status_of

if TYPE_CHECKING:
    from postoffice.cli.fetch_telling import Telling
    from postoffice.client.collect import Options, Order
    from postoffice.client.rules import Rule
    from postoffice.client.url import Source
    from postoffice.handing.round import Doubtful
    from postoffice.home.config import Account
    from postoffice.home.pulling import Outcome
    from postoffice.home.scanning.policy import Scanning

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, readable=False),
    default=None,
    help="The settings (default: ~/.config/postoffice/home.toml).",
)


class Wish(NamedTuple):
    """How a person wants a pull this time. `rules` go with those of an account; `hook`, `doubtful` and what is said of
    scanning None: as the settings say."""

    rules: tuple[Rule, ...]
    order: Order
    largest: int | None
    headers_only: bool
    only: frozenset[str]
    hook: str | None
    doubtful: Doubtful | None
    dry_run: bool
    patience: float
    trace: bool
    scan: str | None = None
    scan_patience: float | None = None
    unscanned: str | None = None
    too_large: str | None = None

    def scanning(self, settings: Scanning | None) -> Scanning | None:
        """How letters are scanned, None: not at all. Raises UsageError."""
        said = (self.scan, self.scan_patience, self.unscanned, self.too_large)
        if settings is None and all(one is None for one in said):
            return None
        from postoffice.home.scanning.policy import UNSAID, wrong_scanner

        if self.scan is not None and (because := wrong_scanner(self.scan)):
            raise UsageError(because)
        wanted = (settings or UNSAID).otherwise(*said).wanted
        if wanted is None and any(said[1:]):
            raise UsageError("how letters are scanned is said, and not by whom: --scan clamd:/path/of/its/socket")
        return wanted

    def on(self, options: Options) -> Options:
        from postoffice.home.copies import whole_in

        options = options._replace(
            rules=(*options.rules, *self.rules),
            order=self.order,
            largest=options.largest if self.largest is None else self.largest,
            headers_only=self.headers_only,
            only=self.only,
            patience_seconds=self.patience,
            whole_in=whole_in,
        )
        return traced(options) if self.trace else options


def scanning_in_settings(file: Path | None, config: Path | None) -> Scanning | None:
    """How letters that are no account's are scanned, or those of a mailbox file, as the settings say; None where there
    are none. Raises UsageError."""
    from postoffice.home.places import usual_path

    if config is None and not usual_path().exists():
        return None
    from postoffice.home.config import read_home

    return read_home(config or usual_path()).scanning_of(file)


def fetch_accounts(names: Sequence[str], is_all: bool, config: Path | None, wish: Wish, tell: Telling) -> int:
    """Pull these accounts, or all, at once; gives the worst of their exit statuses. A UsageError before any began."""
    from postoffice.home.config import read_home
    from postoffice.home.places import usual_path
    from postoffice.home.preview import preview
    from postoffice.home.pulling import Pull, key_for, make_folder, pull_into
    from postoffice.home.together import together

    if bool(names) == is_all:
        raise UsageError("which accounts? Name them, or say --all")
    home = read_home(config or usual_path())
    accounts = [home.account(name) for name in dict.fromkeys(names)] if names else list(home.accounts.values())
    hooks = home.hooks if wish.hook is None else home.hooks._replace(new_mail=wish.hook)
    terminal = asyncio.Lock()
    statuses = [os.EX_OK]
    problems: list[PostofficeError] = []

    def label(account: Account) -> str:
        return account.name if len(accounts) > 1 else ""

    async def work(account: Account) -> Outcome | None:
        source, options = await _opened(account, wish, terminal)
        with explained(account.source, has_ca=account.trust.is_of_ones_own):
            if not wish.dry_run:
                there = account.way(wish.doubtful)
                make_folder(there.file)
                async with terminal:  # a passphrase may have to be typed
                    key = await key_for(account, there.file)
                scanning = wish.scanning(account.scanning)
                return await pull_into(Pull(there, account.name, source, options, hooks, scanning, key))
            file = account.way(wish.doubtful).file
            async with terminal:
                key = await key_for(account, file)
            tell.previewed(await preview(source, file, options, needs_folder=False, key=key), label(account))
            return None

    def over(account: Account, outcome: Outcome | PostofficeError | None) -> None:
        if isinstance(outcome, PostofficeError):
            problems.append(outcome)
            statuses.append(status_of(outcome))
            if len(accounts) > 1:
                tell.failed(outcome, account.name)
        elif outcome is not None:
            statuses.append(ended(tell, outcome, label(account)))

    with_loop(lambda: together(accounts, work, over))
    if len(accounts) == 1 and problems:
        raise problems[0]
    return max(statuses, key=lambda status: (status != os.EX_OK, status != os.EX_TEMPFAIL, status))


def ended(tell: Telling, outcome: Outcome, account: str = "") -> int:
    """A pull is over: say it, and give its exit status."""
    tell.closed(outcome, account)
    return outcome.status


async def _opened(account: Account, wish: Wish, terminal: asyncio.Lock) -> tuple[Source, Options]:
    """Where it is, and how it is pulled. Who may have to type a password is asked for one at a time."""
    from postoffice.home.pulling import account_pulled

    account_pulled.set(account.name)
    if not sys.stdin.isatty():
        source, options = await asyncio.to_thread(account.opened)
    else:
        async with terminal:
            source, options = await asyncio.to_thread(account.opened, _password)
    return source, wish.on(options)


def _password(source: Source) -> str:
    return known_password(f"{source.user} at {source.host}", from_stdin=False)
