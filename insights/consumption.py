"""Consumption from cumulative counters, right across resets, rollovers, swapped meters and corrupt readings.

Rules (docs/store.md has them for people):
- a register that falls near its end to near 0 has rolled over (DOMAIN Q2: from above 90 % to below 10 % of the range);
- a fall by less than a tenth is a register that was set back (as Home Assistant takes it): nothing was consumed;
- any other fall is a reset: what the register shows then was consumed since;
- a single reading that lies apart from both its neighbours of the same meter, which agree, is corrupt and left out;
  where a low one and a high one stand side by side, it is the low one;
- between two meters nothing is consumed but what their first and last register values say, also of meters that sent
  nothing;
- what was consumed between two readings is spread evenly over the time between them, and is estimated if that was long;
- consumption is never negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

HOUR_US = 3_600_000_000

#: Readings on either side of new ones up to which consumption can change: two whose being corrupt depends on them, and
#: the one before. As many again tell which of those are corrupt.
REACH = 3

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


def without_corrupt(times_us: Ints, values: Floats, swaps: Sequence[Swap] = ()) -> tuple[Ints, Floats]:
    """Leave out single readings that fall below, or stand above, neighbours that agree with each other.

    Never two side by side, and never by what lies more than two readings away: see `REACH`.
    """
    if len(values) < 3:
        return times_us, values
    before, here, after = values[:-2], values[1:-1], values[2:]
    meter = np.searchsorted(np.sort([swap.time_us for swap in swaps]), times_us, side="right")
    agree = (after >= before) & (meter[:-2] == meter[2:])
    low, high = np.zeros(len(values), np.bool_), np.zeros(len(values), np.bool_)
    low[1:-1] = agree & (here < before)
    high[1:-1] = agree & (here > after)
    high[1:-1] &= ~(low[:-2] | low[2:])
    keep = ~(low | high)
    return times_us[keep], values[keep]


def amounts(times_us: Ints, values: Floats, digits: int | None = None, swaps: Sequence[Swap] = ()) -> Floats:
    """What was consumed between each reading and the next; one less than there are readings."""
    steps = np.diff(values)
    for index in np.flatnonzero(steps < 0).tolist():
        steps[index] = _after_fall(values[index], values[index + 1], digits)
    # Intervals in which meters changed: their ends come from different registers, with other meters' between them.
    changes: dict[int, list[Swap]] = {}
    for swap in sorted(swaps, key=lambda swap: swap.time_us):
        changes.setdefault(int(np.searchsorted(times_us, swap.time_us, side="left")) - 1, []).append(swap)
    for index, within in changes.items():
        if 0 <= index < len(steps):
            starts = [float(values[index]), *(swap.new_start for swap in within)]
            ends = [*(swap.old_end for swap in within), float(values[index + 1])]
            steps[index] = sum(_of_one_meter(*register, digits) for register in zip(starts, ends, strict=True))
    return steps


def _of_one_meter(start: float | None, end: float | None, digits: int | None) -> float:
    """What a meter counted from one register to another; nothing where one of them is unknown, or typed too small."""
    if start is None or end is None:
        return 0.0
    return end - start if end >= start else _rolled_over(start, end, digits) or 0.0


def _rolled_over(last: float, first: float, digits: int | None) -> float | None:
    for size in (10.0**digits,) if digits else _RANGES:
        if 0.9 * size < last <= size and first < 0.1 * size:
            return size - last + first
    return None


def _after_fall(last: float, first: float, digits: int | None) -> float:
    rolled = _rolled_over(last, first, digits)
    if rolled is not None:
        return rolled
    return 0.0 if first > 0.9 * last else max(0.0, first)


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
    times_us, values = without_corrupt(times_us, values, swaps)
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
