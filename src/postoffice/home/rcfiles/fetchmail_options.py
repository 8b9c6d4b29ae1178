"""What fetchmail's options are, and what each means here: a setting, what happens anyway, or nothing, which is told."""

from __future__ import annotations

import getpass
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from postoffice.client.url import ANY_MECHANISM, PORT, TLS_PORT, Source
from postoffice.errors import UsageError
from postoffice.home.config import LEAST_SECONDS
from postoffice.home.rcfiles.found import (
    ALL_OF_THEM,
    AS_THEY_CAME,
    BY_TLS,
    CHECKED,
    NO_TARGET,
    NO_VALUES,
    NOT_SPOKEN,
    OF_A_KEY,
    OUR_OWN,
    REMEMBERED,
    Found,
    RcFile,
    full,
    mechanism_of,
    server_url,
    source_of,
)

_MANY: Final = "mail for many people in one maildrop is not parted here"
_HOOKS: Final = "no command is run around a pull"
_PROTOCOLS: Final = frozenset({"pop3", "apop", "auto"})
_ANY: Final = frozenset({"any", "password"})
_VALUES_OF_LETTERS: Final = re.compile(r"%F")
_LOCAL_USER: Final = re.compile(r"%[sT]")


@dataclass(frozen=True, slots=True)
class Kind:
    """Of an option: the one `name` of all its spellings, and what `values` it has: none, `text`, a `list`, `names`,
    or a text behind a number that may be there (`skipping`)."""

    name: str
    values: str = ""


@dataclass(frozen=True, slots=True)
class Option:
    """One as it stands in a file; `is_no` where it is switched off."""

    name: str
    line: int
    values: tuple[str, ...] = ()
    is_no: bool = False

    @property
    def text(self) -> str:
        """As it was written, without what may be secret."""
        values = ("...",) if self.name in _SECRETS else self.values
        return " ".join(("no",) * self.is_no + (self.name, *values))

    @property
    def value(self) -> str:
        return self.values[0] if self.values else ""


def _kinds(**spellings: str) -> dict[str, Kind]:
    return {
        word.replace("_", "-"): Kind(group.split()[0].replace("_", "-"), values.replace("flag", ""))
        for values, groups in spellings.items()
        for group in groups.split(",")
        for word in group.split()
    }


GLOBAL: Final = _kinds(
    flag="bouncemail,spambounce,softbounce,syslog,invisible,showdots",
    text="daemon,postmaster,logfile,pidfile,idfile,properties",
)
SERVER: Final = _kinds(
    flag="dns,checkalias,uidl,tracepolls",
    text="via,protocol proto,port,service,authenticate auth,timeout,qvirtual,interface,monitor,plugin,plugout,interval,"
    "principal,esmtpname,esmtppassword,bad_header badheader",
    list="localdomains local,aka",
    skipping="envelope",
)
USER: Final = _kinds(
    flag="ssl,sslcertck,keep,flush,limitflush,fetchall,rewrite,stripcr,forcecr,pass8bits,dropstatus,dropdelivered,"
    "mimedecode,idle,lmtp",
    text="password pass,passwordfile,passwordfd,sslcert,sslkey,sslproto,sslcertfile,sslcertpath,sslcommonname,"
    "sslfingerprint,smtpaddress,smtpname,mda,bsmtp,preconnect,postconnect,limit,warnings,batchlimit,fetchlimit,"
    "fetchsizelimit,fastuidl,expunge,properties,moveto",
    list="folder,smtphost smtp,fetchdomains,antispam",
    names="is,to",
)

_SECRETS: Final = frozenset({"password", "esmtppassword"})

