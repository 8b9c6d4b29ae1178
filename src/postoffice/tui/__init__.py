"""The terminal reader of a mailbox file, `postoffice tui FILE`: a face beside `cli`, drawn by Textual.

It shows what the waist of the store gives, asks it only for what stands on the screen, and needs no network. How a
letter is taken apart, rendered, threaded and saved, and what a question means, is said in other rooms; this one knows
no SQL, no MIME and no protocol, and nobody but `cli` knows it.

    cells       text that every terminal draws equally wide, cut and wrapped by columns
    keys        every key, once: what binds it, what the footer and the help say
    mail        the mailbox as the reader asks for it: folders, rows, letters, flags, Trash, what came meanwhile
    listings    which letters stand in which order: a folder, its threads, what was found
    asking      what is looked for in threads: answers (finding), conversations (conversing)
    rows, page  the two widgets that draw line by line: letters in a list of any length, a text of any length
    ...         screens: the list, a letter, folders, attachments, links, help, the passphrase
"""
