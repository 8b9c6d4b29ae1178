"""The key of a locked mailbox comes back through each of its slots, by nothing else, and from no damaged record."""

from __future__ import annotations

import resource
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postoffice.database.key import MARK, Key, new_key
from postoffice.errors import DamagedStore, UsageError
from postoffice.home.locking.beside import is_whole_twice, put_slots, read_slots, write_slots
from postoffice.home.locking.recognizing import is_locked, keys_path
from postoffice.home.locking.recovery import looks_like_recovery_key, new_recovery_key, secret_of
from postoffice.home.locking.slots import (
    RECORD_OCTETS,
    Effort,
    Slots,
    Way,
    octets_of_passphrase,
    read_record,
    slot_for,
)

CHEAP = Effort(64, 1, 1)
KEY = Key(bytes(range(32)), MARK + b"12345678")  # always the same, for the names of tests
SLOTS = Slots(KEY.salt, tuple(slot_for(KEY, way, b"open", CHEAP) for way in Way))
RECORD = SLOTS.record()


def sealed(before: bytes) -> bytes:
    before = before.ljust(RECORD_OCTETS - 32, b"\0")
    return before + sha256(before).digest()


@pytest.mark.parametrize("way", Way)
def test_the_secret_gives_the_key_and_another_gives_none(way: Way) -> None:
    slot = read_record(RECORD, "here").of(way)
    assert slot is not None
    assert slot.opened(KEY.salt, b"open") == KEY
    assert slot.opened(KEY.salt, b"opem") is None


@pytest.mark.parametrize("way", Way)
def test_a_slot_that_was_changed_or_moved_opens_nothing(way: Way) -> None:
    slot = SLOTS.of(way)
    assert slot is not None
    changed = [
        replace(slot, salt=bytes(16)),
        replace(slot, nonce=bytes(12)),
        replace(slot, wrapped=bytes(48)),
        replace(slot, way=Way.RECOVERY if way is Way.KEYRING else Way.KEYRING),
    ]
    if slot.effort is not None:
        changed.append(replace(slot, effort=replace(slot.effort, passes=2)))
    assert [one.opened(KEY.salt, b"open") for one in changed] == [None] * len(changed)
    assert slot.opened(new_key().salt, b"open") is None


@given(st.integers(0, RECORD_OCTETS * 8 - 1))
def test_any_bit_that_was_changed_is_told(bit: int) -> None:
    octets = bytearray(RECORD)
    octets[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DamagedStore, match="here is damaged"):
        read_record(bytes(octets), "here")


@given(st.integers(0, RECORD_OCTETS - 1))
def test_a_record_that_was_cut_is_told(octets: int) -> None:
    with pytest.raises(DamagedStore, match="here is damaged"):
        read_record(RECORD[:octets], "here")


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"[]",
        b"{",
        b'{"mailbox":"00","slots":[]}',
        b'{"mailbox":"' + KEY.salt.hex().encode() + b'","slots":[]}',
        b'{"mailbox":"' + KEY.salt.hex().encode() + b'","slots":[{"way":"passphrase"}]}',
        RECORD[18:-32].replace(b'"memory":64', b'"memory":99999999'),
        RECORD[18:-32].replace(b'"passes":1', b'"passes":0'),
        RECORD[18:-32].replace(b'"lanes":1', b'"lanes":4096'),
        RECORD[18:-32].replace(b'"memory":64', b'"memory":Infinity'),
        b"[" * 1990,
        b"\xff\xfe",
    ],
)
def test_what_is_whole_and_means_nothing_is_a_sentence(written: bytes) -> None:
    with pytest.raises(DamagedStore, match="here is damaged"):
        read_record(sealed(b"postoffice keys 1\n" + written), "here")


def test_a_newer_version_is_no_damage() -> None:
    with pytest.raises(DamagedStore, match="here is from a newer version"):
        read_record(sealed(b"postoffice keys 2\n" + b"what is not known yet"), "here")


def test_a_passphrase_is_the_same_however_a_keyboard_writes_it() -> None:
    assert octets_of_passphrase("Nguyễn") == octets_of_passphrase("Nguye\u0302\u0303n")


def test_a_passphrase_that_there_is_no_memory_to_try_is_a_sentence() -> None:
    slot = replace(slot_for(KEY, Way.PASSPHRASE, b"open", CHEAP), effort=Effort(1 << 20, 1, 1))
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 29), before[1]))
    try:
        with pytest.raises(UsageError, match="costs 1024 MiB of memory") as caught:
            slot.opened(KEY.salt, b"open")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert caught.value.status == 75


