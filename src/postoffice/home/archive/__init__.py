"""THE ARCHIVE: letters as pages that any browser opens from a disk, for ever, without a server and without this
program.

    index.html                     folders, the newest letters, the search
    lists/INBOX/date-1.html        pages of a folder, by date, sender or subject
    letters/000/12.html            a letter, with its conversation
    files/000/12/report.pdf        what is attached to it
    originals/INBOX/2024-….eml     the letter itself, with exactly its octets
    search/…                       what the search looks into, in small files
    index.jsonl                    the list of originals, by which they come back into a mailbox (`moving.catalogue`)

It knows mailboxes by their waist, how letters are read (`message.mime`) and how words are folded (`home.search`); no
engine and no terminal. What it writes asks no network for anything, whatever a letter says.
"""
