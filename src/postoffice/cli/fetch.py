"""`fetch`: a maildrop is pulled into a mailbox file, and on to where else it goes, or only looked at (`--dry-run`)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from postoffice.cli.accounts import Wish, config_option, ended, fetch_accounts, scanning_in_settings
from postoffice.cli.elsewhere import OF_A_CALL, entrance, entrance_options, explained
from postoffice.cli.fetch_telling import Telling, telling
from postoffice.cli.loop import with_loop
from postoffice.cli.process import be_quick
from postoffice.cli.scan_options import scan_options
from postoffice.errors import UsageError

if TYPE_CHECKING:
    from postoffice.client.collect import Order
    from postoffice.client.rules import Rule


@click.command()
@click.argument("names", metavar="URL | ACCOUNT...", nargs=-1)
@click.option(
    "--into",
    metavar="WHERE",
    help="For a URL: a mailbox file, maildir:PATH, mbox:PATH, command:CMD, lmtp://HOST/RECIPIENT, smtp://, smtps://",
)
@click.option(
    "--doubtful",
    type=click.Choice(["again", "hold"]),
    help="A letter that a command or server may have got already, from a run that died: give it again, or hold it.",
)
@click.option("--all", "is_all", is_flag=True, help="Pull every account of the settings.")
@config_option
@click.option("--delete", is_flag=True, help="Remove from the server what is safe here.")
@click.option(
    "--delete-when",
    "rules",
    metavar="RULE",
    multiple=True,
    help="Remove from the server what is safe here and: 14 days | removed | copied to FILE | above 80% of 1 GB",
)
@click.option(
    "--order", type=click.Choice(["oldest", "newest", "smallest"]), default="oldest", help="What comes first."
)
@click.option("--largest", metavar="SIZE", help="Leave larger letters there for another time: 500k, 5 MB.")
@click.option("--headers", is_flag=True, help="Fetch only the headers of what is new, for `ls --there`.")
@click.option("--only", metavar="UNIQUE-ID", multiple=True, help="Fetch this letter, and no other.")
@click.option("--dry-run", is_flag=True, help="Only say what would be fetched and deleted; nothing is changed.")
@click.option("--hook", metavar="CMD", help="Run this when letters came.")
@click.option("-v", "--verbose", is_flag=True, help="One line for each letter.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for each thing that happens.")
@scan_options
@entrance_options
def fetch(
    names: tuple[str, ...],
    into: str | None,
    doubtful: str | None,
    is_all: bool,
    config: Path | None,
    delete: bool,
    rules: tuple[str, ...],
    order: Order,
    largest: str | None,
    headers: bool,
    only: tuple[str, ...],
    dry_run: bool,
    hook: str | None,
    verbose: bool,
    as_json: bool,
    scan: str | None,
    scan_patience: float | None,
    unscanned: str | None,
    too_large: str | None,
    **how: Any,
) -> int:
    """Pull a maildrop into a mailbox file, which is made if it is not there, or on to where else letters shall go; or
    accounts of the settings, into theirs.

    URL is pops://USER@HOST, or pop://USER@HOST, where TLS is used if the server has it. Letters that are known already
    are not fetched again.
    """
    from postoffice.handing.round import Doubtful

    be_quick()
    with telling(as_json=as_json, verbose=verbose, shows_bar=not how["trace"]) as tell:
        chosen = _chosen(rules, delete=delete)
        most = _octets(largest)
        doubt = Doubtful(doubtful) if doubtful is not None else None
        scans = (scan, scan_patience, unscanned, too_large)
        wish = Wish(
            chosen, order, most, headers, frozenset(only), hook, doubt, dry_run, how["patience"], how["trace"], *scans
        )
        if any("://" in name for name in names):
            status = _fetch_url(names, into, is_all, config, wish, tell, how)
        else:
            if into is not None or any(how[name] for name in how.keys() - OF_A_CALL):
                raise UsageError(
                    "where an account goes and how it is opened stands in its settings: only a URL needs it"
                )
            status = fetch_accounts(names, is_all, config, wish, tell)
    return status


def _chosen(rules: tuple[str, ...], *, delete: bool) -> tuple[Rule, ...]:
    if not (delete or rules):
        return ()
    from postoffice.client.rules import NOW, parse_rule

    return (*((NOW,) if delete else ()), *map(parse_rule, rules))


def _octets(largest: str | None) -> int | None:
    if largest is None:
        return None
    from postoffice.client.rules import octets_of

    return octets_of(largest)


def _fetch_url(
    names: tuple[str, ...],
    into: str | None,
    is_all: bool,
    config: Path | None,
    wish: Wish,
    tell: Telling,
    how: dict[str, Any],
) -> int:
    from postoffice.handing.round import Doubtful
    from postoffice.handing.target import InFile, target
    from postoffice.handing.way import way
    from postoffice.home.hooks import Hooks
    from postoffice.home.pulling import Pull, pull_into

    if len(names) > 1 or is_all:
        raise UsageError("a URL is pulled alone: postoffice fetch URL --into FILE")
    if into is None:
        raise UsageError("into which mailbox file, or where else? Name it with --into")
    aim = target(into)
    scanning = wish.scanning(scanning_in_settings(aim.path if isinstance(aim, InFile) else None, config))
    source, options = entrance(names[0], **how)
    options = wish.on(options)
    there = way(source, aim, wish.doubtful or Doubtful.AGAIN)
    with explained(source, has_ca=bool(how["ca"] or how["pin"])):
        if wish.dry_run:
            from postoffice.home.preview import preview

            tell.previewed(with_loop(lambda: preview(source, there.file, options)))
            return os.EX_OK
        pull = Pull(there, source.user, source, options, Hooks(new_mail=wish.hook or ""), scanning)
        outcome = with_loop(lambda: pull_into(pull))
    return ended(tell, outcome)
