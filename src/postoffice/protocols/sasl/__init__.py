"""Simple Authentication and Security Layer (RFC 4422): the exchanges inside AUTH, the same in POP3 (RFC 5034) and SMTP
(RFC 4954).

    server   base64 of the client -> `Claim`: who somebody says to be, and by what password
    client   credentials -> base64 for the server

Both know no carrier: how a challenge is marked (`+ `, `334 `) is the carrier's matter. Whether a claim is true, and
whether a mechanism may be used here, is decided elsewhere.
"""
