"""How a bin fills and is emptied, and what its sensor makes of it.

It fills by its fraction, its stand and the day of the week; what lies below is pressed together. Rounds empty it on its
days: at a round it is three quarters full on average (Edinburgh: 76.9 %, Wyndham: 73.1 %); now and then only in part.
"""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from catalogue.geometry import BinGeometry, distance_from_fill
from simulators.calendar import DAY_US, EPOCH_US, HOUR_US, Moments, day_off, local
from simulators.chance import Chance, Floats, Ints
from simulators.curves import Curve, Warp, since_epoch_h
from simulators.faults import Faults, constant
from simulators.weather import Weather

#: Days between the rounds of a fraction.
ROUND_DAYS = {"mixed": 1, "bio": 2, "plastic": 2, "paper": 3, "glass": 7}

#: Weight of each day of the week, Monday first: weekends fill households' bins.
_WEEK = np.array([1.05, 0.92, 0.92, 0.95, 1.0, 1.12, 1.04])
#: A bin that was never emptied for longer than this is looked at no further back.
_BACK_DAYS = 60
_PARTIAL = 0.05


@dataclass(frozen=True)
class Bin:
    """A bin; `rounds_h` is the local hour at which its contractor's rounds begin."""

    id: str
    fraction: str
    geometry: BinGeometry
    rounds_h: float


