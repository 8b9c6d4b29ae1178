"""What the committer does with jobs: everything that came meanwhile is one group, one transaction, one sync.

A job that fails takes nothing with it: each has a savepoint of its own, but for the letters of a group, which are
tried together first. The answers are given after the sync and not before.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, assert_never

import apsw

from postoffice import counts
from postoffice.database.sqlite import Connection, one_number, store_error
from postoffice.errors import StoreError
from postoffice.message.content import Content
from postoffice.store.embedded import arrivals, contents
from postoffice.store.embedded.accepting import accept_all
from postoffice.store.embedded.jobs import (
    Accept,
    AddAccount,
    AddDomain,
    AnyJob,
    BringBack,
    ChangeSettings,
    Claim,
    CountLogin,
    Expedite,
    ForgetVisits,
    GiveSpaceBack,
    NoteFile,
    NoteVisits,
    RemoveAccount,
    RemoveArrivals,
    RemoveCredential,
    Removed,
    Renew,
    ReserveAccount,
    SetCredential,
    Settle,
    Settled,
)
from postoffice.store.embedded.places import mailbox_path
from postoffice.store.embedded.spool import SPOOL
from postoffice.store.model import Account, Pace, QueueItem

ITEMS = (
    "SELECT item_id, letter_id, domain, reverse_path, prefix, accepted, due, expires, attempts, leased_until,"
    " last_reply, needs_smtputf8, sha256, octets, wire_octets, has_dot_lines, has_ascii_header"
    " FROM queue JOIN contents USING (content_id)"
)
GROUP_JOBS = 256
"""The most jobs in one transaction."""

_SYNC = counts.histogram("postoffice_commit_seconds", "Until what a group of jobs wrote is durable, for each group.")
_JOBS = counts.counter("postoffice_commit_jobs_total", "Jobs in the groups that the committer made durable.")


def commit_group(connection: Connection, jobs: Sequence[AnyJob], path: Path) -> list[object]:
    """Do the jobs in one durable transaction; gives for each its result, or the error that it alone has."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        answers = _each(connection, jobs, path)
        begun = perf_counter()
        connection.execute("COMMIT")
        counts.observe(_SYNC, perf_counter() - begun)
        counts.sheet[_JOBS] += len(jobs)
        return answers
    except Exception as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        known = store_error(error, path) if isinstance(error, apsw.Error) else StoreError(f"{path}: {error!r}")
        return [known] * len(jobs)


def _each(connection: Connection, jobs: Sequence[AnyJob], path: Path) -> list[object]:
    answers: list[object] = [None] * len(jobs)
    accepts = [(index, job) for index, job in enumerate(jobs) if isinstance(job, Accept)]
    together = _try(connection, [job for _, job in accepts], path) if len(accepts) > 1 else None
    for index, job in enumerate(jobs):
        if together is None or not isinstance(job, Accept):
            answers[index] = _alone(connection, job, path)
    if together is not None:
        for (index, _), answer in zip(accepts, together, strict=True):
            answers[index] = answer
    return answers


def _try(connection: Connection, accepts: list[Accept], path: Path) -> list[bool] | None:
    """Letters together; None, and nothing done, if one of them cannot be kept."""
    connection.execute("SAVEPOINT letters")
    try:
        answers = accept_all(connection, accepts, path.parent / SPOOL)
    except Exception as error:  # whatever it is, each letter is tried again alone and told its own
        _back_to(connection, "letters", error)
        return None
    connection.execute("RELEASE letters")
    return answers


def _alone(connection: Connection, job: AnyJob, path: Path) -> object:
    connection.execute("SAVEPOINT job")
    try:
        answer = perform(connection, job, path.parent / SPOOL)
    except StoreError as error:
        _back_to(connection, "job", error)
        return error
    except apsw.Error as error:
        _back_to(connection, "job", error)
        return store_error(error, path)
    except Exception as error:  # a bug may refuse one job, never stop the committer
        _back_to(connection, "job", error)
        return StoreError(f"{type(job).__name__} failed: {error!r}")
    connection.execute("RELEASE job")
    return answer


def _back_to(connection: Connection, savepoint: str, error: Exception) -> None:
    if not connection.in_transaction:
        raise error  # SQLite gave up the whole transaction: a full disk, a failed read
    connection.execute(f"ROLLBACK TO {savepoint}")
    connection.execute(f"RELEASE {savepoint}")


