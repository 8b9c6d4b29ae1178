"""Accounts of another program's file become a person's own: their names, their passwords, their settings."""

from __future__ import annotations

from pathlib import Path

from postoffice.client.url import format_url
from postoffice.home.rcfiles.found import Found, RcFile
from postoffice.home.writing import Settings, check_names, keep_password, usual_file, write_accounts


def take_over(rc: RcFile, path: Path) -> list[str]:
    """Write all accounts into the settings; gives their names. Passwords go before, each into a file of its own.

    Durable on return. Raises UsageError, and then no account was written.
    """
    named: dict[str, Found] = {}
    for account in rc.accounts:
        name = account.name
        if name in named:
            name = f"{account.source.user}@{account.source.host}"
        if name in named:
            name = f"{name}:{account.source.port}"
        named[name] = account
    check_names(path, named)
    write_accounts(path, {name: _settings(name, account) for name, account in named.items()})
    return list(named)


def _settings(name: str, account: Found) -> Settings:
    settings: dict[str, str | bool | list[str]] = {
        "url": format_url(account.source),
        "into": usual_file(name),
        **account.settings,
    }
    if account.password:
        settings["password_file"] = str(keep_password(name, account.password))
    return settings
