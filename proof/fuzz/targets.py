"""Every target by its name."""

from __future__ import annotations

from collections.abc import Callable

from proof.fuzz import exchanges, octets, pop3, smtp

Target = Callable[[bytes], None]

TARGETS: dict[str, Target] = {
    "lines": octets.lines,
    "dots": octets.dots,
    "top": octets.top,
    "surrogates": octets.surrogates,
    "pop3-server": pop3.server,
    "pop3-client": pop3.client,
    "smtp-server": smtp.server,
    "lmtp-server": smtp.lmtp,
    "proxy": smtp.proxy,
    "sasl": exchanges.server,
}
