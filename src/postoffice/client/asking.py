"""Questions to an identity provider: a form there, a JSON object back, and clear words where it says no (RFC 6749 §5).

By `urllib`: a login is a handful of questions. Nobody is followed to another address, since he could send us anywhere.
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

from postoffice.errors import Refused
from postoffice.message.printable import safe

ANSWER_OCTETS: Final = 1 << 20
PATIENCE_SECONDS: Final = 30.0
_OVER: Final = frozenset({"invalid_grant", "expired_token", "access_denied", "invalid_client", "unauthorized_client"})


class Denied(Refused):
    """The provider says no. `code` is its word for it (RFC 6749 §5.2), empty if it had none."""

    def __init__(self, who: str, code: str, because: str = "") -> None:
        words = ": ".join(safe(part[:300]) for part in (code, because) if part) or "without a word"
        super().__init__(f"{who} refused: {words}", os.EX_NOPERM if code in _OVER else os.EX_UNAVAILABLE)
        self.code = code


def is_safe(url: str) -> bool:
    """Whether secrets may go there: in TLS, or not over a network. Nowhere is safe."""
    parts = urllib.parse.urlsplit(url)
    return not url or parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1"))


def get(url: str) -> dict[str, Any]:
    return _asked(urllib.request.Request(url, headers={"Accept": "application/json"}))  # noqa: S310 - looked at before


def post(url: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """Fields that are empty are left out. Raises Denied; Refused with 75 where nobody answers."""
    form = urllib.parse.urlencode({name: value for name, value in fields.items() if value}).encode()
    return _asked(urllib.request.Request(url, form, headers={"Accept": "application/json"}))  # noqa: S310 - as above


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def _asked(request: urllib.request.Request) -> dict[str, Any]:
    who = urllib.parse.urlsplit(request.full_url).hostname or ""
    try:
        try:
            with urllib.request.build_opener(_NoRedirect).open(request, timeout=PATIENCE_SECONDS) as answer:
                octets, status = answer.read(ANSWER_OCTETS), answer.status
        except urllib.error.HTTPError as error:
            with error:
                octets, status = error.read(ANSWER_OCTETS), error.code
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise Refused(f"{who} cannot be asked: {reason}", os.EX_TEMPFAIL) from error
    if status >= 500 or status == 429:
        raise Refused(f"{who} has trouble of its own: HTTP {status}", os.EX_TEMPFAIL)
    said = _object(octets)
    if status >= 300:
        raise Denied(
            who, str((said or {}).get("error", f"HTTP {status}")), str((said or {}).get("error_description", ""))
        )
    if said is None and octets.strip():
        raise Refused(f"{who} answered something that is no JSON object", os.EX_PROTOCOL)
    return said or {}


def _object(octets: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(octets)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None
