"""The header that is shown to a reader who did not ask for UTF-8, where a letter's own is not ASCII (RFC 6856 §2.1).

Made after RFC 6857, because it loses nothing and the reader's program need not know of it: names and free text
become encoded words (RFC 2047), parameters are percent-encoded (RFC 2231), an address that is not ASCII becomes an
empty group that is called like it, and a field in which no encoded word may stand is called `Downgraded-` and then
its name. Octets that are no UTF-8 are labelled `unknown-8bit` (RFC 1428). Fields that are ASCII stay to the octet.

Only the header is made anew, and only what lies of it in the letter's first 64 KiB (the prefix counts), so that the
size is known at delivery and the rest passes as it is. If the header goes on behind that, each octet there that is
not ASCII is a question mark. A line that is no field ends the header, as it does for readers. The surrogate is
never as long as the header it stands for, so that equal sizes tell that there is none.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Iterator
from typing import Final, NamedTuple

from postoffice.message.content import HEAD_OCTETS

_NAME: Final = re.compile(rb"([!-9;-~]+)[ \t]*:")
_NO_FIELDS: Final = (b"From ", b">From ")
"""What programs that keep mailboxes in one text file leave between fields."""

_ADDRESSES: Final = frozenset(
    b"from sender reply-to to cc bcc resent-from resent-sender resent-reply-to resent-to resent-cc resent-bcc"
    b" disposition-notification-to".split()
)
_PARAMETERS: Final = frozenset({b"content-type", b"content-disposition"})
_NO_WORDS: Final = frozenset(
    b"received return-path delivered-to date resent-date message-id resent-message-id in-reply-to references"
    b" mime-version content-transfer-encoding content-id authentication-results received-spf dkim-signature"
    b" arc-seal arc-message-signature arc-authentication-results original-recipient final-recipient list-id list-post"
    b" list-help list-archive list-owner list-subscribe list-unsubscribe list-unsubscribe-post".split()
)
_NOTICE: Final = b"Comments: a part of this header was not ASCII and is shown otherwise\r\n"

_WORD_OCTETS: Final = 30
"""Of text in an encoded word: with a short name before it, that makes a line of 76 (RFC 2047 §2)."""

_NOT_ASCII: Final = re.compile(rb"[^\x00-\x7f]")
_ADDRESS_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?|<[^>]*>?|[,:;()\\]|[^",:;<()\\]+', re.DOTALL)
_PARAMETER: Final = re.compile(rb';\s*([^\s=;"\x80-\xff]+)\s*=\s*("(?:[^"\\]|\\.)*"?|[^;]*)|;[^;]*', re.DOTALL)
_QUOTED_PAIR: Final = re.compile(rb"\\(.)", re.DOTALL)
_ATTRIBUTE: Final = re.compile(rb"[A-Za-z0-9.-]")
_SECTION_OCTETS: Final = 60


class Surrogate(NamedTuple):
    """`header` stands for the first `octets` of the letter; `goes_on`: more of the letter's header lies behind them."""

    header: bytes
    octets: int
    goes_on: bool


def growth(head: bytes) -> int:
    """How many octets more a letter has as a surrogate, 0 where it needs none. `head` is as in `surrogate`."""
    made = surrogate(head)
    return len(made.header) - made.octets if made else 0


# deviates: RFC 6857 §3.1, because the headers of body parts lie where nobody looks at delivery.
def surrogate(head: bytes) -> Surrogate | None:
    """What stands for the header of a letter whose header is not ASCII; None where the letter may go as it is.

    `head` is the letter's first 64 KiB, prefix and all, or the letter if it is shorter; line ends are CRLF.
    """
    fields: list[bytes] = []
    octets = 0
    goes_on = len(head) >= HEAD_OCTETS
    for field in _fields(head):
        if not field:
            goes_on = False
            break
        fields.append(field if field.isascii() else _rewritten(field))
        octets += len(field)
    header = b"".join(fields)
    if not goes_on and header == head[:octets]:
        return None
    if goes_on or len(header) == octets:
        header += _NOTICE
    return Surrogate(header, octets, goes_on)


