"""The tables of the two kinds of file. This room is their only owner.

Both files keep contents in the same two tables. `contents` names each by its SHA-256 and counts what holds it (an
entry, an arrival, a queue item); a row without a name is a content still coming in, or one being swept away.
`chunks` keep its wire form: `chunk_id` is `content_id << 20 | index`, each row carries the CRC-32 of its data, and
the last row of a content carries its SHA-256. So a damaged file can be searched for letters, and whether more
follows is known from the row itself. Every table and index costs a page in every mailbox: few names are unique by
index where a look at a handful of rows does. `spool` names a file beside `office.db` instead of chunk rows.
"""

from __future__ import annotations

from postoffice.database.sqlite import Kind
from postoffice.store.embedded.surrogates import FUNCTIONS

CONTENTS = """
CREATE TABLE contents (
    content_id INTEGER PRIMARY KEY AUTOINCREMENT,
    sha256 BLOB UNIQUE,
    octets INTEGER NOT NULL DEFAULT 0,
    wire_octets INTEGER NOT NULL DEFAULT 0,
    has_dot_lines INTEGER NOT NULL DEFAULT 0,
    has_ascii_header INTEGER NOT NULL DEFAULT 0,
    holds INTEGER NOT NULL DEFAULT 0,
    spool TEXT,
    writer INTEGER,
    since REAL
);
CREATE TABLE chunks (
    chunk_id INTEGER PRIMARY KEY,
    checksum INTEGER NOT NULL,
    sha256 BLOB,
    data BLOB NOT NULL
);
"""

MAILBOX = Kind(
    application_id=0x706F6D62,
    name="a mailbox file",
    tables=CONTENTS
    + """
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
    prefix BLOB NOT NULL,
    saved REAL NOT NULL DEFAULT 0
);
CREATE INDEX entries_shown ON entries (folder_id, uid, octets, unique_id, surrogate_octets);
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
    name TEXT NOT NULL,
    holds INTEGER NOT NULL DEFAULT 1
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
    octets INTEGER,
    header BLOB,
    sha256 BLOB,
    email_id TEXT,
    seen REAL,
    fetched REAL,
    deleting REAL,
    rule TEXT NOT NULL DEFAULT '',
    confirmed REAL,
    gone REAL,
    tries INTEGER NOT NULL DEFAULT 0,
    words TEXT NOT NULL DEFAULT '',
    head BLOB NOT NULL DEFAULT x'',
    PRIMARY KEY (source, source_id)
) WITHOUT ROWID;
CREATE TABLE scans (
    sha256 BLOB PRIMARY KEY,
    verdict TEXT NOT NULL,
    scanner TEXT NOT NULL,
    at REAL NOT NULL,
    name TEXT NOT NULL,
    signatures TEXT NOT NULL,
    allowed TEXT NOT NULL
) WITHOUT ROWID;
""",
    steps=(
        """
UPDATE entries SET surrogate_octets = octets + coalesce(
    surrogate_growth(prefix, (SELECT data FROM chunks WHERE chunk_id = content_id << 20), 0), 0)
WHERE surrogate_octets IS NULL;
DROP INDEX entries_shown;
CREATE INDEX entries_shown ON entries (folder_id, uid, octets, unique_id, surrogate_octets);
""",
        """
ALTER TABLE entries ADD COLUMN saved REAL NOT NULL DEFAULT 0;
UPDATE entries SET saved = internal_date;
""",
        """
ALTER TABLE viewers ADD COLUMN holds INTEGER NOT NULL DEFAULT 1;
ALTER TABLE pulled ADD COLUMN octets INTEGER;
""",
        """
ALTER TABLE pulled ADD COLUMN header BLOB;
ALTER TABLE pulled ADD COLUMN sha256 BLOB;
ALTER TABLE pulled ADD COLUMN email_id TEXT;
ALTER TABLE pulled ADD COLUMN seen REAL;
ALTER TABLE pulled ADD COLUMN fetched REAL;
ALTER TABLE pulled ADD COLUMN deleting REAL;
ALTER TABLE pulled ADD COLUMN rule TEXT NOT NULL DEFAULT '';
ALTER TABLE pulled ADD COLUMN confirmed REAL;
ALTER TABLE pulled ADD COLUMN gone REAL;
ALTER TABLE pulled ADD COLUMN tries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE pulled ADD COLUMN words TEXT NOT NULL DEFAULT '';
ALTER TABLE pulled ADD COLUMN head BLOB NOT NULL DEFAULT x'';
UPDATE pulled SET fetched = 0;
""",
        """
CREATE TABLE scans (
    sha256 BLOB PRIMARY KEY,
    verdict TEXT NOT NULL,
    scanner TEXT NOT NULL,
    at REAL NOT NULL,
    name TEXT NOT NULL,
    signatures TEXT NOT NULL,
    allowed TEXT NOT NULL
) WITHOUT ROWID;
""",
        """
-- Nothing but the version: who does not know of `CHAIN` may not write beside it.
""",
    ),
    functions=FUNCTIONS,
)

CHAIN = """
CREATE TABLE chain (
    number INTEGER PRIMARY KEY,
    sum BLOB NOT NULL,
    link BLOB NOT NULL,
    letters INTEGER NOT NULL
);
"""
"""The chain of the commits of a mailbox file at home (`chain`), made when it is first written there, and no step of
`MAILBOX`, as the index is none. Its columns stand in an order in which `salvage` takes none of its rows for a chunk."""

