"""The Simple Mail Transfer Protocol (RFC 5321 and its extensions), as values and two machines.

    table      which command is allowed when, what it looks like, what follows it: the specification
    commands   octets <-> Command
    replies    octets <-> Reply
    server     the machine of the side that takes letters
    client     the machine of the side that brings them
    lmtp       what is different in both where a letter is handed to a mailbox and not to a queue (RFC 2033)

Both machines have the same four verbs: `receive` octets, take the next command or event, say something (which gives
octets to send), and the attribute `state`.
"""