def perform(connection: Connection, job: AnyJob, spool: Path) -> object:
    """One job, inside the caller's transaction; `spool` is where large letters lie."""
    match job:
        case Accept():
            return accept_all(connection, [job], spool)[0]
        case Claim():
            return _claim(connection, job)
        case Renew():
            connection.execute("UPDATE queue SET leased_until = ? WHERE holder = ?", (job.until, job.holder))
            return None
        case Settle():
            return _settle(connection, job, spool)
        case Expedite():
            connection.execute("UPDATE queue SET due = min(due, ?) WHERE holder = ''", (job.now,))
            return connection.changes()
        case RemoveArrivals():
            return _remove_arrivals(connection, job)
        case AddDomain():
            _add_domain(connection, job)
            return None
        case AddAccount():
            return _add_account(connection, job)
        case RemoveAccount():
            return _remove_account(connection, job)
        case ReserveAccount():
            return _reserve_account(connection)
        case BringBack():
            return _bring_back(connection, job, spool.parent)
        case NoteFile():
            connection.execute("UPDATE accounts SET has_file = 1 WHERE account_id = ?", (job.account_id,))
            _depart(connection, job.account_id)
            return None
        case SetCredential():
            return _set_credential(connection, job)
        case ChangeSettings():
            return _change_settings(connection, job)
        case CountLogin():
            return _count_login(connection, job)
        case NoteVisits():
            _note_visits(connection, job)
            return None
        case ForgetVisits():
            _forget_visits(connection, job)
            return None
        case RemoveCredential():
            _remove_credential(connection, job)
            return None
        case GiveSpaceBack():
            return _give_space_back(connection, job)
        case _:
            assert_never(job)


# --- the queue -------------------------------------------------------------------------------------------------


def items(connection: Connection, where: str, bindings: tuple[object, ...] = ()) -> list[QueueItem]:
    """Queue items with their recipients, in the order that `where` asks for."""
    rows = connection.execute(f"{ITEMS} {where}", bindings).fetchall()
    if not rows:
        return []
    recipients: dict[int, list[str]] = {row[0]: [] for row in rows}
    for item_id, address in connection.execute(
        "SELECT item_id, address FROM carray(?) k CROSS JOIN recipients ON item_id = k.value"
        " ORDER BY item_id, position",
        (apsw.carray(array("q", recipients)),),
    ):
        recipients[item_id].append(address)
    return [_item(row, recipients[row[0]]) for row in rows]


def _item(row: tuple[Any, ...], recipients: list[str]) -> QueueItem:
    (item_id, letter_id, domain, reverse_path, prefix, accepted, due, expires, *rest) = row
    (attempts, leased_until, last_reply, utf8, name, octets, wire_octets, dotted, is_ascii) = rest
    return QueueItem(  # the columns are NOT NULL and have these types in the schema
        item_id=item_id,
        letter_id=letter_id,
        domain=domain,
        reverse_path=reverse_path,
        recipients=tuple(recipients),
        content=Content(name, octets, wire_octets, bool(dotted), bool(is_ascii)),
        prefix=prefix,
        accepted=accepted,
        due=due,
        expires=expires,
        attempts=attempts,
        leased_until=leased_until,
        last_reply=last_reply,
        needs_smtputf8=bool(utf8),
    )


def _claim(connection: Connection, job: Claim) -> list[QueueItem]:
    ready = connection.execute(
        "SELECT item_id FROM queue WHERE max(due, leased_until) <= ? ORDER BY max(due, leased_until), item_id LIMIT ?",
        (job.now, job.limit),
    ).fetchall()
    if not ready:
        return []
    keys = apsw.carray(array("q", [item_id for (item_id,) in ready]))
    connection.execute(
        "UPDATE queue SET holder = ?, leased_until = ? WHERE item_id IN carray(?)",
        (job.holder, job.now + job.lease_seconds, keys),
    )
    return items(connection, "WHERE item_id IN carray(?) ORDER BY due, item_id", (keys,))


def _settle(connection: Connection, job: Settle, spool: Path) -> Settled:
    row = connection.execute(
        "SELECT content_id FROM queue WHERE item_id = ? AND holder = ? AND holder != ''", (job.item_id, job.holder)
    ).fetchone()
    if row is None:
        return Settled(is_done=False)
    notice_used = job.notice is not None and accept_all(connection, [job.notice], spool)[0]
    connection.executemany(
        "DELETE FROM recipients WHERE item_id = ? AND address = ?", [(job.item_id, name) for name in job.finished]
    )
    if one_number(connection, "SELECT EXISTS (SELECT 1 FROM recipients WHERE item_id = ?)", (job.item_id,)):
        connection.execute(
            "UPDATE queue SET holder = '', leased_until = 0, attempts = attempts + 1, due = ?, last_reply = ?"
            " WHERE item_id = ?",
            (job.due, job.last_reply, job.item_id),
        )
        return Settled(is_done=True, is_notice_spool_used=notice_used)
    connection.execute("DELETE FROM queue WHERE item_id = ?", (job.item_id,))
    return Settled(True, notice_used, contents.release(connection, {row[0]: 1}))