class Filling:
    """What is thrown into bins of a fraction, in shares of a usual hour; more before and after days off."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._curves: dict[str, Curve] = {}

    def of(self, fraction: str) -> Curve:
        """Shares of a usual hour, an hour."""
        if fraction not in self._curves:
            self._curves[fraction] = Curve(
                lambda hours: self._share(fraction, local(EPOCH_US + hours * HOUR_US + HOUR_US // 2, self._zone))
            )
        return self._curves[fraction]

    def _share(self, fraction: str, moments: Moments) -> Floats:
        daily = np.clip(np.sin(np.pi * (moments.hour - 5) / 18), 0.05, None) / 0.60
        week = _WEEK[moments.weekday] * np.where(day_off(moments.day, school=False), 1.15, 1.0)
        # Gardens and kitchens make more in summer, heating at home (ash, wood) and parcels in winter.
        swing = {"bio": -0.22, "glass": -0.08, "plastic": -0.10, "paper": 0.08, "mixed": 0.03}[fraction]
        season = 1 + swing * np.cos(2 * np.pi * (moments.year_day - 18) / 365.25)
        result: Floats = daily * week * season
        return result


def pressed(thrown_pct: Floats) -> Floats:
    """Level of what was thrown in, both in percent of the bin: the more there is, the more it is pressed together."""
    result: Floats = 160 * (1 - np.exp(-thrown_pct / 140))
    return result


class BinPhysics:
    """Fill, distance, temperature, tilt, battery and signal of one bin."""

    def __init__(self, seed: int, bin_: Bin, filling: Filling, weather: Weather, zone: ZoneInfo) -> None:
        self.bin = bin_
        chance = Chance(seed, "bin", bin_.id)
        self._chance = chance
        self._curve = filling.of(bin_.fraction)
        self._warp = Warp(Chance(seed, "warp", bin_.id), 0.3, 2.5)
        self._weather = weather
        self._zone = zone
        self.every_days = ROUND_DAYS[bin_.fraction]
        self._first = int(chance.one(0, self.every_days, 1))
        share = 0.85 * float(np.exp(0.18 * chance.normal(0, 1)))
        self._pct_per_h = 100 * min(share, 1.1) / (self.every_days * 24)
        self._sunny = chance.one(0.5, 1.2, 12)

    def thrown_pct(self, times_us: Ints, faults: Faults) -> Floats:
        """All that was ever thrown in, in percent of the bin."""
        hours, _ = self._warp.shift(since_epoch_h(times_us))
        total = self._pct_per_h * self._curve.amount(hours)
        surges = faults.of("bin-overflow")
        if surges:
            total = total + constant(surges, times_us, [self._pct_per_h * (fault.amount - 1) for fault in surges])
        result: Floats = total
        return result

    def rounds_us(self, from_us: int, to_us: int) -> Ints:
        """When the lorry comes by, from a moment until before another."""
        days = np.arange((from_us - EPOCH_US) // DAY_US - 1, (to_us - EPOCH_US) // DAY_US + 2, dtype=np.int64)
        days = days[(days - self._first) % self.every_days == 0]
        minutes = 60 * self.bin.rounds_h + 150 * self._chance.uniform(days, 3)
        # The local hour from UTC midnight: an hour's error at the clock change harms nobody here.
        times = EPOCH_US + days * DAY_US + ((minutes - 120) * 60_000_000).astype(np.int64)
        result: Ints = times[(times >= from_us) & (times < to_us)]
        return result

    def emptied_us(self, from_us: int, to_us: int, faults: Faults) -> Ints:
        """When it was emptied: at every round that is not missed and reaches it."""
        rounds = self.rounds_us(from_us, to_us)
        for fault in faults.of("missed-collection", "bin-blocked"):
            rounds = rounds[~fault.lasts(rounds)]
        return rounds

    def level_pct(self, times_us: Ints, faults: Faults) -> Floats:
        """Level of the waste; above 100 it stands over the rim."""
        if len(times_us) == 0:
            return np.empty(0)
        back_us = max(int(times_us.min()) - _BACK_DAYS * DAY_US, EPOCH_US)
        emptied = np.concatenate(
            [np.array([back_us], np.int64), self.emptied_us(back_us + 1, int(times_us.max()) + 1, faults)]
        )
        last: Ints = np.searchsorted(emptied, times_us, side="right") - 1
        thrown = self.thrown_pct(emptied, faults)
        # Something always stays at the bottom; now and then a good part does.
        chance = self._chance.uniform(emptied // HOUR_US, 5)
        partly = (chance < _PARTIAL) & (self.every_days > 1)
        left = np.where(partly, 20 + 400 * chance, 2 + 4 * chance)
        since = self.thrown_pct(times_us, faults) - thrown[last]
        return pressed(left[last] + since)

    def measure(self, times_us: Ints, faults: Faults) -> dict[str, Floats]:
        """What the sensor on its lid sends."""
        tilted = np.zeros(len(times_us))
        for fault in faults.during(times_us, "bin-tipped"):
            tilted = np.where(fault.lasts(times_us), 1.0, tilted)
        return {
            "distance_mm": self._distance_mm(times_us, tilted > 0, faults),
            "temperature_c": self._temperature_c(times_us, faults),
            "tilted": tilted,
            **device_health(self._chance, times_us, faults),
        }

    def _distance_mm(self, times_us: Ints, tilted: npt.NDArray[np.bool_], faults: Faults) -> Floats:
        """Ultrasonic: ±8 mm; echoes from the wall; bags and foam that swallow the sound."""
        geometry = self.bin.geometry
        level = np.minimum(self.level_pct(times_us, faults), 100.0)
        slots = times_us // 60_000_000
        distance: Floats = distance_from_fill(level, geometry)
        distance = distance + 8.0 * self._chance.normal(slots, 6)
        odd = self._chance.uniform(slots, 7)
        size = self._chance.uniform(slots, 8)
        distance = np.where(odd < 0.003, geometry.full_mm + 200 * size, distance)
        swallowed = (odd > 0.990) if self.bin.fraction in ("bio", "plastic") else (odd > 0.998)
        distance = np.where(swallowed, distance + 60 + 220 * size, distance)
        distance = np.where(tilted, 380.0 + 300.0 * self._chance.uniform(slots, 9), distance)
        for fault in faults.during(times_us, "lid-open"):
            beyond = geometry.empty_mm * (1.15 + 0.8 * size)
            distance = np.where(fault.lasts(times_us), beyond, distance)
        result: Floats = np.round(np.maximum(distance, geometry.full_mm - 40.0)).astype(np.float64)
        return result

    def _temperature_c(self, times_us: Ints, faults: Faults) -> Floats:
        """Air under the lid: the sun heats it, a fire more."""
        moments = local(times_us, self._zone)
        sun = np.clip(np.sin(np.pi * (moments.hour - 6) / 13), 0, None)
        warm = self._sunny * sun * (7 - 5 * np.cos(2 * np.pi * (moments.year_day - 18) / 365.25))
        air = self._weather.temperature_c(times_us) + warm + 0.6 * self._chance.normal(times_us // 60_000_000, 10)
        for fault in faults.during(times_us, "bin-fire"):
            # Up within a quarter of an hour, down with the last third.
            since = (times_us - fault.from_us) / (0.25 * HOUR_US)
            until = (fault.to_us - times_us) / ((fault.to_us - fault.from_us) / 3)
            air = air + fault.amount * np.clip(np.minimum(since, until), 0, 1)
        result: Floats = np.round(np.minimum(air, 150.0), 1)
        return result


def device_health(chance: Chance, times_us: Ints, faults: Faults) -> dict[str, Floats]:
    """Battery and radio of a LoRaWAN device. Batteries are changed at a quarter, unless one fades unnoticed."""
    days = (times_us - EPOCH_US) / DAY_US
    life_days = chance.one(900, 2200, 31)
    battery = 100 - 75 * (((days + chance.one(0, life_days, 32)) % life_days) / life_days)
    for fault in faults.during(times_us, "battery-fading"):
        share = (times_us - fault.from_us) / (fault.to_us - fault.from_us)
        battery = np.where(
            fault.lasts(times_us), battery + (fault.amount - battery) * np.clip(share / 0.8, 0, 1), battery
        )
    minutes = times_us // 60_000_000
    rssi = chance.one(-108, -78, 33) + 2.5 * chance.normal(minutes, 34)
    snr = chance.one(-3, 9, 35) + chance.normal(minutes, 36)
    for fault in faults.during(times_us, "signal-fading"):
        share = np.clip((times_us - fault.from_us) / (0.3 * (fault.to_us - fault.from_us)), 0, 1)
        faded = fault.amount * share * fault.lasts(times_us)
        rssi, snr = rssi - faded, snr - 0.5 * faded
    return {
        "battery_pct": np.clip(np.round(battery), 1, 100),
        "rssi_dbm": np.clip(np.round(rssi), -140, 0),
        "snr_db": np.round(snr, 1),
    }


def signal_lost(chance: Chance, times_us: Ints, rssi_dbm: Floats) -> npt.NDArray[np.bool_]:
    """Uplinks that no gateway hears: the more, the weaker the signal (SF12 is heard down to about -137 dBm)."""
    result: npt.NDArray[np.bool_] = chance.uniform(times_us // 60_000_000, 37) < np.clip((-122 - rssi_dbm) / 40, 0, 0.5)
    return result
