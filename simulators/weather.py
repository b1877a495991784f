"""The weather of Ivano-Frankivsk: yearly mean 8.5 °C, July 19.5, January −3; cold and warm spells of days to weeks."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np

from simulators.calendar import EPOCH_US, HOUR_US, Moments, local
from simulators.chance import Chance, Floats, Ints
from simulators.curves import Curve, since_epoch_h


class Weather:
    """Outdoor air, the same for the whole city."""

    def __init__(self, seed: int, zone: ZoneInfo) -> None:
        self._chance = Chance(seed, "weather")
        self._zone = zone
        self.hourly = Curve(self._temperature_of_hours)

    def temperature_c(self, times_us: Ints) -> Floats:
        """Outdoor temperature in °C."""
        return self.hourly.rate(since_epoch_h(times_us))

    def humidity_pct(self, times_us: Ints) -> Floats:
        """Relative humidity in percent, lower on warm afternoons."""
        moments = local(times_us, self._zone)
        swing = -12 * np.sin(2 * np.pi * (moments.hour - 9) / 24)
        result: Floats = np.clip(76 + swing + 8 * self._chance.normal(moments.day, 3), 25, 100)
        return result

    def _temperature_of_hours(self, hours: Ints) -> Floats:
        moments = local(EPOCH_US + hours * HOUR_US + HOUR_US // 2, self._zone)
        year = np.cos(2 * np.pi * (moments.year_day - 18) / 365.25)
        day = (3.6 - 1.6 * year) * np.sin(2 * np.pi * (moments.hour - 9) / 24)
        # Winters waver more than summers.
        spell = (1.9 + 0.5 * year) * (
            self._wander(moments, 1, 0) * 1.0 + self._wander(moments, 4, 1) * 1.2 + self._wander(moments, 13, 2) * 0.9
        )
        result: Floats = 8.5 - 11.3 * year + day + spell
        return result

    def _wander(self, moments: Moments, days: int, stream: int) -> Floats:
        """Noise of every so many days, joined smoothly."""
        position = (moments.day + moments.hour / 24) / days
        whole = np.floor(position).astype(np.int64)
        part = position - whole
        part = part * part * (3 - 2 * part)
        result: Floats = self._chance.normal(whole, stream) * (1 - part) + self._chance.normal(whole + 1, stream) * part
        return result
