"""rate: how fast the value rises or falls, as the slope through the readings of the last while.

`over` is cut into sixteen parts by the clock; of each the mean time and value are kept, so that the state stays small
(at most 17 entries, about 1 kB) and a reading costs the same however many there are. `method: least_squares` weighs
each part by its readings; `method: theil_sen` is the median of the slopes between all pairs of parts, which a few
echoes do not move. A counter that falls begins anew.

Unknown with fewer than `min_points` good readings, or while they span less than 60 % of `over`.
"""

from __future__ import annotations

from functools import cached_property
from itertools import combinations
from statistics import median
from typing import Any, Literal

from pydantic import Field

from catalogue.inventory import Duration
from catalogue.metrics import metrics
from rules.conditions.base import State
from rules.conditions.limits import Limited

_PARTS = 16
_LEAST_SPAN = 0.6


class Rate(Limited):
    """Limits are in the metric's unit `per` a time: `above: 5, per: 1h` is five an hour. A fall is negative."""

    over: Duration
    per: Duration = 3600.0
    min_points: int = Field(default=6, ge=3)
    method: Literal["least_squares", "theil_sen"] = "theil_sen"

    @cached_property
    def _part_us(self) -> int:
        return max(round(self.over * 1e6) // _PARTS, 1)

    @cached_property
    def _least_span_us(self) -> int:
        return round(self.over * 1e6 * _LEAST_SPAN)

    @cached_property
    def _counts(self) -> bool:
        return metrics()[self.metric].kind == "counter"

    @property
    def memory_s(self) -> float:
        return self.over

    # beyond, not yet cleared, slope, last value, parts: (number, first time, readings, sum of times within, of values)
    def initial(self) -> State:
        return (None, None, None, None, ())

    def fold(self, state: State, time_us: int, metric_id: int, value: float) -> State:
        _, held, _, last, parts = state
        number = time_us // self._part_us
        if self._counts and last is not None and value < last:
            parts = ()
        if parts and parts[-1][0] == number:
            _, first_us, count, times, values = parts[-1]
            own = (number, first_us, count + 1, times + (time_us - number * self._part_us) / 1e6, values + value)
            parts = (*parts[:-1], own)
        else:
            own = (number, time_us, 1, (time_us - number * self._part_us) / 1e6, value)
            parts = (*(part for part in parts if part[0] > number - _PARTS), own)
        if time_us - parts[0][1] < self._least_span_us or sum(part[2] for part in parts) < self.min_points:
            return (None, held, None, value, parts)
        slope = self._slope(parts)
        sign, limit, clear = self.signed
        signed = sign * slope
        return (signed > limit, signed > limit or (held is True and signed > clear), slope, value, parts)

    def truth(self, state: State, firing: bool = False, fresh_us: int = 0) -> bool | None:
        if state[0] is None:
            return None
        return super().truth(state, firing, fresh_us)

    def _slope(self, parts: tuple[tuple[Any, ...], ...]) -> float:
        """In the metric's unit per `per`."""
        begin, part_s = parts[0][0], self._part_us / 1e6
        points: list[tuple[float, float, int]] = [
            ((number - begin) * part_s + times / count, values / count, count)
            for number, _, count, times, values in parts
        ]
        if self.method == "theil_sen":
            per_s: float = median(
                (second[1] - first[1]) / (second[0] - first[0]) for first, second in combinations(points, 2)
            )
        else:
            total = sum(count for _, _, count in points)
            mean_t = sum(t * count for t, _, count in points) / total
            mean_v = sum(v * count for _, v, count in points) / total
            per_s = sum(count * (t - mean_t) * (v - mean_v) for t, v, count in points) / sum(
                count * (t - mean_t) ** 2 for t, _, count in points
            )
        return per_s * self.per
