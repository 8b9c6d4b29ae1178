"""`postoffice add`: an account into a person's settings, once its server was found and logged in to; or from a file."""

from __future__ import annotations

import ipaddress
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from postoffice.cli.accounts import config_option
from postoffice.cli.elsewhere import OF_A_CALL, entrance_options, explained, traced
from postoffice.cli.loop import with_loop
from postoffice.cli.secrets import known_password
from postoffice.errors import Refusal, Refused, UsageError
from postoffice.message.printable import safe

if TYPE_CHECKING:
    from postoffice.client.login import Trust
    from postoffice.client.url import Source
    from postoffice.home.discovery import Candidate
    from postoffice.home.writing import Settings


@click.command()
@click.argument("address", required=False)
@click.option("--url", metavar="URL", help="Its server, pops://USER@HOST, instead of looking for it.")
@click.option("--into", metavar="WHERE", help="Where letters go, as in `fetch` (default: ~/Mail/ADDRESS.mailbox).")
@click.option("--delete", is_flag=True, help="Let `fetch` remove from the server what is safe at home.")
@click.option("--every", default="", metavar="TIME", help="How often to pull, 90s, 15m or 2h (default: 15m).")
@click.option("--yes", is_flag=True, help="Believe a server outside of the address's domain without asking.")
@click.option("--ispdb", is_flag=True, help="Also ask Thunderbird's list of providers: it learns the domain.")
@click.option("--nameserver", metavar="IP[:PORT]", help="Ask this name server, and not those of the system.")
@click.option(
    "--from",
    "rcfile",
    type=click.Path(path_type=Path, readable=False),
    help="Take the accounts of another program's file: .fetchmailrc, getmailrc, .mpoprc.",
)
@click.option("--list", "is_listed", is_flag=True, help="Only list the accounts that there are.")
@config_option
@entrance_options
def add(
    address: str | None,
    *,
    url: str | None,
    into: str | None,
    delete: bool,
    every: str,
    yes: bool,
    ispdb: bool,
    nameserver: str | None,
    rcfile: Path | None,
    is_listed: bool,
    config: Path | None,
    **how: Any,
) -> None:
    """Add the account ADDRESS to the settings, so that `postoffice fetch ADDRESS` pulls it.

    Its server is looked for: in the DNS (SRV), at the domain's own web server (autoconfig), by who takes its mail, and
    by guessing. Before anything is written it is logged in to.
    """
    from postoffice.home.config import LEAST_SECONDS, seconds
    from postoffice.home.places import usual_path

    path = config or usual_path()
    if (address is not None) + (rcfile is not None) + is_listed != 1:
        raise UsageError("which account? Name an ADDRESS, or a file with --from, or say --list")
    said = (url, into, delete, every, yes, ispdb, nameserver, *(how[name] for name in how.keys() - OF_A_CALL))
    if address is None and any(said):
        raise UsageError("only an account that is named by its ADDRESS has options")
    if every and seconds(every) < LEAST_SECONDS:
        raise UsageError(f"{every!r} is no time of {LEAST_SECONDS:.0f} s at least, written like 90s, 15m, 2h or 1d")
    if is_listed:
        _list(path)
    elif rcfile is not None:
        _take_over(rcfile, path)
    else:
        assert address is not None
        wanted = _Wanted(_address(address), path, url, yes, ispdb, nameserver, how)
        wanted.add({"into": _into(address, into), "delete": ["now"] if delete else [], "every": every})


def _list(path: Path) -> None:
    from postoffice.client.url import format_url
    from postoffice.home.config import read_home

    for account in read_home(path).accounts.values():
        click.echo(f"{safe(account.name)}  {safe(format_url(account.source))}  {safe(', '.join(account.into))}")


