"""A configuration that is wrong is told whole: every mistake with the file and the path of its key, and status 78."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path

import pytest

from postoffice.app.config import Config, read_config, setting_names
from postoffice.errors import UsageError
from postoffice.transfer.route import Route

SETTINGS = Path(__file__).parents[2] / "docs" / "settings.md"
MOST_SETTINGS = 60


def problems(folder: Path, text: str) -> list[str]:
    """What is said about a file, a line a mistake, without the file's name, which each line begins with."""
    path = folder / "office.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read_config(path)
    assert caught.value.status == os.EX_CONFIG
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[office", "is not TOML: "),
        ("[ofice]\nhost = 'x'", "ofice: there is no such section; there are office, "),
        ("office = 3", "office: must be a section, written [office]"),
        ("[office]\nhots = 'x'", "office.hots: there is no such setting; there are absorb_seconds, "),
        ("[office]\nhost = 3", "office.host: Expected str, got int"),
        ("[office]\naddresses = ['127.0.0.1', 3]", "office.addresses[1]: Expected str, got int"),
        ("[office]\naddresses = ['here']", "office.addresses: 'here' is not an IP address"),
        ("[office.ports]\nimap = 143", "office.ports.imap: there is no such door; there are smtp, "),
        ("[office.ports]\nsmtp = 70000", "office.ports.smtp: there is no port 70000"),
        ("[office.ports]\nsmtp = -2", "office.ports.smtp: there is no port -2"),
        ("[office]\nport_offset = 65000", "office.port_offset: 65000 leads to ports that there are not"),
        ("[relay.routes.'b.example']\nport = 0", 'relay.routes."b.example".port: there is no port 0'),
        (
            "[relay.routes.'b.example']\nhos = 'x'",
            'relay.routes."b.example".hos: there is no such setting; there are host, lmtp, port',
        ),
        ('[office.sockets]\npop3 = "/run/x"', "office.sockets.pop3: there is no such door; there are lmtp, sendmail"),
        ("[office.sockets]\nlmtp = 24", "office.sockets[...]: Expected a path, got 24"),
        ("[relay.routes.'b.example']\nlmtp = true", 'relay.routes."b.example": LMTP goes to a host or a Unix socket'),
        ("[relay.routes.'b.example']\nhost = '/run/x'", 'relay.routes."b.example": only LMTP goes to a Unix socket'),
        ("[relay]\nnameservers = [['127.0.0.1', 65536]]", "relay.nameservers[0]: there is no port 65536"),
        ("[office]\nworkers = -1", "office.workers: -1 is below zero"),
        ("[tls]\nkey = 'key.pem'", "tls: certificate and key come together"),
        ("[tls]\nkey = 3", "tls.key: Expected a path, got 3"),
        ("[tls]\nmore = [{certificate = 'a'}]", "tls.more[0]: Object missing required field key"),
        ("[tls]\nmore = [{certificate = 'a', key = 3}]", "tls.more[0].key: Expected a path, got 3"),
        (
            "[tls]\nmore = [{certificate = 'a', key = 'b', name = 'c'}]",
            "tls.more[0].name: there is no such setting; there are certificate, key",
        ),
        ("[login]\nclear_text_networks = ['10.0.0.0/33']", "login.clear_text_networks[0]: '10.0.0.0/33' is no network"),
        ("[login]\nclear_text_networks = ['10.0.0.1/8']", "login.clear_text_networks[0]: '10.0.0.1/8' is no network"),
        ("[pop3]\nidle_seconds = 599", "pop3.idle_seconds: RFC 1939 §3 wants at least 600"),
        ("[pop3]\nimplementation = 'a b'", "pop3.implementation: RFC 2449 §6.9 wants one word of ASCII"),
        ("[pop3]\napop = 'yes'", "pop3.apop: Expected bool, got str"),
        ("[log]\nformat = 'xml'", "log.format: there is no format 'xml'; there are text and json"),
        ("[queue]\nretry_minutes = []", "queue.retry_minutes: must be more than nothing"),
        ("[relay.routes.'b.example']\nport = '25'", "relay.routes[...].port: Expected int, got str"),
        ("[relay]\nnameservers = [['127.0.0.1']]", "relay.nameservers[0]: Expected array of length 2, got 1"),
    ],
)
def test_a_mistake_is_told_with_its_path(tmp_path: Path, text: str, said: str) -> None:
    (problem,) = problems(tmp_path, text)
    assert problem.startswith(said)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = "[office]\nhost = 3\nworkers = 'two'\n[nobody]\n[pop3]\nidle_seconds = 5\n[smtp]\nsilence = 1\n"
    paths = {problem.partition(":")[0] for problem in problems(tmp_path, text)}
    assert paths == {"office.host", "office.workers", "nobody", "pop3.idle_seconds", "smtp.silence"}


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml: cannot be read: No such file"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "octets.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match=r"octets\.toml: is not TOML"):
        read_config(tmp_path / "octets.toml")


