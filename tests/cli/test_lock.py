"""A mailbox file is locked: every command opens it with what opens it, none without, and nothing is lost on the way."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import random
import re
import shutil
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from postoffice.database.key import MARK, salt_of
from postoffice.home.locking import holding
from postoffice.home.locking.beside import read_slots
from postoffice.home.locking.finding import key_by
from postoffice.home.locking.recognizing import keys_path
from postoffice.home.mailbox import opening, pulling_into
from postoffice.store.embedded import MailboxFile
from postoffice.store.model import Letter
from postoffice.testing.check_store.walk import seen
from postoffice.testing.command import COMMAND
from postoffice.testing.peer import PASSWORD, USER, Pop3Peer

PASSPHRASE = "correct horse battery"
LETTERS = {
    f"id-{number}": f"From: an{number}@a.example\r\nSubject: subject{number}\r\n\r\nword{number} here\r\n".encode()
    for number in range(1, 6)
}
RECOVERY_KEY = re.compile(r"recovery key +([0-9A-Z-]{34})")


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keys that are unlocked here are nobody else's."""
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    yield
    holding.forget()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    return secret_file(tmp_path / "passphrase", PASSPHRASE)


def secret_file(path: Path, words: str) -> Path:
    path.write_text(f"{words}\n")
    path.chmod(0o600)
    return path


def postoffice(*words: object, stdin: str = "") -> tuple[int, str, str]:
    """Status, standard output, standard error."""
    done = subprocess.run(
        [*COMMAND, *map(str, words)], input=stdin.encode(), capture_output=True, timeout=60, check=False
    )
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode()


def well(*words: object, stdin: str = "") -> str:
    """Standard output of what must end well."""
    status, out, errors = postoffice(*words, stdin=stdin)
    assert status == 0, errors
    return out


def fetched(port: int, file: Path, *words: object) -> str:
    url = f"pop://{USER}@127.0.0.1:{port}"
    secret = secret_file(file.parent / "maildrop", PASSWORD)
    return well("fetch", url, "--into", file, "--password-file", secret, *words)


async def letters_of(file: Path, passphrase: str | None = PASSPHRASE) -> list[bytes]:
    mailbox = opening(file, key=key_by(file, passphrase) if passphrase else None)()
    try:
        return await seen(mailbox)
    finally:
        await mailbox.close()


@pytest.fixture
def peer() -> Pop3Peer:
    """The server that `file` was pulled from."""
    return Pop3Peer(dict(LETTERS))


@pytest.fixture
def port(peer: Pop3Peer) -> Iterator[int]:
    with peer.serving() as port:
        yield port


@pytest.fixture
def file(port: int, tmp_path: Path) -> Path:
    path = tmp_path / "mail.mailbox"
    fetched(port, path)
    well("search", path, "word1")  # so that there is an index
    return path


@pytest.fixture
def locked(file: Path, secret: Path) -> Path:
    well("lock", file, "--passphrase-file", secret)
    return file


# --- locking and unlocking ----------------------------------------------------------------------------------------


async def test_the_letters_are_the_same_before_locked_and_after(file: Path, secret: Path) -> None:
    before = await letters_of(file, None)
    [*_, commit] = well("check", file).split()
    out = well("lock", file, "--passphrase-file", secret)
    assert "5 letters" in out
    assert RECOVERY_KEY.search(out)
    assert file.read_bytes().startswith(MARK)
    assert await letters_of(file) == before
    assert "all is sound: 5 letters" in well("check", file, "--passphrase-file", secret)
    well("passwd", file, "--passphrase-file", secret, "--new-passphrase-file", secret)
    assert well("verify", file, "--after", commit, "--passphrase-file", secret).endswith(f", commit {commit}\n")
    out = well("unlock", file, "--for-good", "--passphrase-file", secret)
    assert "not encrypted any more" in out
    assert file.read_bytes().startswith(b"SQLite format 3\0")
    assert await letters_of(file, None) == before
    assert well("check", file).endswith(f", commit {commit}\n")
    assert "word3" in well("search", file, "word3")


COMMANDS = (
    ("ls", "{file}"),
    ("read", "{file}", "3"),
    ("search", "{file}", "word3"),
    ("why", "{file}", "3"),
    ("scan", "{file}", "--list"),
    ("scan", "{file}", "--by", "command:true"),
    ("check", "{file}"),
    ("pack", "{file}", "--into", "{new}"),
    ("repair", "{file}", "--into", "{new}"),
    ("export", "maildir", "{new}", "--file", "{file}"),
    ("export", "mbox", "{new}", "--file", "{file}"),
    ("merge", "{file}", "{other}"),
    ("merge", "{other}", "{file}"),
)


