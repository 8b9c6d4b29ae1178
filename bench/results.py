"""The figures of a run, kept in a file of JSON, subject by subject.

A subject is written when all of its rounds are over, so a run that was stopped goes on with the next one. The file
tells the machine, and for each subject when it was measured, how busy the machine was, and who took part.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from bench.figures import Figure, Summary, summaries
from bench.machine import pace
from bench.measurement import Measurement

Facts = Mapping[str, str | int | float]


@dataclass(slots=True)
class Results:
    """`subjects` by name, as they stand in the file; `lines` reads them."""

    machine: dict[str, Any]
    subjects: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, facts: Facts | None = None) -> Self:
        """What a file holds, or nothing yet if it does not exist and there are `facts` about this machine.

        ValueError: it is another machine's, or no such file.
        """
        if facts is not None and not path.exists():
            return cls(dict(facts))
        kept = json.loads(path.read_text())
        if not isinstance(kept, dict) or not {"machine", "subjects"} <= kept.keys():
            raise ValueError(f"{path} holds no figures of ./po bench")
        if facts is not None and any(kept["machine"].get(name) != facts[name] for name in ("processor", "cores")):
            raise ValueError(f"{path} holds the figures of another machine; name another file")
        return cls(kept["machine"], kept["subjects"])

    def add(self, subject: str, measurements: Sequence[Measurement], versions: Mapping[str, str]) -> None:
        """A subject, in place of what was there of it."""
        names = {one.contender for one in measurements}
        self.subjects[subject] = {
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "load_after": os.getloadavg()[0],
            **pace(),
            "rounds": 1 + max((one.round_number for one in measurements), default=0),
            "versions": {name: version for name, version in versions.items() if name in names},
            "summaries": [dataclasses.asdict(line) for line in summaries(measurements)],
            "measurements": [dataclasses.asdict(one) for one in measurements],
        }

    def without_rounds(self) -> Results:
        """The same without every single measurement, which is much."""
        subjects = {
            name: {key: value for key, value in subject.items() if key != "measurements"}
            for name, subject in self.subjects.items()
        }
        return Results(self.machine, subjects)

    def write(self, path: Path) -> None:
        """Whole or not at all."""
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(json.dumps({"machine": self.machine, "subjects": self.subjects}, indent=1) + "\n")
        fresh.replace(path)

    def lines(self) -> dict[tuple[str, str], Summary]:
        """Every summary by row and contender."""
        found = {}
        for subject in self.subjects.values():
            for kept in subject["summaries"]:
                line = _summary(kept)
                found[line.row, line.contender] = line
        return found


def _summary(kept: dict[str, Any]) -> Summary:
    figures = {name: Figure(**kept[name]) for name in ("rate", "settled_rate", "cpu_us")}
    more = {name: Figure(**value) for name, value in kept["more"].items()}
    return Summary(**{**kept, **figures, "more": more})
