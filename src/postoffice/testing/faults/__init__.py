"""A POP3 server with one fault at a time, and the judgement on who pulls from it: each known way to fail, as a table.

`cells` is the table: what the server does wrong, and what must be so all the same. A fault is a kind of session of
`testing.peer` (`connection`, `listings`, `letters`, `logins`, `hostile`), or something that is done to the program
that pulls (`trial`). `judging` says whether everything is at home exactly once. `python -m
postoffice.testing.faults NAME` serves one of them for any program of this machine.
"""