@pytest.fixture
def places(locked: Path, tmp_path: Path) -> dict[str, Path]:
    other = tmp_path / "other.mailbox"
    asyncio.run(MailboxFile.open(other, create=True).close())
    return {"file": locked, "new": tmp_path / "new", "other": other}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_opens_it_with_the_passphrase_and_is_closed_without(
    command: tuple[str, ...], places: dict[str, Path], secret: Path, tmp_path: Path
) -> None:
    words = [word.format(**places) for word in command]
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    status, out, errors = postoffice(*words)
    assert (status, out) == (77, "")
    assert errors.count("\n") == 1
    assert "is locked, and there is no terminal" in errors
    wrong = secret_file(tmp_path / "wrong", "another passphrase")
    status, out, errors = postoffice(*words, "--passphrase-file", wrong)
    assert (status, out) == (77, "")
    assert errors == f"postoffice: {places['file']}: that passphrase does not open it\n"
    wrong.unlink()
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    well(*words, "--passphrase-file", secret)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_what_is_unlocked_opens_for_every_command_until_it_is_locked(
    command: tuple[str, ...], places: dict[str, Path], secret: Path
) -> None:
    words = [word.format(**places) for word in command]
    well("unlock", places["file"], "--passphrase-file", secret)
    well(*words)
    assert well("lock", places["file"]) == f"{places['file']}: is locked\n"
    assert postoffice("ls", places["file"])[0] == 77


def test_lock_without_a_file_locks_everything(locked: Path, secret: Path) -> None:
    well("unlock", locked, "--for", "5", "--passphrase-file", secret)
    well("ls", locked)
    well("lock")
    assert postoffice("ls", locked)[0] == 77


@pytest.mark.parametrize("way", ["file", "command", "variable", "credential", "stdin"])
def test_the_passphrase_comes_from_where_a_person_says(
    way: str, locked: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAILBOX_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(secret.parent))
    places: dict[str, object] = {"file": secret, "command": f"cat '{secret}'", "variable": "MAILBOX_PASSPHRASE"}
    places["credential"] = secret.name
    said = [places[way]] if way in places else []
    assert "subject5" in well("ls", locked, f"--passphrase-{way}", *said, stdin=f"{PASSPHRASE}\n")


def test_only_one_place_is_named(locked: Path, secret: Path) -> None:
    for said in (("--passphrase-command", "true"), ("--passphrase-stdin",)):
        status, _, errors = postoffice("ls", locked, "--passphrase-file", secret, *said, stdin=f"{PASSPHRASE}\n")
        assert status == 64
        assert "one place" in errors


# --- pulling ------------------------------------------------------------------------------------------------------


async def test_a_pull_into_a_locked_file_brings_what_is_new_and_its_index_follows(
    peer: Pop3Peer, port: int, locked: Path, secret: Path
) -> None:
    peer.given.clear()
    peer.letters |= {"id-6": b"Subject: six\r\n\r\nsixthword\r\n", "id-7": b"x" * 3_000_000 + b"\r\n"}
    fetched(port, locked, "--passphrase-file", secret)
    assert peer.given == {"id-6", "id-7"}
    fetched(port, locked, "--passphrase-file", secret)
    assert peer.given == {"id-6", "id-7"}
    assert sorted(await letters_of(locked)) == sorted(peer.letters.values())
    assert "six" in well("search", locked, "sixthword", "--passphrase-file", secret)
    assert locked.read_bytes().startswith(MARK)


def test_without_the_passphrase_the_server_is_not_even_asked(
    peer: Pop3Peer, port: int, locked: Path, tmp_path: Path
) -> None:
    before = peer.sessions
    password = secret_file(tmp_path / "maildrop", PASSWORD)
    url = f"pop://{USER}@127.0.0.1:{port}"
    status, _, errors = postoffice("fetch", url, "--into", locked, "--password-file", password)
    assert status == 77
    assert "is locked" in errors
    assert peer.sessions == before


