"""`postoffice conformance`: ask any POP3 server whether it does what the RFCs say."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from postoffice.cli.finite import FiniteRange
from postoffice.cli.secrets import known_password, password_stdin
from postoffice.errors import UsageError

if TYPE_CHECKING:
    from postoffice.conformance.post import Post


@click.command()
@click.argument("server", metavar="HOST:PORT")
@click.option("--user", required=True, help="The account to ask with: one of its own, whose maildrop is empty.")
@password_stdin
@click.option("--tls", type=click.Choice(["none", "stls", "implicit"]), default="none", help="How TLS begins (none).")
@click.option("--ca", type=click.Path(path_type=Path, exists=True), help="Trust the certificates in this file, PEM.")
@click.option("--insecure", is_flag=True, help="Take any certificate.")
@click.option("--smtp", metavar="HOST:PORT", help="Place letters by SMTP.")
@click.option("--lmtp", metavar="HOST:PORT", help="Place letters by LMTP.")
@click.option("--to", "recipient", help="The address of the account, for --smtp and --lmtp (the user).")
@click.option("--maildir", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Place letters there.")
@click.option("--mbox", type=click.Path(path_type=Path, dir_okay=False), help="Place letters there.")
@click.option("--many", type=click.IntRange(min=0), default=0, help="Also ask with so many letters at once; 100000.")
@click.option("--large", type=click.IntRange(min=0), default=0, help="Also ask with a letter of so many MiB; 50.")
@click.option("--patience", type=FiniteRange(min=0.1), default=15.0, help="Seconds to wait for a reply (15).")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the verdicts there; - for stdout.")
@click.option("--html", "html_file", type=click.Path(path_type=Path), help="Write them there, for a browser.")
def conformance(server: str, user: str, *, password_stdin: bool, **options: Any) -> None:
    """Ask the POP3 server at HOST:PORT row by row whether it does what the RFCs say.

    Rows that remove letters need a way to place them. Ends with status 0 only if no row fails.
    """
    from postoffice.conformance.crowd import Crowd
    from postoffice.conformance.dialogue import Failed, NotApplicable, Server, Survey, survey
    from postoffice.conformance.report import Report, as_line
    from postoffice.conformance.run import Suite
    from postoffice.net.tls import client_context

    host, port = _address(server)
    trust = client_context(options["ca"], verify=not options["insecure"])
    password = known_password(f"{user} at {host}", from_stdin=password_stdin)
    asked = Server(host, port, user, password, options["tls"], trust, options["patience"])
    to_stdout = str(options["json_file"]) == "-"
    verdicts = []
    try:
        seen: Survey = survey(asked)
        crowd = Crowd(options["many"], options["large"] << 20)
        for verdict in Suite(asked, _post(options, user), crowd):
            verdicts.append(verdict)
            click.echo(as_line(verdict), err=to_stdout)
    except (Failed, NotApplicable) as error:
        raise UsageError(f"{server}: cannot be asked: {error}", os.EX_UNAVAILABLE) from error
    report = Report(server, seen.greeting, f"{datetime.now(UTC):%Y-%m-%d}", verdicts)
    click.echo(report.summary, err=to_stdout)
    if to_stdout:
        click.echo(report.as_json(), nl=False)
    elif options["json_file"]:
        options["json_file"].write_text(report.as_json())
    if options["html_file"]:
        options["html_file"].write_text(report.as_html())
    sys.exit(1 if report.counts["fail"] else 0)


def _post(options: dict[str, Any], user: str) -> Post | None:
    """The way to place letters that was named."""
    from postoffice.conformance.post import MaildirPost, MboxPost, SmtpPost

    named = [name for name in ("smtp", "lmtp", "maildir", "mbox") if options[name]]
    if len(named) > 1:
        raise UsageError(f"--{' and --'.join(named)}: one way to place letters is enough", os.EX_USAGE)
    match named:
        case ["maildir"]:
            return MaildirPost(options["maildir"])
        case ["mbox"]:
            return MboxPost(options["mbox"])
        case [name]:
            host, port = _address(options[name])
            return SmtpPost(host, port, options["recipient"] or user, lmtp=name == "lmtp")
        case _:
            return None


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(f"{text}: is not HOST:PORT", os.EX_USAGE)
    return host.strip("[]"), int(port)
