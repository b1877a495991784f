"""Consumption from cumulative counters, right across resets, rollovers, swapped meters and corrupt readings.

Rules (docs/store.md has them for people):
- a register that falls near its end to near 0 has rolled over (DOMAIN Q2: from above 90 % to below 10 % of the range);
- any other fall is a reset: what the register shows then was consumed since;
- a single reading that lies apart from both its neighbours, which agree, is corrupt and left out;
- between two meters nothing is consumed but what their first and last register values say;
- what was consumed between two readings is spread evenly over the time between them, and is estimated if that was long;
- consumption is never negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

HOUR_US = 3_600_000_000

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Ranges of registers whose number of digits the inventory does not tell: decimal, and 32-bit counts of 1 to 0.001.
_RANGES = tuple(10.0**digits for digits in range(4, 10)) + tuple(2.0**32 * scale for scale in (1, 0.1, 0.01, 0.001))


@dataclass(frozen=True)
class Swap:
    """A meter was replaced: what the old one showed at its end and the new one at its start, if known."""

    time_us: int
    old_end: float | None = None
    new_start: float | None = None


def without_corrupt(times_us: Ints, values: Floats) -> tuple[Ints, Floats]:
    """Leave out single readings that fall below, or stand above, neighbours that agree with each other."""
    if len(values) < 3:
        return times_us, values
    before, here, after = values[:-2], values[1:-1], values[2:]
    corrupt = ((here < before) | (here > after)) & (after >= before)
    keep = np.concatenate([[True], ~corrupt, [True]])
    return times_us[keep], values[keep]


def amounts(times_us: Ints, values: Floats, digits: int | None = None, swaps: Sequence[Swap] = ()) -> Floats:
    """What was consumed between each reading and the next; one less than there are readings."""
    steps = np.diff(values)
    for index in np.flatnonzero(steps < 0).tolist():
        steps[index] = _after_fall(values[index], values[index + 1], digits)
    for swap in swaps:
        # The interval in which the meters changed: its ends come from different registers.
        index = int(np.searchsorted(times_us, swap.time_us, side="left")) - 1
        if 0 <= index < len(steps):
            last, first = values[index], values[index + 1]
            old = max(0.0, swap.old_end - last) if swap.old_end is not None else 0.0
            new = max(0.0, first - swap.new_start) if swap.new_start is not None else 0.0
            steps[index] = old + new
    return steps


def _after_fall(last: float, first: float, digits: int | None) -> float:
    for size in (10.0**digits,) if digits else _RANGES:
        if 0.9 * size < last <= size and first < 0.1 * size:
            return size - last + first
    return max(0.0, first)


@dataclass(frozen=True)
class Hourly:
    """Consumption of hours: start of each (microseconds, UTC), amount, and whether it was spread over a gap."""

    bucket_us: Ints
    amount: Floats
    estimated: npt.NDArray[np.bool_]


def hourly(
    times_us: Ints,
    values: Floats,
    *,
    digits: int | None = None,
    swaps: Sequence[Swap] = (),
    long_gap_us: int = HOUR_US,
) -> Hourly:
    """Consumption of every hour that the readings (good ones, in order of time) cover at least in part."""
    times_us, values = without_corrupt(times_us, values)
    if len(times_us) < 2:
        return Hourly(np.empty(0, np.int64), np.empty(0), np.empty(0, np.bool_))
    steps = amounts(times_us, values, digits, swaps)
    total = np.concatenate([[0.0], np.cumsum(steps)])
    first = times_us[0] // HOUR_US * HOUR_US
    last = -(-times_us[-1] // HOUR_US) * HOUR_US
    edges = np.arange(first, last + 1, HOUR_US, dtype=np.int64)
    # Microseconds since 1970 lose nothing in 53 bits; relative ones keep the interpolation exact as well.
    amount = np.diff(np.interp((edges - first).astype(float), (times_us - first).astype(float), total))
    estimated = np.zeros(len(amount), np.bool_)
    for index in np.flatnonzero(np.diff(times_us) > long_gap_us):
        start = (times_us[index] - first) // HOUR_US
        end = -(-(times_us[index + 1] - first) // HOUR_US)
        estimated[start:end] = True
    return Hourly(edges[:-1], np.maximum(amount, 0.0), estimated)
