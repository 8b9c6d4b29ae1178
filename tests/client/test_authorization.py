"""A person allows it once; from then on tokens are renewed, by one process at a time, and none is spent for nothing."""

from __future__ import annotations

import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from postoffice.client import authorization
from postoffice.client.asking import Denied
from postoffice.client.authorization import Client, Grant, by_browser, by_device
from postoffice.client.landing import Landing
from postoffice.client.providers import PRESETS, Provider, discovered, known_by
from postoffice.client.purse import Purse
from postoffice.errors import Refused, UsageError
from postoffice.testing.granting import REGISTERED, REGISTERED_SECRET
from postoffice.testing.provider import Provider as Running

BOB = "bob@b.example"
DESK = Client(REGISTERED, REGISTERED_SECRET)


@pytest.fixture
def running() -> Iterator[Running]:
    with Running() as running:
        yield running


@pytest.fixture
def provider(running: Running) -> Provider:
    return discovered(running.issuer, "mail")


def visit(url: str) -> None:
    """A browser: it goes where it is sent, and shows what it finds there."""
    threading.Thread(target=lambda: urllib.request.urlopen(url, timeout=20).close()).start()


def logged_in(provider: Provider) -> Grant:
    return by_browser(provider, DESK, BOB, visit)


def test_a_browser_brings_back_what_the_tokens_are_given_for(running: Running, provider: Provider) -> None:
    grant = logged_in(provider)
    assert grant.access_token.count(".") == 2
    assert grant.refresh_token
    assert running.granting.heard[0]["code_verifier"]
    assert DESK.secret not in repr(grant) + repr(DESK)
    assert grant.access_token not in repr(grant)


def test_who_says_no_in_the_browser_is_heard(running: Running, provider: Provider) -> None:
    running.granting.denies = True
    with pytest.raises(Denied, match="access_denied: She said no") as caught:
        logged_in(provider)
    assert caught.value.status == 77


def test_an_answer_to_another_question_is_turned_away_and_the_right_one_still_counts() -> None:
    with Landing("right", "https://a.example") as landing:
        answers: list[int] = []

        def visit_all() -> None:
            for query in (
                "code=evil&state=wrong",
                "code=evil",
                "code=evil&state=right&iss=https://evil.example",
                "state=right&code=good",
            ):
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{landing.port}/?{query}", timeout=20) as answer:
                        answers.append(answer.status)
                except urllib.error.HTTPError as error:
                    with error:
                        answers.append(error.code)

        browser = threading.Thread(target=visit_all)
        browser.start()
        assert landing.wait() == "good"
        browser.join()
    assert answers == [400, 400, 400, 200]


def test_nobody_is_waited_for_for_ever() -> None:
    with Landing("state") as landing, pytest.raises(Refused, match="in time") as caught:
        landing.wait(0.05)
    assert caught.value.status == 75


def test_a_code_is_typed_on_another_machine(running: Running, provider: Provider) -> None:
    shown: list[str] = []
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            running.granting.typed(shown[1])

    grant = by_device(provider, Client(REGISTERED), BOB, lambda *words: shown.extend(words), sleep=sleep)
    assert shown[0] == "https://a.example/device"
    assert len(pauses) == 3
    assert grant.refresh_token
    assert all("client_secret" not in asked for asked in running.granting.heard), "none is made up"


def test_a_wrong_registration_is_told(running: Running, provider: Provider) -> None:
    with pytest.raises(Denied, match="invalid_client"):
        by_browser(provider, Client(REGISTERED, "wrong"), BOB, visit)


@pytest.mark.parametrize("rotates", [True, False])
def test_tokens_are_renewed_again_and_again(
    running: Running, provider: Provider, rotates: bool, tmp_path: Path
) -> None:
    running.granting.lasts, running.granting.rotates = 0, rotates
    purse = Purse(tmp_path / "purse")
    purse.keep(logged_in(provider))
    tokens = {purse.token(BOB) for _ in range(4)}
    assert len(tokens) == 4
    assert len({asked.get("refresh_token") for asked in running.granting.heard[1:]}) == (4 if rotates else 1)