def _fields(head: bytes) -> Iterator[bytes]:
    """Each field with its line end; an empty one where the header ends before the head does."""
    start = 0
    while start < len(head):
        end = head.find(b"\r\n", start) + 2
        while end > 1 and head[end : end + 1] in (b" ", b"\t"):
            end = head.find(b"\r\n", end) + 2
        is_cut = end < 2 or end == len(head)
        if is_cut and len(head) >= HEAD_OCTETS:
            return  # whether it goes on is not known here
        field = head[start:end] if end > 1 else b""
        if not _NAME.match(field) and not (field.startswith(_NO_FIELDS) and field.isascii()):
            field = b""
        yield field
        if not field:
            return
        start = end


def _rewritten(field: bytes) -> bytes:
    """A field in ASCII that says the same, as far as that can be said."""
    name, colon, value = field.partition(b":")
    kind = name.rstrip(b" \t").lower()
    text = value[:-2]
    if kind in _ADDRESSES:
        return name + colon + _in_lines(_addresses(text))
    if kind in _PARAMETERS and (shown := _parameters(text)):
        return name + colon + shown + b"\r\n"
    if kind in _NO_WORDS or kind in _PARAMETERS:
        return b"Downgraded-" + name + colon + _in_lines([_words(text.strip(b" \t"))])
    return name + colon + _unstructured(text) + b"\r\n"


def _in_lines(parts: list[bytes]) -> bytes:
    return b" " + b"\r\n ".join(parts) + b"\r\n"


# --- encoded words ---------------------------------------------------------------------------------------------


def _words(text: bytes) -> bytes:
    """Text as encoded words, one a line (RFC 2047 §2). No word ends inside of a character."""
    text = text.replace(b"\r\n", b"")
    try:
        text.decode()
        charset = b"utf-8"
    except UnicodeDecodeError:
        charset = b"unknown-8bit"
    words = []
    start = 0
    while start < len(text):
        end = min(start + _WORD_OCTETS, len(text))
        while charset == b"utf-8" and end < len(text) and text[end] & 0xC0 == 0x80:
            end -= 1
        words.append(b"=?%s?b?%s?=" % (charset, b2a_base64(text[start:end], newline=False)))
        start = end
    return b"\r\n ".join(words)


def _unstructured(value: bytes) -> bytes:
    """Free text: from the first word that is not ASCII to the last one becomes encoded words, alone in their lines."""
    first = _NOT_ASCII.search(value)
    assert first is not None, "what is ASCII stays as it is"
    start = max(value.rfind(space, 0, first.start()) for space in (b" ", b"\t", b"\n")) + 1
    last = max(found.start() for found in _NOT_ASCII.finditer(value, first.start()))
    ends = [end for space in (b" ", b"\t", b"\r\n") if (end := value.find(space, last)) >= 0]
    end = min(ends, default=len(value))
    before, after = value[:start].rstrip(b" \t\r\n"), value[end:]
    if after.strip(b" \t\r\n"):
        after = b"\r\n " + after.lstrip(b" \t\r\n")
    return (before + b"\r\n " if before else b" ") + _words(value[start:end]) + after


# --- addresses -------------------------------------------------------------------------------------------------


def _addresses(value: bytes) -> list[bytes]:
    """Each address of a list (RFC 5322 §3.4) with what must stand behind it; those that are ASCII as they are."""
    members = list(_members(value))
    shown = []
    for index, tokens in enumerate(members):
        text = b"".join(tokens)
        member = text.strip(b" \t\r\n") if text.isascii() else _member(tokens)
        shown.append(member + b"," if index < len(members) - 1 else member)
    return shown