def test_an_account_says_where_the_passphrase_of_its_file_is(
    peer: Pop3Peer, port: int, locked: Path, secret: Path, tmp_path: Path
) -> None:
    peer.letters["id-6"] = b"Subject: six\r\n\r\n"
    settings = tmp_path / "home.toml"
    settings.write_text(
        f'[accounts.me]\nurl = "pop://{USER}@127.0.0.1:{port}"\ninto = "{locked}"\n'
        f'password_command = "echo {PASSWORD}"\npassphrase_file = "{secret}"\n'
    )
    assert "would fetch 1 letter" in well("fetch", "me", "--dry-run", "--config", settings)
    out = well("fetch", "me", "--config", settings, "--json")
    words = [*COMMAND, "run", "--json", "--config", str(settings)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = next(one for line in process.stdout if (one := json.loads(line))["event"] in ("pulled", "failed"))
        process.terminate()
    assert json.loads(out.splitlines()[-1])["letters"] == 1
    assert (told["event"], told["letters"]) == ("pulled", 0)
    settings.write_text(settings.read_text() + 'passphrase_command = "true"\n')
    status, _, errors = postoffice("fetch", "me", "--config", settings)
    assert status == 78
    assert "the passphrase comes from one place" in errors


async def test_one_pull_at_a_time_holds_for_locked_files_too(locked: Path, secret: Path) -> None:
    async with pulling_into(locked, key_by(locked, PASSPHRASE)):
        url = f"pop://{USER}@127.0.0.1:1"
        done = await asyncio.to_thread(
            postoffice,
            *("fetch", url, "--into", locked, "--password-file", secret_file(locked.parent / "p", PASSWORD)),
            *("--passphrase-file", secret),
        )
    assert done[0] == 75
    assert "somebody else pulls into it" in done[2]


def test_no_plain_file_is_made_where_a_locked_one_is_missed(locked: Path, tmp_path: Path) -> None:
    locked.rename(tmp_path / "elsewhere")
    status, _, errors = postoffice(
        *("fetch", f"pop://{USER}@127.0.0.1:1", "--into", locked),
        *("--password-file", secret_file(tmp_path / "p", PASSWORD)),
    )
    assert status == 73
    assert "but the locked mailbox that it opens does not" in errors
    assert not locked.exists()


def test_none_is_made_in_an_empty_file_beside_keys_either(locked: Path, tmp_path: Path) -> None:
    locked.write_bytes(b"")
    status, _, errors = postoffice(
        *("fetch", f"pop://{USER}@127.0.0.1:1", "--into", locked),
        *("--password-file", secret_file(tmp_path / "p", PASSWORD)),
    )
    assert status == 73
    assert "but the locked mailbox that it opens does not" in errors
    assert locked.read_bytes() == b""


async def test_what_only_the_log_holds_is_locked_with_it(file: Path, secret: Path, tmp_path: Path) -> None:
    """Whoever was killed left the log behind."""
    mailbox = MailboxFile.open(file)
    stage = await mailbox.stage()
    await stage.write(b"Subject: only in the log\r\n\r\n")
    await mailbox.append([Letter(await stage.finish(), 7.0)])
    torn = tmp_path / "torn.mailbox"
    for ending in ("", "-wal"):
        shutil.copy(f"{file}{ending}", f"{torn}{ending}")
    await mailbox.close()
    well("lock", torn, "--passphrase-file", secret)
    assert b"Subject: only in the log\r\n\r\n" in await letters_of(torn)
    assert {path.name for path in tmp_path.glob("torn*")} == {"torn.mailbox", "torn.mailbox.keys"}


async def test_a_mailbox_is_locked_from_its_beginning(tmp_path: Path, secret: Path) -> None:
    file = tmp_path / "fresh.mailbox"
    assert RECOVERY_KEY.search(well("lock", "--create", file, "--passphrase-file", secret))
    assert file.read_bytes().startswith(MARK)
    with Pop3Peer(dict(LETTERS)).serving() as port:
        fetched(port, file, "--passphrase-file", secret)
    assert sorted(await letters_of(file)) == sorted(LETTERS.values())
    status, _, errors = postoffice("lock", "--create", file, "--passphrase-file", secret)
    assert (status, errors) == (73, f"postoffice: {file}: is there already\n")


# --- ways in ------------------------------------------------------------------------------------------------------


def test_the_recovery_key_opens_it_however_it_is_typed(file: Path, secret: Path) -> None:
    found = RECOVERY_KEY.search(well("lock", file, "--passphrase-file", secret))
    assert found is not None
    for typed in (found[1], found[1].lower().replace("-", " ")):
        assert "subject1" in well("ls", file, "--passphrase-stdin", stdin=f"{typed}\n")
    slip = ("B" if found[1][0] == "A" else "A") + found[1][1:]
    status, _, errors = postoffice("ls", file, "--passphrase-stdin", stdin=f"{slip}\n")
    assert status == 77
    assert "a letter or digit of it is wrong" in errors


def test_a_forgotten_passphrase_is_changed_by_the_recovery_key(file: Path, secret: Path, tmp_path: Path) -> None:
    found = RECOVERY_KEY.search(well("lock", file, "--passphrase-file", secret))
    assert found is not None
    new = secret_file(tmp_path / "new", "four other random words")
    well("passwd", file, "--passphrase-stdin", "--new-passphrase-file", new, stdin=f"{found[1]}\n")
    assert postoffice("ls", file, "--passphrase-file", secret)[0] == 77
    well("ls", file, "--passphrase-file", new)
    renewed = RECOVERY_KEY.search(well("passwd", file, "--recovery-key", "--passphrase-file", new))
    assert renewed is not None
    assert postoffice("ls", file, "--passphrase-stdin", stdin=f"{found[1]}\n")[0] == 77
    well("ls", file, "--passphrase-stdin", stdin=f"{renewed[1]}\n")
    well("ls", file, "--passphrase-file", new)


def test_a_short_passphrase_is_refused_and_nothing_is_changed(file: Path, locked: Path, tmp_path: Path) -> None:
    before = keys_path(locked).read_bytes(), locked.read_bytes()
    short = secret_file(tmp_path / "short", "1234567")
    long = secret_file(tmp_path / "long", PASSPHRASE)
    status, _, errors = postoffice("passwd", locked, "--passphrase-file", long, "--new-passphrase-file", short)
    assert status == 64
    assert "8 characters" in errors
    assert (keys_path(locked).read_bytes(), locked.read_bytes()) == before
    plain = tmp_path / "plain.mailbox"
    asyncio.run(MailboxFile.open(plain, create=True).close())
    assert postoffice("lock", plain, "--passphrase-file", short)[0] == 64
    assert plain.read_bytes().startswith(b"SQLite format 3\0")
    assert not keys_path(plain).exists()


_KEYRING = """
import json, os, pathlib
_path = pathlib.Path(os.environ["FAKE_KEYRING"])
class NoKeyringError(RuntimeError): pass
def _kept():
    if _path.with_name("shut").exists():
        raise NoKeyringError
    return json.loads(_path.read_text()) if _path.exists() else {}
def get_password(service, name):
    return _kept().get(service + name)
def set_password(service, name, secret):
    _path.write_text(json.dumps(_kept() | {service + name: secret}))
def delete_password(service, name):
    kept = _kept()
    del kept[service + name]
    _path.write_text(json.dumps(kept))
"""


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the package keyring keeps; while `shut` lies beside it, it keeps nothing and says so."""
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "keyring.py").write_text(_KEYRING)
    monkeypatch.setenv("PYTHONPATH", str(packages))
    monkeypatch.setenv("FAKE_KEYRING", str(tmp_path / "ring"))
    return tmp_path / "ring"


def test_the_keyring_opens_it_if_it_was_asked_to(locked: Path, secret: Path, ring: Path) -> None:
    well("passwd", locked, "--keyring", "--passphrase-file", secret)
    assert "subject1" in well("ls", locked)
    assert "and the keyring opens it while that is open" in well("lock", locked)
    well("unlock", locked)
    well("lock", locked)
    ring.with_name("shut").touch()
    for command in ("ls", "unlock"):
        status, _, errors = postoffice(command, locked)
        assert (status, errors.count("\n")) == (77, 1)
        assert "no terminal to ask for the passphrase" in errors
        assert "the keyring does not answer: there is none here" in errors
    well("ls", locked, "--passphrase-file", secret)
    ring.with_name("shut").unlink()
    well("passwd", locked, "--no-keyring", "--passphrase-file", secret)
    assert json.loads(ring.read_text()) == {}
    status, _, errors = postoffice("ls", locked)
    assert status == 77
    assert errors.endswith("with --passphrase-file for example\n")
    well("ls", locked, "--passphrase-file", secret)


def test_a_keyring_with_something_else_does_not_open_it(locked: Path, secret: Path, ring: Path) -> None:
    well("passwd", locked, "--keyring", "--passphrase-file", secret)
    name = next(iter(json.loads(ring.read_text())))
    for other in ("00" * 32, "no digits"):
        ring.write_text(json.dumps({name: other}))
        status, _, errors = postoffice("ls", locked)
        assert status == 77
        assert "what the keyring has for it does not open it" in errors
        assert "subject1" in well("ls", locked, "--passphrase-file", secret)


def test_without_a_keyring_nothing_is_changed(locked: Path, secret: Path, ring: Path) -> None:
    before = keys_path(locked).read_bytes()
    ring.with_name("shut").touch()
    status, _, errors = postoffice("passwd", locked, "--keyring", "--passphrase-file", secret)
    assert status == 69
    assert errors.startswith("postoffice: the keyring does not take it: there is none here")
    (ring.with_name("packages") / "keyring.py").write_text("raise ImportError")
    status, _, errors = postoffice("passwd", locked, "--keyring", "--passphrase-file", secret)
    assert (status, errors) == (69, "postoffice: the package keyring is not installed: pip install keyring\n")
    assert keys_path(locked).read_bytes() == before


# --- packs --------------------------------------------------------------------------------------------------------


async def test_a_locked_pack_is_opened_without_a_key_and_gives_the_same_file(
    locked: Path, secret: Path, tmp_path: Path
) -> None:
    pack, there = tmp_path / "one.po", tmp_path / "there.mailbox"
    well("pack", locked, "--into", pack, "--passphrase-file", secret)
    well("open", pack, "--into", there)
    assert there.read_bytes().startswith(MARK)
    status, _, errors = postoffice("open", there, "--into", tmp_path / "new.mailbox")
    assert (status, "a locked mailbox file, which needs no opening" in errors) == (65, True)
    assert keys_path(there).read_bytes() == keys_path(locked).read_bytes()
    assert await letters_of(there) == await letters_of(locked)


async def test_locked_files_and_packs_are_merged_with_plain_ones(locked: Path, secret: Path, tmp_path: Path) -> None:
    plain, pack = tmp_path / "plain.mailbox", tmp_path / "one.po"
    with Pop3Peer({"id-9": b"Subject: nine\r\n\r\n"}).serving() as port:
        fetched(port, plain)
    well("pack", locked, "--into", pack, "--passphrase-file", secret)
    told = json.loads(well("merge", plain, pack, "--json", "--passphrase-file", secret))
    assert (told["letters"], told["known"]) == (5, 0)
    told = json.loads(well("merge", locked, plain, "--json", "--passphrase-file", secret))
    assert (told["letters"], told["known"]) == (1, 5)
    told = json.loads(well("merge", plain, locked, "--json", "--passphrase-file", secret))
    assert (told["letters"], told["known"]) == (0, 6)
    assert sorted(await letters_of(locked)) == sorted(await letters_of(plain, None))
    assert len(await letters_of(locked)) == 6
    names = {path.name for path in tmp_path.iterdir()} - {"run", "passphrase", "maildrop"}
    assert names == {"plain.mailbox", "one.po", "mail.mailbox", "mail.mailbox.keys"}


def test_a_pack_that_was_changed_in_its_slots_is_told(locked: Path, secret: Path, tmp_path: Path) -> None:
    pack, there = tmp_path / "one.po", tmp_path / "there.mailbox"
    well("pack", locked, "--into", pack, "--passphrase-file", secret)
    octets = bytearray(pack.read_bytes())
    octets[400] ^= 1
    pack.write_bytes(octets)
    status, _, errors = postoffice("open", pack, "--into", there)
    assert (status, errors) == (65, f"postoffice: {pack} is damaged: its front is not what it was\n")
    assert not there.exists()
    assert not keys_path(there).exists()


def test_lost_keys_are_taken_from_a_pack_and_from_no_other_s(locked: Path, secret: Path, tmp_path: Path) -> None:
    pack, other, foreign = tmp_path / "one.po", tmp_path / "other.mailbox", tmp_path / "other.po"
    well("pack", locked, "--into", pack, "--passphrase-file", secret)
    well("lock", "--create", other, "--passphrase-file", secret)
    well("pack", other, "--into", foreign, "--passphrase-file", secret)
    keys_path(locked).unlink()
    status, _, errors = postoffice("ls", locked, "--passphrase-file", secret)
    assert status == 66
    assert "--keys-from PACK" in errors
    assert errors.count("\n") == 1
    for wrong in (foreign, keys_path(other)):
        status, _, errors = postoffice("passwd", locked, "--keys-from", wrong)
        assert status == 65
        assert "another mailbox" in errors
    well("passwd", locked, "--keys-from", pack)
    assert "subject1" in well("ls", locked, "--passphrase-file", secret)
    copy = tmp_path / "copy"
    shutil.copy(keys_path(locked), copy)
    keys_path(locked).write_bytes(b"damaged")
    status, _, errors = postoffice("ls", locked, "--passphrase-file", secret)
    assert status == 65
    assert f"postoffice passwd {locked} --keys-from PACK" in errors
    out = well("passwd", locked, "--keys-from", copy)
    assert "subject1" in well("ls", locked, "--passphrase-file", secret)
    aside = re.search(r"^(.*): keys that lay there before", out, re.MULTILINE)
    assert aside is not None
    assert Path(aside[1]).read_bytes() == b"damaged"


def test_what_is_unlocked_is_locked_although_its_keys_are_lost(locked: Path, secret: Path, tmp_path: Path) -> None:
    well("unlock", locked, "--passphrase-file", secret)
    keys_path(locked).rename(tmp_path / "lost")
    well("ls", locked)
    status, _, errors = postoffice("lock", locked)
    assert status == 66
    assert "its keys are not beside it" in errors
    (tmp_path / "lost").rename(keys_path(locked))
    assert postoffice("ls", locked)[0] == 77


# --- what stands in the way ---------------------------------------------------------------------------------------


async def test_a_file_in_use_is_refused_and_stays_as_it_is(file: Path, secret: Path) -> None:
    """By who has it open, and by who pulls into it."""
    before = file.read_bytes()
    mailbox = MailboxFile.open(file)
    await mailbox.snapshot()
    status, _, errors = await asyncio.to_thread(postoffice, "lock", file, "--passphrase-file", secret)
    assert (status, errors) == (75, f"postoffice: {file} is in use: stop what uses it first\n")
    await mailbox.close()
    async with pulling_into(file):
        status, _, errors = await asyncio.to_thread(postoffice, "lock", file, "--passphrase-file", secret)
        assert status == 75
        assert "somebody else pulls into it now" in errors
    assert file.read_bytes() == before
    assert not keys_path(file).exists()
    well("lock", file, "--passphrase-file", secret)
    before = file.read_bytes()
    mailbox = MailboxFile.open(file, key=key_by(file, PASSPHRASE))
    await mailbox.snapshot()
    status, _, _ = await asyncio.to_thread(postoffice, "unlock", file, "--for-good", "--passphrase-file", secret)
    await mailbox.close()
    assert status == 75
    assert file.read_bytes() == before
    assert {path.name for path in file.parent.iterdir()} == {
        *("run", "maildrop", "passphrase", "mail.mailbox", "mail.mailbox.keys")
    }


def test_on_a_full_disk_all_stays_as_it_is(
    file: Path, secret: Path, tmp_path: Path, small_disk: Callable[[Path, str], None]
) -> None:
    disk = tmp_path / "disk"
    small_disk(disk, "512K")
    here = disk / "mail.mailbox"
    shutil.copy(file, here)
    filled(disk, but=64 * 1024)
    for command in (("lock", here), ("pack", here, "--into", disk / "one.po")):
        status, _, errors = postoffice(*command, "--passphrase-file", secret)
        assert (status, errors.count("\n")) == (75, 1)
        assert "full" in errors
    assert {path.name for path in disk.iterdir()} == {"mail.mailbox", "filled"}
    assert "all is sound: 5 letters" in well("check", here)
    (disk / "filled").unlink()
    well("lock", here, "--passphrase-file", secret)
    copy = tmp_path / "copy.keys"
    shutil.copy(keys_path(here), copy)
    filled(disk, but=0)
    before = keys_path(here).read_bytes()
    new = secret_file(tmp_path / "new", "four other random words")
    for change in (("--new-passphrase-file", new), ("--recovery-key",), ("--keys-from", copy)):
        status, _, errors = postoffice("passwd", here, *change, "--passphrase-file", secret)
        assert (status, errors) == (73, f"postoffice: {keys_path(here)}: cannot be written: {os.strerror(28)}\n")
    status, _, errors = postoffice("unlock", here, "--for-good", "--passphrase-file", secret)
    assert (status, "full" in errors) == (75, True)
    assert keys_path(here).read_bytes() == before
    assert "all is sound: 5 letters" in well("check", here, "--passphrase-file", secret)
    assert {path.name for path in disk.iterdir()} <= {"mail.mailbox", "mail.mailbox.keys", "filled"} | {
        f"mail.mailbox-{ending}" for ending in ("shm", "wal")
    }


def filled(disk: Path, but: int) -> None:
    """A disk on which there is only so much room."""
    left = shutil.disk_usage(disk).free - but
    (disk / "filled").write_bytes(bytes(left))


def test_a_damaged_file_is_not_locked_but_named(file: Path, secret: Path) -> None:
    octets = bytearray(file.read_bytes())
    at = octets.index(b"word3 here")
    octets[at] ^= 1
    file.write_bytes(octets)
    status, _, errors = postoffice("lock", file, "--passphrase-file", secret)
    assert status == 65
    assert "postoffice repair" in errors
    assert file.read_bytes()[:16] == b"SQLite format 3\0"
    assert not keys_path(file).exists()


def test_each_wrong_thing_is_one_sentence(locked: Path, secret: Path, tmp_path: Path) -> None:
    plain, text, folder = tmp_path / "plain.mailbox", tmp_path / "text", tmp_path / "folder"
    asyncio.run(MailboxFile.open(plain, create=True).close())
    text.write_text("this is no mailbox, but it is long enough\n" * 100)
    folder.mkdir()
    nothing = tmp_path / "nothing"
    said = ("--passphrase-file", secret)
    for status, words in (
        (66, ("lock", nothing, *said)),
        (66, ("unlock", nothing, *said)),
        (66, ("passwd", nothing, *said)),
        (66, ("lock", folder, *said)),
        (65, ("lock", text, *said)),
        (64, ("unlock", plain, *said)),
        (64, ("passwd", plain, *said)),
        (77, ("unlock", locked)),
        (77, ("passwd", locked)),
        (64, ("passwd", locked, *said)),
        (64, ("passwd", locked, "--recovery-key", "--no-keyring", *said)),
        (64, ("passwd", locked, "--keyring", "--new-passphrase-file", secret, *said)),
        (64, ("passwd", locked, "--recovery-key", "--keys-from", keys_path(locked), *said)),
        (66, ("passwd", locked, "--keys-from", nothing)),
        (65, ("passwd", locked, "--keys-from", text)),
        (65, ("passwd", plain, "--keys-from", keys_path(locked))),
        (64, ("unlock", locked, "--for", "0", *said)),
        (66, ("ls", locked, "--passphrase-file", nothing)),
        (78, ("ls", locked, "--passphrase-variable", "NOT_SET")),
    ):
        found, out, errors = postoffice(*words)
        assert (found, out) == (status, ""), (words, errors)
        assert "Traceback" not in errors
        assert errors.startswith(("postoffice: ", "Usage: ")), errors
    assert "subject5" in well("ls", locked, *said)


@pytest.mark.parametrize("ending", ["keys", "pack"])
def test_a_newer_version_is_told(ending: str, locked: Path, secret: Path, tmp_path: Path) -> None:
    from hashlib import sha256

    before = b"postoffice keys 2\n".ljust(2016, b"\0")
    record = before + sha256(before).digest()
    if ending == "keys":
        keys_path(locked).write_bytes(record.ljust(4096, b"\0") * 2)
        status, _, errors = postoffice("ls", locked, "--passphrase-file", secret)
        where = str(keys_path(locked))
    else:
        pack = tmp_path / "one.po"
        well("pack", locked, "--into", pack, "--passphrase-file", secret)
        octets = bytearray(pack.read_bytes())
        octets[72 : 72 + 2048] = record
        octets[4064:4096] = sha256(octets[:4064]).digest()
        pack.write_bytes(octets)
        status, _, errors = postoffice("open", pack, "--into", tmp_path / "there.mailbox")
        where = str(pack)
    assert (status, errors) == (65, f"postoffice: {where} is from a newer version of postoffice than this one\n")


def test_a_mailbox_of_a_newer_version_is_told_behind_its_lock(locked: Path, secret: Path) -> None:
    key = key_by(locked, PASSPHRASE)
    from postoffice.database.sqlite import open_writer

    connection = open_writer(locked, key=key)
    connection.execute("PRAGMA user_version = 9999")
    connection.close()
    status, _, errors = postoffice("ls", locked, "--passphrase-file", secret)
    assert (status, errors) == (65, f"postoffice: {locked} is from a newer version of postoffice than this one\n")


def test_a_changed_page_is_told_by_check_and_saved_by_repair(locked: Path, secret: Path, tmp_path: Path) -> None:
    octets = bytearray(locked.read_bytes())
    for at in range(4096 + 50, len(octets), 4096):
        octets[at] ^= 1
    locked.write_bytes(octets)
    status, out, _ = postoffice("check", locked, "--passphrase-file", secret)
    assert status == 65
    assert out.count("malformed") == 1  # not once for each question that cannot be asked
    assert max(map(len, out.splitlines())) < 600
    pack = tmp_path / "one.po"
    status, _, errors = postoffice("pack", locked, "--into", pack, "--passphrase-file", secret)
    assert (status, pack.exists()) == (65, False)
    assert errors.count("\n") == 1
    assert errors.endswith(f"malformed; postoffice repair {locked} saves what can be saved\n")
    new = tmp_path / "new.mailbox"
    status, out, errors = postoffice("repair", locked, "--into", new, "--passphrase-file", secret)
    assert status in (0, 65), errors
    assert "pages" in out
    assert new.read_bytes().startswith(MARK)
    assert "all is sound" in well("check", new, "--passphrase-file", secret)


def test_a_plain_file_with_a_damaged_beginning_is_not_taken_for_locked(
    locked: Path, secret: Path, tmp_path: Path
) -> None:
    """Its keys may lie beside it still, for copies of the locked one."""
    well("unlock", locked, "--for-good", "--passphrase-file", secret)
    octets = locked.read_bytes()
    locked.write_bytes(random.Random(1).randbytes(4096) + octets[4096:])
    status, _, errors = postoffice("ls", locked)
    assert (status, "is damaged" in errors) == (65, True)
    new = tmp_path / "new.mailbox"
    assert "5 letters saved" in well("repair", locked, "--into", new)
    assert not keys_path(new).exists()
    assert "subject5" in well("ls", new)


def test_where_nothing_can_be_saved_no_keys_are_left(locked: Path, secret: Path, tmp_path: Path) -> None:
    locked.write_bytes(random.Random(1).randbytes(20 * 4096))
    new = tmp_path / "new.mailbox"
    status, _, errors = postoffice("repair", locked, "--into", new, "--passphrase-file", secret)
    assert (status, "there is nothing of a mailbox in it" in errors) == (65, True)
    assert not new.exists()
    assert not keys_path(new).exists()


def test_one_damaged_copy_of_the_keys_is_told_by_check_and_mended_by_passwd(locked: Path, secret: Path) -> None:
    keys = keys_path(locked)
    octets = bytearray(keys.read_bytes())
    octets[200] ^= 1
    keys.write_bytes(octets)
    status, out, _ = postoffice("check", locked, "--passphrase-file", secret)
    assert status == 65
    assert "mail.mailbox.keys: it is not what was written" in out
    well("passwd", locked, "--passphrase-file", secret, "--new-passphrase-file", secret)
    assert "all is sound" in well("check", locked, "--passphrase-file", secret)


def test_keys_beside_a_plain_file_are_told(locked: Path, secret: Path) -> None:
    well("unlock", locked, "--for-good", "--passphrase-file", secret)
    assert "everybody can read it" in well("check", locked)
    first = read_slots(locked).mailbox
    out = well("lock", locked, "--passphrase-file", secret)
    assert "keys that lay there before" in out
    assert salt_of(locked) == read_slots(locked).mailbox != first


def test_a_link_is_followed_and_stays_one(file: Path, secret: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    link = folder / "link.mailbox"
    link.symlink_to(file)
    well("lock", link, "--passphrase-file", secret)
    assert link.is_symlink()
    assert file.read_bytes().startswith(MARK)
    assert "subject1" in well("ls", link, "--passphrase-file", secret)
    assert [path.name for path in folder.iterdir()] == ["link.mailbox"]


def test_another_name_of_the_plain_file_is_told_and_left_whole(file: Path, secret: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    backup.hardlink_to(file)
    status, _, errors = postoffice("lock", file, "--passphrase-file", secret)
    assert (status, errors) == (0, "postoffice: the plain file has 1 other name still\n")
    assert "subject1" in well("ls", backup)


def test_the_old_octets_are_gone_from_the_file_that_was(file: Path, secret: Path) -> None:
    with file.open("rb") as opened:
        assert b"word3 here" in opened.read()
        well("lock", file, "--passphrase-file", secret)
        opened.seek(0)
        assert opened.read() == b""


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's file can only be made by root")
def test_the_owner_and_the_mode_stay(file: Path, secret: Path) -> None:
    os.chown(file, 65534, 65534)
    well("lock", file, "--passphrase-file", secret)
    for path in (file, keys_path(file)):
        assert (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o777) == (65534, 65534, 0o600)


# --- a terminal ---------------------------------------------------------------------------------------------------


def on_terminal(words: list[str], *typed: str) -> tuple[int, str]:
    """Each line is typed when a question was asked. The exit status, and all that was shown."""
    process, terminal = pty.fork()
    if process == 0:
        os.execv(words[0], words)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
    shown, left = b"", list(typed)
    asked = 0
    while True:
        try:
            octets = os.read(terminal, 4096)
        except OSError:
            break
        if not octets:
            break
        shown += octets
        while left and shown.count(b": ", asked) and shown.rstrip(b" ").endswith(b":"):
            asked = len(shown)
            os.write(terminal, os.fsencode(left.pop(0)) + b"\n")
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), shown.decode()


def test_a_person_is_asked_three_times_and_what_is_typed_is_not_shown(locked: Path) -> None:
    words = [*COMMAND, "ls", str(locked)]
    status, shown = on_terminal(words, "first guess", PASSPHRASE)
    assert status == 0
    assert "subject5" in shown
    assert shown.count("Passphrase of") == 2
    assert "guess" not in shown
    assert PASSPHRASE not in shown
    status, shown = on_terminal(words, "one", "two", "three", "four")
    assert status == 77
    assert shown.count("Passphrase of") == 3
    assert "that passphrase does not open it" in shown


def test_octets_that_no_keyboard_of_this_locale_sends_are_one_sentence(locked: Path) -> None:
    status, shown = on_terminal([*COMMAND, "ls", str(locked)], "\udcff\udcfe, in Latin 1")
    assert status == 65
    assert "what was typed is no UTF-8" in shown
    assert "Traceback" not in shown


def test_a_new_passphrase_is_typed_twice(file: Path) -> None:
    status, shown = on_terminal(
        [*COMMAND, "lock", str(file)], "a good long one", "a good lomg one", *["a good long one"] * 2
    )
    assert status == 0, shown
    assert RECOVERY_KEY.search(shown)
    status, shown = on_terminal([*COMMAND, "unlock", str(file)], "a good long one")
    assert (status, "is unlocked until" in shown) == (0, True)
    assert "subject1" in well("ls", file)
