"""`postoffice`: the program that a person types. Each command lives in a module of its own and is imported when it
is asked for, so that `--help` is quick.

Exit statuses are those of sysexits(3): 0 all went well; 64 wrong use; 65 damaged data; 66 a file that is not there;
69 a server that cannot be reached or refuses; 71 a port in use; 73 a file that cannot be made; 75 try again later;
76 the other side broke the protocol; 77 not allowed (wrong password); 78 wrong configuration.
"""

from __future__ import annotations

import importlib
import os
import sys

import click

from postoffice import __version__
from postoffice.cli.process import leave
from postoffice.errors import PostofficeError, status_of

COMMANDS = {
    "account": (
        "postoffice.cli.people",
        "account",
        "People of this office: add, list, show, set, password, remove, recover.",
    ),
    "add": (
        "postoffice.cli.add",
        "add",
        "Add an account of yours: its server is found, or another program's file read.",
    ),
    "auth": ("postoffice.cli.auth", "auth", "Log in at Google, Microsoft, Yahoo or another identity provider."),
    "backup": ("postoffice.cli.backup", "backup", "Copy the office, while it serves, into a folder of backups."),
    "check": ("postoffice.cli.check", "check", "Look at all that is kept: is it sound?"),
    "conformance": (
        "postoffice.cli.conformance",
        "conformance",
        "Ask any POP3 server what it does right.",
    ),
    "demo": ("postoffice.cli.demo", "demo", "Watch a real letter travel the whole road."),
    "device": ("postoffice.cli.devices", "device", "Devices of an account: add, list, remove."),
    "domain": ("postoffice.cli.people", "domain", "Domains of this office: add, list, show, set."),
    "export": ("postoffice.cli.export", "export", "Letters as a Maildir, an mbox, .eml files, a zip, an HTML archive."),
    "fetch": ("postoffice.cli.fetch", "fetch", "Pull a maildrop into an offline mailbox file."),
    "forgive": ("postoffice.cli.forgive", "forgive", "Let somebody try again who failed to log in."),
    "import": ("postoffice.cli.moving", "import_", "Letters and passwords of another server or program."),
    "init": ("postoffice.cli.office", "init", "Make an office: folder, certificate, domain, first account."),
    "install-service": ("postoffice.cli.service", "install_service", "Let systemd pull mail from now on."),
    "lock": ("postoffice.cli.lock", "lock", "Encrypt a mailbox file, or end its being unlocked."),
    "ls": ("postoffice.cli.home", "ls", "List the letters of an offline mailbox file."),
    "merge": ("postoffice.cli.pack", "merge", "Take into a mailbox file what others have and it has not."),
    "open": ("postoffice.cli.pack", "open_", "Make a mailbox file of a pack."),
    "pack": ("postoffice.cli.pack", "pack", "Make of a mailbox file one that is safe to carry away."),
    "passwd": ("postoffice.cli.lock", "passwd", "Change the passphrase of a locked mailbox file."),
    "queue": ("postoffice.cli.office", "queue", "Show what is on its way to other offices."),
    "read": ("postoffice.cli.reading", "read", "Read a letter of an offline mailbox file."),
    "recover": ("postoffice.cli.recover", "recover", "List deleted letters, and put them back."),
    "repair": ("postoffice.cli.repair", "repair", "Save what can be read of a damaged mailbox file."),
    "restore": ("postoffice.cli.restore", "restore", "Make an office of a backup, or bring one mailbox back."),
    "run": ("postoffice.cli.run", "run", "Pull every account of the settings again and again."),
    "save": ("postoffice.cli.reading", "save", "Save what is attached to a letter, or the letter."),
    "scan": ("postoffice.cli.scan", "scan", "Scan letters again; show or let out what is in quarantine."),
    "search": ("postoffice.cli.search", "search", "Search the letters of an offline mailbox file."),
    "sendmail": ("postoffice.cli.sendmail", "sendmail", "Send a letter from standard input, as programs do."),
    "serve": ("postoffice.cli.office", "serve", "Open the doors."),
    "status": ("postoffice.cli.status", "status", "Say how the office is."),
    "thread": ("postoffice.cli.reading", "thread", "Show the conversation of a letter."),
    "tui": ("postoffice.cli.tui", "tui", "Read a mailbox file on a terminal."),
    "unlock": ("postoffice.cli.lock", "unlock", "Open a locked mailbox file for a while, or for good."),
    "verify": ("postoffice.cli.check", "check", "The same as check, for a mailbox file."),
    "why": ("postoffice.cli.why", "why", "Tell the life of a letter at home."),
}
"""Every command: its module, its name there, and its line in `--help`."""


ON_FILES = frozenset(
    {"check", "export", "fetch", "import", "lock", "ls", "merge", "pack", "passwd", "read", "repair", "run", "save"}
    | {"scan", "search", "serve", "thread", "tui", "unlock", "verify", "why"}
)
"""Those that open mailbox files, which may be locked: they have options that say where the passphrase is."""


class LazyGroup(click.Group):
    """Imports a command when it is run, not to list it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        if cmd_name in ON_FILES:
            from postoffice.cli.locked import can_be_told

            return can_be_told(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][2]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="postoffice")
def cli() -> None:
    """The whole mail road: SMTP in, a mailbox that is one file, POP3 out, mail kept at home."""


def main() -> None:
    """The whole process."""
    leave(run())


def run() -> int:
    """Run it; every error of ours is one clear sentence and a documented status, which it gives."""
    try:
        status = cli.main(standalone_mode=False) or 0
    except click.exceptions.Abort:
        status = 130
    except click.ClickException as error:
        error.show()
        status = os.EX_USAGE if isinstance(error, click.UsageError) else 1
    except PostofficeError as error:
        click.echo("\n".join(map(_tame, f"postoffice: {error}".split("\n"))), err=True)
        status = status_of(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    return int(status)


def _tame(line: str) -> str:
    """It may name a file, and a file may be called anything. Imports nothing for the usual."""
    if line.isascii() and line.isprintable():
        return line
    from postoffice.message.printable import safe

    return safe(line)
