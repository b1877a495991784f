"""Local time, public holidays and school holidays of Ukraine, for many moments at once."""

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


@dataclass(frozen=True)
class Moments:
    """Local time of moments: hour of the day (with fraction), day number, weekday (0 = Monday), day of the year."""

    hour: Floats
    day: Ints
    weekday: Ints
    year_day: Ints

    @property
    def weekend(self) -> npt.NDArray[np.bool_]:
        """Saturday or Sunday."""
        return self.weekday >= 5


def local(times_us: Ints, zone: ZoneInfo) -> Moments:
    """Local time of moments (microseconds since 1970, UTC)."""
    hours = np.floor_divide(times_us, HOUR_US)
    unique, back = np.unique(hours, return_inverse=True)
    offsets = np.array([_offset_us(int(hour), zone) for hour in unique], np.int64)[back]
    shifted = times_us + offsets
    day = np.floor_divide(shifted, 24 * HOUR_US)
    year_start = day.astype("datetime64[D]").astype("datetime64[Y]").astype("datetime64[D]").astype(np.int64)
    return Moments(
        hour=(shifted - day * 24 * HOUR_US) / HOUR_US,
        day=day,
        weekday=(day + 3) % 7,
        year_day=day - year_start,
    )


def day_off(days: Ints, *, school: bool) -> npt.NDArray[np.bool_]:
    """Days without work: public holidays, and with `school` also school holidays."""
    unique, back = np.unique(days, return_inverse=True)
    return np.array([_is_off(int(day), school) for day in unique], np.bool_)[back]


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


@cache
def _is_off(day: int, school: bool) -> bool:
    when = date(1970, 1, 1) + timedelta(days=day)
    if when in _public(when.year):
        return True
    month_day = (when.month, when.day)
    breaks = (((10, 25), (11, 2)), ((12, 25), (12, 31)), ((1, 1), (1, 11)), ((3, 24), (3, 30)), ((6, 1), (8, 31)))
    return school and any(first <= month_day <= last for first, last in breaks)
