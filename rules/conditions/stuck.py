"""stuck: the value has not changed by more than the tolerance for so long.

Unknown until there are `min_points` good readings. False as soon as a reading differs. With `while` only the time
counts in which that holds too (a pump runs, so water must flow): when it does not, rest is normal and the condition
false; while it is unknown, or its last reading older than `over`, so is the condition. A gap between readings does not
count against the sensor: what is not sent is a matter for `absent`.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

from pydantic import Field

from catalogue.inventory import Duration
from catalogue.metrics import metrics
from rules.conditions.base import Condition, State, Truth
from rules.conditions.threshold import Threshold


class Stuck(Condition):
    """`over` a duration, within `tolerance` in the metric's unit. `except_value` is a value at which rest is normal.
    `while` is a threshold of another metric."""

    over: Duration
    tolerance: float = Field(default=0, ge=0)
    min_points: int = Field(default=6, ge=2)
    except_value: float | None = None
    expected: Annotated[Threshold | None, Field(alias="while")] = None

    @cached_property
    def _over_us(self) -> int:
        return round(self.over * 1e6)

    @property
    def memory_s(self) -> float:
        return self.over

    def metric_ids(self) -> frozenset[int]:
        own = super().metric_ids()
        return own | self.expected.metric_ids() if self.expected is not None else own

    @cached_property
    def _own_id(self) -> int:
        return metrics()[self.metric].id

    # truth, value at rest, since when, readings since, last value; with `while` its state and its last reading
    def initial(self) -> State:
        own = (None, None, 0, 0, None)
        return (*own, self.expected.initial(), 0) if self.expected is not None else own

    def fold(self, state: State, time_us: int, metric_id: int, value: float) -> State:
        if self.expected is None:
            return self._rest(state, time_us, value)
        own, expected, heard_us = state[:5], state[5], state[6]
        if metric_id != self._own_id:
            expected, heard_us = self.expected.fold(expected, time_us, metric_id, value), time_us
        holds = self.expected.truth(expected, firing=True) if heard_us >= time_us - self._over_us else None
        if metric_id == self._own_id:
            own = self._rest(own, time_us, value)
        if not holds:
            # Rest counts from the next reading on.
            own = (holds, None, 0, 0, own[4])
        return (*own, expected, heard_us)

    def _rest(self, state: State, time_us: int, value: float) -> State:
        _, reference, since_us, count, _ = state
        if reference is None or abs(value - reference) > self.tolerance:
            return (None if reference is None else False, value, time_us, 1, value)
        count += 1
        truth: Truth = None
        if count >= self.min_points:
            resting = self.except_value is not None and abs(value - self.except_value) <= self.tolerance
            truth = time_us - since_us >= self._over_us and not resting
        return (truth, reference, since_us, count, value)

    def shown(self, state: State) -> tuple[float | None, float | None]:
        return state[4], self.over / 3600
