"""night: what a counter counts while nobody should be there, in absolute terms and against earlier nights.

Judged once a night, at the first reading after the window's end. `stat: mean_rate` is the register's difference over
the window; `stat: min_hourly_rate` is the least hour of the night (DOMAIN E19: minimum night flow). With `ratio_above`
the rate must also be more than so many times the median of the last `nights` quiet nights (those that were no breach);
with `same_daytype` of those alone that begin on the same sort of day, a working day or a day of rest (weekends and
public holidays): of each sort so many are kept.
True after `raise_after` breached nights in a row, false after a quiet one.

Unknown while less than `coverage` of the window lies between its first and last good reading (a night of the clock
change is measured by its real length), and, with `ratio_above`, until there are three quiet nights to compare with.
A decrease of the register (reset, new meter) makes its night unknown; so does, with `mean_rate`, one in which it does
not move at all although it usually does: that meter is stuck, and its nights are no measure of quiet ones.
"""

from __future__ import annotations

from datetime import date as date_type
from datetime import datetime, time, timedelta
from functools import cached_property, lru_cache
from itertools import pairwise
from statistics import median
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import holidays
from pydantic import BeforeValidator, Field, model_validator

from catalogue.inventory import TimeZone
from rules.conditions.base import Condition, State, Truth

_HOUR_US = 3_600_000_000
_MOST = 400


def parse_window(value: Any) -> Any:
    """`"02:00-05:00"` → two local times; for pydantic."""
    if isinstance(value, str) and value.count("-") == 1:
        try:
            start, end = (time.fromisoformat(part.strip()) for part in value.split("-"))
        except ValueError:
            start = end = time()
        if start != end:
            return (start, end)
    raise ValueError('must be two local times, for example "02:00-05:00"')


