"""A key that was unlocked is held until its time, or until somebody says lock, for its user alone, and then no more."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from postoffice.database.key import new_key
from postoffice.errors import UsageError
from postoffice.home.locking import agent, holding
from postoffice.home.locking.agent import ANSWER, FORGET, GIVE, HOLD, NO, REQUEST, YES, Held


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    return folder / "postoffice"


def process_of(runtime: Path) -> int:
    """The process at the socket's other end, by what the kernel says of whoever answers."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            is_agent = b"postoffice.home.locking.agent" in words
            if is_agent and any(word.startswith(os.fsencode(runtime)) for word in words):
                return int(folder.name)
    raise AssertionError("nobody holds keys")


def wait_for_end(process: int) -> None:
    """It lies as a dead one until this process ends, so its number is nobody else's."""
    descriptor = os.pidfd_open(process)
    try:
        assert select.select([descriptor], [], [], 30)[0], "it goes on"
    finally:
        os.close(descriptor)


def test_a_key_is_given_until_its_time_and_not_a_moment_longer() -> None:
    time = Time()
    held = Held(time)
    salt, secret = b"s" * 16, b"k" * 32
    assert held.answer(REQUEST.pack(HOLD, salt, secret, 60)) == ANSWER.pack(YES, 0, b"")
    time.now += 59.9
    assert held.answer(REQUEST.pack(GIVE, salt, b"", 0)) == ANSWER.pack(YES, 0, secret)
    time.now += 0.1
    assert held.answer(REQUEST.pack(GIVE, salt, b"", 0)) == ANSWER.pack(NO, 0, b"")
    assert len(held) == 0


def test_a_machine_that_slept_past_it_has_locked() -> None:
    time = Time()
    held = Held(time)
    held.answer(REQUEST.pack(HOLD, b"s" * 16, b"k" * 32, 1800))
    time.now += 8 * 3600
    assert held.answer(REQUEST.pack(GIVE, b"s" * 16, b"", 0)).startswith(NO)


def test_the_clock_is_one_that_goes_on_while_the_machine_sleeps() -> None:
    before = agent.boot_time()
    with Path("/proc/uptime").open() as file:
        uptime = float(file.read().split()[0])
    assert before - 1 <= uptime <= agent.boot_time() + 1


def test_one_is_forgotten_or_all() -> None:
    held = Held(Time())
    for name in (b"a", b"b", b"c"):
        held.answer(REQUEST.pack(HOLD, name * 16, name * 32, 60))
    held.answer(REQUEST.pack(FORGET, b"b" * 16, b"", 0))
    assert [held.answer(REQUEST.pack(GIVE, name * 16, b"", 0))[:1] for name in (b"a", b"b", b"c")] == [YES, NO, YES]
    held.answer(REQUEST.pack(FORGET, agent.EVERYTHING, b"", 0))
    assert len(held) == 0


def test_a_key_is_held_by_a_process_of_its_own_which_ends_with_the_last_key(runtime: Path) -> None:
    one, other = new_key(), new_key()
    assert holding.held(one.salt) is None
    holding.hold(one, 600)
    process = process_of(runtime)
    holding.hold(other, 600)
    assert process_of(runtime) == process
    loan = holding.held(one.salt)
    assert loan is not None
    assert loan.key == one
    assert 590 < loan.seconds <= 600
    holding.forget(one.salt)
    assert holding.held(one.salt) is None
    assert holding.held(other.salt) is not None
    holding.forget()
    wait_for_end(process)
    assert not (runtime / "keys").exists()
    holding.hold(one, 600)
    assert holding.held(one.salt) is not None
    again = process_of(runtime)
    holding.forget()
    wait_for_end(again)


def test_it_ends_when_the_time_is_over(runtime: Path) -> None:
    key = new_key()
    holding.hold(key, 600)
    process = process_of(runtime)
    holding.hold(key, 1)
    wait_for_end(process)
    assert holding.held(key.salt) is None


def test_it_is_killed_and_the_next_unlock_begins_anew(runtime: Path) -> None:
    key = new_key()
    holding.hold(key, 600)
    process = process_of(runtime)
    os.kill(process, 9)
    wait_for_end(process)
    assert holding.held(key.salt) is None
    holding.forget()
    holding.hold(key, 600)
    assert holding.held(key.salt) is not None
    again = process_of(runtime)
    holding.forget()
    wait_for_end(again)


