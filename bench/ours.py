"""Our own office as a contender: `postoffice serve` with the embedded store, as a person would run it.

Two settings are not the default, both to have what the peers have: login in clear from loopback, and an hour, as in
the tuned Dovecot, for which a right password is remembered. Passwords are hashed as always. On a single core there
is one worker. Two more are there for the logins: a forgetful office remembers no password, so each login with one
costs an argon2id hash; an office that keeps passwords in clear has nothing to hash.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from bench.contender import PASSWORD, Mail
from bench.process import Server, ServerFailed
from postoffice.accounts.verifiers import of_clear, of_clear_with_scram, of_own, of_own_with_scram
from postoffice.app.privilege import give_away
from postoffice.protocols.dots import stuff
from postoffice.store.base import Store
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.embedded.glimpse import SETTLED_SECONDS
from postoffice.store.embedded.office import OPEN_MAILBOXES
from postoffice.store.embedded.places import mailbox_path
from postoffice.store.model import Acceptance, Account, Credential, Letter, LocalDelivery

_PLACED_AT_ONCE = 250
_ASKED_AT_ONCE = 256

_CONFIG = """
[office]
addresses = ["127.0.0.1"]
ports = {{ pop3 = 0, smtp = 0, pop3s = 0, submission = {submission}, submissions = -1, metrics = -1 }}
workers = {workers}

{routes}
[login]
clear_text_networks = ["127.0.0.0/8"]
remember_seconds = {remembered}
"""


class Ours:
    """One office."""

    load_words: tuple[str, ...] = ()
    keeps_letters = True
    does_logins = True

    def __init__(self, kind: str = "", routes: Mapping[str, int] | None = None) -> None:
        """`kind`: the usual office, or one that is `forgetful` or keeps passwords in `clear`.

        With `routes`, to ports of 127.0.0.1 by domain, its people may send mail there.
        """
        self.routes: Mapping[str, int] = routes or {}
        self.name = f"ours-{kind}" if kind else "ours"
        self.does_pop3 = self.does_smtp = self.does_day = not kind
        self._kind = kind
        self._home = Path()
        self._server: Server | None = None
        self._ports: dict[str, int] = {}

    def absence(self) -> str | None:
        return None

    def version(self) -> str:
        said = subprocess.run([*command(), "--version"], capture_output=True, text=True, check=True)
        return said.stdout.strip()

    def prepare(self, home: Path, mail: Mail) -> None:
        self._home = home
        first, *others = mail.addresses()
        words = [*command(), "init", "--data", str(self.data), first, "--password-stdin"]
        ended = subprocess.run(words, input=f"{PASSWORD}\n", capture_output=True, text=True, check=False)
        if ended.returncode:
            raise ServerFailed(f"postoffice init: {ended.stderr.strip()}")
        asyncio.run(_fill(self.data, first, others, mail, in_clear=mail.in_clear or self._kind == "clear"))
        give_away(self.data)
        if mail.accounts > OPEN_MAILBOXES:
            time.sleep(SETTLED_SECONDS)  # out of use is what is looked at there, and not what was made a moment ago

    @property
    def data(self) -> Path:
        return self._home / "data"

    def start(self, core: int | None) -> None:
        config = self._home / "postoffice.toml"
        config.write_text(
            _CONFIG.format(
                workers=0 if core is None else 1,
                remembered=0.0 if self._kind == "forgetful" else 3600.0,
                submission=0 if self.routes else -1,
                routes="".join(
                    f'[relay.routes."{domain}"]\nhost = "127.0.0.1"\nport = {port}\n'
                    for domain, port in self.routes.items()
                ),
            )
        )
        words = [*command(), "serve", "--config", str(config), "--data", str(self.data)]
        self._server = Server(words, self._home / "serve.log", core)
        for said in self._server.read_ready().split()[1:]:
            door, _, place = said.partition("=")
            self._ports[door] = int(place.rpartition(":")[2])

    def ports(self) -> dict[str, int]:
        return self._ports

    def pids(self) -> dict[str, int]:
        return {self.name: self._server.pid} if self._server else {}

    def settle(self) -> None:
        """A letter answered with 250 is in its mailbox. (Its file takes it in an hour later, if it is still there.)"""

    def delivered(self) -> int | None:
        return None

    def chill(self) -> None:
        """The index is the mailbox itself; what is remembered beside it goes with the process."""

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            self._server = None


def command() -> list[str]:
    """The command beside this Python."""
    return [os.fspath(Path(sys.executable).with_name("postoffice"))]


async def _fill(data: Path, first: str, addresses: Sequence[str], mail: Mail, *, in_clear: bool) -> None:
    """More accounts, and the letters in every mailbox. The command line would take a process for each.

    The letters are placed once, and the file that has them is copied for all the others.
    """
    store = EmbeddedStore.open(data)
    try:
        now = time.time()
        await _several(store.directory.add_account(address, now) for address in addresses)
        accounts = await store.directory.accounts()
        verifier = of_clear(PASSWORD) if in_clear else of_own(PASSWORD)
        with_scram = of_clear_with_scram if in_clear else of_own_with_scram
        secret = await store.directory.secret()
        await _several(
            store.directory.set_credential(
                Credential(
                    account.account_id,
                    "password",
                    with_scram(PASSWORD, account.address, secret) if mail.with_scram else verifier,
                )
            )
            for account in accounts
        )
        if mail.just_arrived:
            await _deliver(store, accounts, mail.letters)
            return
        for at in range(0, len(mail.letters), _PLACED_AT_ONCE):
            await _place(store, accounts[0], mail.letters[at : at + _PLACED_AT_ONCE])
    finally:
        await store.close()
    if mail.letters:
        placed, *others = [mailbox_path(data, account.account_id) for account in accounts]
        for path in others:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            shutil.copyfile(placed, path)
            path.chmod(0o600)


async def _several(verbs: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Many at once, so that they are committed together."""
    waiting = iter(verbs)
    while some := list(islice(waiting, _ASKED_AT_ONCE)):
        await asyncio.gather(*some)


async def _deliver(store: Store, accounts: Sequence[Account], contents: Sequence[bytes]) -> None:
    """The letters as the SMTP door hands them over, with nothing above them."""
    local = tuple(LocalDelivery(account.account_id, b"") for account in accounts)
    for number, content in enumerate(contents):
        now = time.time()
        stage = await store.office.stage()
        await stage.write(stuff(content))
        staged = await stage.finish()
        await store.office.accept(Acceptance(f"letter{number}", staged, "", now, local))


async def _place(store: Store, account: Account, contents: Sequence[bytes]) -> None:
    """The letters as they are, with nothing above them."""
    mailbox = await store.office.mailbox(account.account_id)
    letters = []
    for content in contents:
        stage = await mailbox.stage()
        await stage.write(stuff(content))
        letters.append(Letter(await stage.finish(), time.time()))
    await mailbox.append(letters)
