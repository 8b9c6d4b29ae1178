"""How a command comes to the key of a locked file: who asks least is asked first.

    1  the agent, if it was unlocked a while ago
    2  its keyring slot, if the package `keyring` is installed and the keyring is open
    3  where the person said that the passphrase is: a command, a file, a variable, a credential
    4  the person, at a terminal

For a program with a screen of its own: `is_locked(file)` (`beside`), `key_at_hand(file)`, which asks nobody, and
`key_by(file, passphrase)`; then `home.mailbox.opening(file, key=key)`.
"""

from __future__ import annotations

import os
from pathlib import Path

from postoffice.database.key import Key, salt_of
from postoffice.errors import UsageError
from postoffice.home.locking.asking import asking
from postoffice.home.locking.beside import is_locked, read_slots
from postoffice.home.locking.recovery import looks_like_recovery_key, secret_of
from postoffice.home.locking.slots import Slots, Way, is_wrong, octets_of_passphrase


def key_of(file: Path, name: Path | None = None) -> Key | None:
    """The key of a mailbox file, which a person calls by its `name`; None for a plain one, or one that is not there.

    May run a command, and ask a person. Raises UsageError (77 for a wrong passphrase, or nobody to ask) and what
    `read_slots` raises.
    """
    if not _is_locked(file):
        return None
    return key_at_hand(file) or key_by_asking(file, name)


def key_at_hand(file: Path) -> Key | None:
    """The key of a locked file that is unlocked, or whose keyring is open; asks nobody. Raises as `read_slots`."""
    from postoffice.home.locking import holding

    salt = salt_of(file) or read_slots(file).mailbox
    loan = holding.held(salt)
    if loan is not None:
        return loan.key
    return key_by_keyring(file)


def key_by_keyring(file: Path) -> Key | None:
    """The key of a locked file by its keyring slot, if it has one and the keyring is open. Raises as `read_slots`."""
    slots = read_slots(file)
    secret = _of_keyring(slots)
    slot = slots.of(Way.KEYRING)
    return slot.opened(slots.mailbox, secret) if slot is not None and secret is not None else None


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
    raise is_wrong(called)


def keyring_name(mailbox: bytes) -> str:
    """Under which name the keyring has what opens the slot."""
    return f"mailbox {mailbox[8:].hex()}"


def _of_keyring(slots: Slots) -> bytes | None:
    """None where there is no such slot, or the keyring has nothing, is shut, or does not answer."""
    if slots.of(Way.KEYRING) is None:
        return None
    from postoffice.client.secrets import of_keyring

    try:
        return bytes.fromhex(of_keyring(keyring_name(slots.mailbox)))
    except (UsageError, ValueError):
        return None


def _is_locked(file: Path) -> bool:
    try:
        return is_locked(file)
    except OSError as error:
        status = os.EX_NOPERM if isinstance(error, PermissionError) else os.EX_NOINPUT
        raise UsageError(f"{file}: cannot be read: {error.strerror}", status) from error
