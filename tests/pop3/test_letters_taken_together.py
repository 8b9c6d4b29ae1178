"""RETRs that are here already are answered together: as many as would have been answered one by one, in their order."""

from __future__ import annotations

import pytest

from postoffice.protocols.lines import NEED_DATA
from postoffice.protocols.pop3.commands import Command
from postoffice.protocols.pop3.server import LETTERS_AHEAD, Pop3Server

READY = dict.fromkeys(range(1, 100))


@pytest.fixture
def machine() -> Pop3Server:
    """Of somebody who is inside."""
    machine = Pop3Server()
    machine.greet("ready")
    machine.receive(b"USER u\r\nPASS p\r\n")
    for _ in range(2):
        machine.next_command()
        machine.ok()
    return machine


def names(machine: Pop3Server) -> list[str]:
    """The commands that are left."""
    found = []
    while (command := machine.next_command()) is not NEED_DATA:
        assert isinstance(command, Command)
        found.append(f"{command.keyword.name} {command.number}")
        machine.ok()
    return found


@pytest.mark.parametrize(
    ("said", "taken", "left"),
    [
        (b"RETR 1\r\nRETR 2\r\nRETR 3\r\n", [1, 2, 3], []),
        (b"RETR 3\r\nretr 1\nReTr 2\r\n", [3, 1, 2], []),
        (b"RETR 1\r\nRETR 200\r\nRETR 2\r\n", [1], ["RETR 200", "RETR 2"]),
        (b"RETR 1\r\nRETR 2\r\nRETR 1\r\nRETR 3\r\n", [1, 2], ["RETR 1", "RETR 3"]),
        (b"RETR 1\r\nDELE 1\r\nRETR 2\r\n", [1], ["DELE 1", "RETR 2"]),
        (b"DELE 1\r\nRETR 2\r\n", [], ["DELE 1", "RETR 2"]),
        (b"RETR 1\r\nRETR 2", [1], []),
    ],
)
def test_as_far_as_they_go(machine: Pop3Server, said: bytes, taken: list[int], left: list[str]) -> None:
    machine.receive(said)
    assert machine.take_letters(READY) == taken
    assert names(machine) == left


def test_no_more_than_so_many(machine: Pop3Server) -> None:
    machine.receive(b"".join(b"RETR %d\r\n" % number for number in range(1, 90)))
    assert machine.take_letters(READY) == [*range(1, LETTERS_AHEAD + 1)]
    assert machine.upcoming_letters() == [*range(LETTERS_AHEAD + 1, 90)]


def test_who_owes_an_answer_takes_none(machine: Pop3Server) -> None:
    machine.receive(b"RETR 1\r\nRETR 2\r\nDELE 1\r\nRETR 3\r\nNOOP\r\nRETR 4\r\n")
    machine.next_command()
    assert machine.take_letters(READY) == []
    assert machine.upcoming_letters() == [2, 3]


def test_what_is_no_number_of_a_letter_is_a_command_of_its_own(machine: Pop3Server) -> None:
    machine.receive(b"RETR 1234567890123456789\r\nRETR 1\r\n")
    assert machine.take_letters(READY) == []
    assert machine.upcoming_letters() == []
