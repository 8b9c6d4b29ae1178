"""Letters that were made to stop whoever reads them are read in a second, with little memory, and never raise."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.message.mime.kit import CHILD, HOSTILE

from postoffice.message.mime.parts import NESTINGS, PARTS, Outline, parts
from postoffice.message.mime.view import LOOK_OCTETS, view

SECONDS = 10
"""Of the processor, which others use too: each takes one on a machine that has nothing else to do; a square, hours."""

CORPUS = os.environ.get("POSTOFFICE_LETTERS", "")


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_it_is_made_of(name: str) -> None:
    octets = HOSTILE[name]()[:LOOK_OCTETS]
    began = time.process_time()
    view(octets)
    assert time.process_time() - began < SECONDS


def test_all_of_them_in_little_memory() -> None:
    root = str(Path(__file__).parents[3])
    done = subprocess.run([sys.executable, "-c", CHILD, root], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(HOSTILE)


def test_parts_beyond_the_bound_are_passed_over_and_that_is_known() -> None:
    outline = Outline()
    outline.feed(HOSTILE["50,000 parts"]())
    assert len(outline.end()) == PARTS - 1  # the whole is one of them
    assert outline.is_cut
    assert "are not shown" in " ".join(view(HOSTILE["50,000 parts"]()).warnings)


def test_parts_that_are_nested_deeper_are_one_attachment_and_that_is_told() -> None:
    found = list(parts(HOSTILE["2,000 nestings"]()))
    assert max(len(part.place) for part in found) == NESTINGS
    assert any("nested deeper" in sentence for sentence in view(HOSTILE["2,000 nestings"]()).warnings)


@pytest.mark.slow
@pytest.mark.skipif(not CORPUS, reason="POSTOFFICE_LETTERS names no folder of letters")
def test_every_letter_of_a_folder() -> None:
    """Real letters, a file each: `POSTOFFICE_LETTERS=folder ./po test --all tests/message/mime`."""
    files = [path for path in Path(CORPUS).rglob("*") if path.is_file()]
    assert files
    for path in files:
        octets = path.read_bytes()[:LOOK_OCTETS]
        began = time.process_time()
        shown = view(octets)
        assert time.process_time() - began < 1, path
        assert not any("could not be taken apart" in sentence for sentence in shown.warnings), path
        assert shown.text.strip() or shown.attachments or shown.warnings or not octets.strip(), path
