"""Rows become messages: readings are collected as columns, registers are summed up, times are cut and shifted."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from math import nan

import numpy as np

from catalogue.inventory import normal_address
from simulators.replay.cells import cell_text, condition_cells, number_reader
from simulators.replay.columns import check_columns
from simulators.replay.mapping import OWN_COLUMN, Mapping, Value, fill, placeholders
from simulators.replay.messages import Account, Ints, Messages
from simulators.replay.moments import moment_reader
from simulators.replay.reader import Row
from simulators.replay.registers import Registers, add_up


class _Lane:
    """The readings of one entry of `readings`, either its gauges or its accumulated amounts, as columns."""

    def __init__(self, at_us: int, values: list[tuple[int, Value, Callable[[object], float]]], amounts: bool) -> None:
        self.at_us = at_us
        self.values = values
        self.amounts = amounts
        self.time_us, self.device, self.line = array("q"), array("q"), array("q")
        self.columns = [array("d") for _ in values]


class Converter:
    """Takes the rows of a file one by one; `finish` gives the messages.

    Raises `FileProblems` if the mapping names columns that the file does not have.
    """

    def __init__(self, mapping: Mapping, columns: list[str], file_stem: str) -> None:
        self.account = Account()
        self.addresses: list[str] = []
        #: For each device the texts of its first row, by column: what the inventory's texts are made of.
        self.first_rows: list[dict[str, str]] = []
        spec = mapping.spec
        self._spec = spec
        self._stem = file_stem
        self._columns = columns
        self._place = {name: number for number, name in enumerate(columns)}
        check_columns(mapping, columns)
        self._own = self._own_columns()
        self._read_time = moment_reader(spec.time)
        self._time_places = [self._place[name] for name in spec.time.columns]
        self._conditions = [
            (self._place[condition.column], condition.equals is not None, condition_cells(condition))
            for condition in spec.where
        ]
        self._template_places = {
            name: self._place[name] for name in placeholders(spec.device.address) if name in self._place
        }
        self._numbers: dict[tuple[object, ...], int | str] = {}
        self._latest: dict[int, int] = {}
        self._last_row_us = 0
        self._lanes = [
            _Lane(round(reading.at * 1e6), bound, amounts)
            for reading in spec.readings
            for amounts in (False, True)
            if (bound := [self._bind(value) for value in reading.values if value.accumulate == amounts])
        ]

    def _own_columns(self) -> list[tuple[str, int]]:
        """(name, place) of each device's column in a wide file; without one, a single empty name."""
        wanted = self._spec.device.from_columns
        if wanted is None:
            return [("", -1)]
        if wanted == "others":
            used = {
                *self._spec.time.columns,
                *placeholders(self._spec.device.address),
                *(condition.column for condition in self._spec.where),
                *(value.column for reading in self._spec.readings for value in reading.values),
            }
            wanted = [name for name in self._columns if name not in used]
        return [(name, self._place[name]) for name in wanted]

    def _bind(self, value: Value) -> tuple[int, Value, Callable[[object], float]]:
        place = -1 if value.column == OWN_COLUMN else self._place[value.column]
        return place, value, number_reader(value, self._spec.file.decimal)

    def add(self, row: Row) -> None:
        """Take one row. What cannot be read is noted in `account` and left out."""
        line, cells = row
        account = self.account
        account.rows += 1
        if len(cells) != len(self._columns):
            account.skipped_rows += 1
            account.skip(f"the row has another number of cells than the {len(self._columns)} columns", line)
            return
        for place, wanted, known in self._conditions:
            if (cell_text(cells[place]).casefold() in known) != wanted:
                account.filtered += 1
                return
        made = False
        for name, place in self._own:
            made = self._add_device(line, cells, name, place) or made
        if not made:
            account.skipped_rows += 1

    def _add_device(self, line: int, cells: Sequence[object], name: str, own_place: int) -> bool:
        device = self._device(cells, name)
        if isinstance(device, str):
            self.account.skip(device, line)
            return False
        places = self._time_places
        raw = cells[places[0]] if len(places) == 1 else " ".join(cell_text(cells[place]) for place in places)
        try:
            time_us, repeated_us = self._read_time(raw)
        except ValueError as error:
            self.account.skip(f"{' '.join(self._spec.time.columns) or 'the time'}: {error}", line, raw)
            return False
        if repeated_us is not None and self._latest.get(device, time_us - 1) >= time_us:
            # The hour that autumn repeats, for the second time.
            time_us = repeated_us
        self._latest[device] = time_us
        self._last_row_us = max(self._last_row_us, time_us)
        made = False
        for lane in self._lanes:
            values = [self._value(line, cells, name, own_place, *bound) for bound in lane.values]
            # A row without its amount still tells where the interval before it ends.
            some = any(value == value for value in values)
            if some or lane.amounts:
                lane.time_us.append(time_us)
                lane.device.append(device)
                lane.line.append(line)
                for column, value in zip(lane.columns, values, strict=True):
                    column.append(value)
            made = made or some
        return made

    def _value(
        self,
        line: int,
        cells: Sequence[object],
        name: str,
        own_place: int,
        place: int,
        value: Value,
        read: Callable[[object], float],
    ) -> float:
        raw = cells[own_place if place < 0 else place]
        try:
            return read(raw)
        except ValueError as error:
            self.account.skip(f"{name if place < 0 else value.column}: {error}", line, raw)
            return nan

    def _device(self, cells: Sequence[object], name: str) -> int | str:
        """The device's number, or why it has none."""
        key = (name, *(cells[place] for place in self._template_places.values()))
        known = self._numbers.get(key)
        if known is not None:
            return known
        texts = {column: cell_text(cells[place]) for column, place in self._template_places.items()}
        empty = next((column for column, text in texts.items() if not text), None)
        address = normal_address(fill(self._spec.device.address, {**texts, "column": name, "file": self._stem}))
        number: int | str
        if empty is not None:
            number = f"{empty}: the device's address is empty"
        elif not address or len(address) > 128 or any(sign in address for sign in "+#\0"):
            number = "the device's address has +, # or more than 128 letters"
        elif address in self.addresses:
            number = self.addresses.index(address)
        else:
            number = len(self.addresses)
            self.addresses.append(address)
            row = {column: cell_text(cell) for column, cell in zip(self._columns, cells, strict=True)}
            self.first_rows.append({**row, "column": name, "file": self._stem, "address": address})
        self._numbers[key] = number
        return number

    def finish(
        self, now_us: int, from_us: int | None = None, to_us: int | None = None, *, shift: bool = True
    ) -> Messages:
        """All messages in order of time, none after `now_us`.

        `from_us` (inclusive) and `to_us` (exclusive) cut by the recorded times, before the shift of the mapping.
        """
        found = [self._registers(lane) if lane.amounts else _gauges(lane) for lane in self._lanes]
        time_us = np.concatenate([part.time_us for part in found])
        device = np.concatenate([part.device for part in found])
        line = np.concatenate([part.line for part in found])
        source = np.concatenate([np.full(len(part.time_us), number) for number, part in enumerate(found)])
        place = np.concatenate([np.arange(len(part.time_us)) for part in found])
        moved_us = self._shift_us(time_us, now_us) if shift else 0
        keep = np.ones(len(time_us), dtype=bool)
        if from_us is not None:
            keep &= time_us >= from_us
        if to_us is not None:
            keep &= time_us < to_us
        late = keep & (time_us + moved_us > now_us)
        for number in line[late].tolist():
            self.account.skip("its time lies in the future", number)
        keep &= ~late
        order = np.lexsort((source, line, time_us))
        order = order[keep[order]]
        return Messages(
            time_us[order] + moved_us,
            device[order],
            source[order],
            place[order],
            self.addresses,
            [
                (
                    [value.metric for _, value, _ in lane.values],
                    [np.round(column, 6).tolist() for column in part.values],
                )
                for lane, part in zip(self._lanes, found, strict=True)
            ],
            line[order],
        )

    def _registers(self, lane: _Lane) -> Registers:
        interval = self._spec.time.interval
        found = add_up(
            _ints(lane.time_us),
            _ints(lane.device),
            _ints(lane.line),
            [np.array(column, dtype=np.float64) for column in lane.columns],
            per_second=[value.conversion.per_second for _, value, _ in lane.values],
            marks_start=self._spec.time.marks == "start",
            interval_us=None if interval is None else round(interval * 1e6),
            on_skip=self.account.skip,
        )
        found.time_us += lane.at_us
        return found

    def _shift_us(self, time_us: Ints, now_us: int) -> int:
        spec = self._spec.shift
        if spec is None or len(time_us) == 0:
            return 0
        end_us = now_us if spec.end == "now" else round(spec.end.timestamp() * 1e6)
        if spec.step is None:
            return end_us - int(time_us.max())
        # By the last row and not by the last reading, so that files that end together are moved alike.
        step_us = round(spec.step * 1e6)
        return (end_us - self._last_row_us) // step_us * step_us


def _gauges(lane: _Lane) -> Registers:
    values = [np.array(column, dtype=np.float64) for column in lane.columns]
    return Registers(_ints(lane.time_us) + lane.at_us, _ints(lane.device), _ints(lane.line), values)


def _ints(column: array[int]) -> Ints:
    return np.array(column, dtype=np.int64)
