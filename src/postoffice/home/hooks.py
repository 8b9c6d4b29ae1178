"""Commands of a person that run when letters came, or when an account began to fail.

What happened stands in their environment and on their standard input, and never in the command: senders choose their
subjects, and no shell shall read them.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from postoffice.errors import PostofficeError, status_of
from postoffice.events import event
from postoffice.message.content import HEAD_OCTETS
from postoffice.message.printable import safe
from postoffice.protocols.dots import Unstuffer

if TYPE_CHECKING:
    from postoffice.store.base import Mailbox

HOOK_SECONDS: Final = 60.0
"""How long a hook may take; then it is killed, with what it began."""

STANDARD_ERROR: Final = 2
FLIGHT_LETTERS: Final = 64


class Hooks(NamedTuple):
    """Commands for the shell; empty: none."""

    new_mail: str = ""
    failed: str = ""

    async def letters_came(self, account: str, file: str, lines: Sequence[bytes]) -> None:
        """`lines` as `introduced` gives them."""
        facts = {"ACCOUNT": account, "LETTERS": str(len(lines)), "FILE": file}
        await _run("new_mail", self.new_mail, facts, b"".join(lines))

    async def account_failed(self, account: str, error: PostofficeError) -> None:
        facts = {"ACCOUNT": account, "STATUS": str(status_of(error)), "BECAUSE": safe(str(error))}
        await _run("failed", self.failed, facts)


async def introduced(mailbox: Mailbox, keys: Sequence[int]) -> list[bytes]:
    """Letters in a line of JSON each: from, subject, octets, all safe to print."""
    import json

    from postoffice.message import header

    lines = []
    for start in range(0, len(keys), FLIGHT_LETTERS):
        flight = keys[start : start + FLIGHT_LETTERS]
        for entry, piece in zip(await mailbox.describe(flight), await mailbox.read(flight), strict=True):
            if entry is not None and piece is not None:
                head = Unstuffer().feed(piece.wire[:HEAD_OCTETS])
                sender, subject = header.decoded(head, b"From"), header.decoded(head, b"Subject")
                line = {"from": sender, "subject": subject, "octets": entry.octets}
                lines.append(json.dumps(line).encode() + b"\n")
    return lines


async def _run(name: str, command: str, facts: Mapping[str, str], lines: bytes = b"") -> None:
    """Its failure is told, and is nobody else's. What it writes goes to standard error."""
    if not command:
        return
    try:
        process = await _begun(command, {f"POSTOFFICE_{fact}": value for fact, value in facts.items()}, lines)
    except OSError as error:
        event("home.hook_failed", hook=name, because=f"it cannot be run: {error.strerror}")
        return
    try:
        await asyncio.wait_for(process.wait(), HOOK_SECONDS)
    except TimeoutError:
        event("home.hook_failed", hook=name, because=f"it took more than {HOOK_SECONDS:.0f} s")
    else:
        if process.returncode:
            event("home.hook_failed", hook=name, because=f"it ended with status {process.returncode}")
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _begun(command: str, more: Mapping[str, str], lines: bytes) -> asyncio.subprocess.Process:
    """Its standard input is a file: whether it reads that, and when, is its own affair. It lies in memory alone, for
    the mailbox that the lines are of may be locked."""
    with os.fdopen(os.memfd_create("letters"), "w+b") as standard_input:
        standard_input.write(lines)
        standard_input.seek(0)
        return await asyncio.create_subprocess_shell(
            command,
            stdin=standard_input,
            stdout=STANDARD_ERROR,
            env=os.environ | more,
            start_new_session=True,
        )
