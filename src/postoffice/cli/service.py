"""`install-service`: the systemd of a person pulls mail from now on."""

from __future__ import annotations

from pathlib import Path

import click

from postoffice.cli.accounts import config_option


@click.command("install-service")
@config_option
@click.option("--timer", is_flag=True, help="Begin a pull now and then, instead of a service that stays.")
@click.option("--print", "prints", is_flag=True, help="Only show the units.")
@click.option("--remove", "removes", is_flag=True, help="Take the units away again.")
def install_service(config: Path | None, timer: bool, prints: bool, removes: bool) -> None:
    """Write units for your own systemd (no root is needed), which pull every account of the settings.

    They may write into the folders of the mailbox files and nowhere else. A unit that was changed is left alone.
    """
    from postoffice.client.private import state_folder
    from postoffice.home import service
    from postoffice.home.config import read_home
    from postoffice.home.places import usual_path

    folder = service.unit_folder()
    if removes:
        _say_removed(folder, service.remove(folder))
        return
    home = read_home(config or usual_path())
    state = state_folder()
    units = service.units(home, state, with_timer=timer)
    if prints:
        click.echo("\n".join(f"# {folder / name}\n{text}" for name, text in units.items()), nl=False)
        return
    if not service.BOOTED.exists():
        click.echo("there is no systemd here; a line for `crontab -e` does it too:", err=True)
        click.echo(service.crontab_line(home))
        return
    service.write(folder, units, {state, *service.mail_folders(home)})
    for name in units:
        click.echo(f"written: {folder / name}")
    click.echo("Now:")
    click.echo("  systemctl --user daemon-reload")
    click.echo(f"  systemctl --user enable --now {list(units)[-1]}")
    click.echo("It runs while you are logged in; always, after: loginctl enable-linger")


def _say_removed(folder: Path, names: list[str]) -> None:
    for name in names:
        click.echo(f"removed: {folder / name}")
    if names:
        click.echo(f"It is over with: systemctl --user disable --now {names[-1]}; systemctl --user daemon-reload")
    else:
        click.echo("there is nothing to remove")
