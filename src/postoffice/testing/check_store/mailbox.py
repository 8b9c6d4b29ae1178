"""The promises of `Mailbox`: what is shown, what comes out, what is gone, and for whom."""

from __future__ import annotations

from hashlib import sha256

from postoffice.protocols.dots import stuff, unstuff
from postoffice.store.base import Mailbox
from postoffice.store.model import CHUNK_OCTETS, INBOX, OWNER, Flag, Origin, Pulled, Sight, Viewer
from postoffice.testing.check_store.walk import (
    NOON,
    PREFIX,
    MailboxCheck,
    entry,
    keys,
    large_text,
    letter,
    look,
    must_be_sound,
    must_fail,
    put,
    seen,
    staged,
    text,
    wire_of,
)

GONE = 2**40
"""The key of no letter."""


async def a_new_mailbox_is_empty(mailbox: Mailbox) -> None:
    snapshot = await mailbox.snapshot()
    columns = list(snapshot.keys), list(snapshot.octets), list(snapshot.unique_ids)
    assert columns == ([], [], []), "a new mailbox shows letters"
    assert [folder.name for folder in await mailbox.folders()] == [INBOX], "it begins with INBOX alone"
    assert await mailbox.viewers() == [Viewer(OWNER, Sight.HOLDS)], "it begins with its owner as the only viewer"
    assert await mailbox.pulled("pop://b.example/bob") == {}, "nothing was pulled yet"
    await must_be_sound(mailbox)


async def letters_come_out_as_they_went_in_oldest_first(mailbox: Mailbox) -> None:
    plains = [text(number, lines=number) for number in range(20)]
    given = await put(mailbox, *plains)
    assert len(set(given)) == 20, "append gives a key of its own for each letter"
    assert await keys(mailbox) == given, "the snapshot shows the letters oldest first"
    assert await seen(mailbox) == plains, "a letter comes out with other octets"
    pieces = await mailbox.read(given)
    wires = [piece.wire for piece in pieces if piece]
    assert wires == [stuff(plain) for plain in plains], "one read of all must give them in the order asked"
    backwards = await mailbox.read(given[::-1])
    assert backwards == pieces[::-1], "the order is that of the keys asked for"
    await must_be_sound(mailbox)


async def sizes_count_prefix_and_content_before_stuffing(mailbox: Mailbox) -> None:
    plain = b".Subject: dotted\r\n\r\n.\r\n..two\r\nend.\r\n"
    plain_key, dotted_key = await put(mailbox, text(1), prefix=PREFIX) + await put(mailbox, plain)
    snapshot = await mailbox.snapshot()
    assert list(snapshot.octets) == [len(PREFIX) + len(text(1)), len(plain)], "octets are prefix + content"
    one, two = await entry(mailbox, plain_key), await entry(mailbox, dotted_key)
    assert (one.octets, two.octets) == tuple(snapshot.octets), "entry and snapshot differ about the size"
    assert (one.has_dot_lines, two.has_dot_lines) == (False, True), "has_dot_lines is wrong"
    assert (one.prefix, two.prefix) == (PREFIX, b""), "the prefix is not kept"
    assert one.sha256 == sha256(text(1)).digest(), "a content is named by its own octets, without the prefix"
    assert two.sha256 == sha256(plain).digest(), "a content is named before dot-stuffing"
    assert await wire_of(mailbox, plain_key) == PREFIX + text(1), "the prefix stands above the content"
    assert await wire_of(mailbox, dotted_key) == stuff(plain), "a dotted content must come in wire form"


async def a_dotted_prefix_is_stuffed(mailbox: Mailbox) -> None:
    prefix = b".odd: 1\r\nX: 2\r\n.more: 3\r\n"
    (key,) = await put(mailbox, text(1), prefix=prefix)
    wire = await wire_of(mailbox, key)
    assert wire == stuff(prefix) + text(1), "the prefix must be stuffed on its way out"
    assert (await entry(mailbox, key)).has_dot_lines, "a dotted prefix makes dot lines"


