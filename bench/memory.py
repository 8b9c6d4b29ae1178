"""What a whole office needs while 64 large letters pass at once: in by SMTP, out by POP3, home by `postoffice fetch`.

A letter has 100 MB, or less where the disk has no room for all of them three times.
"""

from __future__ import annotations

import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bench.contender import DOMAIN, PASSWORD, Mail
from bench.measure import PeakMemory, cpu_seconds
from bench.measurement import Measurement, Plan, UnequalWork, load
from bench.ours import Ours, command
from bench.rows import Row
from postoffice.net.tls import pin_of

LETTERS = 64
OCTETS = 100_000_000
_LOOK_SECONDS = 0.2
_COPIES = 4

IN = Row("memory in", "{letters} large letters by SMTP at once: memory of the whole office", "letter")
OUT = Row("memory out", "the same by POP3, each in a session of its own", "letter")
HOME = Row("memory home", "the same by `postoffice fetch --all`, eight at once: memory of that program", "letter")
ROWS = (IN, OUT, HOME)


def size(folder: Path, octets: int = OCTETS) -> int:
    """How large a letter may be here: at most a half of the free room is used."""
    return min(octets, shutil.disk_usage(folder).free // 2 // _COPIES // LETTERS)


def measure(plan: Plan, octets: int) -> list[Measurement]:
    """Each round in a new office; memory is looked at five times in a second."""
    return [
        replace(one, round_number=round_number) for round_number in range(plan.rounds) for one in _round(plan, octets)
    ]


def _round(plan: Plan, octets: int) -> list[Measurement]:
    office, home = Ours(), plan.folder / "memory"
    home.mkdir(mode=0o755)
    office.prepare(home, Mail(LETTERS, []))
    try:
        office.start(None)
        roots = list(office.pids().values())
        crowd = ["--accounts", str(LETTERS), "--connections", str(LETTERS)]
        came = ["deliver", *crowd, "--limit", str(LETTERS), "--octets", str(octets)]
        return [
            _watched(IN, octets, roots, plan, lambda: _loaded(office, "smtp", came)),
            _watched(
                OUT,
                octets,
                roots,
                plan,
                lambda: _loaded(office, "pop3", ["pull", "--differ", "1", *crowd, "--seconds", "0.5"]),
            ),
            _fetched(office, octets, home / "person", plan),
        ]
    finally:
        office.stop()
        shutil.rmtree(home, ignore_errors=True)


def _loaded(office: Ours, door: str, words: Sequence[str]) -> int:
    return int(load(office.ports()[door], words, None, office.name)["operations"])


def _watched(row: Row, octets: int, roots: Sequence[int], plan: Plan, work: Callable[[], int]) -> Measurement:
    plan.tell(f"{row.name}: {LETTERS} letters of {octets:,} octets")
    before, began = cpu_seconds(roots), time.monotonic()
    with PeakMemory(roots, _LOOK_SECONDS) as peak:
        letters = work()
    if letters < LETTERS:
        raise UnequalWork(f"{row.name}: {letters} letters passed, not {LETTERS}")
    return _measurement(row, letters, octets, time.monotonic() - began, cpu_seconds(roots) - before, peak.octets)


def _fetched(office: Ours, octets: int, person: Path, plan: Plan) -> Measurement:
    """By a person with an account for each letter."""
    plan.tell(f"{HOME.name}: {LETTERS} letters of {octets:,} octets")
    person.mkdir()
    (person / "password").write_text(f"{PASSWORD}\n")
    (person / "password").chmod(0o600)
    pin = pin_of(ssl.PEM_cert_to_DER_cert((office.data / "tls" / "certificate.pem").read_text()))
    (person / "home.toml").write_text(
        "".join(
            f'[accounts."user{index}@{DOMAIN}"]\n'
            f'url = "pop://user{index}%40{DOMAIN}@127.0.0.1:{office.ports()["pop3"]}"\n'
            f'into = "{person}/{index}.mailbox"\npassword_file = "{person}/password"\npin = "{pin}"\n'
            for index in range(LETTERS)
        )
    )
    words = [*command(), "fetch", "--all", "--config", str(person / "home.toml"), "--json"]
    began = time.monotonic()
    with (person / "said").open("wb") as said:
        process = subprocess.Popen(words, stdout=said, stderr=said, cwd=person)
        try:
            with PeakMemory([process.pid], _LOOK_SECONDS) as peak:
                while process.poll() is None:
                    cpu = cpu_seconds([process.pid])
                    time.sleep(_LOOK_SECONDS)
        finally:
            process.kill()
            process.wait()
    seconds = time.monotonic() - began
    kept = sum((person / f"{index}.mailbox").stat().st_size for index in range(LETTERS))
    if process.returncode or kept < LETTERS * octets * 0.99:
        last = (person / "said").read_text(errors="replace").strip()[-500:]
        raise UnequalWork(f"fetch ended with status {process.returncode}: {last}")
    return _measurement(HOME, LETTERS, octets, seconds, cpu, peak.octets)


def _measurement(row: Row, letters: int, octets: int, seconds: float, cpu: float, memory: int) -> Measurement:
    return Measurement(
        row=row.name,
        contender="ours",
        round_number=0,
        operations=letters,
        seconds=seconds,
        settled_seconds=seconds,
        cpu_seconds=cpu,
        cpu_by_root={"ours": cpu},
        memory_octets=memory,
        generator_share=0.0,
        p50_ms=seconds * 1000,
        p99_ms=seconds * 1000,
        octets=letters * octets,
        session_octets=octets,
        checksum="",
        more={"octets of a letter": float(octets)},
    )