def test_what_is_right_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "office.toml"
    path.write_text(
        "[office]\nport_offset = 10000\nports = { pop3 = 0, smtp = -1 }\n[tls]\ncertificate = 'c.pem'\nkey = 'k.pem'\n"
        "[login]\nclear_text_networks = ['127.0.0.0/8', '::1']\n[relay.routes.'b.example']\nport = 2525\n"
        "[relay]\nnameservers = [['127.0.0.1', 5353]]\n"
    )
    config = read_config(path)
    assert config.office.ports == {"pop3": 0, "smtp": -1}
    assert config.tls.key == Path("k.pem")
    assert config.login.clear_text_networks == (ip_network("127.0.0.0/8"), ip_network("::1"))
    assert config.relay.routes == {"b.example": Route("", 2525)}
    assert config.relay.nameservers == (("127.0.0.1", 5353),)
    assert config.smtp == Config().smtp


def test_a_section_that_means_nothing_any_more_breaks_no_file(tmp_path: Path) -> None:
    path = tmp_path / "office.toml"
    path.write_text("[courier]\nreply_seconds = 300\n[pop3]\nidle_seconds = 700\n")
    warnings: list[str] = []
    assert read_config(path, warnings.append).pop3.idle_seconds == 700
    (warning,) = warnings
    assert warning.startswith(f"{path}: courier: is passed over; ")


def test_serve_says_every_mistake_and_ends_with_78(tmp_path: Path) -> None:
    path = tmp_path / "office.toml"
    path.write_text("[office]\nhost = 3\n[pop3]\nidle_seconds = 1\n")
    words = [sys.executable, "-m", "postoffice", "serve", "--data", str(tmp_path), "--config", str(path)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == os.EX_CONFIG
    assert ended.stdout == ""
    assert ended.stderr.count(str(path)) == 2
    assert "Traceback" not in ended.stderr


def test_every_setting_is_documented_and_no_other() -> None:
    documented = re.findall(r"^\| `([a-z0-9_]+\.[a-z0-9_.]+)` \|", SETTINGS.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(documented) == sorted(setting_names())
    assert len(documented) <= MOST_SETTINGS


def test_the_documented_defaults_are_those_of_the_program() -> None:
    text = SETTINGS.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z0-9_]+\.[a-z0-9_.]+)` \| ([^|]*) \|", text, re.MULTILINE)
    config = Config()
    for name, said in rows:
        section, _, key = name.partition(".")
        value = getattr(getattr(config, section), key)
        if isinstance(value, bool):
            assert said == str(value).lower(), name
        elif isinstance(value, int | float):
            assert said == f"{value:g}" or said == str(value), name
        elif value and isinstance(value, tuple):
            assert said.replace("`", "") == ", ".join(str(part) for part in value), name


def test_the_documented_example_is_right(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", SETTINGS.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "example.toml").write_text(example)
    assert read_config(tmp_path / "example.toml").office.host == "mx.example.org"
