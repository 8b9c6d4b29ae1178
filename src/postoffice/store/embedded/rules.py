"""What must be true inside a file, as a table: for each rule the rows that must not be there, and the words for them.

Each is one statement, without a transaction around it, and good for files of all versions that have the tables. What no
program of ours writes is damage. What is `is_harmless` a crash leaves, and housekeeping takes it away.
"""

from __future__ import annotations

from dataclasses import dataclass

RESTORE = "bring it back from a backup, as docs/operating.md says; whoever still has the letter may deliver it again"
REBUILD = "save its letters with `postoffice repair`, or bring it back from a backup, as docs/operating.md says"
REPORT = "no program of ours writes this: keep a copy of the file, and tell us"


@dataclass(frozen=True, slots=True)
class Rule:
    """Rows that must not be there. Their columns fill the words of what is told about each."""

    rows: str
    where: str
    what: str
    means: str
    remedy: str = REPORT
    is_harmless: bool = False


def _counted(references: str) -> Rule:
    """Contents that are held by another number of letters than they count."""
    counted = f"(SELECT content_id, count(*) AS times FROM ({references}) GROUP BY content_id)"  # noqa: S608 our own text
    return Rule(
        f"SELECT content_id, holds, coalesce(times, 0), CASE WHEN holds > coalesce(times, 0)"  # noqa: S608
        " THEN 'its room is not given back; no letter is harmed'"
        " ELSE 'a letter may be lost when another one of the same content is removed' END"
        f" FROM contents LEFT JOIN {counted} USING (content_id) WHERE holds != coalesce(times, 0)"
        f" UNION ALL SELECT content_id, 0, times, 'what refers to it cannot be read' FROM {counted}"
        " WHERE content_id NOT IN (SELECT content_id FROM contents)",
        "content {0}",
        "{2} letters refer to it, but it counts {1}",
        "{3}",
        RESTORE,
    )


CONTENT_RULES = (
    Rule(
        "SELECT chunk_id >> 20, count(*) FROM chunks WHERE chunk_id >> 20 NOT IN (SELECT content_id FROM contents)"
        " GROUP BY 1",
        "content {0}",
        "it is not there, but {1} of its chunks are",
        "the room is not given back; no letter is harmed",
    ),
    Rule(
        "SELECT content_id FROM contents WHERE sha256 IS NOT NULL AND holds < 1",
        "content {0}",
        "it has a name, but nothing holds it",
        "its room is not given back; no letter is harmed",
    ),
    Rule(
        "SELECT content_id FROM contents WHERE sha256 IS NULL AND holds = 0 AND writer IS NULL",
        "content {0}",
        "it belongs to no letter any more",
        "it takes room",
        "the next sweep takes it away",
        is_harmless=True,
    ),
    Rule(
        "SELECT content_id FROM contents WHERE sha256 IS NULL AND holds != 0",
        "content {0}",
        "letters refer to it, but it has no name",
        "they cannot be read",
        RESTORE,
    ),
)

