"""setback: at night nearly as much is used as by day, although it usually is not: the heating is no longer lowered.

Judged once a night, at the first reading after the window's end. The night's mean rate is taken as a share of the
highest mean rate of the last 14 days between the windows: frost raises both, so that the share hardly depends on the
weather, and the days of a weekend or of school holidays, lowered themselves, are no measure. A night is breached when
its share is above `share_above`, and above `usual_times` the median of the last `nights` quiet nights: a building that
is never lowered tells nothing. True after `raise_after` breached nights in a row, false after a quiet one.

Unknown until there are five days and seven quiet nights to compare with; a night of which less than `coverage` lies
between good readings, or in which the register fell, changes nothing. Below `least` nothing is heated: no night is
breached, and none is remembered. The state holds two readings and 28 numbers (about 600 bytes).
"""

from __future__ import annotations

from datetime import time
from functools import cached_property
from statistics import median
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, model_validator

from catalogue.inventory import TimeZone
from catalogue.metrics import metrics
from rules.conditions.base import Condition, State, Truth
from rules.conditions.night import parse_window, window_of

_HOUR_US = 3_600_000_000
_DAYS, _LEAST_DAYS = 14, 5
_LEAST_NIGHTS = 7


class Setback(Condition):
    """Of a counter. `least` is a rate in its unit per hour (kWh/h = kW); shown are the night's share and its limit, in
    per cent."""

    window: Annotated[tuple[time, time], BeforeValidator(parse_window)]
    share_above: float = Field(gt=0, lt=2)
    usual_times: float = Field(default=1.5, ge=1)
    least: float = Field(default=0, ge=0)
    nights: int = Field(default=14, ge=_LEAST_NIGHTS, le=60)
    raise_after: int = Field(default=2, ge=1, le=7)
    coverage: float = Field(default=0.75, gt=0, le=1)
    time_zone: TimeZone = "Europe/Kyiv"

    @model_validator(mode="after")
    def _counts(self) -> Setback:
        if metrics()[self.metric].kind != "counter":
            raise ValueError(f"needs a counter, and {self.metric} is none")
        return self

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def memory_s(self) -> float:
        return (max(_DAYS, self.nights) + _DAYS + self.raise_after) * 86400.0

    # truth, share, limit, window under way, its first and last reading, last reading of the window before, rates of
    # days, shares of quiet nights, breached in a row
    def initial(self) -> State:
        return (None, None, None, None, None, None, None, (), (), 0)

    def fold(self, state: State, time_us: int, metric_id: int, value: float) -> State:
        night, first, last = state[3:6]
        if night is not None and time_us >= night[1]:
            state = self._judged(state, (time_us, value) if time_us == night[1] else last)
            night, first, last = None, None, None
        here = night or window_of(time_us, self.window, self._zone)
        if here is None:
            return (*state[:3], None, None, None, *state[6:])
        return (*state[:3], here, first or (time_us, value), (time_us, value), *state[6:])

    def shown(self, state: State) -> tuple[float | None, float | None]:
        share, limit = state[1], state[2]
        return None if share is None else 100 * share, None if limit is None else 100 * limit

    def _judged(self, state: State, last: tuple[int, float]) -> State:
        truth, share, limit, night, first, _, before, days, shares, breached = state
        told: tuple[Truth, float | None, float | None] = (truth, share, limit)
        if (last[0] - first[0]) / (night[1] - night[0]) < self.coverage or last[1] < first[1]:
            return (*told, None, None, None, before, days, shares, breached)
        if before is not None and first[0] - before[0] < 24 * _HOUR_US and first[1] >= before[1]:
            days = (*days, _rate(before, first))[-_DAYS:]
        if len(days) < _LEAST_DAYS:
            return (*told, None, None, None, last, days, shares, 0)
        top = max(days)
        if top <= self.least:
            return (False, None, None, None, None, None, last, days, shares, 0)
        share = _rate(first, last) / top
        if len(shares) < _LEAST_NIGHTS:
            return (*told, None, None, None, last, days, (*shares, share), 0)
        limit = max(self.share_above, self.usual_times * median(shares))
        if share > limit:
            breached += 1
            truth = True if breached >= self.raise_after else truth
            return (truth, share, limit, None, None, None, last, days, shares, breached)
        return (False, share, limit, None, None, None, last, days, (*shares, share)[-self.nights :], 0)


def _rate(first: tuple[int, float], last: tuple[int, float]) -> float:
    """Per hour."""
    return (last[1] - first[1]) / (last[0] - first[0]) * _HOUR_US
