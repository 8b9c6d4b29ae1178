"""EXPIRE and LOGIN-DELAY are announced as they are set: before login the worst of all, after it one's own
(RFC 2449 §6.5, §6.7)."""

from __future__ import annotations

from typing import Any

BOB = "bob@b.example"
LOGGED_IN = ("USER bob", "PASS secret")


async def test_nothing_set_is_expire_never_and_no_delay(here: Any) -> None:
    assert await here.capabilities() == ["EXPIRE NEVER"]
    assert await here.capabilities(*LOGGED_IN) == ["EXPIRE NEVER"]


async def test_a_value_for_some_is_announced_with_user(here: Any) -> None:
    await here.set(BOB, retain="30", login_delay="60")
    assert await here.capabilities() == ["EXPIRE 30 USER", "LOGIN-DELAY 60 USER"]
    assert await here.capabilities(*LOGGED_IN) == ["EXPIRE 30", "LOGIN-DELAY 60"]
    carol = ("USER carol", "PASS secret")
    assert await here.capabilities(*carol) == ["EXPIRE NEVER", "LOGIN-DELAY 0"]


async def test_a_value_for_everybody_is_announced_without_user(here: Any) -> None:
    await here.set("b.example", retain="14", login_delay="5")
    assert await here.capabilities() == ["EXPIRE 14", "LOGIN-DELAY 5"]
    assert await here.capabilities(*LOGGED_IN) == ["EXPIRE 14", "LOGIN-DELAY 5"]


async def test_the_shortest_retention_and_the_longest_delay_are_announced(here: Any) -> None:
    await here.set("b.example", retain="14", login_delay="5")
    await here.set(BOB, retain="never-expire", login_delay="3")
    assert await here.capabilities() == ["EXPIRE 14 USER", "LOGIN-DELAY 5 USER"]
    assert await here.capabilities(*LOGGED_IN) == ["EXPIRE NEVER", "LOGIN-DELAY 3"]
    await here.set("b.example", retain="", login_delay="")
    assert await here.capabilities() == ["EXPIRE NEVER", "LOGIN-DELAY 3 USER"]


async def test_other_settings_announce_nothing(here: Any) -> None:
    await here.set(BOB, quota_octets="1000", max_listed="5")
    assert await here.capabilities() == ["EXPIRE NEVER"]
    assert await here.capabilities(*LOGGED_IN) == ["EXPIRE NEVER"]
