"""What happens in the city hour by hour: weather, electricity, heat, gas, water. Numbers are per square metre.

Hours count from `EPOCH_US`; a register is the sum of all hours since then, so it goes on the same way at every start.
Sizes follow DOMAIN E1 (heat 55–300 kWh/m2 a year by age, schools' electricity 20–40 kWh/m2) and E2 (base load).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np

from simulators.calendar import HOUR_US, day_off, local
from simulators.chance import Chance, Floats, Ints

EPOCH_US = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1e6)

#: Use → opening hours, electric load in use and at rest (W/m2), water in use (l/m2/h), open at weekends, school year.
USES: dict[str, tuple[float, float, float, float, float, bool, bool]] = {
    "school": (7.5, 16.5, 11.0, 1.4, 0.09, False, True),
    "kindergarten": (7.0, 18.5, 13.0, 2.0, 0.22, False, False),
    "hospital": (0.0, 24.0, 16.0, 8.0, 0.20, True, False),
    "office": (8.0, 18.0, 18.0, 3.0, 0.05, False, False),
    "library": (10.0, 18.0, 11.0, 1.5, 0.03, False, False),
    "culture": (10.0, 22.0, 12.0, 1.8, 0.04, True, False),
    "sport": (7.0, 21.5, 16.0, 4.0, 0.30, True, False),
    "lighting": (0.0, 24.0, 1.0, 0.1, 0.0, True, False),
    "other": (8.0, 18.0, 10.0, 2.0, 0.05, False, False),
}


class Weather:
    """Outdoor temperature of Ivano-Frankivsk: yearly mean 8.5 °C, July 20, January −3, days that wander around it."""

    def __init__(self, seed: int, zone: ZoneInfo) -> None:
        self._chance = Chance(seed, "weather")
        self._zone = zone

    def temperature_c(self, times_us: Ints) -> Floats:
        """Outdoor temperature in °C."""
        moments = local(times_us, self._zone)
        season = -11.5 * np.cos(2 * np.pi * (moments.year_day - 18) / 365.25)
        day = 3.5 * np.sin(2 * np.pi * (moments.hour - 9) / 24)
        # Weather changes within days: noise of each day, joined smoothly.
        position = moments.day + moments.hour / 24
        whole = np.floor(position).astype(np.int64)
        part = position - whole
        part = part * part * (3 - 2 * part)
        wander = self._chance.normal(whole) * (1 - part) + self._chance.normal(whole + 1) * part
        result: Floats = 8.5 + season + day + 3.2 * wander
        return result

    def humidity_pct(self, times_us: Ints) -> Floats:
        """Relative humidity in percent, lower on warm afternoons."""
        moments = local(times_us, self._zone)
        swing = -12 * np.sin(2 * np.pi * (moments.hour - 9) / 24)
        result: Floats = np.clip(76 + swing + 8 * self._chance.normal(moments.day, 3), 25, 100)
        return result


def active(times_us: Ints, chance: Chance, period_h: float, hours: float, stream: int = 90) -> Floats:
    """1 while a recurring event lasts: `hours` out of every `period_h`, at a phase of the thing's own."""
    phase_h = chance.one(0, period_h, stream)
    since_h = (times_us - EPOCH_US) / HOUR_US + phase_h
    result: Floats = (since_h % period_h < hours).astype(float)
    return result


@dataclass(frozen=True)
class Building:
    """A building: what it is used for and how large it is. `quirks` are what goes wrong there."""

    id: str
    use: str
    floor_area_m2: float
    quirks: frozenset[str]