def test_no_secret_stands_in_what_is_printed_of_a_key() -> None:
    key = Key(b"\x55" * 32, KEY.salt)
    assert "55" * 4 not in repr(key)
    assert "\\x55" not in repr(key)
    assert "UUU" not in repr(key)


# --- the recovery key ---------------------------------------------------------------------------------------------


def test_a_recovery_key_is_read_however_it_is_typed() -> None:
    key = new_recovery_key()
    assert [len(group) for group in key.split("-")] == [4] * 7
    alike = key.replace("0", "O").replace("1", "l")
    typed = [key, key.lower(), key.replace("-", ""), key.replace("-", "  "), alike, f"  {key}\t"]
    assert {secret_of(one) for one in typed} == {key.replace("-", "")[:26].encode()}


def test_nearly_every_slip_is_noticed() -> None:
    key = new_recovery_key()
    unnoticed = 0
    for at in range(len(key)):
        for letter in "0123456789ABCDEFGHJKMNPQRSTVWXYZ":
            typed = key[:at] + letter + key[at + 1 :]
            if key[at] != "-" and typed != key:
                assert looks_like_recovery_key(typed)
                unnoticed += secret_of(typed) is not None
    assert unnoticed <= 8  # 868 slips, of which one in 1024 is expected to pass


def test_a_passphrase_is_not_taken_for_one() -> None:
    assert not looks_like_recovery_key("correct horse battery staple")
    assert secret_of("correct horse battery staple") is None


# --- beside the file ----------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mail.mailbox"
    path.write_bytes(KEY.salt + b"encrypted")
    write_slots(path, SLOTS)
    return path


def test_one_damaged_copy_does_not_lock_anybody_out(file: Path) -> None:
    keys = keys_path(file)
    sound = keys.read_bytes()
    assert is_whole_twice(file)
    for at in (100, 4096 + 100):
        damaged = bytearray(sound)
        damaged[at] ^= 1
        keys.write_bytes(damaged)
        assert read_slots(file) == SLOTS
        assert not is_whole_twice(file)
    keys.write_bytes(sound[:3000])
    assert read_slots(file) == SLOTS


def test_both_copies_damaged_is_a_sentence(file: Path) -> None:
    for octets in (b"", b"x" * 8192, keys_path(file).read_bytes().replace(b"passphrase", b"passphrasf")):
        keys_path(file).write_bytes(octets)
        with pytest.raises(DamagedStore, match=r"mail\.mailbox\.keys is damaged"):
            read_slots(file)


def test_slots_that_are_not_there_or_another_mailbox_s_are_a_sentence(file: Path) -> None:
    other = new_key()
    write_slots(file, Slots(other.salt, (slot_for(other, Way.RECOVERY, b"x"),)))
    with pytest.raises(UsageError, match="another mailbox") as caught:
        read_slots(file)
    assert caught.value.status == 65
    keys_path(file).unlink()
    with pytest.raises(UsageError, match="--keys-from") as caught:
        read_slots(file)
    assert caught.value.status == 66


def test_slots_that_may_open_another_mailbox_are_never_written_over(file: Path) -> None:
    put_slots(file, SLOTS)
    before = keys_path(file).read_bytes()
    with pytest.raises(UsageError, match="move it away") as caught:
        put_slots(file, SLOTS.without(Way.KEYRING))
    assert caught.value.status == 73
    assert keys_path(file).read_bytes() == before


def test_what_is_locked_is_told_also_where_the_beginning_is_damaged(file: Path, tmp_path: Path) -> None:
    assert is_locked(file)
    file.write_bytes(b"\0" * 16 + b"encrypted")
    assert is_locked(file)
    file.write_bytes(b"SQLite format 3\0")
    assert not is_locked(file)
    file.write_bytes(b"")
    assert not is_locked(file)
    assert not is_locked(tmp_path / "nothing")
    plain = tmp_path / "other"
    plain.write_bytes(b"\0" * 16)
    assert not is_locked(plain)


def test_the_keys_lie_where_a_link_leads(file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    link = folder / "link"
    link.symlink_to(file)
    assert read_slots(link) == SLOTS


def test_keys_are_their_owner_s_alone(file: Path) -> None:
    assert keys_path(file).stat().st_mode & 0o777 == 0o600
    assert {path.name for path in file.parent.iterdir()} == {"mail.mailbox", "mail.mailbox.keys"}