class Night(Condition):
    """`above` is the rate in the metric's unit per hour (kWh/h = kW, m3/h)."""

    window: Annotated[tuple[time, time], BeforeValidator(parse_window)]
    stat: Literal["mean_rate", "min_hourly_rate"] = "mean_rate"
    above: float = Field(ge=0)
    ratio_above: float | None = Field(default=None, gt=1)
    nights: int = Field(default=14, ge=3, le=60)
    raise_after: int = Field(default=1, ge=1, le=7)
    coverage: float = Field(default=0.75, gt=0, le=1)
    same_daytype: bool = False
    time_zone: TimeZone = "Europe/Kyiv"

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @model_validator(mode="after")
    def _compares(self) -> Night:
        if self.same_daytype and self.ratio_above is None:
            raise ValueError("same_daytype needs ratio_above: there is nothing to compare otherwise")
        return self

    @property
    def memory_s(self) -> float:
        if self.same_daytype:
            # Two days of rest a week.
            return (self.nights * 3.5 + 7 + self.raise_after + 1) * 86400.0
        return (self.nights + self.raise_after + 1) * 86400.0

    # truth, rate shown, limit shown, (start, end) of the night under way, its readings, quiet nights (rates; with
    # `same_daytype` pairs with whether of a day of rest), breached in a row
    def initial(self) -> State:
        return (None, None, None, None, (), (), 0)

    def fold(self, state: State, time_us: int, metric_id: int, value: float) -> State:
        truth, rate, limit, night, readings, quiet, breached = state
        if night is not None and time_us >= night[1]:
            truth, rate, limit, quiet, breached = self._judge(
                night, (*readings, (time_us, value)), truth, rate, limit, quiet, breached
            )
            night, readings = None, ()
        here = night or window_of(time_us, self.window, self._zone)
        if here is not None:
            night, readings = here, (*readings, (time_us, value))[-_MOST:]
        return (truth, rate, limit, night, readings, quiet, breached)

    def shown(self, state: State) -> tuple[float | None, float | None]:
        return state[1], state[2]

    def _judge(
        self,
        night: tuple[int, int],
        readings: tuple[tuple[int, float], ...],
        truth: Truth,
        rate: float | None,
        limit: float | None,
        quiet: tuple[Any, ...],
        breached: int,
    ) -> tuple[Truth, float | None, float | None, tuple[Any, ...], int]:
        inside = [entry for entry in readings if entry[0] <= night[1]] or [readings[0]]
        covered = (inside[-1][0] - inside[0][0]) / (night[1] - night[0])
        rising = all(later[1] >= earlier[1] for earlier, later in pairwise(inside))
        if covered < self.coverage or not rising:
            return truth, rate, limit, quiet, breached
        new_rate = self._rate(inside)
        new_limit = self.above
        kept, grown = quiet, quiet
        if self.same_daytype:
            rests = _of_rest(datetime.fromtimestamp(night[0] / 1e6, self._zone).toordinal())
            kept = tuple(entry[0] for entry in quiet if entry[1] is rests)
            others = (entry for entry in quiet if entry[1] is not rests)
            grown = (*others, *((rate, rests) for rate in (*kept, new_rate)[-self.nights :]))
        else:
            grown = (*quiet, new_rate)[-self.nights :]
        if self.ratio_above is not None:
            if len(kept) < 3:
                return truth, new_rate, limit, grown, 0
            usual = median(kept)
            if new_rate == 0 < usual and self.stat == "mean_rate":
                return truth, new_rate, limit, quiet, breached
            new_limit = max(new_limit, self.ratio_above * usual)
        if new_rate > new_limit:
            breached += 1
            if breached >= self.raise_after:
                truth = True
            return truth, new_rate, new_limit, quiet, breached
        return False, new_rate, new_limit, grown, 0

    def _rate(self, inside: list[tuple[int, float]]) -> float:
        (first_us, first), (last_us, last) = inside[0], inside[-1]
        mean = (last - first) / (last_us - first_us) * _HOUR_US
        if self.stat == "mean_rate":
            return mean
        hours = []
        start = 0
        for time_us, value in inside:
            # The latest start that is still an hour before: the shortest span of at least an hour that ends here.
            while start + 1 < len(inside) and time_us - inside[start + 1][0] >= _HOUR_US:
                start += 1
            span = time_us - inside[start][0]
            if span >= _HOUR_US:
                hours.append((value - inside[start][1]) / span * _HOUR_US)
        return min(hours, default=mean)


@lru_cache(maxsize=4096)
def _window_on(day: int, window: tuple[time, time], zone: ZoneInfo) -> tuple[int, int]:
    """(start, end) in microseconds of the window that begins on this local day (ordinal)."""
    date = datetime.fromordinal(day)
    start = datetime.combine(date, window[0], zone)
    end_date = date if window[1] > window[0] else date + timedelta(days=1)
    end = datetime.combine(end_date, window[1], zone)
    return round(start.timestamp() * 1e6), round(end.timestamp() * 1e6)


def window_of(time_us: int, window: tuple[time, time], zone: ZoneInfo) -> tuple[int, int] | None:
    """The window that holds this moment, if one does."""
    # A window that began yesterday may still be open.
    day = _ordinal(time_us // _HOUR_US, zone)
    for candidate in (day, day - 1):
        start, end = _window_on(candidate, window, zone)
        if start <= time_us < end:
            return start, end
    return None


@lru_cache(maxsize=65536)
def _ordinal(hour: int, zone: ZoneInfo) -> int:
    return datetime.fromtimestamp(hour * 3600, zone).toordinal()


@lru_cache(maxsize=4096)
def _of_rest(day: int) -> bool:
    """Whether this day (ordinal) is a weekend or a public holiday. During martial law the holidays are working days by
    law, and kept all the same."""
    date = datetime.fromordinal(day).date()
    return date.weekday() >= 5 or date in _holidays(date.year)


@lru_cache(maxsize=64)
def _holidays(year: int) -> frozenset[date_type]:
    return frozenset(holidays.country_holidays("UA", years=year, categories=("public", "workday")))
