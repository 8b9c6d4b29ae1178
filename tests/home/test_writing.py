"""Accounts are added to the settings file, and what a person wrote there stays as it was."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.client.secrets import of_file
from postoffice.errors import UsageError
from postoffice.home.config import parse_home, read_home
from postoffice.home.writing import keep_password, section, write_accounts

ACCOUNT = {"url": "pops://me@pop.example.org", "into": "~/m.mailbox"}
MINE = '# mine\n[accounts."a"]  # the first\r\nurl = "pop://a@b"\ninto = "x"   # here'


def test_a_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "postoffice" / "home.toml"
    write_accounts(path, {"me@example.org": ACCOUNT | {"delete": [], "clear_text": False}})
    assert path.read_text() == (
        '[accounts."me@example.org"]\nurl = "pops://me@pop.example.org"\ninto = "~/m.mailbox"\n'
    )
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [one.name for one in path.parent.iterdir()] == ["home.toml"]


def test_what_a_person_wrote_stays_octet_for_octet(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles.toml"
    real.write_bytes(MINE.encode())
    real.chmod(0o640)
    path = tmp_path / "home.toml"
    path.symlink_to(real)
    write_accounts(path, {"b": ACCOUNT, "c": ACCOUNT})
    assert path.is_symlink()
    assert real.read_bytes().startswith(MINE.encode() + b"\n\n[accounts.")
    assert real.stat().st_mode & 0o777 == 0o640
    assert list(read_home(path).accounts) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("before", "name", "status"),
    [(MINE, "a", 73), ("accounts = {}\n", "b", 78), ("accounts = 1\n", "b", 78), ("[", "b", 78)],
)
def test_what_cannot_be_added_changes_nothing(tmp_path: Path, before: str, name: str, status: int) -> None:
    path = tmp_path / "home.toml"
    path.write_bytes(before.encode())
    with pytest.raises(UsageError) as problem:
        write_accounts(path, {"fresh": ACCOUNT, name: ACCOUNT})
    assert problem.value.status == status
    assert path.read_bytes() == before.encode()


def test_who_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "home.toml"
    names = [f"n{number}" for number in range(20)]
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda name: write_accounts(path, {name: ACCOUNT}), names))
    assert sorted(read_home(path).accounts) == sorted(names)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_is_read_back_as_it_was_written(name: str, command: str) -> None:
    octets = section(name, ACCOUNT | {"password_command": command}).encode()
    account = parse_home(octets, Path("/nowhere/home.toml"), is_ours_alone=False).account(name)
    assert account.places.command == command


def test_a_password_is_kept_where_nobody_else_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = keep_password("../me@example.org", "geheim ü")
    assert path == tmp_path / "postoffice" / "passwords" / "..%2Fme@example.org"
    assert path.stat().st_mode & 0o777 == 0o600
    assert of_file(path) == "geheim ü"
