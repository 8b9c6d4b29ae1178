"""Units by which the systemd of a person pulls mail (systemd.service(5), systemd.timer(5)): a service that stays, or a
timer that begins a pull now and then. Where there is no systemd, a line for crontab(5).

A unit begins with a line that has the hash of the rest: one that a person changed is neither overwritten nor removed.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from postoffice.errors import UsageError
from postoffice.handing.target import InFile, InMaildir, InMbox, ToCommand, target
from postoffice.home.config import Home

BOOTED: Final = Path("/run/systemd/system")
"""It is there where systemd runs (sd_booted(3))."""

SERVICE: Final = "postoffice-run.service"
PULL: Final = "postoffice-fetch.service"
TIMER: Final = "postoffice-fetch.timer"

MARK: Final = "# Written by postoffice install-service, which leaves it alone once it is changed. sha256:"

MINUTES: Final = (1, 2, 3, 5, 10, 15, 20, 30)
HOURS: Final = (1, 2, 3, 4, 6, 8, 12)

_SANDBOX: Final = """\
NoNewPrivileges=yes
PrivateUsers=yes
ProtectSystem=strict
{writable}
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
SystemCallArchitectures=native
UMask=0077
"""

_SERVICE: Final = """\
[Unit]
Description=Mail is pulled home

[Service]
Type=notify
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
{environment}Restart=on-failure
RestartSec=30
RestartPreventExitStatus=78
WatchdogSec=300
{sandbox}
[Install]
WantedBy=default.target
"""

_PULL: Final = """\
[Unit]
Description=Mail is pulled home, once

[Service]
Type=oneshot
ExecStart={command}
{environment}{sandbox}"""

_TIMER: Final = """\
[Unit]
Description=Mail is pulled home now and then

[Timer]
OnCalendar={calendar}
RandomizedDelaySec={delay}
Persistent=yes

[Install]
WantedBy=timers.target
"""


def unit_folder() -> Path:
    """Where a person's own units are (systemd.unit(5))."""
    config = os.environ.get("XDG_CONFIG_HOME", "")
    return Path(config if Path(config).is_absolute() else Path.home() / ".config", "systemd", "user")


def units(home: Home, state: Path, *, with_timer: bool) -> dict[str, str]:
    """The units by their names. `state` is where logins and what belongs to them are kept."""
    environment = ""
    if os.environ.get("XDG_STATE_HOME"):
        environment = f"Environment={_quoted('XDG_STATE_HOME=' + os.environ['XDG_STATE_HOME'])}\n"
    writable = "\n".join(f"ReadWritePaths={_quoted(f'-{folder}')}" for folder in _written_to(home, state))
    facts = {"environment": environment, "sandbox": _SANDBOX.format(writable=writable)}
    if not with_timer:
        return {SERVICE: _marked(_SERVICE.format(command=_command(home, "run"), **facts))}
    seconds = _least_every(home)
    timer = _TIMER.format(calendar=calendar(seconds), delay=int(min(seconds / 10, 600)))
    return {PULL: _marked(_PULL.format(command=_command(home, "fetch", "--all"), **facts)), TIMER: _marked(timer)}


def crontab_line(home: Home) -> str:
    command = shlex.join(_words(home, "fetch", "--all")).replace("%", r"\%")
    return f"{_cron_time(_least_every(home))} {command}"


def write(folder: Path, written: Mapping[str, str], needed: Collection[Path]) -> None:
    """All of them, and the folders that they need: a sandbox has no door to what is not there. UsageError is 73."""
    for name in written:
        _must_be_ours(folder / name)
    try:
        for one in needed:
            one.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in written.items():
            beside = folder / f".{name}.new"
            beside.write_text(text)
            beside.replace(folder / name)
    except OSError as error:
        raise UsageError(f"{error.filename}: cannot be written: {error.strerror}", os.EX_CANTCREAT) from error


def remove(folder: Path) -> list[str]:
    """The names of those that were there. Raises UsageError (73) if a person changed one."""
    there = [name for name in (SERVICE, PULL, TIMER) if (folder / name).exists()]
    for name in there:
        _must_be_ours(folder / name)
    for name in there:
        (folder / name).unlink()
    return there


def _must_be_ours(path: Path) -> None:
    try:
        first, _, rest = path.read_text(errors="replace").partition("\n")
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}", os.EX_CANTCREAT) from error
    if first != MARK + _hash(rest):
        raise UsageError(f"{path}: somebody changed it, so it stays; --print shows what it would be", os.EX_CANTCREAT)


def _marked(text: str) -> str:
    return f"{MARK}{_hash(text)}\n{text}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _words(home: Home, *words: str) -> list[str]:
    return [sys.executable, "-m", "postoffice", *words, "--config", str(home.path.absolute())]


def _command(home: Home, *words: str) -> str:
    return " ".join(_quoted(word).replace("$", "$$") for word in _words(home, *words))


def _quoted(text: str) -> str:
    """As a unit file wants it (systemd.syntax(7)), where `%` begins a specifier."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if set(escaped) & set(" \t\"'\\;") else escaped


def mail_folders(home: Home) -> set[Path]:
    """Where all that is pulled into lies."""
    folders = set()
    for account in home.accounts.values():
        match target(account.into[0]):
            case InFile(path) | InMaildir(path) | InMbox(path):
                folders.add(path.parent)
            case _:
                pass
    return folders


def _written_to(home: Home, state: Path) -> Sequence[Path]:
    """These, and what logins, spools and commands need."""
    folders = mail_folders(home) | {state}
    if any(account.places.command for account in home.accounts.values()):
        folders.add(Path.home() / ".gnupg")  # `pass` asks gpg, which locks its files
    if any(isinstance(target(account.into[0]), ToCommand) for account in home.accounts.values()):
        folders.add(Path.home())  # nobody knows where a command writes
    return sorted(folders)


def _least_every(home: Home) -> float:
    return min((account.every for account in home.accounts.values()), default=900.0)


def calendar(seconds: float) -> str:
    """The rarest regular time that is at least as often as `every`, as systemd.time(7) writes it."""
    minutes, hours = _step(seconds)
    if minutes:
        return f"*:0/{minutes}"
    return f"0/{hours}:00" if hours else "daily"


def _cron_time(seconds: float) -> str:
    minutes, hours = _step(seconds)
    if minutes:
        return f"*/{minutes} * * * *"
    return f"17 */{hours} * * *" if hours else "17 5 * * *"


def _step(seconds: float) -> tuple[int, int]:
    """Minutes, or hours, or neither: once a day."""
    if seconds < 3600:
        return max((step for step in MINUTES if step * 60 <= seconds), default=1), 0
    if seconds < 86400:
        return 0, max(step for step in HOURS if step * 3600 <= seconds)
    return 0, 0
