"""getmail's settings, one account a file, in sections as Python's configparser reads them.

[retriever]
type = SimplePOP3SSLRetriever
server = pop.example.org
username = me
password_command = ("pass", "show", "mail")
[destination]
type = Maildir
path = ~/Maildir/
[options]
delete_after = 14
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Final

from postoffice.client.url import ANY_MECHANISM
from postoffice.errors import UsageError
from postoffice.home.rcfiles.found import (
    ALL_OF_THEM,
    AS_THEY_CAME,
    CHECKED,
    NO_TARGET,
    NO_VALUES,
    OF_A_KEY,
    OUR_OWN,
    Found,
    RcFile,
    full,
    server_url,
    source_of,
)

_RETRIEVER: Final = re.compile(r"(?:Simple|BrokenUIDL)POP3(SSL)?Retriever")
_SECTION: Final = re.compile(r"\[(?P<name>[^\]]+)\].*")
_SETTING: Final = re.compile(r"(?P<key>[^:=\s][^:=]*?)\s*[:=]\s*(?P<value>.*)")
_BOOLEANS: Final = dict.fromkeys(("1", "yes", "true", "on"), True) | dict.fromkeys(("0", "no", "false", "off"), False)

_UNDERSTOOD: Final[Mapping[str, frozenset[str]]] = {
    "retriever": frozenset(
        {
            *("type", "server", "port", "username", "password", "password_command", "use_apop", "use_xoauth2"),
            *("ca_certs", "certfile", "keyfile"),
        }
    ),
    "destination": frozenset({"type", "path", "arguments", "host", "port", "override"}),
    "options": frozenset({"delete", "delete_after", "max_message_size"}),
}

_OTHERWISE: Final[Mapping[str, str]] = {
    "timeout": OUR_OWN,
    "delete_dup_msgids": "letters with the same unique-id are all fetched",
    "ssl_version": "TLS 1.2 or newer is spoken",
    "ssl_ciphers": OUR_OWN,
    "ssl_fingerprints": OF_A_KEY,
    "ssl_cert_hostname": CHECKED,
    "read_all": "what was fetched is never fetched again",
    "max_messages_per_session": ALL_OF_THEM,
    "max_bytes_per_session": ALL_OF_THEM,
    "delete_bigger_than": "letters go from the server by age, not by size",
    "delivered_to": AS_THEY_CAME,
    "received": AS_THEY_CAME,
    "use_netrc": "say where the password is: password_command and others",
    "netrc_file": "say where the password is: password_command and others",
}
_USUAL: Final[Mapping[str, bool]] = {"read_all": False, "delivered_to": False, "received": False, "use_netrc": False}
"""What these say if it is what happens here anyway."""

Values = dict[str, tuple[int, str]]
"""Of a section: each setting, and the line where."""


def parse(text: str) -> RcFile:
    """Raises UsageError, with the line, where it is not as getmail itself would read it."""
    rc = RcFile()
    sections: dict[str, Values] = {}
    for name, key, line, value in _settings(text):
        section = sections.setdefault(name, {})
        if not key:
            if name not in _UNDERSTOOD:
                rc.remark(line, f"[{name}]", AS_THEY_CAME if name.startswith("filter") else OUR_OWN)
        elif name in _UNDERSTOOD and key not in _UNDERSTOOD[name]:
            if _USUAL.get(key) is None or _BOOLEANS.get(value.lower()) is not _USUAL[key]:
                rc.remark(line, f"{key} = {value}", _OTHERWISE.get(key, OUR_OWN))
        else:
            section[key] = (line, value)
    if "retriever" not in sections:
        raise UsageError("there is no section [retriever] in it")
    _take(rc, sections["retriever"], sections.get("destination", {}), sections.get("options", {}))
    return rc


def _settings(text: str) -> Iterator[tuple[str, str, int, str]]:
    """Section, key, line and value of each setting; a section itself with an empty key."""
    section, key, line, value = "", "", 0, ""
    for number, written in enumerate(text.splitlines(), 1):
        bare = written.strip()
        if not bare or bare[0] in "#;":
            continue
        if written[0].isspace() and key:
            value = f"{value}\n{bare}"
            continue
        if key:
            yield section, key, line, value
        key = ""
        if found := _SECTION.fullmatch(bare):
            section = found["name"]
            yield section, "", number, ""
        elif section and (found := _SETTING.fullmatch(bare)):
            key, line, value = found["key"].lower(), number, found["value"]
        else:
            raise UsageError(f"line {number}: this is no section and no setting")
    if key:
        yield section, key, line, value


def _take(rc: RcFile, retriever: Values, destination: Values, options: Values) -> None:
    """The account in our words."""
    line, kind = retriever.get("type", (1, ""))
    found = _RETRIEVER.fullmatch(kind)
    if found is None:
        because = (
            "mail for many people in one maildrop is not parted here" if "Multi" in kind else "only POP3 is spoken"
        )
        rc.remark(line, f"type = {kind}", because)
        return
    host, user = (retriever.get(key, (0, ""))[1] for key in ("server", "username"))
    mechanism = ANY_MECHANISM
    for key, name in (("use_apop", "+APOP"), ("use_xoauth2", "XOAUTH2")):
        if _is_true(retriever, key):
            mechanism = name
    if not host or not user:
        rc.remark(line, f"type = {kind}", "it has no server or no username")
        return
    try:
        source = source_of(
            host, _number(retriever, "port") or None, user, implicit_tls=bool(found[1]), mechanism=mechanism
        )
    except UsageError as error:
        raise UsageError(f"line {line}: {error}") from error
    account = Found(line, source)
    rc.accounts.append(account)
    _unlock(rc, account, retriever)
    for key, ours in (("ca_certs", "ca"), ("certfile", "client_certificate"), ("keyfile", "client_key")):
        if key in retriever:
            account.settings[ours] = full(retriever[key][1])
    _deliver(rc, account, destination)
    days, octets = _number(options, "delete_after"), _number(options, "max_message_size")
    account.settings["delete"] = ["now"] if _is_true(options, "delete") else [f"{days} days"] if days else []
    account.settings["largest"] = str(octets or "")


def _unlock(rc: RcFile, account: Found, retriever: Values) -> None:
    """Where its password is."""
    if "password" in retriever:
        account.password = retriever["password"][1]
    elif "password_command" in retriever:
        account.settings["password_command"] = shlex.join(_tuple(*retriever["password_command"]))
    else:
        because = "it names no password: getmail asks, or has it from the keyring or ~/.netrc"
        rc.remark(account.line, "[retriever]", because)


def _deliver(rc: RcFile, account: Found, destination: Values) -> None:
    line, kind = destination.get("type", (1, ""))
    path = destination.get("path", (0, ""))[1]
    match kind:
        case "Maildir":
            account.settings["into"] = f"maildir:{full(path)}"
        case "Mboxrd":
            account.settings["into"] = f"mbox:{full(path)}"
        case "MDA_external":
            words = [full(path), *_tuple(*destination.get("arguments", (0, "()")))]
            if any("%(" in word for word in words):
                rc.remark(line, f"type = {kind}", NO_VALUES)
            else:
                account.settings["into"] = f"command:{shlex.join(words)}"
        case "MDA_lmtp" if "override" in destination:
            host, port, recipient = (destination.get(key, (0, ""))[1] for key in ("host", "port", "override"))
            url = server_url(host, port, recipient, is_lmtp=True)
            if url is None:
                rc.remark(line, f"type = {kind}", NO_TARGET)
            else:
                account.settings["into"] = url
        case "MDA_lmtp":
            rc.remark(line, f"type = {kind}", "no override says who the recipient is; a mailbox file takes the letters")
        case _:
            rc.remark(line, f"type = {kind}", NO_TARGET)


def _is_true(values: Values, key: str) -> bool:
    line, text = values.get(key, (0, "false"))
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise UsageError(f"line {line}: {key} is neither true nor false") from None


def _number(values: Values, key: str) -> int:
    line, text = values.get(key, (0, "0"))
    if not re.fullmatch("[0-9]{1,12}", text):
        raise UsageError(f"line {line}: {key} is no number")
    return int(text)


def _tuple(line: int, text: str) -> tuple[str, ...]:
    """A tuple of quoted strings."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = None
    if not isinstance(value, tuple) or not all(isinstance(word, str) for word in value):
        raise UsageError(f'line {line}: this is not written ("a", "b")')
    return value
