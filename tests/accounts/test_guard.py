"""Who guesses passwords is slowed down and then refused, and nobody else is touched by it."""

from __future__ import annotations

import tracemalloc
from ipaddress import ip_network
from pathlib import Path

import pytest

from postoffice.accounts.guard import Guard, GuardSettings, is_failed_login
from postoffice.accounts.ledger import BOOK_OCTETS, Area, Ledger, Row, begin_book, open_book
from postoffice.errors import Refusal
from postoffice.events import collected

HOME, THIEF, OTHER = "192.0.2.7", "198.51.100.1", "203.0.113.9"
BOB, EVE = "bob@a.example", "eve@a.example"
DAY = 86_400.0


class Days:
    """A guard and a clock that only we move; whoever waits moves it too."""

    def __init__(self, settings: GuardSettings | None = None, ledger: Ledger | None = None) -> None:
        self.now = 1_800_000_000.0
        self.waited: list[float] = []
        self.guard = Guard(settings, ledger or Ledger(salt=b"always the same"), lambda: self.now, self._wait)

    async def _wait(self, seconds: float) -> None:
        self.now += seconds
        self.waited.append(seconds)

    async def try_password(self, host: str, name: str, password: str, right: str = "right") -> str:
        """What a login does, in a word."""
        fingerprint = self.fingerprint(name, password)
        try:
            await self.guard.admit(host, name, fingerprint)
        except Refusal as refusal:
            return "later" if is_failed_login(refusal) and not refusal.permanent else str(refusal)
        if password == right:
            self.guard.worked(host, name, fingerprint)
            return "in"
        self.guard.failed(host, name, fingerprint)
        return "wrong"

    def fingerprint(self, name: str, password: str) -> bytes:
        return f"{name} {password}".encode().ljust(16)[-16:]

    async def attack(self, host: str, name: str, tries: int) -> list[str]:
        return [await self.try_password(host, name, f"guess {number}") for number in range(tries)]


async def test_wrong_passwords_cost_ever_longer_delays_and_then_refusals() -> None:
    days = Days()
    assert await days.attack(THIEF, BOB, 10) == ["wrong"] * 10
    assert days.waited == [1, 2, 4, 8, 16, 16, 16]
    assert await days.try_password(THIEF, BOB, "guess 11") == "later"


async def test_each_refusal_lasts_twice_as_long() -> None:
    days = Days()
    await days.attack(THIEF, BOB, 10)
    lasted = []
    for number in range(5):
        begun = days.now
        while await days.try_password(THIEF, BOB, f"more {number}") == "later":
            days.now += 1
        lasted.append(round(days.now - begun - 16))
    assert lasted == [60, 120, 240, 480, 960]


async def test_nothing_long_is_kept_of_a_guess() -> None:
    days = Days()
    tracemalloc.start()
    for number in range(2000):
        days.guard.failed(f"10.0.{number >> 8}.{number & 255}", f"{number}" + "x" * 60_000, b"f" * 16)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 8_000_000


async def test_a_place_that_is_refused_does_not_learn_whether_its_guess_was_right() -> None:
    days = Days()
    await days.attack(THIEF, BOB, 10)
    assert await days.try_password(THIEF, BOB, "right") == await days.try_password(THIEF, BOB, "wrong") == "later"


async def test_delays_do_not_depend_on_whether_the_guess_is_right() -> None:
    right, wrong = Days(), Days()
    for days, password in ((right, "right"), (wrong, "wrong")):
        await days.attack(THIEF, BOB, 5)
        await days.try_password(THIEF, BOB, password)
    assert right.waited == wrong.waited


async def test_the_same_wrong_password_counts_once() -> None:
    days = Days()
    for _ in range(1000):
        assert await days.try_password(HOME, BOB, "of last year") == "wrong"
        days.now += 300
    assert days.waited == []
    assert await days.try_password(HOME, BOB, "right") == "in"


async def test_a_few_old_passwords_in_turn_count_once_each() -> None:
    days = Days()
    for round_ in range(100):
        for device in range(2):
            assert await days.try_password(HOME, BOB, f"of device {device}") == "wrong", round_
    assert days.waited == []


async def test_the_same_password_for_another_name_counts_again() -> None:
    days = Days()
    tries = [await days.try_password(THIEF, f"user{number}@a.example", "123456") for number in range(12)]
    assert tries[-1] == "later"


async def test_without_a_fingerprint_every_failure_counts() -> None:
    days = Days()
    for _ in range(10):
        await days.guard.admit(THIEF, BOB)
        days.guard.failed(THIEF, BOB)
    with pytest.raises(Refusal):
        await days.guard.admit(THIEF, BOB)


