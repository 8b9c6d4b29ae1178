"""How a command comes to the key of a locked file: who asks least is asked first.

    1  the agent, if it was unlocked a while ago
    2  its keyring slot, if the package `keyring` is installed and the keyring is open
    3  where the person said that the passphrase is: a command, a file, a variable, a credential
    4  the person, at a terminal

For a program with a screen of its own: `is_locked(file)` (`recognizing`), `key_at_hand(file)`, which asks nobody, and
`key_by(file, passphrase)`; then `home.mailbox.opening(file, key=key)`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from postoffice.database.key import Key, salt_of
from postoffice.errors import UsageError
from postoffice.home.locking.asking import NobodyToAsk, asking
from postoffice.home.locking.beside import read_slots
from postoffice.home.locking.recognizing import is_locked
from postoffice.home.locking.recovery import looks_like_recovery_key, secret_of
from postoffice.home.locking.slots import Slots, Way, octets_of_passphrase

if TYPE_CHECKING:
    from postoffice.home.locking.holding import Loan


def key_of(file: Path, name: Path | None = None) -> Key | None:
    """The key of a mailbox file, which a person calls by its `name`; None for a plain one, or one that is not there.

    May run a command, and ask a person. Raises UsageError (77 for a wrong passphrase, or nobody to ask) and what
    `read_slots` raises.
    """
    if not _is_locked(file):
        return None
    loan = _loan(file)
    return loan.key if loan is not None else key_anew(file, name)


def key_at_hand(file: Path) -> Key | None:
    """The key of a locked file that is unlocked, or whose keyring is open; asks nobody. Raises as `read_slots`."""
    loan = _loan(file)
    return loan.key if loan is not None else key_by_keyring(file)


def key_anew(file: Path, name: Path | None = None) -> Key:
    """The key of a locked file, whether or not it is unlocked already; raises what `key_of` does."""
    because = ""
    slots = read_slots(file)
    try:
        key = _by_keyring(slots)
    except UsageError as error:
        key, because = None, f"; {error}"
    try:
        return key or key_by_asking(file, name)
    except NobodyToAsk as error:
        raise UsageError(f"{error}{because}", error.status) from error


def key_by_keyring(file: Path) -> Key | None:
    """The key of a locked file by its keyring slot, if it has one and the keyring is open. Raises as `read_slots`."""
    slots = read_slots(file)
    try:
        return _by_keyring(slots)
    except UsageError:
        return None


def key_by_asking(file: Path, name: Path | None = None) -> Key:
    """The key of a locked file by its passphrase, from wherever that comes; raises what `key_of` does."""
    source = asking.get()
    said = source.said()
    if said is not None:
        return key_by(file, said, name)
    for attempt in range(1, source.tries):
        typed = source.person(name or file, attempt > 1)
        try:
            return key_by(file, typed, name)
        except UsageError as error:
            if error.status != os.EX_NOPERM:
                raise
    return key_by(file, source.person(name or file, source.tries > 1), name)


def key_by(file: Path, typed: str, name: Path | None = None) -> Key:
    """The key of a locked file by its passphrase, or its recovery key. Raises a UsageError (77) if it is another."""
    called = name or file
    slots = read_slots(file)
    ways = [(Way.PASSPHRASE, octets_of_passphrase(typed))]
    if looks_like_recovery_key(typed) and (secret := secret_of(typed)) is not None:
        ways.insert(0, (Way.RECOVERY, secret))
    for way, secret in ways:
        slot = slots.of(way)
        if slot is not None and (key := slot.opened(slots.mailbox, secret)) is not None:
            return key
    if looks_like_recovery_key(typed) and secret_of(typed) is None:
        raise UsageError(
            f"{called}: that looks like a recovery key, but a letter or digit of it is wrong", os.EX_NOPERM
        )
    raise UsageError(f"{called}: that passphrase does not open it", os.EX_NOPERM)


def keyring_name(mailbox: bytes) -> str:
    """Under which name the keyring has what opens the slot."""
    return f"mailbox {mailbox[8:].hex()}"


def _loan(file: Path) -> Loan | None:
    from postoffice.home.locking import holding

    return holding.held(salt_of(file) or read_slots(file).mailbox)


def _by_keyring(slots: Slots) -> Key | None:
    """None where there is no such slot. Raises UsageError where the keyring gives nothing, or something else."""
    slot = slots.of(Way.KEYRING)
    if slot is None:
        return None
    from postoffice.client.secrets import of_keyring

    given = of_keyring(keyring_name(slots.mailbox))
    try:
        key = slot.opened(slots.mailbox, bytes.fromhex(given))
    except ValueError:
        key = None
    if key is None:
        raise UsageError("what the keyring has for it does not open it", os.EX_NOPERM)
    return key


def _is_locked(file: Path) -> bool:
    try:
        return is_locked(file)
    except OSError as error:
        status = os.EX_NOPERM if isinstance(error, PermissionError) else os.EX_NOINPUT
        raise UsageError(f"{file}: cannot be read: {error.strerror}", status) from error
