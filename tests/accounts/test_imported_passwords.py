"""Passwords as another server kept them: each of its schemes is checked as it did, and gone after the first login."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import subprocess
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from postoffice.accounts import imported, verifiers
from postoffice.accounts.login import Admission, Login
from postoffice.accounts.passwords import PasswordPool
from postoffice.errors import Refusal, StoreUnavailable
from postoffice.events import collected
from postoffice.net.tls import client_context
from postoffice.store.base import Store
from postoffice.store.embedded import EmbeddedStore
from postoffice.store.memory import MemoryStore
from postoffice.store.model import Account, Credential
from postoffice.testing.office import run_office
from postoffice.testing.raw import Pop3Raw

BOB = "bob@b.example"
PASSWORD = "Grüße 1"

DOVECOT = dict(
    line.split(" ", 1) for line in Path(__file__).with_name("doveadm-pw.txt").read_text("utf-8").splitlines()
)
"""What `doveadm pw -s SCHEME -p "Grüße 1"` of Dovecot 2.3.19 made, by SCHEME."""

OTHERS = {
    "rounds": "$6$rounds=20000$ceP/EO4nKyxfIKuG$"
    "sQGXaA/qvuc.rmIBrSOOE8Ex3Q/LEUndgPjNMLRRxBTfrQv2BOwUAirItXYIJ3S.SIWhInoBy0FKFvCflqokd/",
    "yescrypt": "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$foPktjYz3DnP9U7g1vOSaYBzfd6FFqfFQe.dpnU5nQ6",
    "2a": "$2a$04$abcdefghijklmnopqrstuufC0POJtgq96AFPlvsCnadvaEvGrqEn2",
    "2b": "{CRYPT}$2b$04$abcdefghijklmnopqrstuufC0POJtgq96AFPlvsCnadvaEvGrqEn2",
    "argon2id": DOVECOT["ARGON2ID"].removeprefix("{ARGON2ID}"),
    "DES": DOVECOT["DES-CRYPT"].removeprefix("{DES-CRYPT}"),
    "hexadecimal": "{sha}06eccc77c624db5a9ebd54699296dcf735f22000",
    "MD5 in hexadecimal": "{MD5}66a3b97330f7d94ed84bf9b7cb634e2c",
}
"""Of the system's libcrypt, as they stand in `/etc/shadow`, and spellings that Dovecot takes too."""

PLAIN = ("PLAIN", "CLEARTEXT", "CLEAR", "PLAIN.base64")
SHA512, BLOWFISH, SSHA = DOVECOT["SHA512-CRYPT"], DOVECOT["BLF-CRYPT"], DOVECOT["SSHA"]


@pytest.fixture
async def pool() -> AsyncIterator[PasswordPool]:
    pool = PasswordPool()
    yield pool
    pool.close()


@pytest.mark.parametrize("name", [*DOVECOT, *OTHERS])
async def test_every_scheme_is_checked_as_the_old_server_did(pool: PasswordPool, name: str) -> None:
    kept = {**DOVECOT, **OTHERS}[name]
    verifier = verifiers.of_imported(kept)
    assert await pool.verify(verifier, PASSWORD)
    for wrong in ("", "Grüße", "grüße 1", "Gr\0\0e 1", "x" * 600):
        assert not await pool.verify(verifier, wrong), wrong


def test_what_the_old_server_kept_in_clear_is_never_kept_so() -> None:
    for name in PLAIN:
        verifier = verifiers.of_imported(DOVECOT[name])
        assert verifier.startswith("$argon2id$")
        assert verifiers.told(verifier) == "own"


