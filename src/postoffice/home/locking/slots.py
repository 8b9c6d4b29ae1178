"""The key of a locked mailbox, wrapped once for each way in: whoever has what a slot asks for has the key.

    passphrase   by argon2id, whose salt and effort stand in the slot (RFC 9106)
    recovery     by HKDF-SHA256 of 130 random bits that were printed once (`recovery`)
    keyring      by HKDF-SHA256 of 256 random bits that the keyring of the desktop keeps

Wrapped is by ChaCha20-Poly1305 (RFC 8439); the slot, and the mailbox that it is of, are authenticated beside it.
One record holds all slots of a mailbox: in the file beside it, twice, and in the front of its packs.

    0      `postoffice keys 1`, a line feed
    18     JSON, then zeros
    2016   SHA-256 of the 2016 octets before it

The first line and the digest are at these places in every version to come, so a newer one is told from a damaged one.
"""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256
from secrets import token_bytes
from typing import Any, Final

from postoffice.database.key import SALT_OCTETS, SECRET_OCTETS, Key
from postoffice.errors import DamagedStore, UsageError

RECORD_OCTETS: Final = 2048
_DIGEST_OCTETS: Final = 32
_MAGIC: Final = b"postoffice keys "
_LINE: Final = _MAGIC + b"1\n"
_NONCE_OCTETS: Final = 12


class Way(StrEnum):
    """How one comes to the key."""

    PASSPHRASE = "passphrase"  # noqa: S105
    RECOVERY = "recovery"
    KEYRING = "keyring"


@dataclass(frozen=True, slots=True)
class Effort:
    """What a guess costs: KiB of memory, passes over it, lanes."""

    memory: int
    passes: int
    lanes: int


EFFORT: Final = Effort(65_536, 3, 4)
"""The second choice of RFC 9106 §4, for machines that have no 2 GiB to spare."""

