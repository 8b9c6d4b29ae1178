"""The one notation in which conversations are written: tests, traces, bug reports, documentation.

steps      transcript <-> steps; octets <-> how a line of them is written
recorder   a live conversation -> lines of a transcript, without secrets and without letters
"""

from postoffice.protocols.notation.recorder import Recorder
from postoffice.protocols.notation.steps import (
    Closes,
    Comment,
    Counted,
    Handshake,
    Line,
    NotationError,
    Passes,
    Prose,
    Scene,
    Step,
    Who,
    escaped,
    format_step,
    format_steps,
    line_octets,
    line_text,
    parse,
    pattern_of,
    unescaped,
)

__all__ = [
    "Closes",
    "Comment",
    "Counted",
    "Handshake",
    "Line",
    "NotationError",
    "Passes",
    "Prose",
    "Recorder",
    "Scene",
    "Step",
    "Who",
    "escaped",
    "format_step",
    "format_steps",
    "line_octets",
    "line_text",
    "parse",
    "pattern_of",
    "unescaped",
]
