"""stuck: the value has not changed by more than the tolerance for so long.

Unknown until there are `min_points` good readings. False as soon as a reading differs. A gap between readings does not
count against the sensor: what is not sent is a matter for `absent`.
"""

from __future__ import annotations

from functools import cached_property

from pydantic import Field

from catalogue.inventory import Duration
from rules.conditions.base import MetricName, State, Strict, Truth, metric_id


class Stuck(Strict):
    """`over` a duration, within `tolerance` in the metric's unit. `except_value` is a value at which rest is normal."""

    metric: MetricName
    over: Duration
    tolerance: float = Field(default=0, ge=0)
    min_points: int = Field(default=6, ge=2)
    except_value: float | None = None

    @cached_property
    def _over_us(self) -> int:
        return round(self.over * 1e6)

    @property
    def memory_s(self) -> float:
        return self.over

    def metric_ids(self) -> frozenset[int]:
        return frozenset({metric_id(self.metric)})

    def initial(self) -> State:
        return (None, None, 0, 0, None)

    def fold(self, state: State, time_us: int, metric_id: int, value: float) -> State:
        _, reference, since_us, count, _ = state
        if reference is None or abs(value - reference) > self.tolerance:
            return (None if reference is None else False, value, time_us, 1, value)
        count += 1
        truth: Truth = None
        if count >= self.min_points:
            resting = self.except_value is not None and abs(value - self.except_value) <= self.tolerance
            truth = time_us - since_us >= self._over_us and not resting
        return (truth, reference, since_us, count, value)

    def truth(self, state: State, firing: bool = False, fresh_us: int = 0) -> Truth:
        held: Truth = state[0]
        return held

    def shown(self, state: State) -> tuple[float | None, float | None]:
        return state[4], self.over / 3600