def _members(value: bytes) -> Iterator[list[bytes]]:
    """The tokens of each mailbox or group: quoted text, what is in angles, a comment, a special, anything else."""
    tokens: list[bytes] = []
    comment: list[bytes] = []
    depth = 0
    is_group = False
    for token in _with_comments(value):
        depth += (token == b"(") - (token == b")" and depth > 0)
        if depth or comment:
            comment.append(token)
            if not depth:
                tokens.append(b"".join(comment))
                comment.clear()
            continue
        if token == b"," and not is_group:
            yield tokens
            tokens = []
            continue
        is_group = token == b":" or (is_group and token != b";")
        tokens.append(token)
    yield [*tokens, b"".join(comment)] if comment else tokens


def _with_comments(value: bytes) -> Iterator[bytes]:
    """Tokens; the octet behind a backslash is no parenthesis, inside of comments quotes and angles mean nothing."""
    at = depth = 0
    while at < len(value):
        token = value[at : at + 1]
        if token == b"\\" or (depth and token not in (b"(", b")")):
            size = 2 if token == b"\\" else 1
        else:
            depth += (token == b"(") - (token == b")" and depth > 0)
            found = _ADDRESS_TOKEN.match(value, at)
            assert found is not None
            size = found.end() - at
        yield value[at : at + size]
        at += size


def _member(tokens: list[bytes]) -> bytes:
    """A mailbox or group that is not ASCII. What cannot be an address any more is the name of an empty group."""
    if b":" in tokens:
        colon = tokens.index(b":")
        inside = b"".join(tokens[colon:])
        return _words(_spoken(tokens[:colon])) + inside if inside.isascii() else _words(_spoken(tokens)) + b" :;"
    angles = [token for token in tokens if token.startswith(b"<")]
    if len(angles) == 1 and angles[0].isascii() and angles[0].endswith(b">"):
        return _words(_spoken([token for token in tokens if token is not angles[0]])) + b"\r\n " + angles[0]
    comments = [token for token in tokens if token.startswith(b"(")]
    address = b"".join(token for token in tokens if not token.startswith(b"(")).strip(b" \t\r\n")
    if not angles and b"@" in address and address.isascii():
        return _words(_spoken([comment[1:].removesuffix(b")") for comment in comments])) + b"\r\n <" + address + b">"
    return _words(_spoken(tokens)) + b" :;"


def _spoken(tokens: list[bytes]) -> bytes:
    """The text of a name, without the quotes around it."""
    return b"".join(_unquoted(token) for token in tokens).strip(b" \t\r\n")


def _unquoted(token: bytes) -> bytes:
    return _QUOTED_PAIR.sub(rb"\1", token[1:].removesuffix(b'"')) if token.startswith(b'"') else token


# --- parameters ------------------------------------------------------------------------------------------------


def _parameters(value: bytes) -> bytes:
    """The value of a MIME field, with parameters that are not ASCII after RFC 2231; empty if that is not enough."""
    kind, semicolon, _ = value.partition(b";")
    shown = [kind]
    for found in _PARAMETER.finditer(value, len(kind)) if semicolon else ():
        name, text = found.groups()
        if found[0].isascii():
            shown.append(found[0])
        elif name is None or b"*" in name:
            return b""
        else:
            shown.append(_parameter(name, _unquoted(text.strip(b" \t\r\n")).replace(b"\r\n", b"")))
    whole = b"".join(shown)
    return whole if whole.isascii() else b""


def _parameter(name: bytes, text: bytes) -> bytes:
    try:
        text.decode()
        charset = b"utf-8''"
    except UnicodeDecodeError:
        charset = b"unknown-8bit''"
    encoded = charset
    sections = []
    for octet in text:
        one = bytes([octet])
        if len(encoded) >= _SECTION_OCTETS:
            sections.append(encoded)
            encoded = b""
        encoded += one if _ATTRIBUTE.match(one) else b"%%%02X" % octet
    sections.append(encoded)
    if len(sections) == 1:
        return b";\r\n %s*=%s" % (name, sections[0])
    return b"".join(b";\r\n %s*%d*=%s" % (name, number, section) for number, section in enumerate(sections))
