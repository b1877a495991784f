"""continuous_flow: something was counted in every hour of the last day: a leak, where at some hour nobody takes water.

As AquaCUE judges it. The hours (or other buckets) are real ones, so that the days of the clock change have 24 as well.
What a bucket counted is the register's difference between its last good reading and that of the bucket before; it is
judged when the next bucket begins. True when all of the last `buckets` counted more than `min_volume`, false as soon as
one did not. Once the alert fires it holds until one counted no more than `clear_below`.

Unknown while a bucket has no good reading: estimated ones neither raise nor clear. So is a bucket in which the register
fell. Several missing buckets that together counted no more than `min_volume` were quiet, each of them. The state holds
a number for each bucket (24: about 300 bytes).
"""

from __future__ import annotations

from functools import cached_property

from pydantic import Field, model_validator

from catalogue.inventory import Duration
from catalogue.metrics import metrics
from rules.conditions.base import Condition, State, Truth


class ContinuousFlow(Condition):
    """Volumes in the metric's unit; shown is what the least bucket counted."""

    bucket: Duration = 3600.0
    buckets: int = Field(default=24, ge=2, le=96)
    min_volume: float = Field(ge=0)
    clear_below: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _sound(self) -> ContinuousFlow:
        if metrics()[self.metric].kind != "counter":
            raise ValueError(f"needs a counter, and {self.metric} is none")
        if self.clear_below is not None and self.clear_below > self.min_volume:
            raise ValueError(f"clear_below {self.clear_below:g} must not be higher than min_volume {self.min_volume:g}")
        return self

    @cached_property
    def _bucket_us(self) -> int:
        return round(self.bucket * 1e6)

    @property
    def memory_s(self) -> float:
        return (self.buckets + 2) * self.bucket

    # raises, holds, number of the bucket under way, its last value, that of the bucket before (None: missing), volumes
    def initial(self) -> State:
        return (None, None, None, None, None, ())

    def fold(self, state: State, time_us: int, metric_id: int, value: float) -> State:
        raised, held, number, last, before, volumes = state
        here = time_us // self._bucket_us
        if number is None:
            return (None, None, here, value, None, ())
        if here == number:
            # A register that falls leaves its bucket without a measure.
            return (raised, held, here, value, before if value >= last else None, volumes)
        done = last - before if before is not None and last >= before else None
        missing = min(here - number - 1, self.buckets)
        # What came in the missing buckets and this one together came, at most, in each of them.
        quiet = missing > 0 and 0 <= value - last <= self.quiet_volume
        volumes = (*volumes, done, *((value - last if quiet else None),) * missing)[-self.buckets :]
        raised, held = self._judge(volumes, self.min_volume), self._judge(volumes, self.quiet_volume)
        fell = value < last
        return (raised, held, here, value, None if missing or fell else last, volumes)

    @property
    def quiet_volume(self) -> float:
        """A bucket that counted no more than this clears."""
        return self.min_volume if self.clear_below is None else self.clear_below

    def truth(self, state: State, firing: bool = False, fresh_us: int = 0) -> Truth:
        held: Truth = state[1] if firing else state[0]
        return held

    def shown(self, state: State) -> tuple[float | None, float | None]:
        return min((volume for volume in state[5] if volume is not None), default=None), self.min_volume

    def _judge(self, volumes: tuple[float | None, ...], limit: float) -> Truth:
        if any(volume is not None and volume <= limit for volume in volumes):
            return False
        return True if len(volumes) == self.buckets and None not in volumes else None