async def a_forgotten_dot_is_mended(mailbox: Mailbox) -> None:
    stage = await mailbox.stage()
    await stage.write(b"A: 1\r\n\r\n.x\r\n")
    (key,) = await mailbox.append([(await letter(mailbox, b""))._replace(staged=await stage.finish())])
    assert await wire_of(mailbox, key) == b"A: 1\r\n\r\nx\r\n", "a single leading dot is removed (RFC 5321 §4.5.2)"
    assert not (await entry(mailbox, key)).has_dot_lines, "there is no dot line left"


async def a_letter_of_many_pieces_is_whole(mailbox: Mailbox) -> None:
    plain = large_text("large")
    small_key, large_key = await put(mailbox, text(1), plain, prefix=PREFIX)
    small, large = await mailbox.read([small_key, large_key])
    assert small is not None, "the small letter is gone"
    assert large is not None, "the large letter is gone"
    assert (small.more, large.more) == (False, True), "`more` is wrong"
    assert large.wire.startswith(PREFIX), "the first piece begins with the prefix"
    wire = await wire_of(mailbox, large_key)
    assert wire == PREFIX + stuff(plain), "a large letter comes out with other octets"
    (above, content), (_, nothing) = await mailbox.read_small([small_key, large_key])
    assert above + (content or b"") == small.wire, "a small letter comes out with other octets"
    assert nothing is None, "a large letter is given as a small one"
    assert list((await mailbox.snapshot()).octets)[1] == len(PREFIX) + len(plain), "its size is wrong"
    await must_be_sound(mailbox)


async def a_letter_at_the_edge_of_a_piece_is_whole(mailbox: Mailbox) -> None:
    for octets in (CHUNK_OCTETS - 1, CHUNK_OCTETS, CHUNK_OCTETS + 1, 2 * CHUNK_OCTETS):
        plain = b"A: 1\r\n\r\n".ljust(octets - 2, b"x") + b"\r\n"
        (key,) = await put(mailbox, plain, prefix=PREFIX)
        assert await wire_of(mailbox, key) == PREFIX + plain, f"a letter of {octets} octets is not whole"


async def an_empty_letter_is_a_letter(mailbox: Mailbox) -> None:
    bare, prefixed = await put(mailbox, b"") + await put(mailbox, b"", prefix=PREFIX)
    assert list((await mailbox.snapshot()).octets) == [0, len(PREFIX)], "the sizes of empty letters"
    assert await wire_of(mailbox, bare) == b"", "an empty letter has octets"
    assert await wire_of(mailbox, prefixed) == PREFIX, "an empty content has its prefix still"


async def any_octets_may_be_in_a_letter(mailbox: Mailbox) -> None:
    plain = bytes(range(256)) + b"\r\n\0\n\n\r\r\n\x80\xff\r\n"
    (key,) = await put(mailbox, plain)
    wire = await wire_of(mailbox, key)
    assert wire is not None, "the letter is gone"
    assert unstuff(wire) == plain, "some octets were changed"


async def identical_letters_are_two(mailbox: Mailbox) -> None:
    first, second = await put(mailbox, text(1), text(1))
    snapshot = await mailbox.snapshot()
    assert len(set(snapshot.unique_ids)) == 2, "identical letters need two unique ids (RFC 1939 §7)"
    one, two = await entry(mailbox, first), await entry(mailbox, second)
    assert one.email_id != two.email_id, "two letters, two email ids"
    await mailbox.remove([first])
    assert await seen(mailbox) == [text(1)], "removing one must leave the other"
    assert await wire_of(mailbox, second) == text(1), "the other's content must stay"


