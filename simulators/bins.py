"""How a bin fills and is emptied.

It fills by its fraction, its stand and the day of the week; rounds empty it on its days, sometimes they miss it.
Sizes: at a round it is three quarters full on average (Edinburgh: 76.9 %, Wyndham: 73.1 %).
"""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np

from catalogue.geometry import BinGeometry, distance_from_fill
from simulators.calendar import HOUR_US, local
from simulators.chance import Chance, Floats, Ints
from simulators.physics import EPOCH_US, Weather, active

DAY_US = 24 * HOUR_US

#: Days between the rounds of a fraction.
ROUND_DAYS = {"mixed": 1, "bio": 2, "plastic": 2, "paper": 3, "glass": 7}

#: Weight of each day of the week, Monday first: weekends fill households' bins.
_WEEK = np.array([1.05, 0.92, 0.92, 0.95, 1.0, 1.12, 1.04])


@dataclass(frozen=True)
class Bin:
    """A bin; `rounds_h` is the local hour of its contractor's rounds. `quirks` are what goes wrong with it."""

    id: str
    fraction: str
    geometry: BinGeometry
    rounds_h: float
    quirks: frozenset[str]


class BinPhysics:
    """Fill, distance, temperature, tilt and battery of one bin."""

    def __init__(self, seed: int, bin_: Bin, weather: Weather, zone: ZoneInfo) -> None:
        self.bin = bin_
        self._chance = Chance(seed, "bin", bin_.id)
        self._weather = weather
        self._zone = zone
        self._every = ROUND_DAYS[bin_.fraction]
        self._first = int(self._chance.one(0, self._every, 1))
        share = 0.74 * float(np.exp(0.3 * self._chance.normal(0, 1)))
        self._rate_pct_per_h = 100 * min(share, 1.25) / (self._every * 24)
        if "busy" in bin_.quirks:
            self._rate_pct_per_h = 100 * 1.3 / (self._every * 24)
        self._total = np.zeros(1)

    def _filled(self, times_us: Ints) -> Floats:
        """All that was ever thrown in, in percent of the bin."""
        hours = int((int(times_us.max()) - EPOCH_US) // HOUR_US) + 2
        if hours >= len(self._total):
            known = len(self._total) - 1
            new = EPOCH_US + np.arange(known, hours + 24 * 14, dtype=np.int64) * HOUR_US
            moments = local(new, self._zone)
            daily = np.clip(np.sin(np.pi * (moments.hour - 5) / 18), 0.05, None) / 0.60
            amount = self._rate_pct_per_h * daily * _WEEK[moments.weekday]
            amount = amount * np.exp(0.35 * self._chance.normal(new // HOUR_US, 2))
            self._total = np.concatenate([self._total, self._total[-1] + np.cumsum(amount)])
        result: Floats = np.interp((times_us - EPOCH_US) / HOUR_US, np.arange(len(self._total)), self._total)
        return result

    def emptied_us(self, until_us: int) -> Ints:
        """When it was emptied, from the beginning until a moment."""
        days = np.arange(self._first, int((until_us - EPOCH_US) // DAY_US) + 2, self._every, dtype=np.int64)
        minutes = 60 * self.bin.rounds_h + 150 * self._chance.uniform(days, 3)
        # The local hour from UTC midnight: an hour's error at the clock change harms nobody here.
        times = EPOCH_US + days * DAY_US + ((minutes - 120) * 60_000_000).astype(np.int64)
        missed = self._chance.uniform(days, 4) < (0.25 if "missed" in self.bin.quirks else 0.02)
        kept: Ints = times[~missed & (times <= until_us)]
        return kept

    def fill_pct(self, times_us: Ints) -> Floats:
        """Fill level; what does not fit lies beside it."""
        if len(times_us) == 0:
            return np.empty(0)
        emptied = self.emptied_us(int(times_us.max()))
        index: Ints = np.searchsorted(emptied, times_us, side="right") - 1
        since = np.where(index >= 0, emptied[np.maximum(index, 0)] if len(emptied) else EPOCH_US, EPOCH_US)
        # Something always stays at the bottom.
        left = 2 + 4 * self._chance.uniform(since // HOUR_US, 5)
        result: Floats = np.minimum(left + self._filled(times_us) - self._filled(since), 100.0)
        return result

    def tilted(self, times_us: Ints) -> Floats:
        """1 while it lies on its side."""
        if "tips" not in self.bin.quirks:
            return np.zeros(len(times_us))
        return active(times_us, self._chance, 61, 3)

    def distance_mm(self, times_us: Ints) -> Floats:
        """What the ultrasonic sensor measures: ±8 mm, now and then an echo from the wall."""
        geometry = self.bin.geometry
        distance: Floats = distance_from_fill(self.fill_pct(times_us), geometry)
        slots = times_us // 60_000_000
        distance = distance + 8.0 * self._chance.normal(slots, 6)
        echo = self._chance.uniform(slots, 7) < 0.003
        near: Floats = geometry.full_mm + 200 * self._chance.uniform(slots, 8)
        distance = np.where(echo, near, distance)
        wall = 380.0 + 300.0 * self._chance.uniform(slots, 9)
        distance = np.where(self.tilted(times_us) > 0, wall, distance)
        return np.round(np.maximum(distance, geometry.full_mm - 40.0)).astype(np.float64)

    def temperature_c(self, times_us: Ints) -> Floats:
        """Air under the lid: the sun heats it, a fire more."""
        moments = local(times_us, self._zone)
        sun = np.clip(np.sin(np.pi * (moments.hour - 6) / 13), 0, None)
        warm = sun * (5 - 4 * np.cos(2 * np.pi * (moments.year_day - 18) / 365.25))
        air = self._weather.temperature_c(times_us) + warm + 0.6 * self._chance.normal(times_us // 60_000_000, 10)
        if "fire" in self.bin.quirks:
            air = air + 75 * active(times_us, self._chance, 9 * 24, 1.6)
        result: Floats = np.round(air, 1)
        return result

    def battery_pct(self, times_us: Ints) -> Floats:
        """Falls by about a fifth a year; one was forgotten."""
        start = 17.0 if "weak-battery" in self.bin.quirks else self._chance.one(70, 99, 11)
        days: Floats = (times_us - EPOCH_US) / DAY_US
        result: Floats = np.clip(np.round(start - days * (0.004 if start < 20 else 0.05)), 1, 100)
        return result
