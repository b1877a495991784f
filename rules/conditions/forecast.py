"""forecast: the value will reach a level within a time, if it goes on as since it was last emptied.

As `insights.forecast` does it: the slopes between all pairs of readings since the last emptying, here of at most 24
that stand for them (state about 1 kB). True when at least `confidence` of these slopes reach the level within the time.
Once the alert fires it holds until that share no longer reaches it within `clear_within`.

An emptying is a fall by 25 points, or by 15 to at most 10, that the reading after it confirms; a single low echo is
none and is left out. The emptying itself makes it false; after it, and at the beginning, it is unknown until there are
`min_points` good readings over at least `min_span`. A value at or above the level is true at once.
"""

from __future__ import annotations

from functools import cached_property
from itertools import combinations
from math import ceil
from typing import Literal

from pydantic import Field, model_validator

from catalogue.inventory import Duration
from insights.collections import DROP_PP, EMPTY_PCT, SMALL_DROP_PP
from rules.conditions.base import Condition, State, Truth

_MOST = 24
_HOUR_US = 3_600_000_000
_Points = tuple[tuple[int, float], ...]


class Forecast(Condition):
    """`reaches` is in the metric's unit; shown are the hours until then, and `within` in hours."""

    reaches: float
    within: Duration
    clear_within: Duration | None = None
    over: Duration = 7 * 86400.0
    min_points: int = Field(default=12, ge=3)
    min_span: Duration = 12 * 3600.0
    confidence: float = Field(default=0.8, ge=0.5, lt=1)
    reset_on: Literal["emptied"] | None = None

    @model_validator(mode="after")
    def _sound(self) -> Forecast:
        if self.clear_within is not None and self.clear_within < self.within:
            raise ValueError("clear_within must not be shorter than within: it would clear what it has just raised")
        if self.min_span > self.over:
            raise ValueError("min_span must not be longer than over: it would always be unknown")
        if self.reset_on is not None and self.metric != "fill_level_pct":
            raise ValueError("reset_on emptied goes with fill_level_pct alone: an emptying is a fall of the fill level")
        return self

    @cached_property
    def _over_us(self) -> int:
        return round(self.over * 1e6)

    @property
    def memory_s(self) -> float:
        return self.over

    # reached within `within`, within `clear_within`; readings since; their least distance; points kept; a fall to be
    # confirmed; the last value
    def initial(self) -> State:
        return (None, None, 0, 0, (), None, None)

    def fold(self, state: State, time_us: int, metric_id: int, value: float) -> State:
        raised, held, count, apart_us, points, fall, last = state
        if self.reset_on is not None and last is not None:
            if fall is not None:
                if fall[2] - value >= SMALL_DROP_PP:
                    return (False, False, 2, 0, ((fall[0], fall[1]), (time_us, value)), None, value)
                fall = None
            elif last - value >= DROP_PP or (value <= EMPTY_PCT and last - value >= SMALL_DROP_PP):
                return (raised, held, count, apart_us, points, (time_us, value, last), last)
        count += 1
        if points and points[0][0] < time_us - self._over_us:
            since_us = time_us - self._over_us
            points = tuple(point for point in points if point[0] >= since_us)
            count = count if points else 1
        if len(points) < 2 or points[-1][0] - points[-2][0] >= apart_us:
            points = (*points, (time_us, value))
        else:
            # The newest always stands at the end; it gives way until it is far enough from the one before.
            points = (*points[:-1], (time_us, value))
        if len(points) > _MOST:
            points = (*points[:-1:2], points[-1]) if len(points) % 2 == 0 else points[::2]
            apart_us = (points[-1][0] - points[0][0]) // (_MOST - 1)
        raised, held = self._judge(count, points)
        return (raised, held, count, apart_us if len(points) > 1 else 0, points, fall, value)

    def truth(self, state: State, firing: bool = False, fresh_us: int = 0) -> Truth:
        held: Truth = state[1] if firing else state[0]
        return held

    def shown(self, state: State) -> tuple[float | None, float | None]:
        points: _Points = state[4]
        limit = self.within / 3600
        if state[0] is None or len(points) < 2:
            return None, limit
        if points[-1][1] >= self.reaches:
            return 0.0, limit
        slopes = sorted(self._slopes(points), reverse=True)
        # As many slopes as are asked for are at least as steep.
        slope = slopes[ceil(self.confidence * len(slopes)) - 1]
        return ((self.reaches - points[-1][1]) / slope / _HOUR_US if slope > 0 else None), limit

    def _judge(self, count: int, points: _Points) -> tuple[Truth, Truth]:
        if points[-1][1] >= self.reaches:
            return True, True
        if count < self.min_points or points[-1][0] - points[0][0] < self.min_span * 1e6:
            return None, None
        slopes = self._slopes(points)
        needed = self.confidence * len(slopes)
        missing = self.reaches - points[-1][1]
        raising = missing / (self.within * 1e6)
        holding = missing / ((self.clear_within or self.within) * 1e6)
        steep = sum(slope >= raising for slope in slopes) >= needed
        return steep, steep or sum(slope >= holding for slope in slopes) >= needed

    @staticmethod
    def _slopes(points: _Points) -> list[float]:
        return [(second[1] - first[1]) / (second[0] - first[0]) for first, second in combinations(points, 2)]
