"""Taking backups: `postoffice backup DIR`, by hand or every night, as root or as the office's own user."""

from __future__ import annotations

import os
from pathlib import Path

import click

from postoffice.cli.folder import data_folder, data_option, has_office
from postoffice.errors import DamagedStore, UsageError

NICE = 10
"""A backup takes what the office leaves of the processors."""


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, readable=False))
@data_option
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="Keep the newest N backups, and drop the others.")
@click.option("--anew", is_flag=True, help="Trust nothing in DIR: read every letter there, and mend what is damaged.")
def backup(directory: Path, data: Path | None, keep: int | None, anew: bool) -> None:
    """Copy the office, while it serves, into the folder DIR.

    DIR is made if it is not there. Letters lie there once for all backups, so each one costs only what is new.
    A backup that is cut off is none; the next one goes on with what is there. Exit status: 65 if something in the
    office is damaged (all else is in the backup, and no old one is dropped), 75 if another one is under way.
    """
    from postoffice.app.privilege import settle_in
    from postoffice.store.embedded.backup import Vault, keep_newest, office_name, take

    folder = data_folder(data)
    if not has_office(folder):
        raise UsageError(f"{folder}: there is no office here; make one with: postoffice init", os.EX_NOINPUT)
    root = directory.absolute()
    _must_be_apart(root, folder)
    _make_for_owner(root, folder)
    settle_in(folder)
    os.nice(NICE)
    with Vault.to_work_in(root, office_name(Path())) as vault:
        taken = take(Path(), vault, anew=anew)
        found = taken.manifest
        click.echo(
            f"{taken.backup.name}: {found.accounts} accounts, {found.letters} letters, {found.octets} octets; new"
            f" {taken.letters_added} letters, {taken.octets_added} octets; {taken.unchanged} mailboxes unchanged"
        )
        for damage in found.damages:
            click.echo(f"postoffice: {damage}", err=True)
        if found.damages:
            raise DamagedStore("the backup is made, but what is named above is damaged in the office")
        if keep is not None:
            backups, letters = keep_newest(vault, keep)
            if backups or letters:
                click.echo(f"dropped {backups} backups, {letters} letters")


def _must_be_apart(root: Path, data: Path) -> None:
    """What a backup is for takes both away if one lies in the other."""
    ours, office = root.resolve(), data.resolve()
    if ours.is_relative_to(office) or office.is_relative_to(ours):
        raise UsageError(f"{root}: lies with the office in one folder; a backup wants another place", os.EX_CANTCREAT)


def _make_for_owner(root: Path, data: Path) -> None:
    """As root: a folder that is not there yet belongs to whom the office belongs to."""
    from postoffice.app.privilege import is_root

    if not is_root() or root.exists():
        return
    owner = data.stat()
    try:
        root.mkdir(mode=0o700, parents=True)
        os.chown(root, owner.st_uid, owner.st_gid)
    except OSError as error:
        raise UsageError(f"{root}: cannot be made: {error.strerror}", os.EX_CANTCREAT) from error
