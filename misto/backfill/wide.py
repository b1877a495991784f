"""Files of any shape through a mapping, as replay reads them (docs/replay.md), but straight into the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from misto.backfill.records import Part, Refused, Rows, SeriesKey
from simulators.replay.convert import Converter
from simulators.replay.mapping import Mapping
from simulators.replay.messages import Account
from simulators.replay.reader import Row, file_stem, open_table

#: Readings of any time are read; `Places` has the bounds.
_ALWAYS_US = 2**62


class _Refusals(Account):
    """Keeps what a mapping leaves out with the whole row."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[Refused] = []
        self.row: Row = (0, ())

    def skip(self, reason: str, line: int, example: object = "") -> None:
        cells = self.row[1] if self.row[0] == line else ()
        self.refused.append(Refused(line, reason, cells, example=example))


class WideFile:
    """A file read whole through its mapping; positions count its readings in order of time."""

    def __init__(self, path: Path, mapping: Mapping, on_progress: Callable[[int], None]) -> None:
        """Read the file. Raises `SimulatorError` or `FileProblems` as replay does."""
        self._account = _Refusals()
        with open_table(path, mapping.spec.file) as table:
            self.columns = [*table.columns]
            converter = Converter(mapping, table.columns, file_stem(path))
            converter.account = self._account
            for count, row in enumerate(table.rows):
                self._account.row = row
                converter.add(row)
                if count % 50_000 == 0:
                    on_progress(count)
        messages = converter.finish(_ALWAYS_US, shift=False)
        self.rows, self.filtered = self._account.rows, self._account.filtered
        time_us, series, value, line = [], [], [], []
        self._keys: list[SeriesKey] = []
        for source, (names, columns) in enumerate(messages.sources):
            its = messages.source == source
            for name, column in zip(names, columns, strict=True):
                values = np.array(column, np.float64)[messages.place[its]]
                there = ~np.isnan(values)
                first = len(self._keys)
                self._keys += [SeriesKey(address, "", name) for address in messages.addresses]
                time_us.append(messages.time_us[its][there])
                series.append(first + messages.device[its][there])
                value.append(values[there])
                line.append(messages.line[its][there])
        self._time_us, self._series = np.concatenate(time_us), np.concatenate(series)
        self._value, self._line = np.concatenate(value), np.concatenate(line)
        order = np.argsort(self._time_us, kind="stable")
        self._time_us, self._series = self._time_us[order], self._series[order]
        self._value, self._line = self._value[order], self._line[order]
        self._done = 0

    def __len__(self) -> int:
        return len(self._time_us)

    def parts(self, number: Callable[[SeriesKey], int], sizes: Iterator[int]) -> Iterator[Part]:
        """Blocks with as many readings as `sizes` says."""
        numbers = np.zeros(len(self._keys), np.int64)
        for its in np.unique(self._series).tolist():
            numbers[its] = number(self._keys[its])
        refused = self._account.refused
        for size in sizes:
            if self._done >= len(self) and not refused:
                return
            here = slice(self._done, min(self._done + size, len(self)))
            count = here.stop - here.start
            lines = self._line[here]
            texts = [[self._keys[its].device, self._keys[its].metric] for its in self._series[here].tolist()]
            rows = Rows(
                lines, self._time_us[here], numbers[self._series[here]], self._value[here],
                np.zeros(count, np.int16), texts,
            )  # fmt: skip
            self._done = here.stop
            yield Part(rows, refused, self._done, count)
            refused = []

    def progress(self) -> float:
        """How far it has been handed on, from 0 to 1."""
        return self._done / max(1, len(self))
