"""What is attached to a letter, as files that a person may save: under names that lie nowhere else, and do nothing.

A file that a browser would run where it lies (HTML, SVG) is called `.txt`, one that is not what it seems or that a
system would run is called `.unsafe`; both keep their octets. No file can be executed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from postoffice.home.archive.letter_page import File, pictures
from postoffice.message import header
from postoffice.message.mime import suspicion
from postoffice.message.mime.decoding import Decoder, decoder
from postoffice.message.mime.names import file_name
from postoffice.message.mime.parts import Part
from postoffice.message.mime.view import attachments
from postoffice.message.printable import safe
from postoffice.moving.filenames import Taken, with_ending
from postoffice.moving.folder_out import FolderOut
from postoffice.moving.giving import Given, write_all

FILES: Final = 200
"""So many files of a letter lie in the archive; the original has all."""

_SHOWN_CHARACTERS: Final = 200
_RUN_BY_BROWSERS: Final = frozenset(
    ("htm", "html", "xhtml", "xht", "shtml", "mht", "mhtml", "svg", "svgz", "xml", "xsl", "xslt", "swf", "js", "mjs")
)


@dataclass(slots=True)
class _Saving:
    """A file that is being written."""

    part: Part
    descriptor: int
    name: str
    path: str
    decoder: Decoder
    beginning: bytes = b""
    octets: int = 0
    warnings: list[str] = field(default_factory=list)

    def take(self, octets: bytes) -> None:
        if len(self.beginning) < suspicion.LOOK_OCTETS:
            self.beginning += octets[: suspicion.LOOK_OCTETS - len(self.beginning)]
        self.octets += write_all(self.descriptor, octets)


def named(parts: Sequence[Part], folder: str) -> Iterator[tuple[Part, str, str]]:
    """What is attached: each part, what it is called to people, and its path."""
    taken = Taken()
    for number, part in attachments(parts)[:FILES]:
        subject = header.decoded(part.encoded[: 64 * 1024], b"Subject") if part.is_letter and not part.name else ""
        stem, ending = with_ending(file_name(part.name or subject, part.kind, number))
        if part.is_letter and ending.lower() != ".eml":
            stem, ending = stem + ending, ".eml"
        shown = safe((part.name or subject or stem + ending)[:_SHOWN_CHARACTERS])
        name = harmless(f"{stem}{ending}", suspicion.of_file(part.name, part.kind, _beginning(part)))
        yield part, shown, f"{folder}/{taken.take(*with_ending(name))}"


def _beginning(part: Part) -> bytes:
    """Of its content, where it is here."""
    decoding = decoder(part.description.encoding)
    return decoding.feed(part.encoded[: 2 * suspicion.LOOK_OCTETS])[: suspicion.LOOK_OCTETS]


def harmless(name: str, warnings: Sequence[str]) -> str:
    """A name with which neither a browser nor a system runs a file that it should not."""
    ending = name.rpartition(".")[2].lower()
    if ending in _RUN_BY_BROWSERS:
        return f"{name}.txt"
    return f"{name}.unsafe" if warnings else name


async def save(given: Given, parts: Sequence[Part], folder: str, out: FolderOut, html: str) -> list[File]:
    """Write what is attached to a letter, but pictures that its `html` shows.

    `parts` may be without their octets, which are read again then.

    One portion of the letter is held at a time.
    """
    in_html = {name for name, address in pictures(parts).items() if address in html} if html else set()
    waiting = [
        _Saving(part, out.make(path), name, path, decoder(part.description.encoding))
        for part, name, path in named(parts, folder)
        if part.content_id not in in_html
    ]
    if any(one.part.letter == b"" for one in waiting):
        await _read_again(given, waiting)
    else:
        for one in waiting:
            one.take(one.decoder.feed(one.part.encoded))
    files = []
    for one in waiting:
        one.take(one.decoder.end())
        warnings = suspicion.of_file(one.part.name, one.part.kind, one.beginning)
        shown = tuple(safe(sentence) for sentence in warnings)
        files.append(File(one.name, safe(one.part.kind[:_SHOWN_CHARACTERS]), one.octets, one.path, shown))
    return files


async def _read_again(given: Given, waiting: Sequence[_Saving]) -> None:
    """Letters inside of letters have parts of their own, so files may share octets."""
    async for begin, portion in _placed(given):
        for one in waiting:
            first = max(one.part.begin - begin, 0)
            last = min(one.part.end - begin, len(portion))
            if first < last:
                one.take(one.decoder.feed(portion[first:last]))


async def _placed(given: Given) -> AsyncIterator[tuple[int, bytes]]:
    begin = 0
    async for portion in given.octets():
        yield begin, portion
        begin += len(portion)