def test_how_each_is_kept_is_told_by_dovecots_name() -> None:
    told = {name: verifiers.told(verifiers.of_imported(kept)) for name, kept in (DOVECOT | OTHERS).items()}
    others = {
        "SHA": "SHA1",
        "LDAP-MD5": "PLAIN-MD5",
        "CRYPT": "BLF-CRYPT",
        "MD5": "MD5-CRYPT",
        "rounds": "SHA512-CRYPT",
        "yescrypt": "YESCRYPT",
        "2a": "BLF-CRYPT",
        "2b": "BLF-CRYPT",
        "argon2id": "ARGON2ID",
        "DES": "DES-CRYPT",
        "hexadecimal": "SHA1",
        "MD5 in hexadecimal": "PLAIN-MD5",
    }
    for name, words in told.items():
        scheme = others.get(name, name.partition(".")[0])
        assert words == ("own" if name in PLAIN else f"imported ({scheme})")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "this is no hash that is known here"),
        ("secret", "this is no hash that is known here"),
        ("{CRYPT}secret", "this is no hash that is known here"),
        ("{OTP}sha1 1024 11fe2a4f1f82feae 66bf4e9c0f334293", "OTP is no scheme that is known here"),
        ("{CRAM-MD5}f19bc1d6a7430e2adc353f1fb48b5370", "CRAM-MD5 is no scheme that is known here"),
        ("{SHA512-CRYPT}$5$x$y", "this is no hash of SHA512-CRYPT"),
        (SHA512[:-1], "this is no hash of SHA512-CRYPT"),
        ("{SSHA}BuzM", "this is no hash of SSHA"),
        ("{SHA256}BuzMd8Yk21qevVRpkpbc9zXyIAA=", "this is no hash of SHA256"),
        ("{SHA256}what is this?", "it is not written in base64"),
        ("{SHA256.hex}what is this?", "it is not written in hexadecimal"),
        ("{SHA512-CRYPT.b64}////", "invalid start byte"),
        ("{PBKDF2}$1$x$0$335a02651ce08cfc25b2c5437c1672dc4afe25ca", "this is no hash of PBKDF2"),
        ("{SCRAM-SHA-256}4096,xxxx,yyyy,zzzz", "this is no hash of SCRAM-SHA-256"),
        ("{ARGON2ID}$argon2id$v=19$m=65536,t=3", "this is no hash of Argon2"),
        ("{PLAIN}", "this is no password that anybody could type"),
        ("{PLAIN}a\0b", "this is no password that anybody could type"),
    ],
)
def test_what_is_no_hash_is_not_taken(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        verifiers.of_imported(text)


@pytest.mark.parametrize(
    "text",
    [
        SHA512.replace("$6$", "$6$rounds=999999999$"),
        DOVECOT["SHA256-CRYPT"].replace("$5$", "$5$rounds=1000001$"),
        BLOWFISH.replace("$05$", "$15$"),
        OTHERS["yescrypt"].replace("$j9T$", "$jFT$"),
        DOVECOT["ARGON2ID"].replace("m=65536", "m=4194304"),
        DOVECOT["ARGON2ID"].replace("t=3", "t=300"),
        DOVECOT["ARGON2I"].replace("p=1", "p=200"),
        DOVECOT["PBKDF2"].replace("$5000$", "$999999999$"),
        DOVECOT["SCRAM-SHA-1"].replace("4096", "999999999"),
    ],
)
def test_a_hash_that_would_take_too_long_to_check_is_not_taken(text: str) -> None:
    with pytest.raises(ValueError, match="to check it would take too long"):
        verifiers.of_imported(text)


# --- at login


async def move_in(store: Store, kept: str, address: str = BOB) -> Account:
    """Somebody who comes with what another server kept."""
    domain = address.rpartition("@")[2]
    if not await store.directory.has_domain(domain):
        await store.directory.add_domain(domain)
    account = await store.directory.add_account(address, 0.0)
    await store.directory.set_credential(Credential(account.account_id, "password", verifiers.of_imported(kept)))
    return account


async def how(store: Store, account: Account) -> list[str]:
    return [verifiers.told(one.verifier) for one in await store.directory.credentials(account.account_id)]


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def login(memory: MemoryStore) -> AsyncIterator[Login]:
    login = Login(memory.directory)
    yield login
    login.close()


async def test_the_first_right_login_puts_argon2id_in_its_place(login: Login, memory: MemoryStore) -> None:
    bob = await move_in(memory, SHA512)
    with collected() as events:
        assert await login.by_password(BOB, PASSWORD) == Admission(bob, "password")
    assert events == [("password.replaced", {"account": BOB, "scheme": "SHA512-CRYPT"})]
    assert await how(memory, bob) == ["own"]
    afresh = Login(memory.directory)  # which remembers nothing
    try:
        assert await afresh.by_password(BOB, PASSWORD) == Admission(bob, "password")
    finally:
        afresh.close()


async def test_a_wrong_password_replaces_nothing_and_is_answered_like_any(login: Login, memory: MemoryStore) -> None:
    bob = await move_in(memory, SHA512)
    for name in (BOB, "nobody@b.example"):
        with pytest.raises(Refusal, match="user name or password is wrong"):
            await login.by_password(name, "guess")
    assert await how(memory, bob) == ["imported (SHA512-CRYPT)"]


async def test_a_password_is_tried_in_the_form_in_which_it_came(login: Login, memory: MemoryStore) -> None:
    decomposed = unicodedata.normalize("NFD", PASSWORD)
    assert decomposed != PASSWORD
    made = "{SHA256.hex}" + hashlib.sha256(decomposed.encode()).hexdigest()
    bob = await move_in(memory, made)
    with pytest.raises(Refusal):
        await login.by_password(BOB, PASSWORD)
    assert await login.by_password(BOB, decomposed) == Admission(bob, "password")
    assert await login.by_password(BOB, PASSWORD) == Admission(bob, "password"), "from now on both are the same"


async def test_what_was_changed_meanwhile_stays_changed(login: Login, memory: MemoryStore) -> None:
    bob = await move_in(memory, SHA512)
    make = login._pool.make

    async def changed_meanwhile(password: str) -> str:
        new = Credential(bob.account_id, "password", verifiers.of_own("new secret"))
        await memory.directory.set_credential(new)
        return await make(password)

    login._pool.make = changed_meanwhile  # type: ignore[method-assign]
    assert await login.by_password(BOB, PASSWORD)
    with pytest.raises(Refusal):
        await login.by_password(BOB, PASSWORD)
    assert await login.by_password(BOB, "new secret") == Admission(bob, "password")


async def test_two_first_logins_at_once_both_get_in(tmp_path: Path) -> None:
    store = EmbeddedStore.open(tmp_path / "office")
    login = Login(store.directory)
    try:
        bob = await move_in(store, BLOWFISH)
        with collected() as events:
            both = await asyncio.gather(*(login.by_password(BOB, PASSWORD) for _ in range(2)))
        assert both == [Admission(bob, "password")] * 2
        assert [name for name, _ in events] == ["password.replaced"]
        assert await how(store, bob) == ["own"]
    finally:
        login.close()
        await store.close()


async def test_a_store_that_fails_then_fails_no_login(login: Login, memory: MemoryStore) -> None:
    bob = await move_in(memory, SSHA)

    async def fail(credential: Credential, instead_of: str | None = None) -> bool:
        raise StoreUnavailable("the committer is away")

    memory.directory.set_credential = fail  # type: ignore[method-assign]
    with collected() as events:
        assert await login.by_password(BOB, PASSWORD) == Admission(bob, "password")
    assert [name for name, _ in events] == ["password.not_replaced"]
    assert await how(memory, bob) == ["imported (SSHA)"]


async def test_scram_is_not_announced_while_somebody_has_an_imported_password(store: Store) -> None:
    def capabilities(port: int, certificate: Path) -> bytes:
        with Pop3Raw(port, client_context(certificate)) as client:
            client.say(b"CAPA\r\n")
            return client.block()

    async with run_office(store, "b.example", people={"carol@b.example": "x"}, scram=True) as office:
        door = (office.port("pop3s"), office.certificate)
        assert b"SCRAM-SHA-256" in await asyncio.to_thread(capabilities, *door)
        await move_in(store, DOVECOT["SCRAM-SHA-256"])
        assert b"SCRAM-SHA-256" not in await asyncio.to_thread(capabilities, *door)


def enter(port: int, certificate: Path, password: str) -> bytes:
    with Pop3Raw(port, client_context(certificate)) as client:
        said = client.log_in(BOB, password)
        client.ask("QUIT")
        return said


async def test_at_the_pop3_door_the_second_login_needs_the_old_hash_no_more(store: Store) -> None:
    async with run_office(store, "b.example", people={"carol@b.example": "x"}) as office:
        bob = await move_in(store, DOVECOT["MD5-CRYPT"])
        door = (office.port("pop3s"), office.certificate)
        for password, said, kept in (
            ("guess", b"-ERR", "imported (MD5-CRYPT)"),
            (PASSWORD, b"+OK", "own"),
            (PASSWORD, b"+OK", "own"),
            ("guess", b"-ERR", "own"),
        ):
            assert (await asyncio.to_thread(enter, *door, password)).startswith(said)
            assert await how(store, bob) == [kept]


@pytest.mark.peer
@pytest.mark.skipif(shutil.which("doveadm") is None, reason="dovecot-core is not installed")
@pytest.mark.parametrize("scheme", [name for name in DOVECOT if name not in PLAIN])
async def test_what_doveadm_makes_now_opens_here(login: Login, memory: MemoryStore, scheme: str) -> None:
    words = ["doveadm", "pw", "-s", scheme, "-p", PASSWORD]
    made = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    bob = await move_in(memory, made)
    assert imported.scheme_of((await memory.directory.credentials(bob.account_id))[0].verifier)
    assert await login.by_password(BOB, PASSWORD) == Admission(bob, "password")
    assert await how(memory, bob) == ["own"]
