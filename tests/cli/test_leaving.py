"""Who removes an account is told what goes with it; where recovery is set, all of it can be had back."""

from __future__ import annotations

import asyncio
import os
import pty
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from postoffice.app.privilege import give_away
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.embedded.places import mailbox_path
from postoffice.store.model import OWNER, REMOVED, Acceptance
from postoffice.testing.check_store.walk import deliver, keys, large_text, put, seen, staged, text
from postoffice.testing.command import COMMAND
from postoffice.testing.process import make_office, open_folder

T = TypeVar("T")

BOB, CAROL = "bob@a.example", "carol@a.example"


@pytest.fixture
def data() -> Iterator[Path]:
    """An office whose first account has letters, one to recover, and one on its way."""
    with open_folder() as folder:
        make_office(folder / "office", {BOB: "secret", CAROL: "secret"})

        async def fill(store: EmbeddedStore) -> None:
            mailbox = await store.office.mailbox(1)
            await put(mailbox, text(1), text(2), text(3))
            await mailbox.remove((await keys(mailbox))[:1], into=REMOVED)
            await deliver(store, large_text("large"), 1)
            content = await staged(store.office, text(9))
            await store.office.accept(
                Acceptance("letter9", content, BOB, accepted=1.0, remote=("x@elsewhere.example",), expires=2e9)
            )

        use(folder / "office", fill)
        yield folder / "office"


def use(data: Path, what: Callable[[EmbeddedStore], Awaitable[T]]) -> T:
    async def run() -> T:
        store = EmbeddedStore.open(data)
        try:
            return await what(store)
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    finally:
        give_away(data)


