"""Where a person's files are. Who looks whether there are settings imports nothing of what they mean."""

from __future__ import annotations

import os
from pathlib import Path


def usual_path() -> Path:
    """Where the settings are if nobody says otherwise."""
    config = os.environ.get("XDG_CONFIG_HOME", "")
    if not Path(config).is_absolute():
        config = f"{os.environ.get('HOME', '')}/.config"
    return Path(config, "postoffice", "home.toml")