_MOST: Final = Effort(1 << 20, 64, 16)
"""Who wrote more into a slot wants this machine to stand still."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The key for one way in. `effort` is that of a passphrase."""

    way: Way
    salt: bytes
    nonce: bytes
    wrapped: bytes
    effort: Effort | None = None

    def opened(self, mailbox: bytes, secret: bytes) -> Key | None:
        """The key of the mailbox with this salt; None if that is not the secret.

        Raises UsageError (75) where there is no memory to try a passphrase.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        try:
            opener = ChaCha20Poly1305(self._wrapping_key(secret))
            return Key(opener.decrypt(self.nonce, self.wrapped, self._beside(mailbox)), mailbox)
        except InvalidTag:
            return None

    def wrapping(self, key: Key, secret: bytes) -> Slot:
        """The same, with the key in it."""
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        wrapper = ChaCha20Poly1305(self._wrapping_key(secret))
        return replace(self, wrapped=wrapper.encrypt(self.nonce, key.secret, self._beside(key.salt)))

    def _wrapping_key(self, secret: bytes) -> bytes:
        if self.effort is not None:
            from argon2.exceptions import HashingError
            from argon2.low_level import Type, hash_secret_raw

            cost = self.effort
            try:
                return hash_secret_raw(secret, self.salt, cost.passes, cost.memory, cost.lanes, SECRET_OCTETS, Type.ID)
            except HashingError as error:
                needed = f"a passphrase costs {cost.memory // 1024} MiB of memory, which there is not now"
                raise UsageError(needed, os.EX_TEMPFAIL) from error
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return HKDF(SHA256(), SECRET_OCTETS, self.salt, _LINE + self.way.encode()).derive(secret)

    def _beside(self, mailbox: bytes) -> bytes:
        import json

        return _LINE + json.dumps([mailbox.hex(), {**_written(self), "wrapped": ""}]).encode()


def slot_for(key: Key, way: Way, secret: bytes, effort: Effort = EFFORT) -> Slot:
    """A new slot that whoever has `secret` opens."""
    empty = Slot(way, token_bytes(16), token_bytes(_NONCE_OCTETS), b"", effort if way is Way.PASSPHRASE else None)
    return empty.wrapping(key, secret)


def octets_of_passphrase(passphrase: str) -> bytes:
    """The same for all ways in which a keyboard may write the same characters."""
    return unicodedata.normalize("NFC", passphrase).encode()


@dataclass(frozen=True, slots=True)
class Slots:
    """Of one mailbox, which `mailbox`, the salt of its file, names."""

    mailbox: bytes
    slots: tuple[Slot, ...]

    def of(self, way: Way) -> Slot | None:
        return next((slot for slot in self.slots if slot.way is way), None)

    def with_slot(self, slot: Slot) -> Slots:
        """In the place of that for the same way."""
        return Slots(self.mailbox, (*self.without(slot.way).slots, slot))

    def without(self, way: Way) -> Slots:
        return Slots(self.mailbox, tuple(slot for slot in self.slots if slot.way is not way))

    def record(self) -> bytes:
        """All of them in `RECORD_OCTETS`."""
        import json

        facts = {"mailbox": self.mailbox.hex(), "slots": [_written(slot) for slot in self.slots]}
        before = (_LINE + json.dumps(facts, separators=(",", ":")).encode()).ljust(
            RECORD_OCTETS - _DIGEST_OCTETS, b"\0"
        )
        assert len(before) == RECORD_OCTETS - _DIGEST_OCTETS
        return before + sha256(before).digest()


class NewerRecord(DamagedStore):
    """It is not damaged, but nobody here knows what is in it."""


def is_record(octets: bytes) -> bool:
    """Whether it begins as one; all of it may be damaged."""
    return octets.startswith(_MAGIC)


def read_record(octets: bytes, where: str) -> Slots:
    """The slots of a record. One that is damaged, or of a newer version, is a `DamagedStore`."""
    import json

    before, digest = octets[: RECORD_OCTETS - _DIGEST_OCTETS], octets[RECORD_OCTETS - _DIGEST_OCTETS : RECORD_OCTETS]
    if not is_record(octets) or sha256(before).digest() != digest:
        raise DamagedStore(f"{where} is damaged: its keys are not what was written")
    if not before.startswith(_LINE):
        raise NewerRecord(f"{where} is from a newer version of postoffice than this one")
    try:
        facts = json.loads(before[len(_LINE) :].rstrip(b"\0"))
        mailbox = bytes.fromhex(facts["mailbox"])
        slots = Slots(mailbox, tuple(map(_read, facts["slots"])))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise DamagedStore(f"{where} is damaged: its keys cannot be read") from error
    if len(mailbox) != SALT_OCTETS or not slots.slots:
        raise DamagedStore(f"{where} is damaged: there are no keys in it")
    return slots


def _written(slot: Slot) -> dict[str, Any]:
    facts: dict[str, Any] = {"way": str(slot.way), "salt": slot.salt.hex(), "nonce": slot.nonce.hex()}
    if slot.effort is not None:
        facts |= {"memory": slot.effort.memory, "passes": slot.effort.passes, "lanes": slot.effort.lanes}
    return facts | {"wrapped": slot.wrapped.hex()}


def _read(facts: dict[str, Any]) -> Slot:
    way = Way(facts["way"])
    effort = None
    if way is Way.PASSPHRASE:
        effort = Effort(*(int(facts[name]) for name in ("memory", "passes", "lanes")))
        if not (
            8 * effort.lanes <= effort.memory <= _MOST.memory
            and 1 <= effort.passes <= _MOST.passes
            and 1 <= effort.lanes <= _MOST.lanes
        ):
            raise ValueError("no passphrase costs that much")
    octets = [bytes.fromhex(facts[name]) for name in ("salt", "nonce", "wrapped")]
    if len(octets[0]) < 8 or len(octets[1]) != _NONCE_OCTETS:
        raise ValueError("no slot is like that")
    return Slot(way, octets[0], octets[1], octets[2], effort)
