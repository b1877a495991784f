"""counter_reset: a register fell, and has not rolled over.

True at the reading that is lower by more than `tolerance`; false from the next one that is not: `keep_firing_for` keeps
the alert open. A fall from the last tenth of a register's range to its first tenth is a rollover and no breach: ranges
are the powers of ten from 10,000 on, and 2^32 counts, also in tenths, hundredths and thousandths of the unit. With
`allow_replacement` neither is a fall to at most 100 units: a new meter. A reset to zero looks the same and is
not told then.

Unknown at the first reading, and at one more than `longest_gap` after the one before: what happened in between is not
known. The state holds one reading (under 100 bytes).
"""

from __future__ import annotations

from functools import cached_property

from pydantic import Field, model_validator

from catalogue.inventory import Duration
from catalogue.metrics import metrics
from rules.conditions.base import Condition, State, Truth

_RANGES = (*(10.0**digits for digits in range(4, 13)), *(2.0**32 / 10**places for places in range(4)))
_NEW_METER = 100.0


class CounterReset(Condition):
    """`tolerance` in the metric's unit; shown are the value after the fall and the one before it."""

    tolerance: float = Field(default=0.5, ge=0)
    allow_replacement: bool = False
    longest_gap: Duration = 86400.0

    @model_validator(mode="after")
    def _counts(self) -> CounterReset:
        if metrics()[self.metric].kind != "counter":
            raise ValueError(f"needs a counter, and {self.metric} is none")
        return self

    @cached_property
    def _gap_us(self) -> int:
        return round(self.longest_gap * 1e6)

    @property
    def memory_s(self) -> float:
        return self.longest_gap

    # truth, value, its time, value before the fall
    def initial(self) -> State:
        return (None, None, 0, None)

    def fold(self, state: State, time_us: int, metric_id: int, value: float) -> State:
        _, last, last_us, before = state
        if last is None:
            return (None, value, time_us, None)
        if time_us - last_us > self._gap_us:
            return (None, value, time_us, before)
        truth: Truth = last - value > self.tolerance
        if truth and (_rolled_over(last, value) or (self.allow_replacement and value <= _NEW_METER)):
            truth = False
        return (truth, value, time_us, last if truth else before)

    def shown(self, state: State) -> tuple[float | None, float | None]:
        return state[1], state[3]


def _rolled_over(last: float, value: float) -> bool:
    return any(0.9 * size < last <= size and value < 0.1 * size for size in _RANGES)
