"""Every block of the page about the library is run as it stands there, against an office."""

from __future__ import annotations

import asyncio
import inspect
import re
from pathlib import Path

import pytest

from postoffice import BlockingPop3Client, Pop3Client
from postoffice.net.tls import client_context
from postoffice.store.memory import MemoryStore
from postoffice.store.model import Letter
from postoffice.testing.office import run_office

PAGE = (Path(__file__).parents[2] / "docs" / "library.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ME = "me@example.org"


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
async def test_a_block_does_what_it_says(block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = MemoryStore()
    async with run_office(store, "example.org", people={ME: "secret"}) as office:
        mailbox = await store.office.mailbox((await office.account(ME)).account_id)
        for number in range(3):
            stage = await mailbox.stage()
            await stage.write(b"Subject: %d\r\n\r\nbody\r\n" % number)
            await mailbox.append([Letter(await stage.finish(), 0.0)])
        here = block.replace('"pop.example.org"', f'"localhost", {office.port("pop3s")}, tls=tls')
        assert here != block
        names = {"password": "secret", "tls": client_context(office.certificate)}
        await asyncio.to_thread(exec, here, names)
        left = len(await office.letters(ME))
        written = [file.read_bytes() for file in sorted(tmp_path.glob("*.eml"))]
    await store.close()
    if "dele(" in block:
        assert (left, len(written)) == (0, 3)
        assert all(letter.endswith(b"Subject: %d\r\n\r\nbody\r\n" % index) for index, letter in enumerate(written))
    else:
        assert left == 3


def test_every_public_name_stands_on_the_page_and_both_clients_have_the_same() -> None:
    names = {name for name in vars(Pop3Client) if not name.startswith("_")}
    assert names == {name for name in vars(BlockingPop3Client) if not name.startswith("_")}
    for name in names:
        assert f"`{name}" in PAGE, f"{name} is not on the page"
    parameters = inspect.signature(Pop3Client).parameters
    assert parameters == inspect.signature(BlockingPop3Client).parameters
    for name in parameters:
        assert name in PAGE


def test_every_call_of_poplib_stands_on_the_page() -> None:
    import poplib

    table = PAGE.partition("## From poplib")[2]
    for name in vars(poplib.POP3):
        if not name.startswith("_") and name not in ("encoding", "timestamp"):
            assert f"{name}(" in table or f"{name}=" in table, name
