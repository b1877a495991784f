"""What the stages of an import hand on: records as read, rows as understood, refusals. Arrays, a block at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Shorts = npt.NDArray[np.int16]


class Refused(NamedTuple):
    """A record that is not stored: its line, why, its cells, and whether only a name in it is unknown."""

    line: int
    reason: str
    cells: Sequence[object]
    unknown: bool = False
    example: object = ""


@dataclass
class Records:
    """Some records of a file of readings, as read.

    `cells`: for each column that the file has, a cell for each record; `texts`: the records as they stand in the file;
    `broken`: those that are no record at all; `taken`: how many records of the file this is, broken ones included.
    """

    lines: Ints
    cells: dict[str, Sequence[object]]
    texts: Sequence[Sequence[object]]
    taken: int
    broken: list[Refused] = field(default_factory=list)


class SeriesKey(NamedTuple):
    """What the records of one series have in common. A device with its channel, or a point; the other is empty."""

    device: str
    point: str
    metric: str
    channel: str = ""
    unit: str = ""


@dataclass
class Rows:
    """Readings understood but not placed: `series` is a number of `Places`, `value` is in the file's unit."""

    lines: Ints
    time_us: Ints
    series: Ints
    value: Floats
    quality: Shorts
    #: The cells of each row for the reject file.
    texts: Sequence[Sequence[object]]

    def __len__(self) -> int:
        return len(self.time_us)


@dataclass
class Part:
    """The rows of a block and what of it was refused; `position`: records of the file done with it."""

    rows: Rows
    refused: list[Refused]
    position: int
    records: int