async def entries_tell_what_was_put_in(mailbox: Mailbox) -> None:
    imported = (await letter(mailbox, text(2)))._replace(unique_id="of.the-old~server!", flags=Flag.SEEN | Flag.DRAFT)
    await put(mailbox, text(1))
    await mailbox.append([imported._replace(internal_date=NOON + 0.5)])
    snapshot = await mailbox.snapshot()
    one, two = [await entry(mailbox, key) for key in snapshot.keys]
    assert list(snapshot.unique_ids) == [one.unique_id, two.unique_id], "snapshot and entry differ"
    assert 1 <= len(one.unique_id) <= 70, "a unique id has 1 to 70 octets (RFC 1939 §7)"
    assert all("!" <= sign <= "~" for sign in one.unique_id), "a unique id is printable ASCII (RFC 1939 §7)"
    assert two.unique_id == "of.the-old~server!", "an import keeps its unique id"
    assert (one.flags, two.flags) == (Flag(0), Flag.SEEN | Flag.DRAFT), "the flags are not those given"
    assert (one.internal_date, two.internal_date) == (NOON, NOON + 0.5), "the date is not the one given"
    assert 1 <= one.uid < two.uid, "uids ascend"
    assert [one.key, two.key] == list(snapshot.keys), "an entry's key is the one it was asked by"
    allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
    assert set(one.email_id) <= set(allowed), "signs that an email id may not have (RFC 8474 §4)"


async def a_snapshot_is_frozen_and_the_same_until_something_changes(mailbox: Mailbox) -> None:
    (first, second) = await put(mailbox, text(1), text(2))
    before = await mailbox.snapshot()
    assert await mailbox.snapshot() is before, "nothing changed: the same object is given"
    await put(mailbox, text(3))
    after = await mailbox.snapshot()
    assert list(before.keys) == [first, second], "a snapshot that was given has changed"
    assert len(after.keys) == 3, "the new letter is not shown"
    assert after.generation != before.generation, "what is shown changed, the generation did not"
    await mailbox.remove([first])
    last = await mailbox.snapshot()
    assert last.generation not in {before.generation, after.generation}, "a removal needs a generation too"
    assert await mailbox.snapshot() is last, "nothing changed: the same object is given"
    assert await mailbox.read([first]) == [None], "a letter of an old snapshot that is gone reads as None"


async def a_change_elsewhere_changes_no_snapshot(mailbox: Mailbox) -> None:
    await mailbox.create_folder("Archive")
    await look(mailbox, "phone")
    (key,) = await put(mailbox, text(1))
    before = await mailbox.snapshot("phone")
    await mailbox.append([(await letter(mailbox, text(2)))._replace(folder="Archive")])
    await mailbox.remove([key], OWNER)
    after = await mailbox.snapshot("phone")
    assert list(after.keys) == list(before.keys), "another folder or viewer changed what is shown"
    assert (await mailbox.snapshot(OWNER)).generation != before.generation or not len(before.keys), (
        "an owner who sees nothing has the generation of a viewer who sees a letter"
    )


async def what_is_gone_is_none(mailbox: Mailbox) -> None:
    first, second, third = await put(mailbox, text(1), text(2), text(3))
    await mailbox.remove([first, third])
    wires = [piece and piece.wire for piece in await mailbox.read([first, second, third, GONE])]
    assert wires == [None, text(2), None, None], "a letter that is gone reads as None, in its place"
    described = [found and found.key for found in await mailbox.describe([first, second, third, GONE])]
    assert described == [None, second, None, None], "a letter that is gone is described as None, in its place"
    await mailbox.remove([first, GONE])
    await mailbox.remove([])
    assert await keys(mailbox) == [second], "keys of letters that are gone must be passed over"
    assert await mailbox.read([]) == [], "no keys, no pieces"
    assert list(await mailbox.read_small([])) == [], "no keys, no letters"
    assert (await mailbox.read_small([second, GONE]))[1] == (b"", None), "a letter that is gone is not small"
    assert await mailbox.describe([]) == [], "no keys, no entries"
    assert await mailbox.append([]) == [], "no letters, no keys"
    await must_be_sound(mailbox)


