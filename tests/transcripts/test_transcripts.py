"""Every transcript here holds: for the doors on every engine, for the client machines, and for both coupled."""

from __future__ import annotations

from pathlib import Path

import pytest

from postoffice.conformance.facts import facts_of, fill
from postoffice.conformance.rows import all_rows
from postoffice.protocols.notation import format_steps, parse
from postoffice.store.base import Store
from postoffice.testing.scenes import read_scene
from postoffice.testing.score import read_score
from postoffice.testing.transcripts import run_as_client, run_as_pair, run_as_server

SETTINGS = {path: read_score(path.read_text()).setting for path in sorted(Path(__file__).parent.glob("*.txt"))}
ALL = list(SETTINGS)
NEUTRAL = {row.name: fill(row.text, facts_of(read_scene(parse(row.text)))) for row in all_rows()}
"""What every POP3 server should do, with the facts of our scenes."""
FOR_CLIENTS = [path for path in ALL if SETTINGS[path].only != "server"]
IN_PIECES = [path for path in ALL if not SETTINGS[path].is_together]


def every(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.stem)


def test_the_rfcs_own_examples_are_among_them() -> None:
    assert {"rfc1939-10", "rfc5321-d1", "rfc5321-d2", "rfc5321-d4"} <= {path.stem for path in ALL}


@every(ALL)
async def test_the_door_speaks_as_written(path: Path, store: Store) -> None:
    await run_as_server(path.read_text(), store)


@every(IN_PIECES)
async def test_the_door_does_not_care_how_octets_are_cut(path: Path, store: Store) -> None:
    await run_as_server(path.read_text(), store, octet_by_octet=True)


@every(ALL)
async def test_the_door_answers_what_comes_at_once(path: Path, store: Store) -> None:
    await run_as_server(path.read_text(), store, pipelined=True)


@every(FOR_CLIENTS)
def test_the_client_speaks_as_written(path: Path) -> None:
    run_as_client(path.read_text())


@every(FOR_CLIENTS)
@pytest.mark.parametrize("octet_by_octet", [False, True], ids=["at_once", "octet_by_octet"])
async def test_both_ends_understand_each_other(path: Path, store: Store, octet_by_octet: bool) -> None:
    await run_as_pair(path.read_text(), store, octet_by_octet=octet_by_octet)


@pytest.mark.parametrize("name", NEUTRAL)
async def test_the_door_does_what_every_server_should(name: str, store: Store) -> None:
    await run_as_server(NEUTRAL[name], store)


@pytest.mark.parametrize("name", NEUTRAL)
async def test_it_does_so_octet_by_octet(name: str, store: Store) -> None:
    await run_as_server(NEUTRAL[name], store, octet_by_octet=True)


@pytest.mark.parametrize("name", [name for name in NEUTRAL if "@ only server" not in NEUTRAL[name]])
async def test_our_client_understands_what_every_server_should_say(name: str, store: Store) -> None:
    run_as_client(NEUTRAL[name])
    await run_as_pair(NEUTRAL[name], store)


@every(ALL)
def test_what_is_read_can_be_written(path: Path) -> None:
    steps = parse(path.read_text())
    assert parse(format_steps(steps)) == steps