def test_many_who_unlock_at_once_have_one_process(runtime: Path) -> None:
    keys = [new_key() for _ in range(6)]

    async def all_at_once() -> None:
        await asyncio.gather(*(asyncio.to_thread(holding.hold, key, 600) for key in keys))

    asyncio.run(all_at_once())
    assert all(holding.held(key.salt) is not None for key in keys)
    process = process_of(runtime)
    holding.forget()
    wait_for_end(process)


def test_who_says_half_a_word_or_nothing_keeps_nobody_from_it(runtime: Path) -> None:
    key = new_key()
    holding.hold(key, 600)
    process = process_of(runtime)
    for octets in (b"", b"G", b"G" + bytes(200)):
        with socket.socket(socket.AF_UNIX) as rude:
            rude.connect(str(runtime / "keys"))
            rude.sendall(octets)
    assert holding.held(key.salt) is not None
    holding.forget()
    wait_for_end(process)


def test_its_memory_is_nobody_s_and_the_socket_its_user_s(runtime: Path) -> None:
    holding.hold(new_key(), 600)
    process = process_of(runtime)
    assert runtime.stat().st_mode & 0o777 == 0o700
    assert (runtime / "keys").stat().st_mode & 0o777 == 0o600
    limits = Path(f"/proc/{process}/limits").read_text()
    [core] = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert core.split()[4:6] == ["0", "0"]
    holding.forget()
    wait_for_end(process)


@pytest.mark.skipif(os.geteuid() != 0, reason="another user can only be played by root")
def test_another_user_is_not_answered(runtime: Path) -> None:
    key = new_key()
    holding.hold(key, 600)
    process = process_of(runtime)
    for folder in (runtime, runtime.parent):
        folder.chmod(0o777)
    (runtime / "keys").chmod(0o777)
    opened = os.open(runtime, os.O_PATH)  # folders above are not nobody's
    asking = f"""
import os, socket, sys
os.setuid(65534)
with socket.socket(socket.AF_UNIX) as asking:
    asking.connect("/proc/self/fd/{opened}/keys")
    try:
        asking.sendall(bytes.fromhex(sys.argv[1]))
        print("answered", len(asking.recv(100)))
    except ConnectionError:
        print("answered", 0)
"""
    request = REQUEST.pack(GIVE, key.salt, b"", 0)
    done = subprocess.run(
        [sys.executable, "-c", asking, request.hex()], capture_output=True, pass_fds=[opened], check=False, text=True
    )
    os.close(opened)
    assert done.stdout == "answered 0\n", done.stderr
    for folder in (runtime, runtime.parent):
        folder.chmod(0o700)
    assert holding.held(key.salt) is not None
    holding.forget()
    wait_for_end(process)


def test_a_folder_that_others_may_write_to_is_not_used(runtime: Path) -> None:
    runtime.mkdir()
    runtime.chmod(0o777)
    with pytest.raises(UsageError, match="yours alone") as caught:
        holding.hold(new_key(), 60)
    assert caught.value.status == 77
    assert holding.held(b"s" * 16) is None


def test_without_a_runtime_folder_it_lies_in_one_of_the_user_s_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(holding, "RUNTIMES", tmp_path / "nobody is logged in")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    key = new_key()
    holding.hold(key, 600)
    folder = tmp_path / f"postoffice-{os.geteuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert holding.held(key.salt) is not None
    process = process_of(folder)
    holding.forget()
    wait_for_end(process)


@pytest.mark.parametrize("given", [None, "", "relative", "shared"])
def test_a_job_without_the_session_s_variable_finds_what_the_session_unlocked(
    given: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or with one that is not for its user: `lock` in a job of cron must not leave open what a session unlocked."""
    runtimes, shared = tmp_path / "users", tmp_path / "shared"
    (runtimes / str(os.geteuid())).mkdir(parents=True)
    (runtimes / str(os.geteuid())).chmod(0o700)
    shared.mkdir()
    shared.chmod(0o755)
    monkeypatch.setattr(holding, "RUNTIMES", runtimes)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtimes / str(os.geteuid())))
    key = new_key()
    holding.hold(key, 600)
    process = process_of(runtimes)
    if given is None:
        monkeypatch.delenv("XDG_RUNTIME_DIR")
    else:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(shared) if given == "shared" else given)
    assert holding.held(key.salt) is not None
    holding.forget()
    wait_for_end(process)
