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
WORDS = tuple(
    word.encode("latin-1")
    for word in (
        *("USER mrose", "PASS x", "AUTH PLAIN", "AUTH", "STAT", "LIST 1", "UIDL 1", "RETR 1", "DELE 1", "TOP 1 1"),
        *("NOOP", "RSET", "QUIT", "CAPA", "STLS", "APOP a 0123456789abcdef0123456789abcdef", "UTF8"),
        *("LANG", "LANG *", "LANG vi-VN", "LANG x-none"),
        *(
            "EHLO a",
            "HELO a",
            "LHLO a",
            "MAIL FROM:<a@b>",
            "RCPT TO:<a@b>",
            "DATA",
            "VRFY a",
            "BODY=8BITMIME",
            "SIZE=1",
        ),
        *("n,,n=bob,r=abc", "c=biws,r=abcournonce,p=AAAA", "n,,\x01auth=Bearer t\x01\x01", "user=a\x01auth=Bearer t"),
        *(
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY TCP6 ::1 ::2 1 2\r\n",
            "PROXY UNKNOWN\r\n",
            "\x21\x11\0\x0c",
            "\x20\0\0\0",
        ),
        *(
            "From: Qu\xc3\xaa <a@b>\r\n",
            'To: (\xe9) a@b, "\xe9" <c@d>\r\n',
            'Content-Type: a/b; name="\xe9"\r\n',
            "\xe9",
        ),
        *("\r\n", "\r\n.\r\n", "\n.\n", "..", "=", "*", "\xfe\x01", "\xfe\xff", "4294967297", "+OK ", "-ERR [", "+ "),
    )
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
    with atheris.instrument_imports(include=["postoffice.protocols", "postoffice.message"]):
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
