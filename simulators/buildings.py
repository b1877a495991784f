"""What a building uses: electricity, heat, gas, water; and the voltage of its line.

Sizes follow DOMAIN E1 (heat 55–300 kWh/m2 a year by age, schools' electricity 20–40 kWh/m2) and E2 (base load).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import acos, cos, pi, radians, tan
from zoneinfo import ZoneInfo

import numpy as np

from simulators.calendar import EPOCH_US, HOUR_US, Moments, day_off, heating_season, local
from simulators.chance import Chance, Floats, Ints
from simulators.curves import Curve, Warp, since_epoch_h
from simulators.faults import Faults, constant, exchanged
from simulators.weather import Weather


@dataclass(frozen=True)
class Use:
    """What a kind of building is like: opening hours, load in use and at rest, water in use, days."""

    opens_h: float
    closes_h: float
    used_w_m2: float
    base_w_m2: float
    water_l_m2h: float
    weekends: bool = False
    school: bool = False


USES: dict[str, Use] = {
    "school": Use(7.5, 16.5, 11.0, 1.4, 0.09, school=True),
    "kindergarten": Use(7.0, 18.5, 13.0, 2.0, 0.22),
    "hospital": Use(0.0, 24.0, 16.0, 8.0, 0.15, weekends=True),
    "office": Use(8.0, 18.0, 18.0, 3.0, 0.05),
    "library": Use(10.0, 18.0, 11.0, 1.5, 0.03),
    "culture": Use(10.0, 22.0, 12.0, 1.8, 0.04, weekends=True),
    "sport": Use(7.0, 21.5, 16.0, 4.0, 0.25, weekends=True),
    "lighting": Use(0.0, 24.0, 9.0, 0.1, 0.0, weekends=True),
    "other": Use(8.0, 18.0, 10.0, 2.0, 0.05),
}

#: Outdoor temperature above which a building needs no heat, by how well it is built (°C). Buildings share curves.
BALANCE_POINTS_C = (14.0, 15.0, 16.0, 17.0)
#: Heat per degree below the balance point (W/m2), of a building of the middling sort.
_HEAT_W_M2K = 1.9
#: What is left of the heating at night and in an empty building that lowers it.
SET_BACK = 0.55
#: Heat in a cubic metre of gas (kWh), and what a boiler makes of it.
GAS_KWH_M3, BOILER = 9.5, 0.92
#: At this share of full load a stuck valve's building returns the water hot.
FULL_HEAT_W_M2 = 60.0


class SharedCurves:
    """Hourly loads a square metre that buildings of a kind have in common."""

    def __init__(self, seed: int, weather: Weather, zone: ZoneInfo, latitude: float) -> None:
        self._weather = weather
        self._zone = zone
        self._latitude = radians(latitude)
        self._chance = Chance(seed, "buildings")
        self._curves: dict[tuple[str, ...], Curve] = {}
        # Somebody washes hands, a cistern refills: short draws at any hour. Each building reads at a place of its own.
        self.draws = Curve(lambda hours: np.where(self._chance.uniform(hours, 8) < 0.08, 6.0, 0.0))
        # What looks like a fault and is none: a night that is danced through, lawns watered in dry nights.
        self.parties = self._curve(("parties",), self._party)
        self.lawns = self._curve(("lawns",), self._watering)

    def electricity(self, use: str) -> Curve:
        """W/m2."""
        return self._curve(("electricity", use), lambda moments: self._electric_w_m2(use, moments))

    def water(self, use: str) -> Curve:
        """l/m2 an hour."""
        return self._curve(("water", use), lambda moments: USES[use].water_l_m2h * self._occupancy(use, moments))

    def heat(self, use: str, balance_c: float, set_back: bool) -> Curve:
        """W/m2, warm water included."""
        return self._curve(
            ("heat", use, str(balance_c), str(set_back)),
            lambda moments: self._heat_w_m2(use, balance_c, set_back, moments),
        )

    def kitchen(self, use: str) -> Curve:
        """Gas for cooking, m3/m2 an hour."""
        return self._curve(("kitchen", use), lambda moments: 0.00012 * self._occupancy(use, moments))

    def _curve(self, key: tuple[str, ...], of_moments: Callable[[Moments], Floats]) -> Curve:
        if key not in self._curves:
            self._curves[key] = Curve(
                lambda hours: of_moments(local(EPOCH_US + hours * HOUR_US + HOUR_US // 2, self._zone))
            )
        return self._curves[key]

    def _occupancy(self, use: str, moments: Moments) -> Floats:
        """Share of the building in use, 0 to 1."""
        its = USES[use]
        if its.closes_h - its.opens_h < 24:
            rise = np.clip((moments.hour - its.opens_h + 0.75) / 1.5, 0, 1)
            fall = np.clip((its.closes_h - moments.hour + 0.75) / 1.5, 0, 1)
            share = np.minimum(rise, fall)
        else:
            share = 0.62 + 0.38 * np.sin(np.pi * (moments.hour - 6) / 15)
        weekend = np.where(moments.weekend, 0.75 if its.weekends else 0.04, 1.0)
        off = np.where(day_off(moments.day, school=its.school), 0.75 if its.weekends else 0.06, 1.0)
        result: Floats = np.clip(share, 0, 1) * weekend * off * (0.92 + 0.16 * self._chance.uniform(moments.day, 4))
        return result

    def _electric_w_m2(self, use: str, moments: Moments) -> Floats:
        its = USES[use]
        if use == "lighting":
            return its.base_w_m2 + its.used_w_m2 * self._dark(moments)
        winter = 1 + 0.22 * np.cos(2 * np.pi * (moments.year_day - 5) / 365.25)
        result: Floats = its.base_w_m2 + its.used_w_m2 * self._occupancy(use, moments) * winter
        return result

    def _party(self, moments: Moments) -> Floats:
        """1 while a celebration lasts, from evening until three in the morning; about one night in two years."""
        evening = np.where(moments.hour < 12, moments.day - 1, moments.day)
        late = (moments.hour >= 21) | (moments.hour < 3)
        result: Floats = (late & (self._chance.uniform(evening, 6) < 0.0014)).astype(np.float64)
        return result

    def _watering(self, moments: Moments) -> Floats:
        """1 while lawns are watered: early on summer mornings after dry days, the same in the whole city."""
        summer = (moments.year_day >= 150) & (moments.year_day < 245)
        dry = self._chance.uniform(moments.day // 3, 7) < 0.35
        result: Floats = (summer & dry & (moments.hour >= 3) & (moments.hour < 6)).astype(np.float64)
        return result

    def _dark(self, moments: Moments) -> Floats:
        """Share of the hour between dusk and dawn (sun's declination, latitude; solar noon at half past twelve)."""
        half_day_h = np.array([_half_day_h(day, self._latitude) for day in range(366)])[moments.year_day]
        from_noon = np.abs(moments.hour - 12.5)
        result: Floats = np.clip(from_noon - half_day_h + 0.5, 0, 1)
        return result

    def _heat_w_m2(self, use: str, balance_c: float, set_back: bool, moments: Moments) -> Floats:
        outdoor = self._weather.temperature_c(_middle_us(moments, self._zone))
        demand = np.maximum(0.0, balance_c - outdoor) * _HEAT_W_M2K * heating_season(moments.day)
        occupied = self._occupancy(use, moments)
        if set_back:
            night = (moments.hour >= 21) | (moments.hour < 5)
            demand = demand * np.where(night | (occupied < 0.05), SET_BACK, 1.0)
        result: Floats = demand + 1.2 * occupied
        return result


def _middle_us(moments: Moments, zone: ZoneInfo) -> Ints:
    """About the same moments in UTC: an hour is nothing to the weather."""
    return (moments.day * 24 * HOUR_US + (moments.hour - 2) * HOUR_US).astype(np.int64)


def _half_day_h(year_day: int, latitude: float) -> float:
    declination = radians(-23.44) * cos(2 * pi * (year_day + 10) / 365.25)
    return acos(max(-1.0, min(1.0, -tan(latitude) * tan(declination)))) * 12 / pi


class Building:
    """One building: its share of what its kind uses, and its own habits."""

    def __init__(
        self, seed: int, site: str, use: str, floor_area_m2: float, shared: SharedCurves, zone: ZoneInfo
    ) -> None:
        chance = Chance(seed, "building", site)
        self.use = use
        self.area_m2 = floor_area_m2
        self._shared = shared
        self._zone = zone
        self._chance = chance
        self._warps = {
            name: Warp(Chance(seed, "warp", site, name), 0.22, 0.7) for name in ("electricity", "heat", "water")
        }
        # How much a building differs from others of its kind, by age and habit.
        self._thrift = chance.one(0.75, 1.35, 1)
        self._insulation = chance.one(0.7, 1.4, 2)
        self.lowers_at_night = chance.one(0, 1, 3) < 0.6
        self._balance_c = BALANCE_POINTS_C[int(chance.one(0, len(BALANCE_POINTS_C), 5))]
        self._draws_h = chance.one(0, 8000, 6)
        # Whole weeks, so that evenings stay evenings.
        self._parties_h = 168.0 * int(chance.one(0, 100, 7))
        self._lawn_l_h = chance.one(200, 900, 8) if chance.one(0, 1, 21) < 0.12 else 0.0

    def electricity(self, times_us: Ints, faults: Faults) -> tuple[Floats, Floats]:
        """(kWh since the epoch, kW)."""
        curve = self._shared.electricity(self.use)
        hours, pace = self._warps["electricity"].shift(since_epoch_h(times_us))
        scale = self.area_m2 * self._thrift / 1000
        energy, power = scale * curve.amount(hours), scale * curve.rate(hours) * pace
        lively = 0.4 * USES[self.use].used_w_m2 * scale
        energy = energy + lively * self._shared.parties.amount(hours + self._parties_h)
        power = power + lively * self._shared.parties.rate(hours + self._parties_h)
        lights = faults.of("lights-left-on")
        if lights:
            energy = energy + constant(lights, times_us, [self.area_m2 * fault.amount / 1000 for fault in lights])
        for fault in faults.during(times_us, "lights-left-on"):
            power = power + fault.lasts(times_us) * self.area_m2 * fault.amount / 1000
        lost = faults.of("phase-loss")
        if lost:
            energy = energy - exchanged(lost, times_us, self._warps["electricity"], curve, _NOTHING, scale / 3)
        for fault in faults.during(times_us, "phase-loss"):
            power = np.where(fault.lasts(times_us), power * 2 / 3, power)
        return energy, power

    def heat(self, times_us: Ints, faults: Faults) -> tuple[Floats, Floats]:
        """(kWh since the epoch, kW)."""
        curve = self._shared.heat(self.use, self._balance_c, self.lowers_at_night)
        hours, pace = self._warps["heat"].shift(since_epoch_h(times_us))
        scale = self.area_m2 * self._insulation / 1000
        energy, power = scale * curve.amount(hours), scale * curve.rate(hours) * pace
        kept_on = faults.of("no-night-setback", "heating-in-holiday")
        if kept_on:
            full = self._shared.heat(self.use, self._balance_c, False)
            energy = energy + exchanged(kept_on, times_us, self._warps["heat"], full, curve, scale)
            for fault in faults.during(times_us, "no-night-setback", "heating-in-holiday"):
                power = np.where(fault.lasts(times_us), scale * full.rate(hours) * pace, power)
        stuck = faults.of("stuck-valve")
        if stuck:
            energy = energy + constant(stuck, times_us, [self.area_m2 * fault.amount / 1000 for fault in stuck])
        for fault in faults.during(times_us, "stuck-valve"):
            power = power + fault.lasts(times_us) * self.area_m2 * fault.amount / 1000
        return energy, power

    def gas_m3(self, times_us: Ints, faults: Faults, *, heats: bool) -> Floats:
        """Gas since the epoch: for cooking, and for the boiler where it heats."""
        hours, _ = self._warps["electricity"].shift(since_epoch_h(times_us))
        total = self.area_m2 * self._shared.kitchen(self.use).amount(hours)
        if heats:
            total = total + self.heat(times_us, faults)[0] / (GAS_KWH_M3 * BOILER)
        result: Floats = total
        return result

    def water_m3(self, times_us: Ints, faults: Faults) -> Floats:
        """Water since the epoch; a leak does not stop at night."""
        plain = since_epoch_h(times_us)
        hours, _ = self._warps["water"].shift(plain)
        litres = self.area_m2 * self._thrift * self._shared.water(self.use).amount(hours)
        litres = litres + self._shared.draws.amount(plain + self._draws_h)
        if self._lawn_l_h:
            litres = litres + self._lawn_l_h * self._shared.lawns.amount(plain)
        leaks = faults.of("slow-leak", "burst-pipe")
        if leaks:
            litres = litres + constant(leaks, times_us, [fault.amount for fault in leaks])
        result: Floats = litres / 1000
        return result

    def voltage_v(self, times_us: Ints, phase: int, faults: Faults) -> Floats:
        """Voltage of a phase (0, 1, 2): lower when the district cooks, sagging on a weak line, gone with its fuse."""
        moments = local(times_us, self._zone)
        evening = 3.5 * np.exp(-((moments.hour - 19) ** 2) / 8)
        slots = times_us // 60_000_000
        volts = 231 + self._chance.one(-2, 2, 9 + phase) - evening + 1.1 * self._chance.normal(slots, 12 + phase)
        for fault in faults.during(times_us, "weak-line", "phase-loss"):
            # Which phase it is does not matter, as long as it stays the same.
            if fault.from_us // HOUR_US % 3 != phase:
                continue
            if fault.kind == "phase-loss":
                volts = np.where(fault.lasts(times_us), 8 + 4 * self._chance.uniform(slots, 20 + phase), volts)
            else:
                volts = volts - fault.lasts(times_us) * fault.amount
        result: Floats = volts
        return result


_NOTHING = Curve(lambda hours: np.zeros(len(hours)))