def _take_over(rcfile: Path, path: Path) -> None:
    """The accounts of another program's file; what in it has no counterpart is told, line by line."""
    from postoffice.home.rcfiles import read
    from postoffice.home.rcfiles.taking import take_over

    rc = read(rcfile)
    for remark in rc.told():
        click.echo(f"{rcfile}:{remark.line}: {safe(remark.text)}: {remark.because}", err=True)
    if not rc.accounts:
        raise UsageError(f"{rcfile}: there is no account in it that could be taken", os.EX_DATAERR)
    for name in take_over(rc, path):
        click.echo(f"{safe(name)} is in {path}")
    click.echo("Their mail comes with: postoffice fetch --all")


def _address(text: str) -> str:
    from postoffice.message.address import parse_address

    try:
        parse_address(text)
    except Refusal as refusal:
        raise UsageError(f"{text}: {refusal.public}", os.EX_USAGE) from refusal
    return text


def _into(address: str, into: str | None) -> str:
    """Where its letters go, with paths from the root on, as the settings are read from another folder."""
    from postoffice.handing.target import InFile, ToServer, target
    from postoffice.home.writing import usual_file

    if into is None:
        return usual_file(address)
    match target(into):
        case InFile(path):
            return str(path.absolute())
        case ToServer():
            return into
        case aim:
            return aim.name