HAS_CHAIN = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'chain' AND type = 'table')"

SEARCH = """
CREATE VIRTUAL TABLE search USING fts5(
    sender, recipients, copies, subject, names, text,
    content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 0'
);
INSERT INTO search (search, rank) VALUES ('deletemerge', 0);
CREATE TABLE searchable (
    entry_id INTEGER PRIMARY KEY,
    folder_id INTEGER NOT NULL,
    date REAL NOT NULL,
    octets INTEGER NOT NULL,
    attachments INTEGER NOT NULL
);
CREATE TABLE search_state (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    edition INTEGER NOT NULL,
    watermark INTEGER NOT NULL DEFAULT 0
);
CREATE TRIGGER search_forgets AFTER DELETE ON entries BEGIN
    DELETE FROM search WHERE rowid = old.entry_id;
    DELETE FROM searchable WHERE entry_id = old.entry_id;
END;
"""
"""The index of a mailbox file (`index`), made by its first search and no step of `MAILBOX`: an office has a file for
each account, and would pay eight pages in every one of them for what is asked at home alone. That letters leave it with
their entries is a trigger, so whatever removes them need not know of it."""

HAS_SEARCH = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'search' AND type = 'table')"

NO_SEARCH = """
DROP TRIGGER IF EXISTS search_forgets;
DROP TABLE IF EXISTS search;
DROP TABLE IF EXISTS searchable;
DROP TABLE IF EXISTS search_state;
"""

OFFICE = Kind(
    application_id=0x706F6F66,
    name="an office's file",
    tables=CONTENTS
    + """
CREATE TABLE office (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    incarnation INTEGER NOT NULL,
    directory_generation INTEGER NOT NULL DEFAULT 1,
    secret BLOB
);
INSERT INTO office (only, incarnation, secret) VALUES (1, abs(random()) >> 1, randomblob(32));
CREATE TABLE domains (
    domain_id INTEGER PRIMARY KEY,
    domain TEXT NOT NULL UNIQUE
);
CREATE TABLE accounts (
    account_id INTEGER PRIMARY KEY AUTOINCREMENT,
    address TEXT NOT NULL UNIQUE,
    domain TEXT NOT NULL,
    created REAL NOT NULL,
    has_file INTEGER NOT NULL DEFAULT 0
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
    prefix BLOB NOT NULL,
    surrogate_octets INTEGER
);
CREATE INDEX arrivals_shown ON arrivals (account_id, number, octets, email_id, surrogate_octets);
CREATE TABLE departures (
    account_id INTEGER PRIMARY KEY,
    times INTEGER NOT NULL
);
CREATE INDEX departures_by_time ON departures (times);
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
CREATE TABLE settings (
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (owner, key)
) WITHOUT ROWID;
CREATE TABLE logins (
    account_id INTEGER NOT NULL,
    viewer TEXT NOT NULL,
    full_again REAL NOT NULL,
    PRIMARY KEY (account_id, viewer)
) WITHOUT ROWID;
CREATE TABLE visits (
    account_id INTEGER NOT NULL,
    viewer TEXT NOT NULL,
    at REAL NOT NULL,
    warned REAL NOT NULL,
    PRIMARY KEY (account_id, viewer)
) WITHOUT ROWID;
""",
    steps=(
        """
ALTER TABLE office ADD COLUMN secret BLOB;
UPDATE office SET secret = randomblob(32);
""",
        """
CREATE TABLE settings (
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (owner, key)
) WITHOUT ROWID;
CREATE TABLE logins (
    account_id INTEGER PRIMARY KEY,
    full_again REAL NOT NULL
);
""",
        """
ALTER TABLE arrivals ADD COLUMN surrogate_octets INTEGER;
UPDATE arrivals SET surrogate_octets = octets + surrogate_growth(
    prefix,
    (SELECT data FROM chunks WHERE chunk_id = content_id << 20),
    (SELECT has_ascii_header FROM contents c WHERE c.content_id = arrivals.content_id));
DROP INDEX arrivals_shown;
CREATE INDEX arrivals_shown ON arrivals (account_id, number, octets, email_id, surrogate_octets);
""",
        # Who came before visits were noted may have come yesterday.
        """
CREATE TABLE visits (
    account_id INTEGER NOT NULL,
    viewer TEXT NOT NULL,
    at REAL NOT NULL,
    warned REAL NOT NULL,
    PRIMARY KEY (account_id, viewer)
) WITHOUT ROWID;
INSERT INTO visits SELECT account_id, '', strftime('%s', 'now') + 0.0, 0 FROM accounts;
DROP TABLE logins;
CREATE TABLE logins (
    account_id INTEGER NOT NULL,
    viewer TEXT NOT NULL,
    full_again REAL NOT NULL,
    PRIMARY KEY (account_id, viewer)
) WITHOUT ROWID;
""",
        """
ALTER TABLE accounts ADD COLUMN has_file INTEGER NOT NULL DEFAULT 0;
""",
        """
CREATE INDEX departures_by_time ON departures (times);
""",
    ),
    functions=FUNCTIONS,
)
