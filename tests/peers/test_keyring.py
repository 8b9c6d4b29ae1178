"""The package `keyring` itself, with a backend that needs no desktop, keeps what opens a locked mailbox."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("keyring") is None, reason="the package keyring is not installed: pip install keyring"
)

PROGRAM = [sys.executable, "-c", "from postoffice.cli.main import main; main()"]
PASSPHRASE = "correct horse battery"
BACKEND = """
import json, os, pathlib
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError

class Keyring(KeyringBackend):
    priority = 1
    path = pathlib.Path(__file__).with_name("ring")

    def _kept(self):
        if "KEYRING_IS_SHUT" in os.environ:
            raise KeyringLocked("nobody typed its password")
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def get_password(self, service, name):
        return self._kept().get(f"{service} {name}")

    def set_password(self, service, name, secret):
        self.path.write_text(json.dumps(self._kept() | {f"{service} {name}": secret}))

    def delete_password(self, service, name):
        kept = self._kept()
        if kept.pop(f"{service} {name}", None) is None:
            raise PasswordDeleteError("it is not there")
        self.path.write_text(json.dumps(kept))
"""


class Desktop:
    """Somebody with a keyring of his own, who types nothing."""

    def __init__(self, folder: Path) -> None:
        (folder / "run").mkdir(mode=0o700)
        (folder / "ownring.py").write_text(BACKEND)
        self.ring = folder / "ring"
        self.file = folder / "mail.mailbox"
        self.passphrase = folder / "passphrase"
        self.passphrase.write_text(PASSPHRASE)
        self.passphrase.chmod(0o600)
        self.environment = {
            **os.environ,
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "PYTHONPATH": str(folder),
            "PYTHON_KEYRING_BACKEND": "ownring.Keyring",
        }

    def says(self, *words: object, is_told: bool = False) -> tuple[int, str]:
        """Status and what was said; the passphrase is told, or nobody is there to type it."""
        said = ("--passphrase-file", self.passphrase) if is_told else ()
        done = subprocess.run(
            [*PROGRAM, *map(str, (*words, *said))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment,
            timeout=60,
            check=False,
            text=True,
        )
        return done.returncode, done.stdout


@pytest.fixture
def desktop(tmp_path: Path) -> Desktop:
    desktop = Desktop(tmp_path)
    assert desktop.says("lock", "--create", desktop.file, is_told=True)[0] == 0
    return desktop


def test_it_opens_a_mailbox_until_it_is_told_not_to(desktop: Desktop) -> None:
    file = desktop.file
    assert desktop.says("ls", file)[0] == 77
    assert desktop.says("passwd", file, "--keyring", is_told=True) == (0, f"{file}: the keyring opens it now\n")
    assert desktop.says("ls", file)[0] == 0
    assert desktop.says("unlock", file)[0] == 0
    assert "the keyring opens it while that is open" in desktop.says("lock", file)[1]
    assert desktop.says("passwd", file, "--no-keyring", is_told=True)[0] == 0
    assert desktop.ring.read_text() == "{}"
    assert desktop.says("ls", file)[0] == 77


def test_one_that_is_shut_or_not_there_is_told(desktop: Desktop) -> None:
    assert desktop.says("passwd", desktop.file, "--keyring", is_told=True)[0] == 0
    desktop.environment["KEYRING_IS_SHUT"] = "1"
    status, said = desktop.says("ls", desktop.file)
    assert (status, said.count("\n")) == (77, 1)
    assert said.endswith("; the keyring does not answer: KeyringLocked\n")
    for backend in ("keyring.backends.fail.Keyring", "no.such.Backend"):
        desktop.environment["PYTHON_KEYRING_BACKEND"] = backend
        status, said = desktop.says("ls", desktop.file)
        assert (status, said.count("\n")) == (77, 1)
        assert "; the keyring does not answer: " in said
        status, said = desktop.says("passwd", desktop.file, "--keyring", is_told=True)
        assert (status, said.count("\n")) == (69, 1)
        assert said.startswith("postoffice: the keyring does not take it: ")
    assert desktop.says("ls", desktop.file, is_told=True)[0] == 0
