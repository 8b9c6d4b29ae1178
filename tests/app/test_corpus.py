"""`python -m bench.corpus`: every letter of a folder comes out as it went in, whatever is in it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_folder_of_strange_letters_comes_out_unchanged(tmp_path: Path) -> None:
    strange = {
        "empty.eml": b"",
        "no end.eml": b"Subject: no end",
        "dots.eml": b".\n..\n.\n\n.",
        "nul.eml": b"\0\n\xff\0" * 1000,
        "mac.eml": b"Subject: old\r\rline\rline",
        "box.mbox": b"From a@b Mon Jan  1 00:00:00 2024\nSubject: 1\n\n>From here\n\nFrom c@d\nSubject: 2\n\n",
        "deep.eml": b"Content-Type: multipart/mixed; boundary=a\n\n" + b"--a\nContent-Type: message/rfc822\n\n" * 3000,
        "long.eml": b"x" * 300_000,
    }
    for name, octets in strange.items():
        (tmp_path / name).write_bytes(octets)
    words = [sys.executable, "-m", "bench.corpus", str(tmp_path)]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.splitlines()[-1] == f"{len(strange)} letters: {len(strange)} the same, 0 refused, 0 wrong"
