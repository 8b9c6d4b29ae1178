"""A person's settings as commands see them: where the file is."""

from __future__ import annotations

from pathlib import Path

import click

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, readable=False),
    default=None,
    help="The settings (default: ~/.config/postoffice/home.toml).",
)
