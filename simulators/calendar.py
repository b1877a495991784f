"""Local time, public holidays and school holidays of Ukraine, hour by hour from the simulation's epoch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import holidays
import numpy as np
import numpy.typing as npt

from simulators.chance import Floats, Ints

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US

#: Registers begin here; nothing is simulated before it.
EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
EPOCH_US = int(EPOCH.timestamp() * 1e6)

#: First and last day (month, day) of the heating season in Ukraine's public buildings, the usual order of cities.
HEATING_SEASON = ((10, 15), (4, 15))

_SCHOOL_BREAKS = (((10, 25), (11, 2)), ((12, 25), (12, 31)), ((1, 1), (1, 11)), ((3, 24), (3, 30)), ((6, 1), (8, 31)))

Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Moments:
    """Local time of moments: hour of the day (with fraction), day number, weekday (0 = Monday), day of the year."""

    hour: Floats
    day: Ints
    weekday: Ints
    year_day: Ints

    @property
    def weekend(self) -> Booleans:
        """Saturday or Sunday."""
        return self.weekday >= 5


def local(times_us: Ints, zone: ZoneInfo) -> Moments:
    """Local time of moments (microseconds since 1970, UTC)."""
    hours = np.floor_divide(times_us, HOUR_US)
    unique, back = np.unique(hours, return_inverse=True)
    offsets = np.array([_offset_us(int(hour), zone) for hour in unique], np.int64)[back]
    shifted = times_us + offsets
    day = np.floor_divide(shifted, DAY_US)
    year_start = day.astype("datetime64[D]").astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
    return Moments(
        hour=(shifted - day * DAY_US) / HOUR_US,
        day=day,
        weekday=(day + 3) % 7,
        year_day=day - year_start,
    )


def day_off(days: Ints, *, school: bool) -> Booleans:
    """Days without work: public holidays, and with `school` also school holidays."""
    unique, back = np.unique(days, return_inverse=True)
    return np.array([is_off(int(day), school=school) for day in unique], np.bool_)[back]


def heating_season(days: Ints) -> Booleans:
    """Days on which heating is on."""
    unique, back = np.unique(days, return_inverse=True)
    return np.array([in_heating_season(int(day)) for day in unique], np.bool_)[back]


@cache
def in_heating_season(day: int) -> bool:
    """Whether heating is on, on a local day (days since 1970)."""
    when = date(1970, 1, 1) + timedelta(days=day)
    begins, ends = HEATING_SEASON
    return (when.month, when.day) >= begins or (when.month, when.day) < ends


@cache
def is_off(day: int, *, school: bool) -> bool:
    """Whether a local day (days since 1970) is without work."""
    when = date(1970, 1, 1) + timedelta(days=day)
    if when in _public(when.year):
        return True
    month_day = (when.month, when.day)
    return school and any(first <= month_day <= last for first, last in _SCHOOL_BREAKS)


@cache
def _offset_us(hour: int, zone: ZoneInfo) -> int:
    offset = datetime.fromtimestamp(hour * 3600, UTC).astimezone(zone).utcoffset() or timedelta()
    return round(offset.total_seconds() * 1e6)


@cache
def _public(year: int) -> frozenset[date]:
    # During martial law holidays are working days by law; public buildings are nevertheless hardly used on them.
    return frozenset(holidays.country_holidays("UA", years=year)) | {
        date(year, 1, 1), date(year, 5, 1), date(year, 6, 28), date(year, 8, 24), date(year, 10, 1), date(year, 12, 25),
    }  # fmt: skip
