"""Loads that many things share, and how one thing differs from the others.

A curve is worked out once for all buildings of a use (or all bins of a fraction), hour by hour from the epoch, with its
running total; so what a register shows at any moment is looked up, not added up. A thing of its own reads the shared
curve at a time that its own chance shifts to and fro (`Warp`): its load wavers, its register still only rises, and
nothing of its past has to be kept.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simulators.calendar import EPOCH_US, HOUR_US
from simulators.chance import Chance, Floats, Ints

_BLOCK_HOURS = 24 * 60
#: A shifted time may lie a little before the epoch.
_LEAD_HOURS = 24


class Curve:
    """A rate an hour, from `rate(hours since the epoch)` at the middle of each hour, and its total since the epoch."""

    def __init__(self, rate: Callable[[Ints], Floats]) -> None:
        self._rate_of = rate
        self._rates = np.zeros(0)
        self._totals = np.zeros(1)

    def amount(self, hours: Floats) -> Floats:
        """Total from the epoch until `hours` after it; within an hour the rate is even."""
        whole, part = self._place(hours)
        result: Floats = self._totals[whole] + part * self._rates[whole] - self._totals[_LEAD_HOURS]
        return result

    def rate(self, hours: Floats) -> Floats:
        """The rate at a moment, joined from middle to middle of the hours."""
        whole, part = self._place(hours - 0.5)
        result: Floats = self._rates[whole] * (1 - part) + self._rates[whole + 1] * part
        return result

    def _place(self, hours: Floats) -> tuple[Ints, Floats]:
        position = hours + _LEAD_HOURS
        whole = np.floor(position).astype(np.int64)
        needed = int(whole.max(initial=0)) + 2
        if needed > len(self._rates):
            self._extend(needed)
        if int(whole.min(initial=0)) < 0:
            raise ValueError("the simulation has nothing before its epoch")
        return whole, position - whole

    def _extend(self, needed: int) -> None:
        blocks = -(-(needed - len(self._rates)) // _BLOCK_HOURS)
        first = len(self._rates) - _LEAD_HOURS
        new = self._rate_of(np.arange(first, first + blocks * _BLOCK_HOURS, dtype=np.int64))
        self._rates = np.concatenate([self._rates, new])
        self._totals = np.concatenate([self._totals, self._totals[-1] + np.cumsum(new)])


class Warp:
    """Shifts time to and fro by up to `fast_h` from hour to hour and `slow_h` from day to day, never backwards."""

    def __init__(self, chance: Chance, fast_h: float, slow_h: float) -> None:
        assert 2 * fast_h + slow_h / 12 < 1, "time would run backwards"
        self._chance = chance
        self._fast_h = fast_h
        self._slow_h = slow_h

    def shift(self, hours: Floats) -> tuple[Floats, Floats]:
        """(shifted hours, how fast time runs there: 1 on average)."""
        fast, fast_slope = self._noise(hours, 1.0, 2001)
        slow, slow_slope = self._noise(hours, 24.0, 2002)
        shifted = hours + self._fast_h * fast + self._slow_h * slow
        return shifted, 1.0 + self._fast_h * fast_slope + self._slow_h * slow_slope

    def _noise(self, hours: Floats, spacing_h: float, stream: int) -> tuple[Floats, Floats]:
        """(-1 … 1 joined by straight lines between knots, its slope an hour)."""
        knots = np.floor(hours / spacing_h).astype(np.int64)
        first = int(knots.min(initial=0))
        span = np.arange(first, int(knots.max(initial=0)) + 2, dtype=np.int64)
        values = 2 * self._chance.uniform(span, stream) - 1
        place = knots - first
        before, after = values[place], values[place + 1]
        rise = after - before
        return before + (hours / spacing_h - knots) * rise, rise / spacing_h


def since_epoch_h(times_us: Ints) -> Floats:
    """Hours since the epoch."""
    result: Floats = (times_us - EPOCH_US) / HOUR_US
    return result