_OTHERWISE: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("bouncemail", "no bouncemail", "spambounce", "softbounce", "no softbounce", "postmaster"), OUR_OWN
    ),
    **dict.fromkeys(("logfile", "pidfile", "syslog", "invisible", "showdots"), OUR_OWN),
    "idfile": REMEMBERED,
    **dict.fromkeys(("envelope", "qvirtual", "aka", "localdomains", "dns", "checkalias", "fetchdomains"), _MANY),
    **dict.fromkeys(("plugin", "plugout", "interface", "monitor", "principal", "timeout", "tracepolls"), OUR_OWN),
    **dict.fromkeys(("preconnect", "postconnect"), _HOOKS),
    **dict.fromkeys(("esmtpname", "esmtppassword", "bsmtp"), NO_TARGET),
    **dict.fromkeys(("antispam", "bad-header"), NO_TARGET),
    **dict.fromkeys(("sslcertpath", "sslcommonname", "no sslcertck"), CHECKED),
    "sslfingerprint": OF_A_KEY,
    **dict.fromkeys(("flush", "limitflush"), "no letter goes from the server that is not safe at home"),
    **dict.fromkeys(("rewrite", "stripcr", "forcecr", "pass8bits", "dropstatus", "dropdelivered"), AS_THEY_CAME),
    "mimedecode": AS_THEY_CAME,
    **dict.fromkeys(("warnings", "batchlimit", "fetchlimit", "fetchsizelimit"), ALL_OF_THEM),
    **dict.fromkeys(("idle", "folder", "moveto"), "POP3 has no such thing"),
    "passwordfd": "say where the password is: password_command and others",
}
"""Why there is no counterpart. What is not here is either a setting of ours or happens anyway (`uidl`, `no flush`)."""


def take(
    rc: RcFile, verb: str, poll: Option, settings: Sequence[Option], server: Sequence[Option], user: Sequence[Option]
) -> None:
    """One user of one server, in our words; defaults stand before what is said of him."""
    said = {option.name: option for option in (*settings, *server, *user)}
    for option in said.values():
        because = _OTHERWISE.get(f"no {option.name}" if option.is_no else option.name)
        if because is not None:
            rc.remark(option.line, option.text, because)
    if verb == "skip":
        rc.remark(poll.line, f"skip {poll.value}", "it is not polled there, so it was left out")
        return
    source = _source(rc, poll, said)
    if source is None:
        return
    account = Found(poll.line if "user" not in said else said["user"].line, source)
    rc.accounts.append(account)
    account.settings["delete"] = [] if _is_on(said, "keep") else ["now"]
    if _is_on(said, "limit"):
        account.settings["largest"] = str(_number(said["limit"]) or "")
    _unlock(rc, account, said)
    for name, key in (("sslcertfile", "ca"), ("sslcert", "client_certificate"), ("sslkey", "client_key")):
        if name in said and not said[name].is_no:
            account.settings[key] = full(said[name].value)
    if "daemon" in said:
        seconds = _number(said["daemon"]) * (_number(said["interval"]) if "interval" in said else 1)
        account.settings["every"] = f"{max(seconds, int(LEAST_SECONDS))}s" if seconds else ""
    elif "interval" in said:
        rc.remark(said["interval"].line, said["interval"].text, "it counts polls, and nothing says how often they are")
    _deliver(rc, account, said)


def _is_on(said: Mapping[str, Option], name: str) -> bool:
    return name in said and not said[name].is_no


def _source(rc: RcFile, poll: Option, said: Mapping[str, Option]) -> Source | None:
    """None, if it has no counterpart."""
    protocol = said.get("protocol", poll)
    kind = protocol.value.lower() if "protocol" in said else "auto"
    if kind not in _PROTOCOLS:
        rc.remark(protocol.line, f"poll {poll.value} protocol {protocol.value}", "only POP3 is spoken")
        return None
    if kind == "auto":
        rc.remark(protocol.line, f"poll {poll.value}", "it names no protocol, and is taken for POP3")
    mechanism: str | None = "+APOP" if kind == "apop" else ANY_MECHANISM
    if "authenticate" in said and said["authenticate"].value.lower() not in _ANY:
        mechanism = mechanism_of(said["authenticate"].value)
        if mechanism is None:
            rc.remark(said["authenticate"].line, said["authenticate"].text, NOT_SPOKEN)
    implicit_tls = _is_on(said, "ssl")
    if "sslproto" in said and not said["sslproto"].is_no:
        version = said["sslproto"]
        if not version.value and not implicit_tls:
            rc.remark(version.line, "sslproto ''", BY_TLS)
        elif version.value.lower() not in ("", "auto", "tls1+", "tls1.1+", "tls1.2", "tls1.2+", "tls1.3", "tls1.3+"):
            rc.remark(version.line, version.text, "TLS 1.2 or newer is spoken")
    host = said["via"].value if "via" in said else poll.value
    user = said["user"].value if "user" in said else getpass.getuser()
    try:
        return source_of(host, _port(said), user, implicit_tls=implicit_tls, mechanism=mechanism or ANY_MECHANISM)
    except UsageError as error:
        raise UsageError(f"line {poll.line}: {error}") from error


