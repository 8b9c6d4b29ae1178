"""The languages in which the POP3 door speaks to people (RFC 6856 §3), and which one a client means (RFC 4647 §3.4).

English is what the code says. Another language is a gettext catalogue, in which a sentence is looked up when it is
said, with its values in it: one that has some, as `message {number} deleted`, is known by its form. So whoever says
something, on whatever floor, needs not know of languages, and sessions in English pay nothing for the others. A
sentence that no catalogue knows would stay English; a test reads the code and finds none.

Which language `*` is does not depend on who logs in: it would tell strangers that an account exists (RFC 6856 §7).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final

_GAP: Final = re.compile(r"\\\{(\w+)\\\}")
_SHORT_SUBTAG: Final = 1


@dataclass(frozen=True, slots=True)
class Language:
    """A tag of RFC 5646, what the language calls itself, and how a sentence of ours is said in it."""

    tag: str
    name: str
    translate: Callable[[str], str]


class Catalogue:
    """Sentences in another language; called with one of ours."""

    __slots__ = ("_forms", "_whole")

    def __init__(self, sentences: Mapping[str, str]) -> None:
        self._whole = {ours: theirs for ours, theirs in sentences.items() if "{" not in ours}
        self._forms = [
            (re.compile(_GAP.sub(_gap, re.escape(ours))), theirs) for ours, theirs in sentences.items() if "{" in ours
        ]

    def __call__(self, sentence: str) -> str:
        whole = self._whole.get(sentence)
        if whole is not None:
            return whole
        for form, theirs in self._forms:
            found = form.fullmatch(sentence)
            if found:
                return theirs.format(**found.groupdict())
        return sentence


def _gap(named: re.Match[str]) -> str:
    """Values are single words, but for addresses: a quoted local part may hold spaces."""
    values = ".+" if named[1] == "address" else r"\S+"
    return f"(?P<{named[1]}>{values})"


def read_catalogue(mo: bytes) -> dict[str, str]:
    """All sentences of a compiled gettext catalogue; the library's reader can be asked only one by one."""
    magic, _, count, ours_at, theirs_at = struct.unpack_from("<5I", mo)
    if magic != 0x950412DE:
        raise ValueError("not a gettext catalogue of little-endian order")

    def text(table: int, index: int) -> str:
        octets, start = struct.unpack_from("<2I", mo, table + 8 * index)
        return mo[start : start + octets].decode()

    sentences = {text(ours_at, index): text(theirs_at, index) for index in range(count)}
    sentences.pop("", None)  # what gettext says of itself
    return sentences


def _compiled(tag: str) -> Catalogue:
    return Catalogue(read_catalogue((resources.files(__package__) / "catalogues" / f"{tag}.mo").read_bytes()))


LANGUAGES: Final = {
    language.tag: language
    for language in (
        Language("i-default", "English", str),  # RFC 2277 §4.5: what was spoken before anybody chose
        Language("en", "English", str),
        Language("vi", "Tiếng Việt", _compiled("vi")),
    )
}
PREFERRED: Final = LANGUAGES["en"]
LISTING: Final = "".join(f"{language.tag} {language.name}\r\n" for language in LANGUAGES.values()).encode()


def chosen(language_range: str) -> Language | None:
    """The language of a basic range: of the whole of it, or of ever less of its end (RFC 4647 §3.4); `*` is ours."""
    if language_range == "*":
        return PREFERRED
    subtags = language_range.lower().split("-")
    while subtags:
        language = LANGUAGES.get("-".join(subtags))
        if language is not None:
            return language
        subtags.pop()
        if subtags and len(subtags[-1]) == _SHORT_SUBTAG:
            subtags.pop()
    return None
