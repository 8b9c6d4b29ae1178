"""MOVING: letters of another server come into a mailbox here, and letters of a mailbox go out into files that any
mail program knows.

What a client remembers of a letter is its unique-id (RFC 1939 §7); so it comes along, and nobody pulls anything again.
May know the waists of the store and the form of letters; no door, no engine, no configuration, and no terminal.
"""