def _port(said: Mapping[str, Option]) -> int | None:
    option = said.get("service", said.get("port"))
    if option is None:
        return None
    named = {"pop3": PORT, "pop-3": PORT, "pop3s": TLS_PORT}.get(option.value)
    return named or _number(option)


def _number(option: Option) -> int:
    if not option.value.isdecimal():
        raise UsageError(f"line {option.line}: {option.name} is no number")
    return int(option.value[:8])


def _unlock(rc: RcFile, account: Found, said: Mapping[str, Option]) -> None:
    """Where its password is."""
    if "password" in said:
        account.password = said["password"].value
    elif "passwordfile" in said:
        account.settings["password_file"] = full(said["passwordfile"].value)
    elif account.source.mechanism != "EXTERNAL":
        rc.remark(
            account.line, f"user {account.source.user}", "it names no password; fetchmail asks, or reads ~/.netrc"
        )


def _deliver(rc: RcFile, account: Found, said: Mapping[str, Option]) -> None:
    """By a command, or to a server that is named; else into a mailbox file, and not to this machine's mail server."""
    names = [option for option in (said.get("is"), said.get("to")) if option is not None]
    local = [name for option in names for name in option.values]
    is_for_many = len(local) > 1 or any("=" in name or name == "*" for name in local)
    if is_for_many:
        rc.remark(names[0].line, names[0].text, _MANY)
    if not _is_on(said, "mda"):
        if any(_is_on(said, name) for name in ("smtphost", "smtpname", "smtpaddress", "lmtp")):
            _bring(rc, account, said, getpass.getuser() if is_for_many or not local else local[0])
        elif len(local) == 1:
            because = "a mailbox file takes the letters, and no mail server of this machine"
            rc.remark(names[0].line, names[0].text, because)
        return
    mda = said["mda"]
    if _VALUES_OF_LETTERS.search(mda.value):
        rc.remark(mda.line, mda.text, NO_VALUES)
        return
    name = local[0] if local else getpass.getuser()
    command = _LOCAL_USER.sub(shlex.quote(name).replace("\\", r"\\"), mda.value)
    account.settings["into"] = f"command:{command.replace('%%', '%')}"


def _bring(rc: RcFile, account: Found, said: Mapping[str, Option], local: str) -> None:
    """To a server, whose hosts are a list of which the first that answers is taken: here the first."""
    hosts = said["smtphost"].values if _is_on(said, "smtphost") else ("localhost",)
    host, port = (hosts[0], "") if hosts[0].startswith("/") else hosts[0].partition("/")[::2]
    domain = said["smtpaddress"].value if _is_on(said, "smtpaddress") else "localhost" if host.startswith("/") else host
    recipient = said["smtpname"].value if _is_on(said, "smtpname") else f"{local}@{domain}"
    url = server_url(host, port, recipient, is_lmtp=_is_on(said, "lmtp"))
    if url is not None:
        account.settings["into"] = url
    for name in ("smtphost", "smtpname", "smtpaddress", "lmtp"):
        if url is None and _is_on(said, name):
            rc.remark(said[name].line, said[name].text, NO_TARGET)
    if url is not None and len(hosts) > 1:
        rc.remark(said["smtphost"].line, said["smtphost"].text, "letters go to one server, the first")
