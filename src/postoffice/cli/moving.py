"""Moving in: letters of another server or program come into an account here, or into a mailbox file at home.

An account can be compared with the server that it came from. Passwords come by `hashes`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from postoffice.cli.elsewhere import entrance_options
from postoffice.cli.folder import data_option
from postoffice.cli.hashes import passwords
from postoffice.cli.move import Move
from postoffice.moving.emlfiles import EmlFiles, TreeFiles, must_be_archive
from postoffice.moving.maildir import Maildir
from postoffice.moving.mbox import Mbox
from postoffice.moving.tree import Tree
from postoffice.moving.zipped import ZipFiles
from postoffice.store.model import INBOX

path_argument = click.argument("path", type=click.Path(path_type=Path, readable=False))
whose_option = click.option("--account", "address", required=True, help="Whose mailbox it is.")
account_option = click.option("--account", "address", default=None, help="Whose mailbox, of an office, it goes into.")
file_option = click.option(
    "--file",
    type=click.Path(path_type=Path, readable=False),
    default=None,
    help="The mailbox file at home that it goes into; it is made if it is not there.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
check_option = click.option("--check", "url", metavar="URL", help="Compare it afterwards with the old server.")


@click.group(name="import")
def import_() -> None:
    """Letters of another server or program, with the unique-ids that clients know, and passwords as they were kept."""


def importing(command: Callable[..., Any]) -> click.Command:
    """A command that takes in what lies at PATH, of another server."""
    command = entrance_options(command)
    for option in reversed((path_argument, account_option, file_option, data_option, json_option, check_option)):
        command = option(command)
    return import_.command()(command)


unnumbered_option = click.option(
    "--unnumbered",
    "takes_unnumbered",
    is_flag=True,
    help="Also letters that the old server has not shown yet, and so has given no unique-id.",
)


@importing
def maildir(path: Path, **where: Any) -> None:
    """The letters of a Maildir, without unique-ids of its server."""
    _from_maildir(path, Move(**where), kind="maildir")


@importing
@click.option("--folder", default=INBOX, show_default=True, help="Where in the mailbox they go.")
@click.option(
    "--as-kept", "is_as_kept", is_flag=True, help="Leave >From lines and the fields of mail programs in the letters."
)
def mbox(path: Path, folder: str, is_as_kept: bool, **where: Any) -> None:
    """The letters of an mbox file; their unique-ids where X-UIDL fields tell them."""
    _from_mbox(path, Move(**where), folder=folder, is_as_kept=is_as_kept)


@importing
@click.option(
    "--uidl-format", default="%08Xu%08Xv", show_default=True, help="What Dovecot's pop3_uidl_format is set to."
)
@unnumbered_option
def dovecot(path: Path, uidl_format: str, takes_unnumbered: bool, **where: Any) -> None:
    """The letters of a Maildir or an mbox that Dovecot kept, with its unique-ids."""
    if path.is_file():
        _from_mbox(path, Move(**where), uidl_format=uidl_format)
    else:
        how = {"uidl_format": uidl_format, "takes_unnumbered": takes_unnumbered}
        _from_maildir(path, Move(**where), kind="dovecot", **how)


@importing
@unnumbered_option
def courier(path: Path, takes_unnumbered: bool, **where: Any) -> None:
    """The letters of a Maildir that Courier kept, with its unique-ids."""
    _from_maildir(path, Move(**where), kind="courier", takes_unnumbered=takes_unnumbered)


@import_.command()
@click.argument("url")
@account_option
@file_option
@data_option
@json_option
@click.option("--check", "is_checked", is_flag=True, help="Compare it afterwards with the same server.")
@entrance_options
def pop3(url: str, is_checked: bool, **where: Any) -> None:
    """The letters of a POP3 server that runs, with its unique-ids; nothing is deleted there.

    URL is pops://USER@HOST, or pop://USER@HOST, where TLS is used if the server has it.
    """
    Move(url=url, **where).pull(is_checked=is_checked)


@import_.command()
@click.argument("url")
@whose_option
@data_option
@json_option
@entrance_options
def check(url: str, **where: Any) -> None:
    """Compare an account, UIDL by UIDL, with the maildrop at URL from which it moved in."""
    Move(url=url, **where).compare()


import_.add_command(passwords)


# --- of other programs --------------------------------------------------------------------------------------------


def taking(command: Callable[..., Any]) -> click.Command:
    """A command that takes in letters without a server's names for them."""
    for option in reversed((account_option, file_option, data_option, json_option)):
        command = option(command)
    return import_.command()(command)


@taking
@path_argument
def eml(path: Path, **where: Any) -> None:
    """The letters of a folder of .eml files, with the folders in it, or a single one."""
    move = Move(**where)
    is_one = path.is_file()
    with closing(Tree(path.parent if is_one else path)) as tree:
        move.give_up_root(tree)
        files = TreeFiles(tree, path.name if is_one else None)
        move.take(lambda: EmlFiles(files), is_named=False)


@taking
@path_argument
def html(path: Path, **where: Any) -> None:
    """The letters of an HTML archive that `export html` wrote."""
    move = Move(**where)
    with closing(Tree(path)) as tree:
        move.give_up_root(tree)
        archive = EmlFiles(TreeFiles(tree))
        must_be_archive(archive, path)
        move.take(lambda: archive, is_named=False)


@taking
@path_argument
def zip(path: Path, **where: Any) -> None:  # noqa: A001 it is what people call it
    """The letters of a zip of .eml files."""
    move = Move(**where)
    with closing(ZipFiles(path)) as files:
        move.take(lambda: EmlFiles(files, "zip"), octets=files.octets, is_named=False)


@taking
@click.argument("path", required=False, type=click.Path(path_type=Path, readable=False))
def thunderbird(path: Path | None, **where: Any) -> None:
    """The letters of Thunderbird: PATH is a profile, its Mail folder or one account's; without it, the profile here."""
    from postoffice.moving.profiles import find_profile
    from postoffice.moving.thunderbird import Thunderbird

    move = Move(**where)
    with closing(Tree(path or find_profile(Path.home()))) as tree:
        move.give_up_root(tree)
        move.take(lambda: Thunderbird(tree), is_named=False)


def _from_maildir(path: Path, move: Move, **how: Any) -> None:
    with closing(Tree(path)) as tree:
        move.give_up_root(tree)
        move.take(lambda: Maildir(tree, **how))


def _from_mbox(path: Path, move: Move, **how: Any) -> None:
    with closing(Mbox(path, **how)) as box:
        move.take(lambda: box)
