"""Asks a scanner whether octets are clean: clamd, or a command.

Octets go in as they come, an answer comes out, or one exception that says why there is none; what becomes of a letter
then is for others to say. It knows no store, no POP3 and no settings file.

    answers    what a scanner says
    clamd      INSTREAM and VERSION of clamd(8), over a Unix socket or TCP
    command    a program that reads the letter on its standard input
    naming     clamd:/run/clamav/clamd.ctl, clamd:HOST:PORT, command:CMD
"""
