"""The promises of `Directory`: who lives here, and who answers for the office."""

from __future__ import annotations

from postoffice.store.base import Store
from postoffice.store.model import OWNER, Credential, Pace, Visit
from postoffice.testing.check_store.walk import (
    NOON,
    PREFIX,
    Check,
    acceptance,
    deliver,
    must_be_sound,
    must_fail,
    new_account,
    put,
    seen,
    text,
)


async def a_new_directory_is_empty(store: Store) -> None:
    assert await store.directory.domains() == [], "a new office has no domain"
    assert await store.directory.accounts() == [], "a new office has no account"
    assert await store.directory.find("bob@b.example") is None, "nobody lives here yet"
    assert await store.directory.find("postmaster@b.example") is None, "nobody answers for postmaster yet"


async def a_domain_is_here_once(store: Store) -> None:
    await store.directory.add_domain("b.example")
    await store.directory.add_domain("a.example")
    assert sorted(await store.directory.domains()) == ["a.example", "b.example"], "all domains are told"
    assert await store.directory.has_domain("a.example"), "a domain that was added is not here"
    assert not await store.directory.has_domain("c.example"), "a domain that was not added is here"
    await must_fail(store.directory.add_domain("a.example"), "a domain that is here must be a StoreError")


async def an_address_is_one_account(store: Store) -> None:
    bob, carol = await new_account(store), await new_account(store, "carol@b.example")
    assert (bob.address, bob.created) == ("bob@b.example", NOON), "an account tells what was said"
    assert await store.directory.accounts() == [bob, carol], "all accounts are told, the first one first"
    assert await store.directory.find("carol@b.example") == carol, "an address finds its account"
    assert await store.directory.find("dan@b.example") is None, "an address of nobody found somebody"
    taken = store.directory.add_account("bob@b.example", NOON)
    await must_fail(taken, "an address that is taken must be a StoreError")
    elsewhere = store.directory.add_account("bob@c.example", NOON)
    await must_fail(elsewhere, "an address of a domain that is not here must be a StoreError")
    assert await store.directory.accounts() == [bob, carol], "what failed must change nothing"


async def somebody_answers_for_every_domain(store: Store) -> None:
    await store.directory.add_domain("empty.example")
    assert await store.directory.find("postmaster@empty.example") is None, "nobody lives here yet"
    bob = await new_account(store, "bob@b.example")
    carol = await new_account(store, "carol@c.example")
    await new_account(store, "cate@c.example")
    for name in ("postmaster", "abuse"):
        answers = [await store.directory.find(f"{name}@{at}.example") for at in ("b", "c", "empty")]
        assert answers == [bob, carol, bob], f"{name} is the domain's first account, else the first of all"
        found = await store.directory.find(f"{name}@elsewhere.example")
        assert found is None, f"{name} of a domain that is not here is nobody"
    postmaster = await new_account(store, "postmaster@c.example")
    found = await store.directory.find("postmaster@c.example")
    assert found == postmaster, "an account of that very name goes first"
    assert await store.directory.find("abuse@c.example") == carol, "abuse is still the first account"


async def credentials_are_kept_by_name(store: Store) -> None:
    bob, carol = await new_account(store), await new_account(store, "carol@b.example")
    assert await store.directory.credentials(bob.account_id) == [], "a new account has no credential"
    first = Credential(bob.account_id, "password", "$argon2id$one")
    phone = Credential(bob.account_id, "phone", "$argon2id$two")
    other = Credential(carol.account_id, "password", "$argon2id$three")
    for credential in (first, phone, other):
        await store.directory.set_credential(credential)
    kept = await store.directory.credentials(bob.account_id)
    assert sorted(kept, key=lambda one: one.name) == [first, phone], "an account's credentials are told"
    again = Credential(bob.account_id, "password", "$argon2id$four")
    await store.directory.set_credential(again)
    kept = await store.directory.credentials(bob.account_id)
    assert sorted(kept, key=lambda one: one.name) == [again, phone], "the one of the same name is replaced"
    assert await store.directory.credentials(carol.account_id) == [other], "another account's were changed"
    await store.directory.remove_credential(bob.account_id, "phone")
    assert await store.directory.credentials(bob.account_id) == [again], "the one that was removed is gone, no other"
    await must_fail(
        store.directory.remove_credential(carol.account_id, "phone"), "removing what is not there must be a StoreError"
    )
    assert await store.directory.credentials(carol.account_id) == [other], "another account's were changed"


async def a_verifier_is_replaced_only_where_it_still_is(store: Store) -> None:
    bob = await new_account(store)
    old = Credential(bob.account_id, "password", "$old$one")
    new = Credential(bob.account_id, "password", "$new$one")
    assert not await store.directory.set_credential(new, old.verifier), "there is nothing to replace"
    assert await store.directory.credentials(bob.account_id) == [], "what failed must change nothing"
    assert await store.directory.set_credential(old), "a credential is set"
    generation = await store.directory.generation()
    assert await store.directory.set_credential(new, old.verifier), "it was there and must be replaced"
    assert await store.directory.credentials(bob.account_id) == [new], "the new one is kept, and the old one is not"
    other = Credential(bob.account_id, "password", "$new$two")
    assert not await store.directory.set_credential(other, old.verifier), "it is another one by now"
    assert await store.directory.credentials(bob.account_id) == [new], "what failed must change nothing"
    assert await store.directory.generation() == generation, "the password is the same, so nothing is to be forgotten"


