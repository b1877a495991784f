"""jump: the value has changed by at least so much within so short a time.

True from the reading that completes the jump for as long as a reading inside the window still differs by as much.
Unknown until there are two good readings inside the window.
"""

from __future__ import annotations

from functools import cached_property

from pydantic import Field, model_validator

from catalogue.inventory import Duration
from rules.conditions.base import Condition, State

#: More readings inside a window than this are thinned to the newest.
_MOST = 64


class Jump(Condition):
    """`up_by` or `down_by` in the metric's unit, `within` a duration."""

    up_by: float | None = Field(default=None, gt=0)
    down_by: float | None = Field(default=None, gt=0)
    within: Duration

    @model_validator(mode="after")
    def _one_direction(self) -> Jump:
        if (self.up_by is None) == (self.down_by is None):
            raise ValueError("needs either up_by or down_by")
        return self

    @cached_property
    def _within_us(self) -> int:
        return round(self.within * 1e6)

    @property
    def memory_s(self) -> float:
        return self.within

    def initial(self) -> State:
        return (None, None, ())

    def fold(self, state: State, time_us: int, metric_id: int, value: float) -> State:
        since, window, gone = time_us - self._within_us, state[2], 0
        for entry in window:
            if entry[0] >= since:
                break
            gone += 1
        gone = max(gone, len(window) - _MOST)
        if gone:
            window = window[gone:]
        if not window:
            return (None, value, ((time_us, value),))
        if self.up_by is not None:
            truth = value - min([each for _, each in window]) >= self.up_by
        else:
            truth = max([each for _, each in window]) - value >= (self.down_by or 0)
        return (truth, value, (*window, (time_us, value)))

    def shown(self, state: State) -> tuple[float | None, float | None]:
        return state[1], self.up_by if self.up_by is not None else self.down_by
