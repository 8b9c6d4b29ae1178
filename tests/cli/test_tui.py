"""`tui` on a real terminal: what it exits with, what it says where it cannot, and what it does not import."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.tui.conftest import add, letter

from postoffice.testing.command import COMMAND


def on_terminal(file: Path, wanted: bytes, keys: bytes) -> tuple[int, bytes]:
    """The status, and all that was written, of a reader that is given keys when it has shown what is wanted."""
    terminal, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "tui", str(file)], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    written, deadline = b"", time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 1.0)[0]:
            try:
                written += os.read(terminal, 65536)
            except OSError:
                break
            if keys and wanted in written:
                os.write(terminal, keys)
                keys = b""
    status = process.wait(timeout=60)
    os.close(terminal)
    return status, written


def off_terminal(*words: str, before: str = "pass") -> subprocess.CompletedProcess[str]:
    program = f"import sys; {before}; sys.argv[0] = 'postoffice'; from postoffice.cli.main import main; main()"
    command = [sys.executable, "-W", "error", "-c", program, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    path = tmp_path / "home.mailbox"
    await add(path, [letter(number) for number in range(1, 4)])
    return path


def test_it_reads_on_a_terminal_and_leaves_it_as_it_was(file: Path) -> None:
    status, written = on_terminal(file, b"subject 3", b"q")
    assert status == 0
    assert b"\x1b[?1049h" in written  # the other screen, and back from it
    assert written.rindex(b"\x1b[?1049l") > written.rindex(b"subject 3")


def test_a_damaged_file_is_one_sentence(file: Path) -> None:
    octets = bytearray(file.read_bytes())
    octets[4096:] = os.urandom(len(octets) - 4096)
    file.write_bytes(octets)
    status, written = on_terminal(file, b"", b"")
    assert status == 65
    assert b"is damaged" in written.splitlines()[-1]
    assert b"Traceback" not in written


def test_without_a_terminal_there_is_a_sentence(file: Path) -> None:
    run = off_terminal("tui", str(file))
    assert run.returncode == 64
    assert run.stderr == "postoffice: a terminal is needed to read on; `ls` and `read` need none\n"


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    run = off_terminal("tui", str(tmp_path / "none"))
    assert run.returncode == 66
    assert run.stderr.endswith("there is no such file\n")


def test_without_textual_it_says_how_to_get_it(file: Path) -> None:
    run = off_terminal("tui", str(file), before="sys.modules['textual'] = None")
    assert run.returncode == 69
    assert run.stderr.startswith("postoffice: ")
    assert "pip install 'postoffice[tui]'" in run.stderr


@pytest.mark.parametrize("words", [["--help"], ["tui", "--help"]])
def test_help_imports_no_textual(words: list[str]) -> None:
    run = off_terminal(
        *words, before="import atexit; atexit.register(lambda: print('textual' in sys.modules, file=sys.stderr))"
    )
    assert run.returncode == 0
    assert run.stderr == "False\n"
