"""The command `postoffice` as people run it, for tests: a process of its own, by whoever shall be somebody else."""

from __future__ import annotations

import sys
from typing import Final

PROGRAM: Final = "from postoffice.cli.main import main; main()"
"""For `python -c`."""

COMMAND: Final = (sys.executable, "-W", "error", "-c", PROGRAM)
"""What stands before the words of a call; a warning is an error."""

NOBODY: Final = 65534


def as_somebody(*modules: str, user: int = NOBODY) -> str:
    """The program as one who is not root and owns nothing here, for `python -c`.

    What root alone may read has to be imported before it is somebody else: `modules`.
    """
    return f"""
import os
import {", ".join(modules)}
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid({user}, {user}, {user})
    os.setresuid({user}, {user}, {user})
{PROGRAM}
"""
