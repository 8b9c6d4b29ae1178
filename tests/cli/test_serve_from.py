"""`serve --from FILE`: a person's file is open to mail programs for as long as the command runs, and to nobody else."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from postoffice.testing.check_store.walk import text
from postoffice.testing.command import PROGRAM, as_somebody
from postoffice.testing.files import letters_of, put_into
from postoffice.testing.process import open_folder
from postoffice.testing.raw import Pop3Raw
from postoffice.testing.served import ServedFiles

AS_SOMEBODY = as_somebody(
    *("argon2", "encodings.idna", "scramp", "uvloop"),
    *("postoffice.app.config", "postoffice.cli.folder", "postoffice.cli.main", "postoffice.cli.office"),
    *("postoffice.cli.locked", "postoffice.home.locking.beside", "postoffice.cli.serving", "postoffice.cli.elsewhere"),
    *("postoffice.client.secrets", "postoffice.home.serving", "postoffice.store.embedded.mailbox"),
)


def kept(file: Path) -> list[bytes]:
    return asyncio.run(letters_of(file))


@pytest.fixture
def file() -> Iterator[Path]:
    """With two letters, in a folder through which others may pass."""
    with open_folder() as folder:
        path = folder / "home" / "mail.mailbox"
        path.parent.mkdir()
        asyncio.run(put_into(path, text(1), text(2)))
        yield path


def fails(*words: str | Path, given: bytes = b"") -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, "serve", *map(str, words)],
        input=given,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == b""
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_says_where_and_by_which_password_and_ends_when_it_is_told(file: Path, number: signal.Signals) -> None:
    with ServedFiles(file) as served:
        assert served.said[0].startswith(f"{file}: 2 letters, what is deleted stays in it; user mail, password ")
        assert len(served.users["mail"]) == 24
        client = Pop3Raw(served.ports["pop3"])
        assert client.log_in("mail", served.users["mail"]).startswith(b"+OK")
        assert client.retrieve(1) == text(1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((_address_of_this_machine(), served.ports["pop3"]), timeout=20).close()
        assert served.stop(number) == 0
        client.close()
    assert "mail: 1 of 2 letters fetched, 0 deleted; ended: drained" in served.errors
    assert not (file.parent / "mail.mailbox-wal").exists(), "it was closed"


def _address_of_this_machine() -> str:
    """One that is not loopback, if there is one: it is asked of the kernel, and nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(probe.getsockname()[0])


def test_two_runs_make_two_passwords(file: Path) -> None:
    with ServedFiles(file) as one, ServedFiles(file) as other:
        assert one.users["mail"] != other.users["mail"]
        with Pop3Raw(other.ports["pop3"]) as client:
            assert client.log_in("mail", one.users["mail"]).startswith(b"-ERR [AUTH]")
    assert "a wrong name or password: mail" in other.errors


