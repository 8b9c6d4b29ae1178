"""`fetch`: a maildrop is pulled into a mailbox file, or only looked at (`--dry-run`)."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from postoffice.cli.elsewhere import entrance, entrance_options, explained
from postoffice.cli.fetch_telling import telling
from postoffice.cli.home import with_loop
from postoffice.errors import UsageError

if TYPE_CHECKING:
    from postoffice.client.collect import Order


@click.command()
@click.argument("url")
@click.option(
    "--into", "file", type=click.Path(path_type=Path, readable=False), required=True, help="The mailbox file."
)
@click.option("--delete", is_flag=True, help="Remove from the server what is safe in FILE.")
@click.option(
    "--delete-when",
    "rules",
    metavar="RULE",
    multiple=True,
    help="Remove from the server what is safe in FILE and: 14 days | removed | copied to FILE | above 80% of 1 GB",
)
@click.option(
    "--order", type=click.Choice(["oldest", "newest", "smallest"]), default="oldest", help="What comes first."
)
@click.option("--largest", metavar="SIZE", help="Leave larger letters there for another time: 500k, 5 MB.")
@click.option("--headers", is_flag=True, help="Fetch only the headers of what is new, for `ls --there`.")
@click.option("--only", metavar="UNIQUE-ID", multiple=True, help="Fetch this letter, and no other.")
@click.option("--dry-run", is_flag=True, help="Only say what would be fetched and deleted; nothing is changed.")
@click.option("--hook", metavar="CMD", default="", help="Run this when letters came.")
@click.option("-v", "--verbose", is_flag=True, help="One line for each letter.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for each thing that happens.")
@entrance_options
def fetch(
    url: str,
    file: Path,
    delete: bool,
    rules: tuple[str, ...],
    order: Order,
    largest: str | None,
    headers: bool,
    only: tuple[str, ...],
    dry_run: bool,
    hook: str,
    verbose: bool,
    as_json: bool,
    **how: Any,
) -> None:
    """Pull a maildrop into a mailbox FILE, which is made if it is not there.

    URL is pops://USER@HOST, or pop://USER@HOST, where TLS is used if the server has it. Letters that are in FILE
    already are not fetched again.
    """
    from postoffice.client.rules import NOW, octets_of, parse_rule
    from postoffice.home.copies import whole_in
    from postoffice.home.hooks import Hooks
    from postoffice.home.preview import preview
    from postoffice.home.pulling import pull_into

    with telling(as_json=as_json, verbose=verbose, shows_bar=not how["trace"]) as tell:
        source, options = entrance(url, **how)
        options = replace(
            options,
            rules=(*((NOW,) if delete else ()), *map(parse_rule, rules)),
            order=order,
            largest=octets_of(largest) if largest is not None else None,
            headers_only=headers,
            only=frozenset(only),
            whole_in=whole_in,
        )
        with explained(source, has_ca=bool(how["ca"] or how["pin"])):
            if dry_run:
                tell.previewed(with_loop(lambda: preview(source, file, options)))
                return
            report = with_loop(lambda: pull_into(file, source.user, source, options, Hooks(new_mail=hook)))
        tell.closed(report, os.EX_TEMPFAIL if report.refused else os.EX_OK)
    if report.refused:
        raise UsageError(f"{source.host} did not give {report.refused} of its letters; try again", os.EX_TEMPFAIL)
