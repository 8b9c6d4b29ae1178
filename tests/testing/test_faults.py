"""The judgement of the fault matrix sees whatever is not as it must be, and its servers can be had by any program."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterable
from functools import partial

import pytest

from postoffice.testing.faults.cells import CELLS, FAULTS, Cell
from postoffice.testing.faults.judging import Stored, judge
from postoffice.testing.peer import Pop3Peer
from postoffice.testing.raw import Pop3Raw

RECEIVED = b"Return-Path: <x@a.example>\nReceived: from nobody\n\tby nobody\n"


def cell(name: str, *, delete: bool) -> Cell:
    return next(one for one in CELLS if one.fault.name == name and one.delete is delete)


def stored(letters: Iterable[bytes]) -> list[Stored]:
    return [partial(io.BytesIO, letter) for letter in letters]


def with_all_removed(tried: Cell) -> Pop3Peer:
    return Pop3Peer({}, removed=list(tried.fault.letters()))


def test_names_of_faults_are_unique_and_each_is_met_twice() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert len({str(cell) for cell in CELLS}) == 2 * len(FAULTS)


@pytest.mark.parametrize("exact", [True, False])
def test_everything_at_home_once_is_right(exact: bool) -> None:
    kept, gone = cell("closed", delete=False), cell("closed", delete=True)
    letters = kept.fault.letters()
    assert judge(kept, Pop3Peer(dict(letters)), stored(letters.values()), exact=exact) == []
    assert judge(gone, with_all_removed(gone), stored(letters.values()), exact=exact) == []


def test_fields_above_and_line_ends_of_the_system_are_right_for_others_and_not_for_us() -> None:
    tried = cell("closed", delete=False)
    letters = tried.fault.letters()
    kept = [RECEIVED + letter.replace(b"\r\n", b"\n") for letter in letters.values()]
    assert judge(tried, Pop3Peer(letters), stored(kept)) == []
    assert len(judge(tried, Pop3Peer(letters), stored(kept), exact=True)) == 2


def test_a_letter_that_is_missing_doubled_or_cut_is_seen() -> None:
    tried = cell("closed", delete=False)
    letters = tried.fault.letters()
    first, *others = letters.values()
    peer = Pop3Peer(dict(letters))
    assert judge(tried, peer, stored(others)) == ["missing: 1 of 5"]
    assert judge(tried, peer, stored([first, first, *others])) == ["doubled: 1"]
    missing, strange = judge(tried, peer, stored([first[:7000], *others]))
    assert (missing, strange) == ("missing: 1 of 5", "delivered, and no letter: 1 (7000 octets)")
    assert judge(tried, peer, stored([b"junk\n\n" + first, *others]))[0] == "missing: 1 of 5"


def test_what_is_wrong_at_the_server_is_seen() -> None:
    kept, gone, bad = cell("closed", delete=False), cell("closed", delete=True), cell("refused", delete=True)
    letters = kept.fault.letters()
    assert judge(kept, with_all_removed(kept), stored(letters.values())) == ["gone from the server: 5"]
    assert judge(gone, Pop3Peer(letters), stored(letters.values())) == ["never deleted: 5"]
    others = [letter for name, letter in letters.items() if name != "id-2"]
    assert judge(bad, with_all_removed(bad), stored(others)) == ["gone from the server, and not at home: 1"]


def test_who_takes_without_end_or_what_was_injected_is_seen() -> None:
    endless, injected = cell("endless-listing", delete=False), cell("injected", delete=False)
    assert judge(endless, Pop3Peer(endless.fault.letters(), took_all=True), []) == ["takes without end"]
    peer = Pop3Peer(injected.fault.letters())
    assert judge(injected, peer, []) == []
    peer.heard.append("PASS secret")
    assert judge(injected, peer, []) == ["takes what was injected for answers"]


def test_any_program_can_be_given_a_fault() -> None:
    words = [sys.executable, "-m", "postoffice.testing.faults", "in-use"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready.startswith("ready localhost:")
        port = int(ready.split()[1].rpartition(":")[2])
        with Pop3Raw(port) as client:
            assert client.log_in("bob", "secret") == b"-ERR [IN-USE] not now"
        process.stdin.write("it works again\n")
        process.stdin.flush()
        assert process.stdout.readline() == "repaired\n"
        with Pop3Raw(port) as client:
            assert client.log_in("bob", "secret") == b"+OK"
        process.stdin.close()
        assert process.stdout.readline() == "left=id-1,id-2,id-3,id-4,id-5 sessions=2\n"
    assert process.returncode == 0