async def test_a_right_password_from_a_clean_place_is_never_delayed_by_an_attack_from_elsewhere() -> None:
    days = Days()
    for number in range(100):
        await days.try_password(f"198.51.100.{number}", BOB, f"guess {number}")
    days.waited.clear()
    assert await days.try_password(HOME, BOB, "right") == "in"
    assert days.waited == []


async def test_an_account_under_attack_is_closed_to_places_that_failed() -> None:
    days = Days()
    for number in range(20):
        assert await days.try_password(f"198.51.100.{number}", BOB, f"guess {number}") == "wrong"
    assert await days.try_password("198.51.100.3", BOB, "right") == "later"
    assert await days.try_password("198.51.100.3", EVE, "right") == "in"


async def test_a_place_where_a_login_was_right_keeps_it_whatever_others_do_there() -> None:
    days = Days()
    assert await days.try_password(HOME, BOB, "right") == "in"
    await days.attack(HOME, EVE, 12)
    assert await days.try_password(HOME, EVE, "right") == "later"
    assert await days.try_password(HOME, BOB, "right") == "in"
    assert await days.try_password(HOME, BOB, "right 2", right="right 2") == "in", "a new password too"


async def test_a_guesser_beside_the_owner_is_stopped_and_the_owner_is_not() -> None:
    days = Days()
    assert await days.try_password(HOME, BOB, "right") == "in"
    tries = await days.attack(HOME, BOB, 12)
    assert tries == ["wrong"] * 10 + ["later"] * 2
    assert await days.try_password(HOME, BOB, "right") == "in", "what just worked goes on to work"


async def test_a_login_long_ago_speaks_for_nobody() -> None:
    days = Days()
    assert await days.try_password(HOME, BOB, "right") == "in"
    days.now += 31 * DAY
    await days.attack(HOME, BOB, 10)
    assert await days.try_password(HOME, BOB, "right") == "later"


async def test_a_right_login_clears_nothing_of_the_place_it_came_from() -> None:
    days = Days()
    for number in range(10):
        await days.try_password(THIEF, EVE, "right")  # his own account
        await days.try_password(THIEF, BOB, f"guess {number}")
    assert await days.try_password(THIEF, BOB, "right") == "later"


async def test_it_is_forgotten_in_some_days() -> None:
    days = Days()
    await days.attack(THIEF, BOB, 10)
    days.now += 6 * DAY
    days.waited.clear()
    assert await days.try_password(THIEF, BOB, "right") == "in"
    assert days.waited == []
    assert not days.guard.penalties()


async def test_slow_guessing_gets_a_dozen_tries_a_day() -> None:
    days = Days()
    looked_at = 0
    for number in range(7 * 24 * 60):
        looked_at += await days.try_password(THIEF, BOB, f"guess {number}") == "wrong"
        days.now += 60
    assert looked_at < 7 * 15


@pytest.mark.parametrize("same", ["2001:db8:1:2::1", "2001:db8:1:2:ffff::", "2001:DB8:1:2::7%eth0"])
async def test_addresses_of_one_ipv6_network_are_one_place(same: str) -> None:
    days = Days()
    await days.attack("2001:db8:1:2::5", BOB, 10)
    assert await days.try_password(same, BOB, "right") == "later"
    assert await days.try_password("2001:db8:1:3::5", BOB, "right") == "in"


async def test_ipv4_written_as_ipv6_is_the_same_place() -> None:
    days = Days()
    await days.attack(THIEF, BOB, 10)
    assert await days.try_password(f"::ffff:{THIEF}", BOB, "right") == "later"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "", "10.1.2.3"])
async def test_trusted_networks_are_not_counted(host: str) -> None:
    trusted = (*GuardSettings().trusted_networks, ip_network("10.0.0.0/8"))
    days = Days(GuardSettings(trusted_networks=trusted))
    assert await days.attack(host, BOB, 50) == ["wrong"] * 50
    assert not days.guard.penalties()


async def test_a_clock_that_was_wrong_refuses_nobody_for_years() -> None:
    days = Days()
    days.now += 1000 * DAY
    await days.attack(THIEF, BOB, 12)
    days.now -= 1000 * DAY
    assert await days.try_password(THIEF, BOB, "right") == "in"


async def test_a_penalty_is_told_and_listed_and_can_be_forgiven() -> None:
    days = Days()
    with collected() as events:
        await days.attack(THIEF, BOB, 11)
    told = [facts for name, facts in events if name == "login.penalised"]
    assert told == [{"who": THIEF, "points": 10, "seconds": 60}]
    assert [name for name, _ in events][-1] == "login.refused"
    first, second = days.guard.penalties()
    assert (first.kind, first.who, first.failures) == ("network", THIEF, 10)
    assert first.until > days.now
    assert (second.kind, second.who, second.until) == ("account", BOB, 0.0)
    assert days.guard.forgive(THIEF)
    assert await days.try_password(THIEF, BOB, "right") == "in"
    assert days.guard.forgive(BOB)
    assert not days.guard.penalties()
    assert not days.guard.forgive(OTHER)


