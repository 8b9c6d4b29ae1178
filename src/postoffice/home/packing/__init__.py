"""A mailbox file on its way to another machine, in one file that says whether it came whole.

    container     its form, octet by octet
    carrying      the copy of one moment that goes into it, and the file that comes out

It knows that a mailbox is a file of SQLite, plain or locked, and no letter.
"""
