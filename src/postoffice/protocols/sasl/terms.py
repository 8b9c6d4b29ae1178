"""What both sides of an exchange speak of: who somebody says to be, what it runs in, and the names of mechanisms."""

from typing import Final, NamedTuple


class Claim(NamedTuple):
    """Who somebody says to be. `authorization` is whom they want to act as, empty where that is the same."""

    authorization: str
    authentication: str
    password: str

    def __repr__(self) -> str:
        """Without the password."""
        return f"Claim(authorization={self.authorization!r}, authentication={self.authentication!r})"


class Channel(NamedTuple):
    """What an exchange runs in. `binding` is the hash of the server's certificate, empty where nothing can be bound
    to or the other side was not told so; `nonce` is drawn unless it is given. `certificate` (DER) is the client's,
    believed by TLS, empty where it showed none. The server calls itself `host`; `names` and `ports` are all by which
    a client may mean it, empty where that is not known."""

    binding: bytes = b""
    nonce: str | None = None
    certificate: bytes = b""
    host: str = ""
    names: frozenset[str] = frozenset()
    ports: frozenset[int] = frozenset()


NOTHING_BOUND: Final = Channel()


SCRAM: Final = tuple(b"SCRAM-SHA-%b%b" % (bits, plus) for plus in (b"-PLUS", b"") for bits in (b"512", b"256", b"1"))
"""The SCRAM mechanisms, the preferred one first."""

BEARER: Final = (b"OAUTHBEARER", b"XOAUTH2")
"""The mechanisms of tokens."""

EXTERNAL: Final = b"EXTERNAL"
CRAM_MD5: Final = b"CRAM-MD5"