MAILBOX_RULES = (
    *CONTENT_RULES,
    _counted("SELECT content_id FROM entries"),
    Rule(
        "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM mailbox)",
        "the table mailbox",
        "it is empty",
        "letters that arrive are not taken in",
        REBUILD,
    ),
    Rule(
        "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM folders WHERE name = 'INBOX')",
        "the folder INBOX",
        "it is not there",
        "no letter is shown, and none can be taken in",
        REBUILD,
    ),
    Rule(
        "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM viewers)",
        "the table viewers",
        "it is empty",
        "nobody sees the letters",
        REBUILD,
    ),
    Rule(
        "SELECT name FROM folders GROUP BY name HAVING count(*) > 1",
        "the folder {0}",
        "it is there more than once",
        "some of its letters are not shown",
    ),
    Rule(
        "SELECT entry_id FROM entries e LEFT JOIN folders f USING (folder_id)"
        " WHERE f.folder_id IS NULL OR e.uid >= f.uid_next OR e.modseq > f.highest_modseq",
        "letter {0}",
        "its folder does not know it",
        "it is not shown, or a new letter may be taken for it",
        REBUILD,
    ),
    Rule(
        "SELECT name, uid_next - 1 - (SELECT count(*) FROM entries e WHERE e.folder_id = f.folder_id)"
        " - (SELECT count(*) FROM vanished v WHERE v.folder_id = f.folder_id) AS missing"
        " FROM folders f WHERE missing > 0",
        "the folder {0}",
        "{1} letters that came into it are neither there nor known to be removed",
        "they are lost",
        RESTORE,
    ),
    Rule(
        "SELECT min(entry_id), max(entry_id) FROM entries GROUP BY folder_id, uid HAVING count(*) > 1",
        "letters {0} and {1}",
        "they have one uid",
        "clients take them for the same letter",
        REBUILD,
    ),
    Rule(
        "SELECT min(entry_id), max(entry_id) FROM entries WHERE unique_id = email_id"  # others may be of two servers
        " GROUP BY folder_id, unique_id HAVING count(*) > 1",
        "letters {0} and {1}",
        "they have one unique-id",
        "POP3 clients take them for the same letter",
        REBUILD,
    ),
    Rule(
        "SELECT entry_id, e.octets, length(prefix) + c.octets FROM entries e JOIN contents c USING (content_id)"
        " WHERE e.octets != length(prefix) + c.octets",
        "letter {0}",
        "it is said to have {1} octets and has {2}",
        "clients that trust the number may stop before its end",
    ),
    Rule(
        "SELECT entry_id, viewer_id FROM removed WHERE entry_id NOT IN (SELECT entry_id FROM entries)",
        "letter {0}",
        "the viewer {1} removed it, but it is not there",
        "no letter is harmed",
    ),
    Rule(
        "SELECT entry_id, viewer_id FROM removed WHERE viewer_id NOT IN (SELECT viewer_id FROM viewers)",
        "letter {0}",
        "the viewer {1} removed it, who is not there",
        "it may go although somebody has not seen it",
    ),
    Rule(
        "SELECT folder_id, count(*) FROM vanished WHERE folder_id NOT IN (SELECT folder_id FROM folders) GROUP BY 1",
        "folder {0}",
        "{1} letters vanished from it, but it is not there",
        "no letter is harmed",
    ),
)

OFFICE_RULES = (
    *CONTENT_RULES,
    _counted("SELECT content_id FROM arrivals UNION ALL SELECT content_id FROM queue"),
    Rule(
        "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM office WHERE length(secret) = 32)",
        "the table office",
        "it has no secret of 32 octets",
        "passwords made by us are not known any more",
        RESTORE,
    ),
    Rule(
        "SELECT number, a.octets, length(prefix) + c.octets FROM arrivals a JOIN contents c USING (content_id)"
        " WHERE a.octets != length(prefix) + c.octets",
        "arrival {0}",
        "it is said to have {1} octets and has {2}",
        "clients that trust the number may stop before its end",
    ),
    Rule(
        "SELECT address, domain FROM accounts WHERE domain NOT IN (SELECT domain FROM domains)",
        "account {0}",
        "its domain is not here",
        "letters for it are refused",
        "postoffice domain add {1}",
    ),
    Rule(
        "SELECT owner, count(*) FROM settings WHERE owner NOT IN (SELECT address FROM accounts)"
        " AND owner NOT IN (SELECT domain FROM domains) GROUP BY owner",
        "{1} settings of {0}",
        "neither an account nor a domain has this name",
        "whoever gets the name would be kept so; no letter is harmed",
    ),
    Rule(
        "SELECT account_id, count(*) FROM credentials WHERE account_id NOT IN (SELECT account_id FROM accounts)"
        " GROUP BY account_id",
        "{1} passwords of account {0}",
        "the account is not here",
        "they open nothing; no letter is harmed",
    ),
    Rule(
        "SELECT account_id, count(*) FROM visits WHERE account_id NOT IN (SELECT account_id FROM accounts)"
        " GROUP BY account_id",
        "{1} devices of account {0}",
        "the account is not here",
        "nobody waits for them; no letter is harmed",
    ),
    Rule(
        "SELECT item_id, letter_id FROM queue WHERE item_id NOT IN (SELECT item_id FROM recipients)",
        "queue, letter {1}",
        "it is for nobody",
        "it is carried again and again, and comes to no end",
    ),
    Rule(
        "SELECT item_id, count(*) FROM recipients WHERE item_id NOT IN (SELECT item_id FROM queue) GROUP BY item_id",
        "queue, item {0}",
        "{1} recipients wait for it, but it is not there",
        "they may not have got their letter",
    ),
)
"""Arrivals of accounts that are not here are for `inspection`, which knows of accounts that were removed."""