@dataclass(slots=True)
class _Wanted:
    """An account that is to be added, and what a person said about it."""

    address: str
    path: Path
    url: str | None
    is_trusting: bool
    asks_ispdb: bool
    nameserver: str | None
    how: dict[str, Any]
    typed: str = field(default="", repr=False)
    """The password, if it was asked for."""

    def add(self, settings: Settings) -> None:
        from postoffice.client.purse import Purse
        from postoffice.client.url import format_url
        from postoffice.home.writing import check_names, write_accounts

        check_names(self.path, [self.address])
        candidate = self._given(self.url) if self.url else with_loop(self._found)
        if candidate.provider and not candidate.wants_token:
            click.echo(f"It takes passwords for programs only: {candidate.provider.manage}", err=True)
        needs_login = candidate.wants_token and not self._places and Purse().find(candidate.source.user) is None
        source = candidate.source if needs_login else self._logged_in(candidate)
        settings = {"url": format_url(source), **settings, **self._told(), **self._kept(source)}
        write_accounts(self.path, {self.address: settings})
        click.echo(f"{self.address} is in {self.path}")
        if needs_login:
            by = f" --provider {candidate.provider.name}" if candidate.provider else " --issuer URL"
            click.echo(f"It takes no password. Log in once: postoffice auth login {self.address}{by} --client-id ID")
        click.echo(f"Its mail comes with: postoffice fetch {self.address}")

    # --- where it is

    def _given(self, url: str) -> Candidate:
        from postoffice.client.login import wants_token
        from postoffice.client.url import parse_url
        from postoffice.home.discovery import Candidate

        source = parse_url(url)
        has_user = bool(source.user)
        source = source if has_user else source._replace(user=self.address)
        return Candidate(source, "you", is_user_told=has_user, wants_token=wants_token(source))

    async def _found(self) -> Candidate:
        """The first that answers, and that a person believes if it is elsewhere."""
        from postoffice.home.discovery import Discovery
        from postoffice.home.https import Web
        from postoffice.net.dns import Resolver
        from postoffice.net.tls import client_context

        web = Web(Resolver(_nameservers(self.nameserver)), client_context())
        click.echo(f"Looking for the server of {self.address}", err=True)
        async for candidate in Discovery(self.address, web, self._trust, asks_ispdb=self.asks_ispdb).answering():
            source = candidate.source
            where = f"{source.host} port {source.port}"
            click.echo(f"Found {where} ({candidate.told_by})", err=True)
            if not candidate.is_foreign or self.is_trusting or self._is_believed(where):
                return candidate
        hint = "" if self.asks_ispdb else ", or look into Thunderbird's list with --ispdb"
        raise UsageError(
            f"no server was found for {self.address}: name it with --url pops://USER@HOST{hint}", os.EX_UNAVAILABLE
        )

    def _is_believed(self, where: str) -> bool:
        domain = self.address.rpartition("@")[2]
        if not sys.stdin.isatty():
            raise UsageError(
                f"{where} is outside of {domain}, and nobody is here to ask: --yes, if it is right", os.EX_NOPERM
            )
        return click.confirm(f"It is outside of {domain}. Is it where your mail is?", default=False, err=True)

    # --- the login

    @property
    def _trust(self) -> Trust:
        from postoffice.client.login import Trust

        names = ("ca", "pin", "client_certificate", "client_key", "clear_text")
        return Trust(**{name: self.how[name] for name in names})

    @property
    def _places(self) -> dict[str, Any]:
        """What was said of the password."""
        return {name: place for name, place in self.how.items() if name.startswith("password_") and place}

    def _logged_in(self, candidate: Candidate) -> Source:
        """The source with the user name that the server takes. By standard it is the address, else the part before
        its @ (RFC 6186 §4)."""
        names = [candidate.source.user]
        if not candidate.is_user_told:
            names.append(self.address.rpartition("@")[0])
        for name in names:
            source = candidate.source._replace(user=name)
            try:
                letters = self._letters(source)
            except Refused as refused:
                if refused.status != os.EX_NOPERM or name == names[-1]:
                    raise
                continue
            are = "letter is" if letters == 1 else "letters are"
            click.echo(f"Logged in as {name}: {letters} {are} there", err=True)
            return source
        raise AssertionError("the last name was let in or refused")

    def _letters(self, source: Source) -> int:
        from postoffice.client.login import nobody_logged_in, ready, wants_token
        from postoffice.client.purse import Purse, renewing
        from postoffice.client.secrets import Places
        from postoffice.client.survey import survey

        def ask(source: Source) -> str:
            if wants_token(source):
                raise nobody_logged_in(source)
            self.typed = self.typed or known_password(self.address, from_stdin=self.how["password_stdin"])
            return self.typed

        places = {name.removeprefix("password_"): place for name, place in self._places.items()}
        is_read = places.pop("stdin", False)
        named = Places(**places).named(source) + ([lambda: ask(source)] if is_read else [])
        source, options = ready(source, self._trust, named, ask)
        options = options._replace(patience_seconds=self.how["patience"])
        options = traced(options) if self.how["trace"] else options
        with explained(source, has_ca=self._trust.is_of_ones_own):
            found = with_loop(
                lambda: renewing(Purse(), source.user, options, lambda now: survey(source, now, lambda _: ()))
            )
        return len(found.listed)

    # --- what is written

    def _told(self) -> Settings:
        """What was said about TLS and the password's place; paths in full."""
        keys = ("ca", "pin", "client_certificate", "client_key", "clear_text")
        said = {key: self.how[key] for key in keys if self.how[key]} | self._places
        said.pop("password_stdin", None)
        return {key: str(value.absolute()) if isinstance(value, Path) else value for key, value in said.items()}

    def _kept(self, source: Source) -> Settings:
        """Where the password went that was typed."""
        from postoffice.client.secrets import has_keyring, keep_in_keyring
        from postoffice.home.writing import keep_password

        if not self.typed:
            return {}
        place = "keyring" if has_keyring() else "file"
        if sys.stdin.isatty():
            choice = click.Choice(["keyring", "file"] if has_keyring() else ["file"])
            place = click.prompt("Keep the password in", type=choice, default=place, err=True)
        if place == "keyring":
            try:
                keep_in_keyring(f"{source.user}@{source.host}", self.typed)
            except UsageError as error:
                if sys.stdin.isatty():  # who chose it does not want a file
                    raise
                click.echo(f"postoffice: {error}; the password is kept in a file", err=True)
            else:
                return {"password_keyring": True}
        return {"password_file": str(keep_password(self.address, self.typed))}


def _nameservers(text: str | None) -> list[tuple[str, int]] | None:
    if text is None:
        return None
    host, _, port = text.rpartition(":") if text.count(":") == 1 or "]:" in text else (text, "", "53")
    try:
        return [(str(ipaddress.ip_address(host.strip("[]"))), int(port))]
    except ValueError as error:
        raise UsageError(f"{text}: is no IP address, or one with a port behind a colon", os.EX_USAGE) from error
