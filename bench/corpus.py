"""Real letters through a real office: each file of a folder goes in by SMTP and comes out by POP3.

    python -m bench.corpus FOLDER

Every file counts as one letter, as octets and nothing else; its line ends are made CRLF first, as they must be on
the wire (RFC 5321 §2.3.8). What comes out must end with the same octets, and above them may stand only the trace
fields of this office. A letter that is refused is shown with the reply. The status is 0 if every letter was either
refused or came out unchanged.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from postoffice.protocols.dots import stuff
from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office, open_folder
from postoffice.testing.raw import Pop3Raw, SmtpRaw

ADDRESS = "reader@corpus.example"
PASSWORD = "secret"
_TRACE = re.compile(rb"Return-Path: [^\r]*\r\nReceived: [^\r]*\r\n(?:[\t ][^\r]*\r\n)*")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one file. `refused` is the reply that refused it, `wrong` what is not the same."""

    name: str
    octets: int
    refused: str = ""
    wrong: str = ""


def canonical(octets: bytes) -> bytes:
    """With CRLF for every line end, also behind the last line."""
    lines = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return (lines if lines.endswith(b"\n") or not lines else lines + b"\n").replace(b"\n", b"\r\n")


def pass_through(office: OfficeProcess, name: str, letter: bytes) -> Result:
    """Send one letter, pull it, remove it."""
    with SmtpRaw(office.ports["smtp"]) as client:
        client.ask("EHLO corpus.example")
        client.begin("sender@elsewhere.example", [ADDRESS])
        client.say(stuff(letter) + b".\r\n")
        code, texts = client.reply()
        client.ask("QUIT")
    if code != 250:
        return Result(name, len(letter), refused=f"{code} {' '.join(texts)}")
    with Pop3Raw(office.ports["pop3"]) as reader:
        reader.log_in(ADDRESS, PASSWORD)
        numbers = list(reader.unique_ids())
        listed = int(reader.ask(f"LIST {numbers[-1]}").split()[2])
        out = reader.retrieve(numbers[-1])
        for number in numbers:
            reader.ask(f"DELE {number}")
        reader.ask("QUIT")
    return Result(name, len(letter), wrong=_difference(letter, out, listed, len(numbers)))


def _difference(letter: bytes, out: bytes, listed: int, count: int) -> str:
    if count != 1:
        return f"{count} letters came out"
    if not out.endswith(letter):
        return f"came out as {out[-80:]!r}"
    if not _TRACE.fullmatch(out[: len(out) - len(letter)]):
        return "something else than trace fields stands above it"
    return "" if listed == len(out) else f"LIST says {listed} octets, RETR gives {len(out)}"


def run(folder: Path) -> Iterator[Result]:
    """Every file in the folder and below, by name."""
    with open_folder() as home:
        make_office(home / "office", {ADDRESS: PASSWORD})
        with OfficeProcess(home / "office", CLEAR_TEXT) as office:
            for path in sorted(folder.rglob("*")):
                if path.is_file() and path.suffix in (".eml", ".mbox", ".msg", ".txt", ".mai"):
                    yield pass_through(office, str(path.relative_to(folder)), canonical(path.read_bytes()))


def main() -> int:
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        print(__doc__, file=sys.stderr)
        return 64
    results = []
    for result in run(Path(sys.argv[1])):
        results.append(result)
        fate = f"WRONG: {result.wrong}" if result.wrong else f"refused: {result.refused}" if result.refused else "same"
        print(f"{result.octets:>10}  {result.name:<52}  {fate}")
    wrong = sum(bool(result.wrong) for result in results)
    refused = sum(bool(result.refused) for result in results)
    print(f"{len(results)} letters: {len(results) - wrong - refused} the same, {refused} refused, {wrong} wrong")
    return 1 if wrong or not results else 0


if __name__ == "__main__":
    sys.exit(main())