async def append_keeps_all_or_none(mailbox: Mailbox) -> None:
    await put(mailbox, text(0))
    good = (await letter(mailbox, text(1)))._replace(origin=Origin("pop://b", "1"))
    bad = (await letter(mailbox, text(2)))._replace(folder="Nowhere")
    await must_fail(mailbox.append([good, bad]), "a letter for a folder that is not there must be a StoreError")
    assert await seen(mailbox) == [text(0)], "one of two letters was kept"
    assert await mailbox.pulled("pop://b") == {}, "a letter that was not kept is told as pulled"
    await must_be_sound(mailbox)


async def what_is_abandoned_leaves_nothing(mailbox: Mailbox) -> None:
    for plain in (text(1), large_text("large")):
        stage = await mailbox.stage()
        await stage.write(stuff(plain))
        await stage.abandon()
        stage = await mailbox.stage()
        await stage.write(stuff(plain))
        await stage.finish()
        await stage.abandon()
    assert await seen(mailbox) == [], "a letter that nothing took is shown"
    await must_be_sound(mailbox)
    await put(mailbox, large_text("large"))
    assert await seen(mailbox) == [large_text("large")], "the same content must be welcome later"


async def letters_are_staged_side_by_side(mailbox: Mailbox) -> None:
    plains = [large_text("one"), large_text("two"), text(3)]
    stages = [await mailbox.stage() for _ in plains]
    for start in range(0, max(map(len, plains)), 100_000):
        for stage, plain in zip(stages, plains, strict=True):
            await stage.write(plain.replace(b"\r\n.", b"\r\n_")[start : start + 100_000])
    blank = await letter(mailbox, b"")
    await mailbox.append([blank._replace(staged=await stage.finish()) for stage in stages[::-1]])
    expected = [plain.replace(b"\r\n.", b"\r\n_") for plain in plains[::-1]]
    assert await seen(mailbox) == expected, "letters that came side by side are mixed up"


async def a_key_may_be_asked_for_twice(mailbox: Mailbox) -> None:
    one, two = await put(mailbox, text(1)) + await put(mailbox, text(2))
    pieces = await mailbox.read([one, two, one])
    assert [piece and piece.wire for piece in pieces] == [stuff(text(1)), stuff(text(2)), stuff(text(1))]


async def a_staged_letter_tells_its_facts(mailbox: Mailbox) -> None:
    for plain in (text(1), large_text("large")):
        found = await staged(mailbox, plain)
        assert found.content.sha256 == sha256(plain).digest(), "the hash is not that of the content"
        assert found.content.octets == len(plain), "octets count the content before stuffing"
        assert found.content.wire_octets == len(stuff(plain)), "wire_octets count it after stuffing"
        assert found.head == plain[:65_536], "the head is the content's beginning, not stuffed"
        await mailbox.append([(await letter(mailbox, b""))._replace(staged=found)])
    assert await seen(mailbox) == [text(1), large_text("large")], "what was staged is not what is kept"


# --- folders, flags and what changed -----------------------------------------------------------------------------


async def what_is_not_there_is_an_error(mailbox: Mailbox) -> None:
    (key,) = await put(mailbox, text(1))
    await must_fail(mailbox.snapshot(OWNER, "Nowhere"), "a folder that is not there must be a StoreError")
    await must_fail(mailbox.changes(0, "Nowhere"), "a folder that is not there must be a StoreError")
    assert await keys(mailbox) == [key], "what failed must change nothing"


async def folders_keep_letters_apart(mailbox: Mailbox) -> None:
    await mailbox.create_folder("Archive")
    await must_fail(mailbox.create_folder("Archive"), "a folder that is there must be a StoreError")
    await must_fail(mailbox.create_folder(INBOX), "INBOX is always there")
    (inbox_key,) = await put(mailbox, text(1))
    (archive_key,) = await mailbox.append([(await letter(mailbox, text(2)))._replace(folder="Archive")])
    assert await keys(mailbox) == [inbox_key], "a letter of another folder is shown"
    assert await keys(mailbox, OWNER, "Archive") == [archive_key], "the folder does not show its letter"
    folders = {folder.name: folder for folder in await mailbox.folders()}
    assert set(folders) == {INBOX, "Archive"}, "all folders are told, each once"
    for name, key in ((INBOX, inbox_key), ("Archive", archive_key)):
        found = await entry(mailbox, key)
        assert folders[name].uid_validity > 0, "a UIDVALIDITY is not zero (RFC 9051 §2.3.1.1)"
        assert folders[name].uid_next > found.uid, "uid_next lies above every uid"
        assert folders[name].highest_modseq >= found.modseq, "highest_modseq lies below a modseq"


