"""What comes of a recorded file: messages in order of time, and an account of the rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from simulators.replay.moments import moment_text

Ints = NDArray[np.int64]

_MOST_LINES = 5


@dataclass
class Skipped:
    """What was left out for one reason: how often, and the first lines."""

    count: int = 0
    lines: list[int] = field(default_factory=list)
    example: str = ""


@dataclass
class Account:
    """What became of the rows."""

    rows: int = 0
    filtered: int = 0
    skipped_rows: int = 0
    reasons: dict[str, Skipped] = field(default_factory=dict)

    def skip(self, reason: str, line: int, example: object = "") -> None:
        """Note that something of this line was left out."""
        entry = self.reasons.setdefault(reason, Skipped(example=str(example)[:40]))
        entry.count += 1
        if len(entry.lines) < _MOST_LINES and line not in entry.lines:
            entry.lines.append(line)


@dataclass(frozen=True)
class Messages:
    """All messages in order of time. `sources[k]` has the metrics, and for each reading their values (NaN: none).

    `line` is the line of the file that each comes from.
    """

    time_us: Ints
    device: Ints
    source: Ints
    place: Ints
    addresses: list[str]
    sources: list[tuple[list[str], list[list[float]]]]
    line: Ints

    def __len__(self) -> int:
        return len(self.time_us)

    def __iter__(self) -> Iterator[tuple[int, str, bytes]]:
        """(time in µs, topic, payload) of each."""
        for number in range(len(self)):
            time_us = int(self.time_us[number])
            address = self.addresses[self.device[number]]
            metrics, values = self.sources[self.source[number]]
            content: dict[str, object] = {"device": address, "time": moment_text(time_us)}
            for name, column in zip(metrics, values, strict=True):
                value = column[self.place[number]]
                if value == value:
                    content[name] = value
            yield time_us, f"misto/{address}/up", json.dumps(content, separators=(",", ":")).encode()
