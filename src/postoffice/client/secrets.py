"""Where the password of a maildrop comes from, when no person types it.

    --password-command CMD       the first line that a shell command writes         `pass show mail`
    --password-file FILE         the first line of a file that is its owner's alone
    --password-variable NAME     an environment variable; programs started from here do not inherit it
    --password-credential NAME   a credential of the service (systemd.exec(5), LoadCredential=)
    --password-keyring           the keyring of the desktop, by the package `keyring`, if it is installed

No way has the secret in an argument, since everybody on a machine may read those, and no error repeats it.
"""

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from postoffice.client.url import Source
from postoffice.errors import UsageError

SERVICE: Final = "postoffice"
"""Under which name the keyring has our passwords: `keyring set postoffice USER@HOST`."""

_WITHOUT_KEYRING: Final = "there is none here, or nothing of this session reaches it (see: keyring diagnose)"

SECRET_OCTETS: Final = 64 * 1024

_taken: dict[str, bytes] = {}


class Places(NamedTuple):
    """Where a person says that the password is: one of these, or none."""

    command: str | None = None
    file: Path | None = None
    variable: str | None = None
    credential: str | None = None
    keyring: bool = False

    def named(self, source: Source) -> list[Callable[[], str]]:
        """Each place that is named, as what looks there."""
        places = [
            self.command is not None and partial(of_command, self.command),
            self.file is not None and partial(of_file, self.file),
            self.variable is not None and partial(of_variable, self.variable),
            self.credential is not None and partial(of_credential, self.credential),
            self.keyring and partial(of_keyring, f"{source.user}@{source.host}"),
        ]
        return [place for place in places if place]


def of_command(command: str) -> str:
    """What a command of the shell writes first. It may ask on the terminal."""
    done = subprocess.run(["/bin/sh", "-c", command], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise UsageError(f"the command for the password ended with status {done.returncode}", os.EX_UNAVAILABLE)
    return _secret(done.stdout, "the command for the password")


def of_file(path: Path) -> str:
    """The first line of a file; a plain file must be ours, or root's, and nobody else may read it."""
    with _opened(path) as descriptor:
        found = os.fstat(descriptor.fileno())
        if stat.S_ISREG(found.st_mode) and found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise UsageError(f"{path}: others may read it, so it is no place for a password: chmod 600", os.EX_NOPERM)
        if stat.S_ISREG(found.st_mode) and found.st_uid not in (0, os.geteuid()):
            raise UsageError(f"{path}: is somebody else's", os.EX_NOPERM)
        return _secret(descriptor.read(SECRET_OCTETS), str(path))


def of_variable(name: str) -> str:
    """It is taken out of the environment, and remembered for whoever pulls again."""
    secret = os.environb.pop(name.encode(), None) or _taken.get(name)
    if secret is None:
        raise UsageError(f"the environment variable {name} is not set", os.EX_CONFIG)
    _taken[name] = secret
    return _secret(secret, f"the environment variable {name}")


def of_credential(name: str) -> str:
    """Who may read it is the service manager's business."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise UsageError("there are no credentials here: $CREDENTIALS_DIRECTORY is not set", os.EX_CONFIG)
    if Path(name).name != name:
        raise UsageError(f"{name}: a credential has a plain name", os.EX_USAGE)
    with _opened(Path(folder, name)) as descriptor:
        return _secret(descriptor.read(SECRET_OCTETS), f"the credential {name}")


def of_keyring(whose: str) -> str:
    """What the keyring has for `USER@HOST`."""
    with _keyring("does not answer") as keyring:
        secret = keyring.get_password(SERVICE, whose)
    if secret is None:
        raise UsageError(
            f"the keyring has nothing for it; put it there with: keyring set {SERVICE} {whose}", os.EX_NOPERM
        )
    return _secret(str(secret).encode(), "the keyring")


def has_keyring() -> bool:
    """Whether the package is installed; a keyring may be shut all the same."""
    try:
        import keyring  # type: ignore[import-not-found,unused-ignore] # noqa: F401 it is asked for later
    except ImportError:
        return False
    return True


def keep_in_keyring(whose: str, secret: str) -> None:
    """Where `of_keyring` finds it, which is tried. Raises UsageError (69)."""
    with _keyring("does not take it") as keyring:
        keyring.set_password(SERVICE, whose, secret)
        is_there = keyring.get_password(SERVICE, whose) == secret
    if not is_there:
        raise UsageError("the keyring does not give back what it was given", os.EX_UNAVAILABLE)


def take_from_keyring(whose: str) -> None:
    """It has nothing for that name any more. Raises UsageError (69)."""
    with _keyring("does not let go of it") as keyring:
        if keyring.get_password(SERVICE, whose) is not None:
            keyring.delete_password(SERVICE, whose)


@contextmanager
def _keyring(refusal: str) -> Iterator[Any]:
    """The package `keyring`; whatever is wrong with it, or with the keyring, is a UsageError (69)."""
    try:
        import keyring  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise UsageError("the package keyring is not installed: pip install keyring", os.EX_UNAVAILABLE) from None
    try:
        yield keyring
    except Exception as error:  # each of its backends has errors of its own
        because = _WITHOUT_KEYRING if type(error).__name__ == "NoKeyringError" else type(error).__name__
        raise UsageError(f"the keyring {refusal}: {because}", os.EX_UNAVAILABLE) from error


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        status = os.EX_NOPERM if isinstance(error, PermissionError) else os.EX_NOINPUT
        raise UsageError(f"{path}: {error.strerror}", status) from error


def _secret(octets: bytes, where: str) -> str:
    """The first line: UTF-8 whatever the locale says, as it goes over the wire (RFC 4616 §2)."""
    line = octets.partition(b"\n")[0].removesuffix(b"\r")
    if not line:
        raise UsageError(f"{where}: the password is empty", os.EX_DATAERR)
    try:
        if b"\0" not in line:
            return line.decode()
    except UnicodeDecodeError:
        pass
    raise UsageError(f"{where}: the password is not UTF-8 without NUL, so no login could carry it", os.EX_DATAERR)
