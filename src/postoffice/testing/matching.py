"""What of a reply must be as a transcript says it.

The status indicator or reply code always; facts by the shape of the table (STAT, LIST n and UIDL n whole, listings and
letters line by line); a response code or an enhanced code where the transcript has one. Free text is free unless the
scene says `@ exact`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from postoffice.protocols.notation import pattern_of, unescaped
from postoffice.protocols.pop3.commands import Command as Pop3Command
from postoffice.protocols.pop3.table import Shape
from postoffice.testing.scenes import Setting
from postoffice.testing.score import Hear

_ENHANCED = re.compile(rb"[2-5][0-9]{2}[ -]([245]\.[0-9]+\.[0-9]+)(?: |$)")
_RESPONSE_CODE = re.compile(rb"-ERR (\[[^\]]*\])")


class Mismatch(AssertionError):
    """What was said is not what the transcript says."""


def check(hear: Hear, lines: Sequence[bytes], setting: Setting, *, facts_end: bool = True) -> None:
    """A `Mismatch` unless a reply, line by line with its body but without the dot line, is what it must be.

    `facts_end`: nothing stands behind the facts of a line, which RFC 1939 §5 only advises.
    """
    first = lines[0].removesuffix(b"\r\n")
    where = f"line {hear.lines[0].number}: {hear.first}"
    wanted = setting.deviations.get(hear.keyword, hear.first[:3])
    if hear.is_challenge and not hear.first.startswith("334"):
        wanted = "+ "
    if first[: len(wanted)].decode("ascii", "replace") != wanted:
        raise Mismatch(f"{where}: heard {b''.join(lines)[:500]!r}")
    is_facts = isinstance(hear.command, Pop3Command) and hear.command.shape is Shape.FACTS and first[:1] == b"+"
    if (setting.is_exact or is_facts) and not hear.is_challenge:
        wire = b"".join(lines[: len(hear.lines)])
        pattern = b"\r\n".join(pattern_of(line.text).pattern for line in hear.lines)
        pattern += b"\r\n" if facts_end else b"(?: [^\r\n]*)?\r\n"
        extra = lines[len(hear.lines) :] if not hear.has_body else []
        if extra or not re.fullmatch(pattern, wire):
            raise Mismatch(f"{where}: heard {b''.join(lines)[:500]!r}")
    for code in (_RESPONSE_CODE, _ENHANCED):
        found = code.match(unescaped(hear.first))
        said = code.match(first)
        if found and hear.keyword not in setting.deviations and (not said or said[1] != found[1]):
            raise Mismatch(f"{where}: heard {first!r}")
    if hear.has_body and (hear.keyword != "CAPA" or setting.is_exact):
        body = b"".join(lines[1:])
        if not hear.body_pattern.fullmatch(body):
            raise Mismatch(f"{where}: the body is {body[:2000]!r}")
