"""Files of fetchmail, mpop and getmail are read as these programs read them: they are asked what is in them."""

from __future__ import annotations

import re
import shutil
from typing import Any

import pytest

from postoffice.home.rcfiles import fetchmail, read
from postoffice.testing.programs import Program
from postoffice.testing.rcfiles import FETCHMAIL, GETMAIL, MPOP

pytestmark = pytest.mark.peer


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed here")


FETCHMAILRCS = (
    FETCHMAIL,
    "poll p.example proto pop3 user with pass with is with and x\n",
    "poll p.example proto pop3 user poll pass user is user\n",
    "poll p.example proto pop3 user a pass b#c keep\n# no nokeep\n",
    'poll p.example proto pop3 user a pass b"c ssl\n',
    "poll p.example proto pop3 user a pass 'a\"b' is 'x y' here no keep no ssl\n",
    "poll p.example proto pop3 user a pass a\\072b is \\101 here\n",
    "poll p proto pop3 user 1a pass 12 is 12 here and wants nokeep, user second pass 13 keep\n",
    'poll x.example user a pass "a\\"b"\n',
    'poll x.example user a pass "ab"c keep\n',
    'poll x.example user a pass "ab\nkeep\n',
    "poll x.example user a pass x\\\n keep\n",
    "poll x.example user a pass \\\nx,keep;ssl #no\n",
    "poll x.example proto pop3 user here here is there there password hello\\n\n",
    'poll y.example via "z.example" port 1110 user a pass "two\nli\\\nnes" mda "cat %T" preconnect \'echo "x"\'\n',
    'defaults proto pop3 user "dflt" keep ssl pass x\npoll t.example\npoll u.example user v no ssl\n',
    "server p.example protocol POP3 aka a b c localdomains d envelope 1 Received interval 2 user a pass b keep\n",
    'poll p.example no dns no envelope user a folder x y smtphost z password "\\x41\\x4a\\63\\061\\zend\\\\"\n',
)


@needs("fetchmail")
@pytest.mark.parametrize("text", FETCHMAILRCS)
def test_fetchmail_reads_the_same(program: Program, text: str) -> None:
    path = program.home / "rc"
    path.write_text(text)
    path.chmod(0o600)
    dumped = program.run("fetchmail", "--configdump", "-f", path).stdout.decode("latin-1")
    scope: dict[str, Any] = {}
    exec(dumped, scope)  # it writes Python
    theirs = [
        (
            server["via"] or server["pollname"],
            user["remote"],
            user["password"],
            user["ssl"],
            user["keep"],
            bool(user["mda"]) and "%F" not in user["mda"],
        )
        for server in scope["fetchmailrc"]["servers"]
        for user in server["users"]
        if server["active"] and server["protocol"].lower() in ("pop3", "apop", "auto")
    ]
    ours = [
        (
            account.source.host,
            account.source.user,
            account.password,
            account.source.implicit_tls,
            account.settings["delete"] == [],
            str(account.settings.get("into")).startswith("command:"),
        )
        for account in fetchmail.parse(text).accounts
    ]
    assert ours == theirs
    assert ours


@needs("mpop")
def test_mpop_reads_the_same(program: Program) -> None:
    path = program.home / "rc"
    path.write_text(MPOP.replace("gpg2 --no-tty -q -d ~/.mpop-password.gpg", "echo x"))
    path.chmod(0o600)
    said = program.run("mpop", "-C", path, "-P", "free", "free2", "company").stdout.decode()
    theirs = [
        (
            *re.findall(r"^(?:host|port|user) = (.*)", account, re.MULTILINE),
            "\ntls = on\n" in account and "\ntls_starttls = off" in account,
            "\nkeep = on" in account,
        )
        for account in said.split("using account")[1:]
    ]
    ours = [
        (
            account.source.host,
            str(account.source.port),
            account.source.user,
            account.source.implicit_tls,
            account.settings["delete"] == [],
        )
        for account in read(path).accounts
    ]
    assert ours == theirs


@needs("getmail")
def test_getmail_reads_the_same(program: Program) -> None:
    path = program.home / "getmailrc"
    path.write_text(GETMAIL.replace("/usr/bin/procmail", "/bin/cat").replace("/usr/bin/spam", "/bin/cat"))
    said = program.run("getmail", "--getmaildir", program.home, "--dump").stdout.decode()
    [account] = read(path).accounts
    for theirs in (
        f'server="{account.source.host}"',
        f'username="{account.source.user}"',
        f'port="{account.source.port}"',
        """password_command="('pass', 'show', 'my mail')""",
        """arguments="('-d', "it's me")""",
        'path="/bin/cat"',
        "delete_after : 14",
        "max_message_size : 100000",
    ):
        assert theirs in said
    assert account.settings == {
        "password_command": "pass show 'my mail'",
        "into": """command:/bin/cat -d 'it'"'"'s me'""",
        "delete": ["14 days"],
        "largest": "100000",
    }
