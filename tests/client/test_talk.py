"""What was said ahead of an answer is what a session may blame, and nothing else is."""

from __future__ import annotations

import pytest

from postoffice.client.talk import Talk
from postoffice.net.dialogue import Dialogue
from postoffice.net.switchboard import Switchboard
from postoffice.protocols.pop3 import commands
from postoffice.protocols.pop3.client import Pop3Client


async def silent(_: Dialogue[Pop3Client]) -> None:
    """Nobody is called."""


def talk_with(pending: int) -> Talk:
    machine = Pop3Client()
    talk = Talk(Dialogue(machine, silent, Switchboard(), is_server=False), "pop.b.example")
    for _ in range(pending):
        machine.send(commands.CAPA)
    return talk


@pytest.mark.parametrize("pending", [0, 1, 2])
@pytest.mark.parametrize("said", [0, 1, 2])
async def test_to_go_ahead_is_to_say_something_while_an_answer_is_due(pending: int, said: int) -> None:
    talk = talk_with(pending)
    talk.say_all([commands.CAPA] * said)
    assert talk.has_gone_ahead == (said > 1 or (said == 1 and pending > 0))
    one_by_one = talk_with(pending)
    for _ in range(said):
        one_by_one.say(commands.CAPA)
    assert one_by_one.has_gone_ahead == talk.has_gone_ahead
    assert talk.machine.pending == one_by_one.machine.pending == pending + said
