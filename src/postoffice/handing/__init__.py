"""HANDING: letters that came home go on to where a person wants them: a Maildir, an mbox, a command, LMTP, SMTP.

    maildrop ──client.collect──▶ spool (a mailbox file) ──handing──▶ target
              letter and memory: one transaction        ▲           has it durably
                                                        └── removed only then

What was pulled is remembered in the spool whatever becomes of the letter, so DELE is right as ever, and a target that
refuses costs nothing but time: its letters stay, are told, and are tried by the next run. What is between a target's
having a letter and our removing it is the one moment to be recognised (`round`).
May know the waists of the store, sockets, languages, and the forms of files that `moving` writes; no terminal.
"""