async def whether_everybody_has_a_scheme_is_known(store: Store) -> None:
    assert not await store.directory.everybody_has("$b$"), "nobody has what there are no credentials for"
    bob, carol = await new_account(store), await new_account(store, "carol@b.example")
    await store.directory.set_credential(Credential(bob.account_id, "password", "$a$one\n$b$two"))
    assert await store.directory.everybody_has("$b$"), "the only credential has it"
    assert not await store.directory.everybody_has("$c$"), "nobody has it"
    await store.directory.set_credential(Credential(carol.account_id, "password", "$a$three"))
    assert await store.directory.everybody_has("$a$"), "both credentials have it"
    assert not await store.directory.everybody_has("$b$"), "one credential has it not"
    await store.directory.remove_account(carol.account_id)
    assert await store.directory.everybody_has("$b$"), "who had it not is gone"


async def an_office_has_a_secret_of_its_own(store: Store) -> None:
    secret = await store.directory.secret()
    assert len(secret) == 32, "a secret has 32 octets"
    await new_account(store)
    assert await store.directory.secret() == secret, "the secret must stay"


async def settings_are_kept_by_owner(store: Store) -> None:
    bob = await new_account(store)
    assert await store.directory.settings() == {}, "nothing is set at first"
    changed = await store.directory.change_settings(bob.address, {"retain": "30", "recovery": "7"})
    assert changed, "a new setting is a change"
    await store.directory.change_settings("b.example", {"retain": "90"})
    both = {bob.address: {"retain": "30", "recovery": "7"}, "b.example": {"retain": "90"}}
    assert await store.directory.settings() == both, "accounts and domains have settings of their own"
    again = await store.directory.change_settings(bob.address, {"retain": "30"})
    assert not again, "what is so already is no change"
    taken = await store.directory.change_settings(bob.address, {"retain": "", "nothing": ""})
    assert taken, "taking one back is a change"
    assert not await store.directory.change_settings(bob.address, {"retain": ""}), "it is gone already"
    assert (await store.directory.settings())[bob.address] == {"recovery": "7"}, "the other one is kept"
    nobody = store.directory.change_settings("dan@b.example", {"retain": "1"})
    await must_fail(nobody, "settings of nobody must be a StoreError")
    await store.directory.remove_account(bob.account_id)
    assert await store.directory.settings() == {"b.example": {"retain": "90"}}, "they go with their owner alone"


async def every_change_is_a_new_generation(store: Store) -> None:
    generations = [await store.directory.generation()]
    await store.directory.add_domain("b.example")
    generations.append(await store.directory.generation())
    bob = await store.directory.add_account("bob@b.example", NOON)
    generations.append(await store.directory.generation())
    await store.directory.set_credential(Credential(bob.account_id, "password", "one"))
    generations.append(await store.directory.generation())
    await store.directory.set_credential(Credential(bob.account_id, "password", "two"))
    generations.append(await store.directory.generation())
    await store.directory.change_settings(bob.address, {"retain": "30"})
    generations.append(await store.directory.generation())
    await store.directory.remove_credential(bob.account_id, "password")
    generations.append(await store.directory.generation())
    await store.directory.remove_account(bob.account_id)
    generations.append(await store.directory.generation())
    assert generations == sorted(set(generations)), f"the generation must grow each time: {generations}"
    await store.directory.find("bob@b.example")
    await store.visits.count(bob.account_id, OWNER, NOON, Pace(60))
    await store.visits.note([Visit(bob.account_id, OWNER, NOON)])
    assert await store.directory.generation() == generations[-1], "neither looking nor a login changes a generation"


async def a_removed_account_leaves_nothing(store: Store) -> None:
    bob, carol = await new_account(store), await new_account(store, "carol@b.example")
    await store.directory.set_credential(Credential(bob.account_id, "password", "one"))
    await deliver(store, text(1), bob.account_id, carol.account_id)
    mailbox = await store.office.mailbox(bob.account_id)
    await put(mailbox, text(2))
    await store.office.tidy()
    await deliver(store, text(3), bob.account_id)
    await store.directory.remove_account(bob.account_id)
    assert await store.directory.accounts() == [carol], "the account is still here"
    assert await store.directory.find(bob.address) is None, "its address still finds it"
    assert await store.directory.credentials(bob.account_id) == [], "its credentials are still here"
    await must_fail(store.office.mailbox(bob.account_id), "its mailbox is still here")
    late = deliver(store, text(4), bob.account_id)
    await must_fail(late, "a delivery to an account that was removed must be a StoreError")
    await store.office.tidy()
    carols = await store.office.mailbox(carol.account_id)
    assert await seen(carols) == [PREFIX + text(1)], "another account's letter went with it"
    again = await new_account(store)
    assert again.account_id not in {bob.account_id, carol.account_id}, "the id of an account was used again"
    letters = await seen(await store.office.mailbox(again.account_id))
    assert letters == [], "a new account of the same address got letters of the old one"
    assert await store.directory.credentials(again.account_id) == [], "a new account got an old credential"
    await must_be_sound(store.office)


async def an_account_takes_no_mail_of_others(store: Store) -> None:
    bob, carol = await new_account(store), await new_account(store, "carol@b.example")
    await deliver(store, text(1), bob.account_id)
    await store.office.accept(await acceptance(store.office, text(2), remote=("x@c.example",)))
    mailbox = await store.office.mailbox(carol.account_id)
    assert await seen(mailbox) == [], "a letter for one account is shown to another"


DIRECTORY_CHECKS: list[Check] = [
    a_new_directory_is_empty,
    a_domain_is_here_once,
    an_address_is_one_account,
    somebody_answers_for_every_domain,
    credentials_are_kept_by_name,
    a_verifier_is_replaced_only_where_it_still_is,
    whether_everybody_has_a_scheme_is_known,
    an_office_has_a_secret_of_its_own,
    settings_are_kept_by_owner,
    every_change_is_a_new_generation,
    a_removed_account_leaves_nothing,
    an_account_takes_no_mail_of_others,
]