def run(data: Path, *words: str) -> tuple[int, str, str]:
    done = subprocess.run([*COMMAND, *words, "--data", str(data)], capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def asked(data: Path, *words: str, answer: str) -> list[str]:
    """What is said at a terminal, where that is answered."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "r+b", 0) as keyboard, os.fdopen(theirs, "r+b", 0) as terminal:
        keyboard.write(f"{answer}\n".encode())
        call = [*COMMAND, *words, "--data", str(data)]
        subprocess.run(call, stdin=terminal, stdout=terminal, stderr=terminal, timeout=60, check=False)
        return [line.rstrip() for line in os.read(ours, 65536).decode().splitlines()]


def test_the_question_tells_all_that_goes_and_what_it_means_for_others(data: Path) -> None:
    assert run(data, "device", "add", BOB, "phone")[0] == 0
    assert run(data, "account", "set", BOB, "recovery=30", "retain=90")[0] == 0
    lines = asked(data, "account", "remove", BOB, answer="n")
    told = {line[2:14].strip(): line[14:] for line in lines if line.startswith("  ")}
    assert told["letters"].startswith("3 letters, ")
    assert told["letters"].endswith(", since 2023-11-14")
    assert told["deleted"] == "1 letter that could be recovered"
    assert told["passwords"] == "password, phone"
    assert sorted(told["settings"].split()) == ["recovery=30", "retain=90"]
    assert told["on its way"] == "1 letter from it: they are carried all the same"
    assert told["postmaster"] == f"letters for postmaster and abuse of a.example go to {CAROL} then"
    assert "domain" not in told
    assert any(line.startswith("Until 20") and line.endswith(f"postoffice account recover {BOB}") for line in lines)
    assert run(data, "account", "list")[1].split() == [BOB, CAROL], "no is no"


def test_the_last_one_of_a_domain_is_told(data: Path) -> None:
    assert run(data, "account", "remove", BOB, "--yes") == (0, f"{BOB} removed\n", "")
    lines = asked(data, "account", "remove", CAROL, answer="n")
    assert "  domain      nobody is left in a.example; letters for it are refused" in lines
    assert "  postmaster  letters for postmaster and abuse of a.example go to nobody then" in lines


def test_it_comes_back_whole_with_the_same_unique_ids(data: Path) -> None:
    async def letters(store: EmbeddedStore) -> tuple[list[bytes], list[str]]:
        account = await store.directory.find(BOB)
        assert account is not None
        mailbox = await store.office.mailbox(account.account_id)
        return await seen(mailbox, OWNER), list((await mailbox.snapshot()).unique_ids)

    before = use(data, letters)
    assert run(data, "account", "set", BOB, "recovery=30")[0] == 0
    status, out, said = run(data, "account", "remove", BOB, "--yes")
    assert (status, said) == (0, "")
    assert out.startswith(f"{BOB} removed; until 20")
    assert out.endswith(f" it can be had back by: postoffice account recover {BOB}\n")
    assert run(data, "account", "list")[1] == f"{CAROL}\n"
    number, *_, address = run(data, "account", "list", "--removed")[1].split()
    assert (number, address) == ("1", BOB)
    assert run(data, "check")[0] == 0
    assert run(data, "account", "recover", BOB) == (0, f"{BOB} is here again, with 3 letters\n", "")
    assert use(data, letters) == before
    assert "password  own" in run(data, "device", "list", BOB)[1]
    assert "recovery" in run(data, "account", "show", BOB)[1]
    assert len(run(data, "recover", BOB)[1].splitlines()) == 1
    assert run(data, "account", "list", "--removed")[1] == ""
    assert run(data, "check")[0] == 0


def test_forget_keeps_nothing_whatever_is_set(data: Path) -> None:
    assert run(data, "account", "set", BOB, "recovery=30")[0] == 0
    assert "Nothing of it can be had back." in asked(data, "account", "remove", BOB, "--forget", answer="n")
    assert run(data, "account", "remove", BOB, "--forget", "--yes") == (0, f"{BOB} removed\n", "")
    assert run(data, "account", "list", "--removed")[1] == ""
    assert run(data, "account", "recover", BOB)[0] == os.EX_NOUSER


def test_of_several_with_one_address_each_can_be_had_back(data: Path) -> None:
    for words in (
        ("domain", "set", "a.example", "recovery=30"),
        ("account", "remove", BOB, "--yes"),
        ("account", "add", BOB, "--generate"),
    ):
        assert run(data, *words)[0] == 0
    assert run(data, "account", "recover", BOB) == (
        os.EX_CANTCREAT,
        "",
        f"postoffice: the address {BOB} is taken\n",
    )
    assert run(data, "account", "remove", BOB, "--yes")[0] == 0
    assert [line.split()[0] for line in run(data, "account", "list", "--removed")[1].splitlines()] == ["1", "3"]
    assert run(data, "account", "recover", BOB, "2")[0] == os.EX_NOUSER
    assert run(data, "account", "recover", BOB, "1") == (0, f"{BOB} is here again, with 3 letters\n", "")
    assert run(data, "account", "remove", BOB, "--forget", "--yes")[0] == 0
    assert run(data, "account", "recover", BOB) == (0, f"{BOB} is here again, with 0 letters\n", "")


def test_somebody_in_the_maildrop_keeps_it(data: Path) -> None:
    async def remove(store: EmbeddedStore) -> tuple[int, str, str]:
        lock = await store.office.lock(1)
        assert lock is not None
        give_away(data)
        try:
            return await asyncio.to_thread(run, data, "account", "remove", BOB, "--yes")
        finally:
            await lock.release()

    assert use(data, remove) == (
        os.EX_TEMPFAIL,
        "",
        f"postoffice: somebody is in the maildrop of {BOB} now; try again in a moment\n",
    )
    assert run(data, "account", "list")[1].split() == [BOB, CAROL]


def test_a_damaged_mailbox_can_be_forgotten_and_never_half_kept(data: Path) -> None:
    assert run(data, "account", "set", BOB, "recovery=30")[0] == 0
    mailbox_path(data, 1).write_bytes(b"?" * 8192)
    status, _, said = run(data, "account", "remove", BOB, "--yes")
    assert status == os.EX_DATAERR
    assert "1.mailbox is damaged" in said
    assert run(data, "account", "list")[1].split() == [BOB, CAROL]
    assert any("letters     cannot be told: " in line for line in asked(data, "account", "remove", BOB, answer="n"))
    assert run(data, "account", "remove", BOB, "--yes", "--forget")[0] == 0
    assert run(data, "check")[0] == 0
