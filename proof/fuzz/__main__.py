"""`./po fuzz TARGET [--runs N]`: drive a target by coverage, with atheris.

atheris is in the dependency group `fuzz`, not in the lock: it has no wheel for every system and Python.
`.venv/bin/python -m pip install atheris` brings it. Seeds are the clients' and servers' lines of the transcripts.
An input that fails is written to `crash-...` in the folder where you stand; `--input FILE` plays it again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

TRANSCRIPTS = Path(__file__).parents[2] / "tests" / "transcripts"
WORDS = (
    *(
        b"USER mrose",
        b"PASS x",
        b"AUTH PLAIN",
        b"AUTH",
        b"STAT",
        b"LIST 1",
        b"UIDL 1",
        b"RETR 1",
        b"DELE 1",
        b"TOP 1 1",
    ),
    *(b"NOOP", b"RSET", b"QUIT", b"CAPA", b"STLS", b"APOP a 0123456789abcdef0123456789abcdef", b"UTF8", b"LANG *"),
    *(b"EHLO a", b"MAIL FROM:<a@b>", b"RCPT TO:<a@b>", b"DATA", b"VRFY a", b"HELO a", b"BODY=8BITMIME", b"SIZE=1"),
    *(b"n,,n=bob,r=abc", b"c=biws,r=abcournonce,p=AAAA", b"n,,\x01auth=Bearer t\x01\x01", b"user=a\x01auth=Bearer t"),
    *(
        b"\r\n",
        b"\r\n.\r\n",
        b"\n.\n",
        b"..",
        b"=",
        b"*",
        b"\xfe\x01",
        b"\xfe\xff",
        b"4294967297",
        b"+OK ",
        b"-ERR [",
        b"+ ",
    ),
)


def seeds() -> list[bytes]:
    """Each side's part of every transcript, under two control octets."""
    from postoffice.protocols.notation import Line, line_octets, parse

    found = []
    for path in sorted(TRANSCRIPTS.glob("*.txt")):
        said = [step for step in parse(path.read_text()) if isinstance(step, Line)]
        for who in ("C", "S"):
            octets = b"".join(line_octets(step.text) for step in said if step.who == who)
            found += [control + octets[:190] for control in (b"\x06", b"\x07")]
    return found


def _escaped(word: bytes) -> str:
    """A word as the dictionary of libFuzzer wants it."""
    return "".join(f"\\x{octet:02x}" for octet in word)


def main() -> None:
    parser = argparse.ArgumentParser(prog="./po fuzz", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("target", help="its name, or `list`")
    parser.add_argument("--runs", type=int, default=1_000_000, help="how many inputs (1,000,000)")
    parser.add_argument("--input", type=Path, help="play this one input")
    options = parser.parse_args()
    try:
        import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        raise SystemExit("fuzz: atheris is missing: .venv/bin/python -m pip install atheris") from None
    with atheris.instrument_imports(include=["postoffice.protocols"]):
        import postoffice.protocols.notation  # noqa: F401 - which the seeds want
        from proof.fuzz.targets import TARGETS
    if options.target not in TARGETS:
        raise SystemExit(f"fuzz: targets are {', '.join(TARGETS)}")
    target = TARGETS[options.target]
    if options.input:
        target(options.input.read_bytes())
        return
    with tempfile.TemporaryDirectory() as folder:
        for index, seed in enumerate(seeds()):
            Path(folder, f"seed-{index}").write_bytes(seed)
        words = Path(folder) / "words.dict"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in WORDS))
        settings = ["-max_len=200", "-len_control=0", f"-runs={options.runs}", f"-dict={words}", "-rss_limit_mb=1024"]
        atheris.Setup([sys.argv[0], *settings, folder], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
