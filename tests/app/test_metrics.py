"""What Prometheus reads: exact sums over all processes, in its format, and nothing lost when a process is."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from postoffice.net.tls import opportunistic_context
from postoffice.testing.process import CLEAR_TEXT, OfficeProcess, make_office, wait_until
from postoffice.testing.raw import Pop3Raw, SmtpRaw

BOB = "bob@a.example"
LETTER = b"Subject: hello\r\n\r\na line\r\n"

SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="[^"\\]*"(?:,(?!\})|(?=\})))*)\})? (-?[0-9.e+-]+)')

Samples = dict[str, float]


@pytest.fixture
def office(folder: Path) -> Iterator[OfficeProcess]:
    make_office(folder / "office", {BOB: "secret"})
    with OfficeProcess(folder / "office", CLEAR_TEXT, ["--workers", "2"]) as office:
        yield office


def scrape(office: OfficeProcess, method: str = "GET", path: str = "/metrics") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", office.ports["metrics"], timeout=20)
    connection.request(method, path)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


def parsed(text: str) -> tuple[Samples, dict[str, str]]:
    """Every sample by its name and labels, and the kinds; an AssertionError for what Prometheus would not read."""
    samples: Samples = {}
    kinds: dict[str, str] = {}
    helped, current = set(), ""
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, current, said = line.split(" ", 3)
            assert said.endswith(".")
            assert current not in helped
            helped.add(current)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == current
            assert kind in ("counter", "gauge", "histogram")
            assert kind != "counter" or name.endswith("_total")
            kinds[name] = kind
        else:
            found = SAMPLE.fullmatch(line)
            assert found, line
            name, labels, number = found.groups()
            suffix = name.removeprefix(current)
            assert suffix in (("_bucket", "_sum", "_count") if kinds[current] == "histogram" else ("",)), line
            key = f"{name}{{{labels}}}" if labels else name
            assert key not in samples
            samples[key] = float(number)
    assert helped == kinds.keys()
    return samples, kinds


def numbers(office: OfficeProcess) -> Samples:
    status, text = scrape(office)
    assert status == 200, text
    return parsed(text)[0]


def exchange(office: OfficeProcess, letters: int) -> None:
    """Letters in; one more session pulls and removes them."""
    for _ in range(letters):
        with SmtpRaw(office.ports["smtp"]) as writer:
            writer.ask("EHLO x.example")
            assert writer.send("x@elsewhere.example", [BOB], LETTER) == 250
            writer.ask("QUIT")
    with Pop3Raw(office.ports["pop3"]) as reader:
        assert reader.log_in(BOB, "secret").startswith(b"+OK")
        for number in reader.unique_ids():
            reader.retrieve(number)
            assert reader.ask(f"DELE {number}").startswith(b"+OK")
        assert reader.ask("RETR 99").startswith(b"-ERR")
        assert reader.ask("QUIT").startswith(b"+OK")
    with Pop3Raw(office.ports["pop3"]) as guesser:
        assert guesser.log_in(BOB, "wrong").startswith(b"-ERR")
        guesser.ask("QUIT")


def have_ended(office: OfficeProcess, pop3: int) -> None:
    key = 'postoffice_sessions_total{door="pop3",tls="none"}'
    wait_until(lambda: numbers(office)[key] == pop3, "the sessions have ended")


def test_all_that_happened_is_told_exactly(office: OfficeProcess) -> None:
    exchange(office, 3)
    have_ended(office, 2)
    found = numbers(office)
    for key, number in {
        'postoffice_letters_total{fate="accepted"}': 3,
        'postoffice_letters_total{fate="delivered"}': 3,
        'postoffice_letters_total{fate="retrieved"}': 3,
        'postoffice_letters_total{fate="removed"}': 3,
        'postoffice_letters_total{fate="relayed"}': 0,
        "postoffice_accepted_octets_total": 3 * len(LETTER),
        'postoffice_sessions_total{door="smtp",tls="none"}': 3,
        'postoffice_sessions_open{door="pop3"}': 0,
        'postoffice_commands_total{protocol="smtp",command="DATA",outcome="ok"}': 3,
        'postoffice_commands_total{protocol="pop3",command="RETR",outcome="ok"}': 3,
        'postoffice_commands_total{protocol="pop3",command="RETR",outcome="refused"}': 1,
        'postoffice_command_seconds_count{protocol="pop3",command="RETR"}': 4,
        'postoffice_command_seconds_bucket{protocol="pop3",command="RETR",le="+Inf"}': 4,
        'postoffice_logins_total{mechanism="USER",outcome="ok"}': 1,
        'postoffice_logins_total{mechanism="USER",outcome="refused"}': 1,
        "postoffice_queue_letters": 0,
        'postoffice_process_restarts_total{process="committer"}': 0,
    }.items():
        assert (key, found.get(key)) == (key, number)
    assert found["postoffice_commit_jobs_total"] >= found["postoffice_commit_seconds_count"] >= 3
    assert found['postoffice_octets_total{door="pop3",direction="out"}'] > 3 * len(LETTER)
    assert found['postoffice_process_resident_octets{process="worker 1"}'] > 1_000_000


def test_sessions_are_told_by_what_protects_them(office: OfficeProcess) -> None:
    with Pop3Raw(office.ports["pop3s"], opportunistic_context()) as reader:
        assert reader.log_in(BOB, "secret").startswith(b"+OK")
        reader.ask("QUIT")
    key = 'postoffice_sessions_total{door="pop3s",tls="TLSv1.3"}'
    wait_until(lambda: numbers(office)[key] == 1, "the session has ended")


def test_who_reads_now_is_seen(office: OfficeProcess) -> None:
    with Pop3Raw(office.ports["pop3"]) as one, Pop3Raw(office.ports["pop3"]) as other:
        one.ask("CAPA")
        other.ask("CAPA")
        assert numbers(office)['postoffice_sessions_open{door="pop3"}'] == 2


@pytest.mark.parametrize("kind", ["worker", "committer"])
def test_what_a_process_counted_outlives_it(office: OfficeProcess, kind: str) -> None:
    exchange(office, 2)
    have_ended(office, 2)
    before, kinds = parsed(scrape(office)[1])
    killed = office.children(kind)
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(set(office.children(kind)) - set(killed)) == len(killed), "all have been replaced")
    after = numbers(office)
    for key, number in before.items():
        if kinds.get(key.partition("{")[0]) == "counter":
            assert after[key] >= number, key
    assert after['postoffice_letters_total{fate="retrieved"}'] == 2
    exchange(office, 1)
    have_ended(office, 4)
    assert numbers(office)['postoffice_letters_total{fate="retrieved"}'] == 3
    name = "committer" if kind == "committer" else "worker 1"
    assert after[f'postoffice_process_restarts_total{{process="{name}"}}'] == 1


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "/metrics", 405), ("GET", "/", 404), ("HEAD", "/metrics", 200)]
)
def test_it_is_no_server_for_anything_else(office: OfficeProcess, method: str, path: str, status: int) -> None:
    found, text = scrape(office, method, path)
    assert found == status
    assert "postoffice_" not in text


def test_a_header_without_end_is_refused_and_read_no_further(office: OfficeProcess) -> None:
    with socket.create_connection(("127.0.0.1", office.ports["metrics"]), timeout=20) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 10_000_000)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(4096).startswith(b"HTTP/1.1 431 ")
    assert scrape(office)[0] == 200


def test_who_says_nothing_hinders_nobody_and_is_sent_away(office: OfficeProcess) -> None:
    with socket.create_connection(("127.0.0.1", office.ports["metrics"]), timeout=20) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n")
        assert scrape(office)[0] == 200
        assert client.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_the_door_is_on_loopback_whatever_the_others_are(folder: Path) -> None:
    make_office(folder / "office", {BOB: "secret"})
    with OfficeProcess(folder / "office", '[office]\naddresses = ["127.0.0.2"]\n', ["--workers", "1"]) as office:
        doors = dict(word.split("=", 1) for word in office.ready.split()[1:])
        assert doors["pop3"].startswith("127.0.0.2:")
        assert doors["metrics"].startswith(("127.0.0.1:", "[::1]:"))
        assert scrape(office)[0] == 200