async def a_uid_is_never_used_twice(mailbox: Mailbox) -> None:
    first, second = await put(mailbox, text(1), text(2))
    used = [(await entry(mailbox, key)).uid for key in (first, second)]
    assert used[0] < used[1], "uids ascend"
    await mailbox.remove([second])
    (third,) = await put(mailbox, text(2))
    assert (await entry(mailbox, third)).uid > used[1], "the uid of a letter that is gone was used again"
    assert third != second, "the key of a letter that is gone was used again"
    await mailbox.remove([first, third])
    (fourth,) = await put(mailbox, text(4))
    assert (await entry(mailbox, fourth)).uid > used[1] + 1, "an empty folder began anew"


async def flags_are_set_to_exactly_what_is_said(mailbox: Mailbox) -> None:
    first, second = await put(mailbox, text(1), text(2))
    before = await entry(mailbox, first)
    await mailbox.flag([first], Flag.SEEN | Flag.FLAGGED)
    after = await entry(mailbox, first)
    assert after.flags == Flag.SEEN | Flag.FLAGGED, "the flags are not those set"
    assert after.modseq > before.modseq, "another flag needs another modseq (RFC 7162)"
    assert (await entry(mailbox, second)).flags == Flag(0), "a letter not named was flagged"
    await mailbox.flag([first, second], Flag.ANSWERED)
    flags = [(await entry(mailbox, key)).flags for key in (first, second)]
    assert flags == [Flag.ANSWERED, Flag.ANSWERED], "flags are set, not added"
    kept = (await entry(mailbox, first))._replace(flags=before.flags, modseq=before.modseq)
    assert kept == before, "flagging changes nothing else"
    assert await seen(mailbox) == [text(1), text(2)], "flagging changes no octet"


async def changes_tell_what_happened_since(mailbox: Mailbox) -> None:
    first, second, third = await put(mailbox, text(1), text(2), text(3))
    start = await mailbox.changes(0)
    assert [found.key for found in start.entries] == [first, second, third], "all letters are new since 0"
    quiet = await mailbox.changes(start.highest_modseq)
    assert (quiet.entries, quiet.vanished) == ((), ()), "nothing happened since"
    assert quiet.highest_modseq == start.highest_modseq, "a modseq was spent on nothing"
    uid = (await entry(mailbox, second)).uid
    await mailbox.remove([second])
    await mailbox.flag([third], Flag.SEEN)
    (fourth,) = await put(mailbox, text(4))
    then = await mailbox.changes(start.highest_modseq)
    assert sorted(found.key for found in then.entries) == [third, fourth], "changed or new letters are amiss"
    assert then.vanished == (uid,), "the uid of the letter that is gone is not told"
    assert then.highest_modseq > start.highest_modseq, "the modseq must grow"
    assert all(found.modseq <= then.highest_modseq for found in then.entries), "a modseq above the highest"
    (inbox,) = await mailbox.folders()
    assert inbox.highest_modseq == then.highest_modseq, "folder and changes differ about the highest modseq"


# --- what was pulled from elsewhere ------------------------------------------------------------------------------


