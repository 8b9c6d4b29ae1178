"""What the page about neighbours sets is what the program reads."""

from __future__ import annotations

import re
from ipaddress import ip_network
from pathlib import Path

from postoffice.app.config import read_config
from postoffice.transfer.route import Route

PAGE = Path(__file__).parents[2] / "docs" / "neighbours.md"


def test_its_settings_are_read_as_they_are_told(tmp_path: Path) -> None:
    path = tmp_path / "office.toml"
    path.write_text("\n".join(re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)))
    config = read_config(path)
    assert config.office.sockets["lmtp"] == Path("/var/spool/postfix/private/postoffice")
    assert config.relay.routes == {"example.org": Route("/run/dovecot/lmtp", lmtp=True)}
    assert config.office.proxy_networks == (ip_network("10.0.0.1/32"),)
