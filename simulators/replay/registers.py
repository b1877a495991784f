"""Amounts of intervals, or rates, become the register of a counter, device by device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass
class Registers:
    """Readings as columns: time in µs, number of the device, line of the file, and the values of each metric."""

    time_us: Ints
    device: Ints
    line: Ints
    values: list[Floats]


def add_up(
    time_us: Ints,
    device: Ints,
    line: Ints,
    amounts: list[Floats],
    *,
    per_second: list[bool],
    marks_start: bool,
    interval_us: int | None,
    on_skip: Callable[[str, int], None],
) -> Registers:
    """Registers that begin at 0 when a device's first known amount begins.

    An amount is of the interval from its row to the next one of the device (`marks_start`), or from the one before;
    `interval_us` is the longest, and that of a row with no neighbour. Rates (`per_second`) are multiplied by the
    interval. An amount that is not known (NaN) makes no reading: what the next one tells is then for both intervals.
    A second amount of the same interval is not counted; it is told to `on_skip` with a reason and its line.
    """
    order = np.lexsort((line, time_us, device))
    time_us, device, line = time_us[order], device[order], line[order]
    amounts = [column[order] for column in amounts]
    double = np.zeros(len(order), dtype=bool)
    double[1:] = (device[1:] == device[:-1]) & (time_us[1:] == time_us[:-1])
    for number in line[double].tolist():
        on_skip("a second amount for the same interval", number)
    time_us, device, line = time_us[~double], device[~double], line[~double]
    amounts = [column[~double] for column in amounts]

    parts: list[Registers] = []
    edges = np.flatnonzero(np.diff(device)) + 1
    for piece in np.split(np.arange(len(device)), edges):
        if len(piece):
            one = Registers(time_us[piece], device[piece], line[piece], [column[piece] for column in amounts])
            part = _of_one_device(one, per_second, marks_start, interval_us, on_skip)
            if part is not None:
                parts.append(part)
    if not parts:
        empty = np.empty(0, dtype=np.int64)
        return Registers(empty, empty.copy(), empty.copy(), [np.empty(0) for _ in amounts])
    return Registers(
        np.concatenate([part.time_us for part in parts]),
        np.concatenate([part.device for part in parts]),
        np.concatenate([part.line for part in parts]),
        [np.concatenate([part.values[number] for part in parts]) for number in range(len(amounts))],
    )


def _of_one_device(
    rows: Registers,
    per_second: list[bool],
    marks_start: bool,
    interval_us: int | None,
    on_skip: Callable[[str, int], None],
) -> Registers | None:
    gaps = np.diff(rows.time_us)
    if len(gaps) == 0 and interval_us is None:
        on_skip("a single amount has no interval; give time.interval, for example 1h", int(rows.line[0]))
        return None
    longest = np.iinfo(np.int64).max if interval_us is None else interval_us
    if marks_start:
        last = gaps[-1] if interval_us is None else interval_us
        length = np.minimum(np.append(gaps, last), longest)
        begins, ends = rows.time_us, rows.time_us + length
    else:
        first = gaps[0] if interval_us is None else interval_us
        length = np.minimum(np.insert(gaps, 0, first), longest)
        begins, ends = rows.time_us - length, rows.time_us
    known = np.zeros(len(ends), dtype=bool)
    registers, opening = [], []
    for column, rate in zip(rows.values, per_second, strict=True):
        there = ~np.isnan(column)
        if not there.any():
            registers.append(column)
            opening.append(np.nan)
            continue
        known |= there
        amount = np.where(there, column * (length / 1e6) if rate else column, 0.0)
        registers.append(np.where(there, np.cumsum(amount), np.nan))
        opening.append(0.0)
    if not known.any():
        return None
    start = int(np.argmax(known))
    return Registers(
        np.insert(ends[known], 0, begins[start]),
        np.insert(rows.device[known], 0, rows.device[0]),
        np.insert(rows.line[known], 0, rows.line[start]),
        [np.insert(column[known], 0, value) for column, value in zip(registers, opening, strict=True)],
    )