class BuildingPhysics:
    """Hourly loads of one building."""

    def __init__(self, seed: int, building: Building, weather: Weather, zone: ZoneInfo) -> None:
        self.building = building
        self._chance = Chance(seed, "building", building.id)
        self._weather = weather
        self._zone = zone
        self._use = USES[building.use]
        # How much a building differs from others of its kind, by age and habit.
        self._thrift = self._chance.one(0.75, 1.35, 1)
        self._insulation = self._chance.one(0.75, 1.4, 2)
        self._sets_back = self._chance.one(0, 1, 3) < 0.55

    def occupancy(self, times_us: Ints) -> Floats:
        """Share of the building in use, 0 to 1."""
        opens, closes, *_, weekends, school = self._use
        moments = local(times_us, self._zone)
        rise = np.clip((moments.hour - opens + 0.75) / 1.5, 0, 1)
        fall = np.clip((closes - moments.hour + 0.75) / 1.5, 0, 1)
        share = np.minimum(rise, fall) if closes - opens < 24 else 0.62 + 0.38 * np.sin(np.pi * (moments.hour - 6) / 15)
        share = np.clip(share, 0, 1)
        weekend = np.where(moments.weekend, 0.75 if weekends else 0.04, 1.0)
        off = np.where(day_off(moments.day, school=school), 0.75 if weekends else 0.06, 1.0)
        result: Floats = share * weekend * off * (0.92 + 0.16 * self._chance.uniform(moments.day, 4))
        return result

    def electricity_kw(self, times_us: Ints) -> Floats:
        """Active power."""
        _, _, used, base, *_ = self._use
        moments = local(times_us, self._zone)
        dark = 1 + 0.22 * np.cos(2 * np.pi * (moments.year_day - 5) / 365.25)
        noise = 1 + 0.05 * self._chance.normal(times_us // HOUR_US, 5)
        watts = (base + used * self.occupancy(times_us) * dark) * self._thrift * noise
        if "night-load" in self.building.quirks:
            night = (moments.hour < 6) | (moments.hour >= 22)
            watts = watts + 0.4 * used * night * active(times_us, self._chance, 10 * 24, 3 * 24)
        result: Floats = np.maximum(watts, 0.2) * self.building.floor_area_m2 / 1000
        return result

    def heat_kw(self, times_us: Ints) -> Floats:
        """Heat for the building in the heating season (15 October to 15 April), from 15 °C outdoors downwards."""
        moments = local(times_us, self._zone)
        season = (moments.year_day >= 287) | (moments.year_day < 105)
        demand = np.maximum(0.0, 15.0 - self._weather.temperature_c(times_us)) * 2.1 * self._insulation
        night = (moments.hour >= 21) | (moments.hour < 5)
        if self._sets_back:
            demand = demand * np.where(night | (self.occupancy(times_us) < 0.05), 0.65, 1.0)
        warm_water = 1.2 * self.occupancy(times_us)
        noise = 1 + 0.04 * self._chance.normal(times_us // HOUR_US, 6)
        result: Floats = (demand * season + warm_water) * noise * self.building.floor_area_m2 / 1000
        return result

    def gas_m3h(self, times_us: Ints, *, heats: bool) -> Floats:
        """Gas for cooking, and for the boiler where it heats (9.5 kWh a cubic metre, 92 % efficient)."""
        kitchen = 0.00012 * self.occupancy(times_us) * self.building.floor_area_m2
        result: Floats = kitchen + (self.heat_kw(times_us) / (9.5 * 0.92) if heats else 0.0)
        return result

    def water_m3h(self, times_us: Ints) -> Floats:
        """Water drawn; a leak does not stop at night."""
        litres = self._use[4] * self.occupancy(times_us) * self.building.floor_area_m2 * self._thrift
        hours = times_us // HOUR_US
        litres = litres * (0.7 + 0.6 * self._chance.uniform(hours, 7))
        # Somebody washes hands at night in a hospital; elsewhere a cistern refills now and then.
        litres = litres + np.where(self._chance.uniform(hours, 8) < 0.08, 6.0, 0.0)
        if "leak" in self.building.quirks:
            litres = litres + 240 * active(times_us, self._chance, 12 * 24, 6 * 24)
        result: Floats = litres / 1000
        return result

    def voltage_v(self, times_us: Ints, phase: int) -> Floats:
        """Voltage of a phase: lower when the district cooks, with sags where the line is weak."""
        moments = local(times_us, self._zone)
        evening = 3.5 * np.exp(-((moments.hour - 19) ** 2) / 8)
        slots = times_us // 60_000_000
        volts = 231 + self._chance.one(-2, 2, 9 + phase) - evening + 1.1 * self._chance.normal(slots, 12 + phase)
        if "weak-line" in self.building.quirks and phase == 0:
            volts = volts - 32 * active(times_us, self._chance, 31, 1.2)
        result: Floats = volts
        return result


class Register:
    """A register that adds up an hourly load since `EPOCH_US`, with a start value and a resolution."""

    def __init__(self, load: Callable[[Ints], Floats], start: float, resolution: float) -> None:
        self._load = load
        self._start = start
        self._resolution = resolution
        self._total = np.zeros(1)

    def at(self, times_us: Ints) -> Floats:
        """What the register shows; within an hour the load is even."""
        if len(times_us) == 0:
            return np.empty(0)
        hours_needed = int((int(times_us.max()) - EPOCH_US) // HOUR_US) + 2
        if hours_needed >= len(self._total):
            self._extend(hours_needed + 24 * 14)
        position = (times_us - EPOCH_US) / HOUR_US
        whole = np.interp(position, np.arange(len(self._total)), self._total)
        result: Floats = np.floor((self._start + whole) / self._resolution + 1e-6) * self._resolution
        return result

    def _extend(self, hours: int) -> None:
        known = len(self._total) - 1
        new = EPOCH_US + (np.arange(known, hours, dtype=np.int64) * HOUR_US) + HOUR_US // 2
        load = self._load(new)
        self._total = np.concatenate([self._total, self._total[-1] + np.cumsum(load)])