def _give_space_back(connection: Connection, job: GiveSpaceBack) -> bool:
    free = one_number(connection, "PRAGMA freelist_count")
    if free <= job.spare_pages:
        return False
    connection.execute(f"PRAGMA incremental_vacuum({min(job.step_pages, free - job.spare_pages)})").fetchall()
    return job.spare_pages < one_number(connection, "PRAGMA freelist_count") < free


# --- arrivals --------------------------------------------------------------------------------------------------


def _remove_arrivals(connection: Connection, job: RemoveArrivals) -> Removed:
    if not job.numbers:
        return Removed([], [])
    rows = connection.execute(
        "DELETE FROM arrivals WHERE number IN carray(?) AND account_id = ? RETURNING number, content_id",
        (apsw.carray(array("q", job.numbers)), job.account_id),
    ).fetchall()
    if not rows:
        return Removed([], [])
    _depart(connection, job.account_id)
    spooled = contents.release(connection, Counter(content_id for _, content_id in rows))
    return Removed([number for number, _ in rows], spooled)


def _depart(connection: Connection, account_id: int) -> None:
    """Let everybody who knows what waits for this account see that it is not so any more. The office counts them all,
    so that whoever looks again finds those since (`residents`)."""
    connection.execute(
        "INSERT INTO departures VALUES (?, (SELECT coalesce(max(times), 0) + 1 FROM departures))"
        " ON CONFLICT DO UPDATE SET times = excluded.times",
        (account_id,),
    )


# --- who lives here --------------------------------------------------------------------------------------------


def _add_domain(connection: Connection, job: AddDomain) -> None:
    connection.execute("INSERT OR IGNORE INTO domains (domain) VALUES (?)", (job.domain,))
    if not connection.changes():
        raise StoreError(f"the domain {job.domain} is here already")
    _directory_changed(connection)


def _add_account(connection: Connection, job: AddAccount) -> Account:
    account = Account(_reserve_account(connection), job.address, job.now)
    _move_in(connection, account, has_file=False)
    _directory_changed(connection)
    return account


def _reserve_account(connection: Connection) -> int:
    """The next id, as one that was given away: what uses it later says so itself."""
    connection.execute("INSERT INTO accounts (address, domain, created) VALUES ('', '', 0)")
    account_id = connection.last_insert_rowid()
    connection.execute("DELETE FROM accounts WHERE account_id = ?", (account_id,))
    return account_id


def _move_in(connection: Connection, account: Account, *, has_file: bool) -> None:
    domain = account.address.rpartition("@")[2]
    if not one_number(connection, "SELECT EXISTS (SELECT 1 FROM domains WHERE domain = ?)", (domain,)):
        raise StoreError(f"the domain {domain} is not here")
    if one_number(connection, "SELECT EXISTS (SELECT 1 FROM accounts WHERE address = ?)", (account.address,)):
        raise StoreError(f"the address {account.address} is taken")
    connection.execute(
        "INSERT INTO accounts (account_id, address, domain, created, has_file) VALUES (?, ?, ?, ?, ?)",
        (account.account_id, account.address, domain, account.created, has_file),
    )


def _bring_back(connection: Connection, job: BringBack, data: Path) -> Account:
    """The file may have been taken for a leftover of somebody who died: then nothing is changed."""
    account = Account(job.account_id, job.address, job.created)
    if not mailbox_path(data, job.account_id).exists():
        raise StoreError(f"the mailbox of {job.address} was taken away meanwhile")
    _move_in(connection, account, has_file=True)
    connection.executemany(
        "INSERT INTO credentials VALUES (?, ?, ?)",
        [(job.account_id, name, verifier) for name, verifier in job.credentials.items()],
    )
    connection.executemany(
        "INSERT OR REPLACE INTO settings VALUES (?, ?, ?)",
        [(job.address, key, value) for key, value in job.settings.items()],
    )
    connection.executemany(
        "INSERT INTO visits VALUES (?, ?, ?, 0)", [(job.account_id, viewer, at) for viewer, at in job.visits.items()]
    )
    connection.execute("UPDATE arrivals SET account_id = ? WHERE account_id = ?", (job.account_id, job.removed_id))
    _gone(connection, job.removed_id)
    _directory_changed(connection)
    return account