def test_two_at_once_spend_no_token_twice(running: Running, provider: Provider, tmp_path: Path) -> None:
    Purse(tmp_path).keep(grant := replace(logged_in(provider), ends=0.0))
    with ThreadPoolExecutor(8) as pool:
        tokens = set(pool.map(lambda _: Purse(tmp_path).token(BOB, grant.access_token), range(8)))
    assert len(tokens) == 1
    assert len(running.granting.heard) == 2, "one login, one renewal"


def test_a_token_that_still_lasts_is_used_without_asking(running: Running, provider: Provider, tmp_path: Path) -> None:
    purse = Purse(tmp_path)
    purse.keep(logged_in(provider))
    assert purse.token(BOB) == purse.token(BOB)
    assert running.asked["token"] == 1


def test_a_login_that_is_over_says_what_to_do(running: Running, provider: Provider, tmp_path: Path) -> None:
    running.granting.lasts = 0
    purse = Purse(tmp_path)
    purse.keep(logged_in(provider))
    running.granting.end_all()
    with pytest.raises(Refused, match=f"is over .*invalid_grant.*postoffice auth login {BOB}") as caught:
        purse.token(BOB)
    assert caught.value.status == 77


def test_a_provider_in_trouble_costs_no_login(running: Running, provider: Provider, tmp_path: Path) -> None:
    running.granting.lasts = 0
    purse = Purse(tmp_path)
    purse.keep(grant := logged_in(provider))
    running.broken.add("token")
    with pytest.raises(Refused, match="HTTP 500") as caught:
        purse.token(BOB)
    assert caught.value.status == 75
    assert purse.find(BOB) == grant
    running.broken.clear()
    assert purse.token(BOB)


def test_a_token_is_not_spent_where_the_next_could_not_be_kept(
    running: Running, provider: Provider, tmp_path: Path
) -> None:
    running.granting.lasts = 0
    purse = Purse(tmp_path / "purse")
    purse.keep(logged_in(provider))
    (tmp_path / "purse" / f"{BOB}.json.new").mkdir()
    with pytest.raises(UsageError, match="cannot be written") as caught:
        purse.token(BOB)
    assert caught.value.status == 73
    assert running.asked["token"] == 1


def test_what_is_kept_is_its_owners_alone(provider: Provider, tmp_path: Path) -> None:
    purse = Purse(tmp_path / "purse")
    old = os.umask(0)
    try:
        purse.keep(logged_in(provider))
    finally:
        os.umask(old)
    file = tmp_path / "purse" / f"{BOB}.json"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    file.chmod(0o640)
    with pytest.raises(UsageError, match="others may read it"):
        purse.find(BOB)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"hosts": 1}', json.dumps({"hosts": [], "more": 1})])
def test_a_file_that_is_no_login_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / f"{BOB}.json").write_text(text)
    (tmp_path / f"{BOB}.json").chmod(0o600)
    with pytest.raises(UsageError, match=f"{BOB}.json: is no login of ours") as caught:
        Purse(tmp_path).find(BOB)
    assert caught.value.status == 65


def test_an_address_stays_within_the_purse(provider: Provider, tmp_path: Path) -> None:
    purse = Purse(tmp_path / "purse")
    purse.keep(replace(logged_in(provider), address="../../Evil/x@b.example"))
    assert purse.addresses() == ["../../Evil/x@b.example"]
    assert [path.name for path in tmp_path.iterdir()] == ["purse"]


def test_an_issuer_that_says_it_is_another_is_not_believed(running: Running) -> None:
    with pytest.raises(UsageError, match="another issuer"):
        discovered(running.issuer + "/", "mail")
    with pytest.raises(UsageError, match="begins with https://"):
        discovered("http://a.example", "mail")


def test_what_is_revoked_is_renewed_no_more(running: Running, provider: Provider) -> None:
    grant = logged_in(provider)
    authorization.revoke(grant)
    with pytest.raises(Refused, match="is over"):
        authorization.renewed(grant)


def test_the_presets_are_complete() -> None:
    for name, preset in PRESETS.items():
        urls = (preset.authorization, preset.token, preset.device or preset.token, preset.manage)
        assert all(url.startswith("https://") for url in urls), name
        assert preset.hosts
        assert preset.scope
        assert known_by(f"bob@{preset.domains[0].upper()}") == preset
    assert known_by(BOB) is None
