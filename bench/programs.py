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


def knows_tls() -> bool:
    """Whether the programs were compiled with TLS; after `program("load")`."""
    said = subprocess.run([program("load"), "greet", "--port", "1", "--tls", "1"], capture_output=True, check=False)
    return b"without TLS" not in said.stdout


def program(name: str) -> Path:
    """The compiled `bench/NAME.c`."""
    source, result = HERE / f"{name}.c", BUILD / name
    newest = max(path.stat().st_mtime for path in (source, HERE / "way.h"))
    if result.exists() and result.stat().st_mtime >= newest:
        return result
    cc = compiler()
    if cc is None:
        raise NoCompiler("the benchmarks need a C compiler; on Debian and Ubuntu: sudo apt install gcc libc6-dev")
    BUILD.mkdir(exist_ok=True)
    fresh = BUILD / f"{name}.{os.getpid()}"
    words = [cc, "-std=c11", "-O2", "-Wall", "-Wextra", "-o", str(fresh), str(source)]
    for tls in (["-DWITH_TLS", "-lssl", "-lcrypto"], []):  # without OpenSSL's headers there is no TLS in it
        ended = subprocess.run([*words, *tls], capture_output=True, text=True, check=False)
        if not ended.returncode:
            break
    else:
        raise NoCompiler(f"{source.name} does not compile: {ended.stderr.strip().splitlines()[-1]}")
    fresh.replace(result)
    return result
