"""`postoffice status` tells how an office is, whether it runs or not, and its exit status is fit for a monitor."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from postoffice.net.tls import pin_of
from postoffice.testing.certificates import Authority
from postoffice.testing.process import OfficeProcess, make_office, wait_until
from postoffice.testing.raw import Pop3Raw

BOB = "bob@a.example"


@pytest.fixture
def data(folder: Path) -> Path:
    make_office(folder / "office", {BOB: "secret"})
    return folder / "office"


@pytest.fixture
def office(data: Path) -> Iterator[OfficeProcess]:
    with OfficeProcess(data, options=["--workers", "2"]) as office:
        yield office


def ask(data: Path, *options: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "postoffice", "status", "--data", str(data), *options]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def told(data: Path) -> dict[str, Any]:
    facts = json.loads(ask(data, "--json").stdout)
    assert isinstance(facts, dict)
    return facts


def test_an_office_that_does_not_run_is_told_with_what_it_keeps(data: Path) -> None:
    answer = ask(data)
    assert answer.returncode == os.EX_UNAVAILABLE
    assert "a.example, not running" in answer.stdout
    assert "1 account in 1 domain" in answer.stdout
    assert answer.stderr == ""


def test_where_there_is_no_office_there_is_no_status(folder: Path) -> None:
    answer = ask(folder)
    assert answer.returncode == os.EX_NOINPUT
    assert "there is no office here" in answer.stderr


def test_an_office_that_runs_names_its_processes_and_doors(office: OfficeProcess) -> None:
    answer = ask(office.data)
    assert answer.returncode == os.EX_OK, answer.stdout
    assert all(len(line) <= 80 for line in answer.stdout.splitlines())
    facts = told(office.data)
    assert facts["office"]["pid"] == office.pid
    assert {process["pid"] for process in facts["processes"]} == set(office.pids()[1:])
    assert all(process["resident_octets"] > 1_000_000 for process in facts["processes"])
    assert {door["name"]: door["addresses"][0] for door in facts["doors"]} == {
        name: f"127.0.0.1:{port}" for name, port in office.ports.items()
    }
    assert facts["problems"] == []


def test_a_monitor_hears_of_problems_only(office: OfficeProcess) -> None:
    answer = ask(office.data, "--check")
    assert (answer.returncode, answer.stdout, answer.stderr) == (os.EX_OK, "", "")
    office.kill()
    answer = ask(office.data, "--check")
    assert (answer.returncode, answer.stdout) == (os.EX_UNAVAILABLE, "office: does not run\n")


def test_who_was_replaced_and_why_is_told(office: OfficeProcess) -> None:
    [killed] = office.children("committer")
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: office.children("committer") not in ([], [killed]), "there is a new committer")
    facts = told(office.data)
    assert {process["name"]: process["restarts"] for process in facts["processes"]} == {
        "committer": 1,
        "worker 0": 0,
        "worker 1": 0,
    }
    assert "committer ended (-9)" in facts["troubles"][-1]["text"]


def test_who_is_inside_is_told_by_door(office: OfficeProcess) -> None:
    with Pop3Raw(office.ports["pop3"]) as reader:
        reader.ask("CAPA")
        inside = {door["name"]: door["sessions"] for door in told(office.data)["doors"]}
        assert inside["pop3"] == 1
        assert inside["smtp"] == 0
        assert inside["metrics"] is None
        assert f":{office.ports['pop3']}" in ask(office.data).stdout
        assert "  1 session\n" in ask(office.data).stdout


def test_what_went_wrong_in_a_worker_is_told(office: OfficeProcess) -> None:
    (office.data / "tls/certificate.pem").write_text("no certificate")
    office.signal(signal.SIGHUP)
    wait_until(lambda: len(told(office.data)["troubles"]) == 2, "both workers told their trouble")
    troubles = told(office.data)["troubles"]
    assert {trouble["process"] for trouble in troubles} == {"worker 0", "worker 1"}
    assert [trouble["text"][:19] for trouble in troubles] == ["tls.reload_failed: "] * 2
    assert all(len(line) <= 80 for line in ask(office.data).stdout.splitlines())


def test_an_office_that_ended_in_order_leaves_no_socket(office: OfficeProcess) -> None:
    assert office.stop() == 0
    assert not (office.data / "status.socket").exists()


def test_a_certificate_near_its_end_is_a_problem(folder: Path) -> None:
    make_office(folder / "old", {BOB: "secret"}, Authority(clock=lambda: time.time() - 25 * 86400))
    with OfficeProcess(folder / "old", options=["--workers", "1"]):
        answer = ask(folder / "old", "--check")
    assert answer.returncode == os.EX_TEMPFAIL
    assert answer.stdout.startswith("certificate: ends ")


def test_every_certificate_is_told_and_the_first_to_end_is_the_fact(data: Path, folder: Path) -> None:
    (folder / "c").mkdir()
    old = Authority(clock=lambda: time.time() - 25 * 86400)
    for path in old.issue(["c.example"], folder / "c"):
        path.chmod(0o644)
    config = f'[[tls.more]]\ncertificate = "{folder}/c/certificate.pem"\nkey = "{folder}/c/key.pem"\n'
    with OfficeProcess(data, config, ["--workers", "1"]):
        answer, facts = ask(data), told(data)
    assert answer.returncode == os.EX_TEMPFAIL
    assert answer.stdout.count("until ") == 2
    pin = pin_of(ssl.PEM_cert_to_DER_cert((folder / "c" / "certificate.pem").read_text()))
    assert f"pin {pin}" in answer.stdout
    assert facts["certificate"]["pin"] == pin
    assert all(len(line) <= 80 for line in answer.stdout.splitlines())
    assert facts["certificate"]["file"] == f"{folder}/c/certificate.pem"
    assert [problem.endswith("/c/certificate.pem") for problem in facts["problems"]] == [True]
