"""Units for the systemd of a person: systemd itself finds nothing wrong with them, and what a person changed stays."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from postoffice.errors import UsageError
from postoffice.home import service
from postoffice.home.config import Home, read_home
from postoffice.home.service import calendar, crontab_line, remove, units, write
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer

WHEREVER = "import sys, pathlib, postoffice.home.service as service; service.BOOTED = pathlib.Path(sys.argv.pop(1));"
PROGRAM = (sys.executable, "-W", "error", "-c", f"{WHEREVER} from postoffice.cli.main import main; main()")


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    folder = tmp_path / 'my "mail" 100% $HOME'
    folder.mkdir()
    path = folder / "home.toml"
    path.write_text(
        '[accounts."me@b.example"]\nurl = "pops://me@b.example"\ninto = "in/m.mailbox"\nevery = "2h"\n'
        f'[accounts.other]\nurl = "pops://o@b.example"\ninto = "maildir:{tmp_path}/other/Mail"\n'
        'every = "20m"\npassword_command = "pass show mail"\n'
    )
    return path


@pytest.fixture
def home(settings: Path) -> Home:
    return read_home(settings)


def install(settings: Path, folder: Path, *words: str, booted: Path = Path("/")) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, str(booted), "install-service", "--config", settings, *words],
        env=os.environ | {"XDG_CONFIG_HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_wrong_and_reads_every_word_as_it_is_meant(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "config" / "systemd" / "user"
    written = units(home, tmp_path / "a state", with_timer=False) | units(home, tmp_path, with_timer=True)
    write(folder, written, [])
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", service.SERVICE, service.TIMER],
        cwd=folder,
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_it_may_write_where_letters_go_and_nowhere_else(home: Home, tmp_path: Path) -> None:
    text = units(home, Path("/state"), with_timer=False)[service.SERVICE]
    writable = [line.partition("=")[2] for line in text.splitlines() if line.startswith("ReadWritePaths=")]
    mail = str(home.path.parent).replace('"', '\\"').replace("%", "%%")
    assert sorted(writable) == sorted([f"-{Path.home()}/.gnupg", f"-{tmp_path}/other", "-/state", f'"-{mail}/in"'])
    assert "ProtectSystem=strict" in text
    assert "NoNewPrivileges=yes" in text
    [command] = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    assert "100%% $$HOME" in command


@pytest.mark.parametrize(
    ("every", "when"),
    [
        (10, "*:0/1"),
        (90, "*:0/1"),
        (900, "*:0/15"),
        (1200, "*:0/20"),
        (3599, "*:0/30"),
        (7200, "0/2:00"),
        (18000, "0/4:00"),
        (86400, "daily"),
        (864000, "daily"),
    ],
)
def test_a_timer_comes_at_least_as_often_as_is_said(every: float, when: str) -> None:
    assert calendar(every) == when


def test_it_is_written_written_again_and_removed(settings: Path, tmp_path: Path) -> None:
    folder = tmp_path / "config"
    first, again = install(settings, folder), install(settings, folder)
    unit = folder / "systemd" / "user" / service.SERVICE
    assert (first.returncode, again.returncode) == (0, 0)
    assert f"written: {unit}" in first.stdout
    assert (settings.parent / "in").is_dir()
    assert "  systemctl --user daemon-reload\n  systemctl --user enable --now postoffice-run.service\n" in first.stdout
    assert install(settings, folder, "--print").stdout.endswith(unit.read_text())
    removed = install(settings, folder, "--remove")
    assert (removed.returncode, unit.exists()) == (0, False)
    assert "systemctl --user disable --now postoffice-run.service" in removed.stdout
    assert install(settings, folder, "--remove").stdout == "there is nothing to remove\n"


def test_what_a_person_changed_is_neither_overwritten_nor_removed(settings: Path, tmp_path: Path) -> None:
    folder = tmp_path / "config"
    assert install(settings, folder, "--timer").returncode == 0
    unit = folder / "systemd" / "user" / service.PULL
    changed = unit.read_text() + "Nice=10\n"
    unit.write_text(changed)
    for words in (("--timer",), ("--remove",)):
        done = install(settings, folder, *words)
        assert done.returncode == 73
        assert done.stderr == f"postoffice: {unit}: somebody changed it, so it stays; --print shows what it would be\n"
    assert unit.read_text() == changed
    assert (unit.parent / service.TIMER).exists()


def test_one_that_is_not_ours_is_in_the_way(home: Home, tmp_path: Path) -> None:
    (tmp_path / service.SERVICE).write_text("[Service]\nExecStart=/bin/true\n")
    with pytest.raises(UsageError, match="somebody changed it"):
        write(tmp_path, units(home, tmp_path, with_timer=False), [])
    with pytest.raises(UsageError, match="somebody changed it"):
        remove(tmp_path)


def test_without_systemd_there_is_a_line_for_cron(settings: Path, home: Home, tmp_path: Path) -> None:
    done = install(settings, tmp_path / "config", booted=tmp_path / "none")
    assert done.returncode == 0
    assert done.stdout == f"{crontab_line(home)}\n"
    assert done.stdout.startswith("*/20 * * * * ")
    assert r"100\% $HOME/home.toml'" in done.stdout
    assert not (tmp_path / "config").exists()


async def test_the_line_for_cron_pulls(tmp_path: Path) -> None:
    settings = tmp_path / "100%" / "home.toml"
    settings.parent.mkdir()
    async with Pop3Peer({"a": b"Subject: a\r\n\r\n"}).listening() as port:
        settings.write_text(
            f'[accounts.me]\nurl = "pop://{USER}@127.0.0.1:{port}"\ninto = "m"\npassword_command = "echo {PASSWORD}"\n'
        )
        line = install(settings, tmp_path, booted=tmp_path / "none").stdout
        command = line.strip().split(" ", 5)[5].replace(r"\%", "%")  # what cron makes of it
        cron = await asyncio.create_subprocess_shell(command, stdout=asyncio.subprocess.PIPE)
        out, _ = await cron.communicate()
    assert (cron.returncode, out) == (0, b"1 letter, 14 octets, already had 0\n")