async def a_letter_is_pulled_once(mailbox: Mailbox) -> None:
    one = (await letter(mailbox, text(1)))._replace(origin=Origin("pop://b", "1"))
    two = (await letter(mailbox, text(2)))._replace(origin=Origin("pop://b", "2", 77, b"header", 5.0))
    elsewhere = (await letter(mailbox, text(3)))._replace(origin=Origin("pop://c", "1"))
    (key,) = await mailbox.append([one])
    again = one._replace(staged=await staged(mailbox, text(1)))
    given = await mailbox.append([again, two, elsewhere])
    assert given[0] == 0, "a letter known from its source is passed over with key 0"
    assert await keys(mailbox) == [key, *given[1:]], "letters not known must be kept"
    assert await mailbox.sources() == ["pop://b", "pop://c"], "sources are all that letters came from"
    pulled = await mailbox.pulled("pop://b")
    assert pulled.keys() == {"1", "2"}, "pulled tells the ids of its source"
    second = await entry(mailbox, given[1])
    expected = Pulled(
        77, b"header", second.sha256, second.email_id, is_here=True, seen=5.0, fetched=pulled["2"].fetched
    )
    assert pulled["2"] == expected, "what was said of a letter's origin is not what is remembered"
    assert pulled["2"].fetched, "when it was fetched is not told"
    await mailbox.remove([key, *given[1:]])
    after = await mailbox.pulled("pop://b")
    assert after == {name: one._replace(is_here=False) for name, one in pulled.items()}, "known for ever"
    last = one._replace(staged=await staged(mailbox, text(1)))
    assert await mailbox.append([last]) == [0], "a letter that was removed is pulled again"
    await must_be_sound(mailbox)


async def what_became_of_a_letter_elsewhere_is_noted(mailbox: Mailbox) -> None:
    (key,) = await mailbox.append([(await letter(mailbox, text(1)))._replace(origin=Origin("pop://b", "1", 77))])
    fetched = (await mailbox.pulled("pop://b"))["1"]
    deleted = fetched._replace(deleting=6.0, rule="now", confirmed=7.0, gone=8.0)
    failed = Pulled(octets=5, seen=1.0, tries=2, words="no such letter", head=b"Subject: 2\r\n\r\n")
    await mailbox.note("pop://b", {"1": deleted, "2": failed})
    assert await mailbox.pulled("pop://b") == {"1": deleted, "2": failed}, "what is remembered is not what was noted"
    assert await mailbox.pulled("pop://c") == {}, "a note about one source is told of another"
    again = (await letter(mailbox, text(2)))._replace(origin=Origin("pop://b", "2", 9, seen=3.0))
    late = (await letter(mailbox, text(3)))._replace(origin=Origin("pop://b", "1"))
    given = await mailbox.append([again, late])
    assert given[0], "a letter that was met and not fetched must be kept when it comes"
    assert given[1] == 0, "a letter whose end was noted is kept a second time"
    now = (await mailbox.pulled("pop://b"))["2"]
    assert (now.octets, now.seen, now.tries, now.is_here) == (9, 1.0, 2, True), "what was noted of a letter is lost"
    assert now.head == b"", "a letter that is here needs no header beside it"
    assert await keys(mailbox) == [key, given[0]], "letters not known must be kept"


LETTER_CHECKS: list[MailboxCheck] = [
    a_new_mailbox_is_empty,
    letters_come_out_as_they_went_in_oldest_first,
    sizes_count_prefix_and_content_before_stuffing,
    a_dotted_prefix_is_stuffed,
    a_forgotten_dot_is_mended,
    a_letter_of_many_pieces_is_whole,
    a_letter_at_the_edge_of_a_piece_is_whole,
    an_empty_letter_is_a_letter,
    any_octets_may_be_in_a_letter,
    identical_letters_are_two,
    entries_tell_what_was_put_in,
    a_snapshot_is_frozen_and_the_same_until_something_changes,
    a_change_elsewhere_changes_no_snapshot,
    what_is_gone_is_none,
    append_keeps_all_or_none,
    what_is_abandoned_leaves_nothing,
    letters_are_staged_side_by_side,
    a_staged_letter_tells_its_facts,
    a_key_may_be_asked_for_twice,
    what_is_not_there_is_an_error,
    folders_keep_letters_apart,
    a_uid_is_never_used_twice,
    flags_are_set_to_exactly_what_is_said,
    changes_tell_what_happened_since,
    a_letter_is_pulled_once,
    what_became_of_a_letter_elsewhere_is_noted,
]
