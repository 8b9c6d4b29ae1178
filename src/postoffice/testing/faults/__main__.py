"""`python -m postoffice.testing.faults FAULT`: the server of one fault, for any program of this machine.

It says where it is; a line on standard input repairs what is wrong until somebody looks after it, and the end of the
input ends it. Then it says what is left. Without a fault it names all of them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from postoffice.testing.faults.cells import FAULTS
from postoffice.testing.faults.opening import HOST, opened


def main(words: list[str]) -> int:
    chosen = next((fault for fault in FAULTS if words == [fault.name]), None)
    if chosen is None:
        print("\n".join(f"{fault.name:18}{fault.what}" for fault in FAULTS))
        return 0 if not words else 64
    with tempfile.TemporaryDirectory(prefix="postoffice-fault-") as folder, opened(chosen, Path(folder)) as door:
        print(
            f"ready {HOST}:{door.port} user={door.user} secret={door.secret} tls={door.tls.name} ca={door.authority}",
            flush=True,
        )
        for _ in sys.stdin:
            door.peer.is_repaired = True
            print("repaired", flush=True)
        print(f"left={','.join(door.peer.letters)} sessions={door.peer.sessions}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
