"""Logins that a server refuses, by the response codes of RFC 2449 §8 and RFC 3206, and by an error in JSON."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence

from postoffice.testing.peer import Pop3Peer, Session

TOKEN = "a-token-of-bob"
_ERROR = b64encode(json.dumps({"status": "400", "schemes": "Bearer", "scope": "https://mail.example/"}).encode())


class LoginRefused(Session):
    """PASS is refused until it is repaired."""

    def __init__(self, peer: Pop3Peer, code: str) -> None:
        super().__init__(peer)
        self._code = code

    def capabilities(self) -> Sequence[str]:
        return (*super().capabilities(), "RESP-CODES", "AUTH-RESP-CODE")

    def _pass(self, argument: str) -> bytes:
        if self.peer.is_repaired:
            return super()._pass(argument)
        return f"-ERR [{self._code}] not now\r\n".encode()


class TokenRefused(Session):
    """XOAUTH2 and nothing else: until it is repaired the token is answered by a challenge that is an error in JSON."""

    def __init__(self, peer: Pop3Peer) -> None:
        super().__init__(peer)
        self._asks_for = ""

    def capabilities(self) -> Sequence[str]:
        return ("UIDL", "TOP", "SASL XOAUTH2", "PIPELINING")

    def answer(self, line: str) -> bytes | Iterable[bytes]:
        words = line.split()
        asked, self._asks_for = self._asks_for, ""
        if asked == "token":
            return self._told(line)
        if asked == "nothing":
            return b"-ERR [AUTH] the token is over\r\n"
        if [word.upper() for word in words[:2]] == ["AUTH", "XOAUTH2"]:
            if len(words) > 2:
                return self._told(words[2])
            self._asks_for = "token"
            return b"+ \r\n"
        if not self.is_inside and words[:1] != ["CAPA"] and words[:1] != ["QUIT"]:
            return b"-ERR log in\r\n"
        return super().answer(line)

    def _told(self, encoded: str) -> bytes:
        self.is_inside = self.peer.is_repaired and f"auth=Bearer {TOKEN}\1".encode() in b64decode(encoded)
        self._asks_for = "" if self.is_inside else "nothing"
        return b"+OK\r\n" if self.is_inside else b"+ %b\r\n" % _ERROR
