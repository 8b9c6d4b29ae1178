"""`./po bench search`: how long a search takes in a mailbox file, what its index weighs, and how fast it is made.

python -m bench search [--letters 100000] [--rounds 20] [--folder DIR]

The letters are generated: a vocabulary in which few words are everywhere and most are rare (Zipf's law), as in any
language, with Vietnamese and Chinese among it, ten thousand senders, ten years of dates, attachments in every tenth. A
search is what the command does once it runs: the question read, letters found and ranked, twenty of them read and
shown with a line of their text. Every question is asked in turn, in an open file, so often as there are rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Final

from bench.figures import Figure, number
from bench.machine import machine
from postoffice.home.search.face import Search
from postoffice.store.embedded import MailboxFile
from postoffice.store.model import Letter

VOCABULARY: Final = 60_000
WORDS: Final = 300
TOGETHER: Final = 500
_SYLLABLES: Final = (
    "ka",
    "lo",
    "mi",
    "ten",
    "ra",
    "vos",
    "ni",
    "del",
    "pu",
    "sam",
    "ti",
    "qor",
    "be",
    "lun",
    "ze",
    "fa",
)
_VIETNAMESE: Final = ("công", "nợ", "Nguyễn", "Đức", "Hòa", "báo", "cáo", "điện", "Hà", "Nội", "đường", "tháng", "gửi")
_CHINESE: Final = "我们收到了您的发票谢谢北京上海公司会议明天合同"

QUESTIONS: Final = (
    ("a rare word", "{rare}"),
    ("a word in a third of all letters", "{frequent}"),
    ("a word in every letter", "{everywhere}"),
    ("two words", "{middle} {frequent}"),
    ("a phrase, without its marks", '"cong no"'),
    ("two Chinese characters", "发票"),
    ("the beginning of words", "{beginning}"),
    ("a sender, a kind, a date and words", 'from:sender42 has:pdf before:2024-06 "{frequent}"'),
    ("a month", "on:2024-03"),
    ("one word and not another", "{middle} -{frequent}"),
    ("one of two words", "{rare} OR {middle}"),
)


def vocabulary() -> list[str]:
    """All words, the most frequent first, always the same."""
    made = ("".join(some) for length in (2, 3, 4) for some in itertools.product(_SYLLABLES, repeat=length))
    words = list(itertools.islice(made, VOCABULARY))
    random.Random(1).shuffle(words)
    return words


def weights() -> list[float]:
    """How often each of them comes, added up."""
    return list(itertools.accumulate(1 / (rank + 3) for rank in range(VOCABULARY)))


def letters(count: int) -> Iterator[bytes]:
    """Letter by letter, always the same."""
    chance = random.Random(2)
    words, cumulated = vocabulary(), weights()
    began = datetime(2016, 1, 1, tzinfo=UTC).timestamp()
    for index in range(count):
        said = chance.choices(words, cum_weights=cumulated, k=WORDS)
        if index % 5 == 0:
            said[10:10] = chance.choices(_VIETNAMESE, k=12)
        if index % 7 == 0:
            said.append("".join(chance.choices(_CHINESE, k=30)))
        if index % 50 == 0:
            said.append("công nợ quý ba")
        date = format_datetime(datetime.fromtimestamp(began + index * 315e6 / count, UTC))
        who = chance.randrange(10_000)
        head = (
            f"From: Sender{who} <sender{who}@a.example>\r\nTo: me@b.example\r\nDate: {date}\r\n"
            f"Subject: {' '.join(said[20:25])}\r\nMIME-Version: 1.0\r\n"
        )
        text = "\r\n".join(" ".join(said[at : at + 12]) for at in range(0, len(said), 12))
        plain = f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
        if index % 10:
            yield (head + plain).encode()
            continue
        kind = "pdf" if index % 20 else "png"
        attached = f"Content-Type: application/{kind}\r\nContent-Disposition: attachment; filename=f{index}.{kind}\r\n"
        octets = "Content-Transfer-Encoding: base64\r\n\r\n" + ("QUJD" * 19 + "\r\n") * 50
        mixed = f"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n{plain}\r\n--b\r\n{attached}{octets}--b--\r\n"
        yield (head + mixed).encode()


def questions() -> list[tuple[str, str]]:
    """What is asked, in words, and the question."""
    words = vocabulary()
    chosen = {"everywhere": words[0], "frequent": words[60], "middle": words[1000], "rare": words[30_000]}
    chosen["beginning"] = words[30_001][:5]
    return [(what, question.format(**chosen)) for what, question in QUESTIONS]


async def fill(path: Path, count: int) -> None:
    """A mailbox file with so many letters."""
    mailbox = MailboxFile.open(path, create=True)
    made = letters(count)
    while some := list(itertools.islice(made, TOGETHER)):
        kept = []
        for octets in some:
            stage = await mailbox.stage()
            await stage.write(octets)
            kept.append(Letter(await stage.finish(), 0.0))
        await mailbox.append(kept)
    await mailbox.close()


async def measure(path: Path, rounds: int) -> list[Sequence[str]]:
    """A row for each question: what it is, milliseconds, letters found."""
    search = Search(path)
    times: dict[str, list[float]] = {}
    letters_found: dict[str, str] = {}
    try:
        for _ in range(rounds):
            for what, question in questions():
                began = time.perf_counter()
                results = await search.find(question)
                times.setdefault(what, []).append((time.perf_counter() - began) * 1000)
                letters_found[what] = f"{'>= ' if results.is_cut else ''}{results.letters}"
    finally:
        await search.close()
    return [(what, str(Figure.of(some)), f"{max(some):.1f}", letters_found[what]) for what, some in times.items()]


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="./po bench search", description=__doc__.partition("\n\n")[0])
    parser.add_argument("--letters", type=int, default=100_000, help="how many (%(default)s)")
    parser.add_argument("--rounds", type=int, default=20, help="how often each question is asked (%(default)s)")
    parser.add_argument("--folder", type=Path, help="where the mail lies (the system's choice)")
    parser.add_argument("--quick", action="store_true", help="few letters, one round: does it run at all?")
    options = parser.parse_args(words)
    count, rounds = (500, 1) if options.quick else (options.letters, options.rounds)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=options.folder))
    try:
        print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine(folder).items()))
        path = folder / "home.mailbox"
        asyncio.run(fill(path, count))
        before = path.stat().st_size
        began = time.perf_counter()
        asyncio.run(_index(path))
        seconds = time.perf_counter() - began
        weight = path.stat().st_size - before
        print(f"\n{count} letters, {number(before / 2**20)} MiB; the index is made in {seconds:.1f} s,", end=" ")
        print(f"{number(count / seconds)} letters/s, and weighs {number(weight / 2**20)} MiB ({weight / before:.0%})\n")
        cells = [("", "milliseconds", "most", "letters"), *asyncio.run(measure(path, rounds))]
        widths = [max(len(row[column]) for row in cells) for column in range(4)]
        for row in cells:
            print(
                "  ".join(
                    [row[0].ljust(widths[0]), *(one.rjust(w) for one, w in zip(row[1:], widths[1:], strict=True))]
                )
            )
    except KeyboardInterrupt:
        print("bench: stopped", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


async def _index(path: Path) -> None:
    search = Search(path)
    try:
        await search.catch_up()
    finally:
        await search.close()
