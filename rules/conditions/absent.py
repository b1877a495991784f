"""absent: nothing was received from the device for several of its intervals.

The one condition on the clock of reception: what arrives late is no silence. The time in which we could not receive
does not count, and while it is not certain that we can, it is unknown. Decided at ticks (see `rules.step`).
"""

from __future__ import annotations

from pydantic import Field, model_validator

from catalogue.inventory import Duration
from rules.conditions.base import Strict


class Absent(Strict):
    """Silent for `misses` intervals of the point, or `after` a duration; never before `at_least`."""

    misses: float | None = Field(default=None, gt=0)
    after: Duration | None = None
    at_least: Duration = 0.001

    @model_validator(mode="after")
    def _one_way(self) -> Absent:
        if (self.misses is None) == (self.after is None):
            raise ValueError("needs either misses or after")
        return self

    def limit_us(self, interval_s: float) -> int:
        """Silence in microseconds from which on a point with this interval is silent."""
        seconds = self.after if self.after is not None else (self.misses or 0) * interval_s
        return round(max(seconds, self.at_least) * 1e6)