async def test_what_stands_against_a_login_is_forgiven_with_its_account_or_its_network() -> None:
    for who in (BOB, HOME):
        days = Days()
        await days.try_password(HOME, BOB, "right")
        await days.attack(HOME, BOB, 10)
        assert await days.try_password(HOME, BOB, "new", right="new") == "later"
        days.guard.forgive(who)
        assert await days.try_password(HOME, BOB, "new", right="new") == "in"


# --- the book


def book(path: Path) -> Ledger:
    ledger, trouble = begin_book(path)
    assert not trouble
    return ledger


async def test_it_outlives_the_office(tmp_path: Path) -> None:
    before = Days(ledger=book(tmp_path / "book"))
    await before.try_password(HOME, BOB, "right")
    await before.attack(THIEF, BOB, 10)
    before.guard.ledger.close()
    after = Days(ledger=book(tmp_path / "book"))
    after.now = before.now
    assert await after.try_password(THIEF, BOB, "right") == "later"
    assert await after.attack(HOME, EVE, 11) == ["wrong"] * 10 + ["later"]
    assert await after.try_password(HOME, BOB, "right") == "in"


async def test_two_processes_have_one_book(tmp_path: Path) -> None:
    one, other = Days(ledger=book(tmp_path / "book")), Days(ledger=book(tmp_path / "book"))
    await one.attack(THIEF, BOB, 10)
    other.now = one.now
    assert await other.try_password(THIEF, BOB, "right") == "later"
    assert other.guard.forgive(THIEF)
    assert await one.try_password(THIEF, BOB, "right") == "in"


async def test_no_password_can_be_found_in_the_book(tmp_path: Path) -> None:
    days = Days(ledger=book(tmp_path / "book"))
    await days.try_password(HOME, BOB, "right")
    await days.attack(HOME, BOB, 3)
    octets = (tmp_path / "book").read_bytes()
    assert b"guess" not in octets
    assert b"right" not in octets
    [row] = days.guard.ledger.rows(Area.PLACE)
    assert len(row.seen) == 3
    assert all(0 < one <= 0xFFFF for one in row.seen)


@pytest.mark.parametrize("damage", [b"", b"x" * 100, b"x" * BOOK_OCTETS], ids=["empty", "short", "foreign"])
def test_a_file_that_is_no_book_is_begun_anew(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "book"
    path.write_bytes(damage)
    assert open_book(path) is None
    ledger, trouble = begin_book(path)
    assert trouble == f"{path} is no book of failed logins, and is begun anew"
    assert not list(ledger.rows(Area.PLACE))
    assert path.stat().st_size == BOOK_OCTETS
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_book_that_cannot_be_kept_is_kept_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    ledger, trouble = begin_book(tmp_path / "file" / "book")
    assert "failed logins are forgotten when the office closes" in trouble
    with ledger.writing():
        ledger.put(Area.NAME, Row(1, BOB))
    assert ledger.get(Area.NAME, 1) == Row(1, BOB)


async def test_rows_that_are_not_whole_count_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "book"
    days = Days(ledger=book(path))
    await days.attack(THIEF, BOB, 10)
    with path.open("r+b") as file:
        octets = bytearray(file.read())
        at = octets.index(THIEF.encode())
        file.seek(at)
        file.write(b"9")
    assert await days.try_password(THIEF, BOB, "right") == "in"
    assert await days.try_password(THIEF, BOB, "wrong") == "wrong", "and are written anew"
    assert [row.name for row in days.guard.ledger.rows(Area.PLACE)] == [THIEF]


async def test_the_book_never_grows_and_forgets_what_matters_least(tmp_path: Path) -> None:
    path = tmp_path / "book"
    days = Days(ledger=book(path))
    await days.try_password(HOME, BOB, "right")
    await days.attack(THIEF, BOB, 10)
    for number in range(30_000):
        days.guard.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", f"user{number}@a.example")
    assert path.stat().st_size == BOOK_OCTETS
    assert len(list(days.guard.ledger.rows(Area.PLACE))) == Area.PLACE.value * 8
    assert await days.try_password(THIEF, BOB, "right") == "later"
    assert days.guard.ledger.get(Area.PAIR, days.guard._pair(days.guard._place(HOME)[0], BOB))


def test_names_of_any_length_and_kind_fit(tmp_path: Path) -> None:
    ledger = book(tmp_path / "book")
    with ledger.writing():
        for key, name in enumerate(("x" * 5000, "\udcff", "ü" * 100, ""), 1):
            ledger.put(Area.NAME, Row(key, name, failures=1 << 40))
    assert len(list(ledger.rows(Area.NAME))) == 4
