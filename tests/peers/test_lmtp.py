"""Postfix hands letters to us by LMTP, and we hand letters to Dovecot: each recipient is told the truth."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bench.contender import PASSWORD as PEERS_PASSWORD
from bench.contender import Mail
from bench.peers.dovecot import Dovecot
from bench.peers.postfix import Postfix

from postoffice.testing.certificates import Authority
from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office, open_folder, wait_until
from postoffice.testing.programs import LARGE, SMALL, TRAPS, unlike
from postoffice.testing.raw import Pop3Raw, SmtpRaw

pytestmark = pytest.mark.peer

PASSWORD = "secret"
WHOLE = (TRAPS, TRAPS.replace(b"<traps@", b"<large@") + LARGE)
"""Letters with all fields that Postfix would add."""
USERS = Mail(4, []).addresses()
"""Whom the peers know, too."""


@contextmanager
def running(peer: Postfix | Dovecot) -> Iterator[tuple[dict[str, int], Path]]:
    """Its ports, and the folder it lives in; skipped where it cannot run."""
    absence = peer.absence()
    if absence:
        pytest.skip(absence)
    with tempfile.TemporaryDirectory(prefix="peer-") as name:
        home = Path(name)
        home.chmod(0o755)
        peer.prepare(home, Mail(len(USERS), []))
        try:
            peer.start(None)
            yield peer.ports(), home
        finally:
            peer.stop()


def relayed(office: OfficeProcess) -> list[str]:
    """Whom another office took a letter for."""
    return sorted(event["recipient"] for event in office.events() if event["event"] == "letter.relayed")


def letters(port: int, address: str, password: str) -> list[bytes]:
    """What lies in a maildrop."""
    with Pop3Raw(port) as client:
        assert client.log_in(address, password).startswith(b"+OK")
        found = [client.retrieve(number) for number in client.unique_ids()]
        client.ask("QUIT")
    return found


@pytest.mark.parametrize("way", ["port", "socket"])
def test_postfix_delivers_to_us_and_tells_the_sender_whom_we_refused(way: str) -> None:
    first, second, sender, unknown = USERS
    with open_folder() as folder:
        make_office(folder / "office", dict.fromkeys((first, second, sender), PASSWORD))
        path = folder / "lmtp"
        with OfficeProcess(folder / "office", f'{CLEAR_TEXT}[office.sockets]\nlmtp = "{path}"\n') as office:
            place = f"inet:127.0.0.1:{office.ports['lmtp']}" if way == "port" else f"unix:{path}"
            with running(Postfix("lmtp", f"lmtp:{place}")) as (ports, _):
                with SmtpRaw(ports["smtp"]) as client:
                    assert client.ask("EHLO x.example") == 250
                    for letter in WHOLE:
                        assert client.send(sender, [first, unknown, second], letter) == 250
                pop3 = office.ports["pop3"]
                wait_until(lambda: len(letters(pop3, sender, PASSWORD)) == len(WHOLE), "each refusal came back")
            for address in (first, second):
                kept = letters(pop3, address, PASSWORD)
                assert unlike(sorted(kept, key=len), WHOLE) == []
                assert all(b" with LMTP" in letter for letter in kept)
            for notice in letters(pop3, sender, PASSWORD):
                assert f"Final-Recipient: rfc822; {unknown}".encode() in notice
                assert b"5.1.1" in notice
                assert notice.count(b"Final-Recipient") == 1


@pytest.mark.parametrize("way", ["port", "socket"])
def test_dovecot_keeps_what_we_hand_over_and_whom_it_refuses_we_tell_the_sender(way: str) -> None:
    first, second, *_ = USERS
    alice, nobody = "alice@a.example", "nobody@b.example"
    with open_folder() as folder, running(Dovecot("default")) as (ports, home):
        authority = Authority()
        make_office(folder / "office", {alice: PASSWORD}, authority)
        place = f'host = "127.0.0.1"\nport = {ports["lmtp"]}' if way == "port" else f'host = "{home}/run/lmtp"'
        route = f'[relay.routes."b.example"]\n{place}\nlmtp = true\n'
        with OfficeProcess(folder / "office", CLEAR_TEXT + route) as office:
            trust = ssl.create_default_context(cafile=authority.ca_path)
            with SmtpRaw(office.ports["submissions"], trust) as client:
                client.ask("EHLO a.example")
                assert client.log_in(alice, PASSWORD) == 235
                for letter in (SMALL, TRAPS):
                    assert client.send(alice, [first, nobody, second], letter) == 250
            wait_until(lambda: len(letters(office.ports["pop3"], alice, PASSWORD)) == 2, "each refusal came back")
            for notice in letters(office.ports["pop3"], alice, PASSWORD):
                assert f"Final-Recipient: rfc822; {nobody}".encode() in notice
                assert notice.count(b"Final-Recipient") == 1
            wait_until(lambda: relayed(office) == [first, first, second, second], "each was told apart")
        for address in (first, second):
            kept = letters(ports["pop3"], address, PEERS_PASSWORD)
            assert unlike(sorted(kept, key=len), [SMALL, TRAPS]) == []