def _remove_account(connection: Connection, job: RemoveAccount) -> list[str]:
    connection.execute(
        "DELETE FROM settings WHERE owner = (SELECT address FROM accounts WHERE account_id = ?)", (job.account_id,)
    )
    connection.execute("DELETE FROM visits WHERE account_id = ?", (job.account_id,))
    connection.execute("DELETE FROM logins WHERE account_id = ?", (job.account_id,))
    connection.execute("DELETE FROM accounts WHERE account_id = ?", (job.account_id,))
    connection.execute("DELETE FROM credentials WHERE account_id = ?", (job.account_id,))
    _directory_changed(connection)
    if job.may_come_back:
        return []
    rows = connection.execute(
        "DELETE FROM arrivals WHERE account_id = ? RETURNING content_id", (job.account_id,)
    ).fetchall()
    _gone(connection, job.account_id)
    return contents.release(connection, Counter(content_id for (content_id,) in rows))


def _gone(connection: Connection, account_id: int) -> None:
    """Nothing of the account is wanted any more, whatever a crash leaves of it."""
    connection.execute(
        "INSERT INTO departures VALUES (?1, ?2) ON CONFLICT DO UPDATE SET times = ?2", (account_id, arrivals.GONE)
    )


def _set_credential(connection: Connection, job: SetCredential) -> bool:
    if job.instead_of is not None:
        connection.execute(
            "UPDATE credentials SET verifier = ? WHERE account_id = ? AND name = ? AND verifier = ?",
            (job.verifier, job.account_id, job.name, job.instead_of),
        )
        return connection.changes() > 0
    if not one_number(connection, "SELECT EXISTS (SELECT 1 FROM accounts WHERE account_id = ?)", (job.account_id,)):
        raise StoreError(f"there is no account {job.account_id}")
    connection.execute("INSERT OR REPLACE INTO credentials VALUES (?, ?, ?)", (job.account_id, job.name, job.verifier))
    _directory_changed(connection)
    return True


def _change_settings(connection: Connection, job: ChangeSettings) -> bool:
    sql = "SELECT ?1 IN (SELECT address FROM accounts) OR ?1 IN (SELECT domain FROM domains)"
    if not one_number(connection, sql, (job.owner,)):
        raise StoreError(f"there is no account or domain {job.owner}")
    changed = 0
    for key, value in job.changes.items():
        connection.execute(
            "INSERT INTO settings VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET value = excluded.value WHERE value != excluded.value"
            if value
            else "DELETE FROM settings WHERE owner = ? AND key = ? AND ? = ''",
            (job.owner, key, value),
        )
        changed += connection.changes()
    if changed:
        _directory_changed(connection)
    return bool(changed)


def _count_login(connection: Connection, job: CountLogin) -> bool:
    full_again = next_login(connection, job.account_id, job.viewer, job.now, Pace(job.seconds, job.burst))
    if full_again is None:
        return False
    connection.execute("INSERT OR REPLACE INTO logins VALUES (?, ?, ?)", (job.account_id, job.viewer, full_again))
    return True


def next_login(connection: Connection, account_id: int, viewer: str, now: float, pace: Pace) -> float | None:
    """When the bucket is full again if a login takes a token now; None if there is none."""
    sql = "SELECT full_again FROM logins WHERE account_id = ? AND viewer = ?"
    return pace.next_time(connection.execute(sql, (account_id, viewer)).get or 0.0, now)


def _note_visits(connection: Connection, job: NoteVisits) -> None:
    connection.executemany(
        "INSERT INTO visits SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM accounts WHERE account_id = ?1)"
        " ON CONFLICT DO UPDATE SET at = excluded.at, warned = excluded.warned WHERE at <= excluded.at",
        [(visit.account_id, visit.viewer, visit.at, visit.warned) for visit in job.visits],
    )


def _forget_visits(connection: Connection, job: ForgetVisits) -> None:
    who = (job.account_id, job.viewer)
    connection.execute("DELETE FROM visits WHERE account_id = ? AND viewer = ?", who)
    connection.execute("DELETE FROM logins WHERE account_id = ? AND viewer = ?", who)


def _remove_credential(connection: Connection, job: RemoveCredential) -> None:
    connection.execute("DELETE FROM credentials WHERE account_id = ? AND name = ?", (job.account_id, job.name))
    if not connection.changes():
        raise StoreError(f"there is no credential {job.name!r}")
    _directory_changed(connection)


def _directory_changed(connection: Connection) -> None:
    connection.execute("UPDATE office SET directory_generation = directory_generation + 1")
