"""What RFC 6856 §2.1 wants of a session without UTF8: no header beyond ASCII leaves, and LIST is of what does leave."""

from __future__ import annotations

from postoffice.conformance.dialogue import Failed, Server, Wire
from postoffice.protocols.dots import unstuff

LETTER = "From: Quê <mrose@example.org>\r\nSubject: Quê hương\r\n\r\nChùm khế ngọt\r\n".encode()


def ask_header(server: Server) -> None:
    """The letter is the only one. To refuse it is right too; a surrogate must have the size that is listed."""
    with Wire(server) as wire:
        wire.line()
        wire.log_in()
        listed = wire.ask("LIST 1")
        if wire.ask("RETR 1").startswith("+OK"):
            letter = unstuff(wire.block())
            header = letter.partition(b"\r\n\r\n")[0]
            if not header.isascii():
                raise Failed("a header in ASCII, or -ERR", header.decode("latin-1"))
            if listed.split()[:3] != ["+OK", "1", str(len(letter))]:
                raise Failed(f"+OK 1 {len(letter)} to LIST 1", listed)
        wire.leave()
