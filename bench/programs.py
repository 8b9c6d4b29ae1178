"""The two C programs of the benchmarks, compiled when they are first needed and after every change."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE / "build"


class NoCompiler(Exception):
    """There is no C compiler here; says so in one line."""


def compiler() -> str | None:
    """The C compiler to use, from `CC` or the system's."""
    return shutil.which(os.environ.get("CC", "cc"))


def program(name: str) -> Path:
    """The compiled `bench/NAME.c`."""
    source, result = HERE / f"{name}.c", BUILD / name
    if result.exists() and result.stat().st_mtime >= source.stat().st_mtime:
        return result
    cc = compiler()
    if cc is None:
        raise NoCompiler("the benchmarks need a C compiler; on Debian and Ubuntu: sudo apt install gcc libc6-dev")
    BUILD.mkdir(exist_ok=True)
    fresh = BUILD / f"{name}.{os.getpid()}"
    words = [cc, "-std=c11", "-O2", "-Wall", "-Wextra", "-o", str(fresh), str(source)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise NoCompiler(f"{source.name} does not compile: {ended.stderr.strip().splitlines()[-1]}")
    fresh.replace(result)
    return result