def test_the_password_that_is_given_is_not_printed(file: Path, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.touch(mode=0o600)
    secret.write_text("quê hương\n", encoding="utf-8")
    with ServedFiles(file, words=("--password-file", secret, "--user", "Me@example.org")) as served:
        assert "quê hương" not in "".join(served.said)
        assert served.said[0].endswith("user me@example.org, password the one that was given")
        for name in ("me@example.org", "me"):
            with Pop3Raw(served.ports["pop3"]) as client:
                assert client.log_in(name, "quê hương").startswith(b"+OK")


def test_it_deletes_what_it_is_told_to(file: Path) -> None:
    for words, left in ((), [text(1), text(2)]), (("--delete", "--user", "other"), [text(2)]):
        with ServedFiles(file, words=words) as served, Pop3Raw(served.ports["pop3"]) as client:
            [(name, password)] = served.users.items()
            assert client.log_in(name, password).startswith(b"+OK")
            assert client.ask("DELE 1").startswith(b"+OK")
            assert client.ask("QUIT").startswith(b"+OK")
        assert kept(file) == left


def test_the_certificate_is_the_same_at_each_run(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    shown = set()
    for _ in range(2):
        with ServedFiles(file, words=("--tls", folder)) as served:
            context = ssl.create_default_context(cafile=folder / "certificate.pem")
            with Pop3Raw(served.ports["pop3s"], context) as client:
                assert client.log_in("mail", served.users["mail"]).startswith(b"+OK")
            with Pop3Raw(served.ports["pop3"]) as client:
                assert client.ask("STLS").startswith(b"+OK")
                client.begin_tls(context)
                assert client.log_in("mail", served.users["mail"]).startswith(b"+OK")
            shown.add(ssl.get_server_certificate(("127.0.0.1", served.ports["pop3s"])))
    assert len(shown) == 1
    assert (folder / "key.pem").stat().st_mode & 0o077 == 0


def test_a_file_that_cannot_be_written_is_shown_and_nothing_is_deleted_from_it(file: Path) -> None:
    file.chmod(0o444)
    file.parent.chmod(0o555)
    before = file.read_bytes()
    try:
        with ServedFiles(file, program=AS_SOMEBODY) as served:
            assert "cannot be written: nothing can be deleted" in served.said[0]
            for _ in range(2):
                with Pop3Raw(served.ports["pop3"]) as client:
                    assert client.log_in("mail", served.users["mail"]).startswith(b"+OK")
                    assert [client.retrieve(number) for number in client.unique_ids()] == [text(1), text(2)]
                    assert client.ask("DELE 1").startswith(b"+OK")
                    assert client.ask("QUIT").startswith(b"-ERR [SYS/TEMP] some deleted messages not removed")
            assert served.stop() == 0
        assert f"postoffice: {file}: cannot be written here, so nothing is deleted from it" in served.errors
    finally:
        file.parent.chmod(0o755)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["mail.mailbox"]


def test_a_locked_file_is_served_to_who_has_its_passphrase(file: Path, tmp_path: Path) -> None:
    secret = tmp_path / "passphrase"
    secret.touch(mode=0o600)
    secret.write_text("correct horse battery staple\n")
    words = ("lock", str(file), "--passphrase-file", str(secret))
    subprocess.run([sys.executable, "-W", "error", "-c", PROGRAM, *words], check=True, stdout=subprocess.DEVNULL)
    status, said = fails("--from", file)
    assert (status, "is locked" in said) == (os.EX_NOPERM, True)
    with ServedFiles(file, words=("--passphrase-file", secret)) as served, Pop3Raw(served.ports["pop3"]) as client:
        assert client.log_in("mail", served.users["mail"]).startswith(b"+OK")
        assert [client.retrieve(number) for number in client.unique_ids()] == [text(1), text(2)]
        assert client.ask("DELE 1").startswith(b"+OK")
        assert client.ask("QUIT").startswith(b"+OK")
    assert text(1)[-20:] not in file.read_bytes()


def test_systemd_hears_that_it_is_ready(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with ServedFiles(file):
            assert heard.recv(100) == b"READY=1"
        assert heard.recv(100) == b"STOPPING=1"


def test_what_is_wrong_is_one_sentence(file: Path, tmp_path: Path) -> None:
    there = ("--from", file)
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"no mailbox file\n" * 100)
    for words, given, status, said in (
        (("--from", tmp_path / "none"), b"", os.EX_NOINPUT, "none: there is no such file"),
        (("--from", tmp_path), b"", os.EX_NOINPUT, "is a folder, not a mailbox file"),
        (("--from", damaged), b"", os.EX_DATAERR, "damaged"),
        ((*there, "--listen", "0.0.0.0"), b"", os.EX_USAGE, "it needs --tls"),
        ((*there, "--data", tmp_path), b"", os.EX_USAGE, "--data, --config and --workers are those of an office"),
        ((*there, "--port", "smtp=0"), b"", os.EX_USAGE, "--port smtp: a mailbox file has the doors pop3 and pop3s"),
        ((*there, "--port", "pop3=-1"), b"", os.EX_USAGE, "neither is closed"),
        ((*there, "--password-stdin"), b"\n", os.EX_USAGE, "the password is empty"),
        ((*there, "--password-stdin", "--password-command", "x"), b"x\n", os.EX_USAGE, "the password is in one place"),
        ((*there, "--tls", file), b"", os.EX_CANTCREAT, "no certificate can be made there"),
        (("--delete",), b"", os.EX_USAGE, "--delete goes with --from FILE"),
        (("--password-stdin",), b"x\n", os.EX_USAGE, "--password-stdin goes with --from FILE"),
    ):
        assert fails(*words, given=given)[0] == status, words
        assert said in fails(*words, given=given)[1]
        assert len(fails(*words, given=given)[1].splitlines()) == 1


def test_a_port_that_is_taken_is_said(file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, said = fails("--from", file, "--port", f"pop3={taken.getsockname()[1]}")
    assert status == os.EX_OSERR
    assert "cannot listen on 127.0.0.1" in said
