"""Kinds of files as they were in earlier versions, made step by step from the tables of the first one."""

from __future__ import annotations

from typing import Final

from postoffice.database.sqlite import Kind
from postoffice.store.embedded.schema import CONTENTS, MAILBOX, OFFICE

_MAILBOX: Final = """
CREATE TABLE mailbox (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    incarnation INTEGER NOT NULL DEFAULT 0,
    watermark INTEGER NOT NULL DEFAULT 0
);
INSERT INTO mailbox (only) VALUES (1);
CREATE TABLE folders (
    folder_id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    uid_validity INTEGER NOT NULL DEFAULT 1,
    uid_next INTEGER NOT NULL DEFAULT 1,
    highest_modseq INTEGER NOT NULL DEFAULT 1,
    shown INTEGER NOT NULL DEFAULT 0
);
INSERT INTO folders (name) VALUES ('INBOX');
CREATE TABLE entries (
    entry_id INTEGER PRIMARY KEY AUTOINCREMENT,
    folder_id INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    content_id INTEGER NOT NULL,
    email_id TEXT NOT NULL,
    unique_id TEXT NOT NULL,
    octets INTEGER NOT NULL,
    surrogate_octets INTEGER,
    has_dot_lines INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    internal_date REAL NOT NULL,
    arrival INTEGER,
    prefix BLOB NOT NULL
);
CREATE INDEX entries_shown ON entries (folder_id, uid, octets, unique_id);
CREATE INDEX entries_changed ON entries (folder_id, modseq);
CREATE INDEX entries_arrived ON entries (arrival) WHERE arrival IS NOT NULL;
CREATE TABLE vanished (
    folder_id INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    PRIMARY KEY (folder_id, modseq, uid)
) WITHOUT ROWID;
CREATE TABLE viewers (
    viewer_id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL
);
INSERT INTO viewers (name) VALUES ('');
CREATE TABLE removed (
    entry_id INTEGER NOT NULL,
    viewer_id INTEGER NOT NULL,
    PRIMARY KEY (entry_id, viewer_id)
) WITHOUT ROWID;
CREATE TABLE pulled (
    source TEXT NOT NULL,
    source_id TEXT NOT NULL,
    PRIMARY KEY (source, source_id)
) WITHOUT ROWID;
"""

_OFFICE: Final = """
CREATE TABLE office (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    incarnation INTEGER NOT NULL,
    directory_generation INTEGER NOT NULL DEFAULT 1
);
INSERT INTO office (only, incarnation) VALUES (1, abs(random()) >> 1);
CREATE TABLE domains (
    domain_id INTEGER PRIMARY KEY,
    domain TEXT NOT NULL UNIQUE
);
CREATE TABLE accounts (
    account_id INTEGER PRIMARY KEY AUTOINCREMENT,
    address TEXT NOT NULL UNIQUE,
    domain TEXT NOT NULL,
    created REAL NOT NULL
);
CREATE INDEX accounts_of_domain ON accounts (domain, account_id);
CREATE TABLE credentials (
    account_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    verifier TEXT NOT NULL,
    PRIMARY KEY (account_id, name)
) WITHOUT ROWID;
CREATE TABLE arrivals (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    account_id INTEGER NOT NULL,
    content_id INTEGER NOT NULL,
    email_id TEXT NOT NULL,
    octets INTEGER NOT NULL,
    arrived REAL NOT NULL,
    prefix BLOB NOT NULL
);
CREATE INDEX arrivals_shown ON arrivals (account_id, number, octets, email_id);
CREATE TABLE departures (
    account_id INTEGER PRIMARY KEY,
    times INTEGER NOT NULL
);
CREATE TABLE queue (
    item_id INTEGER PRIMARY KEY AUTOINCREMENT,
    content_id INTEGER NOT NULL,
    letter_id TEXT NOT NULL,
    domain TEXT NOT NULL,
    reverse_path TEXT NOT NULL,
    prefix BLOB NOT NULL,
    accepted REAL NOT NULL,
    due REAL NOT NULL,
    expires REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    holder TEXT NOT NULL DEFAULT '',
    leased_until REAL NOT NULL DEFAULT 0,
    last_reply TEXT NOT NULL DEFAULT '',
    needs_smtputf8 INTEGER NOT NULL
);
CREATE INDEX queue_by_readiness ON queue (max(due, leased_until));
CREATE TABLE recipients (
    item_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    address TEXT NOT NULL,
    PRIMARY KEY (item_id, position)
) WITHOUT ROWID;
"""

_FIRST: Final = {MAILBOX.application_id: CONTENTS + _MAILBOX, OFFICE.application_id: CONTENTS + _OFFICE}


def of_version(kind: Kind, version: int) -> Kind:
    """What a file of this kind was in an earlier version; of today's, one that has gone through every step."""
    steps = kind.steps[: version - 1]
    return kind._replace(tables="".join((_FIRST[kind.application_id], *steps)), steps=steps)
