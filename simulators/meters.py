"""What meters show: registers with their faults, and the other quantities that they send along."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simulators.bins import device_health
from simulators.buildings import FULL_HEAT_W_M2, Building
from simulators.calendar import EPOCH_US, HOUR_US
from simulators.chance import Chance, Floats, Ints
from simulators.faults import Faults
from simulators.weather import Weather

#: Metric → values at the given moments, as the device measures them.
Measured = dict[str, Floats]
Total = Callable[[Ints], Floats]

#: What a gateway that sends Wh as kWh, or litres as m3, makes of a register.
WRONG_UNIT = 1000.0
#: Digits of a register if the inventory does not say.
DIGITS = {"electricity": 7, "heat": 7, "gas": 6, "water": 5}
#: 1 kWh warms so many litres of water by 1 K.
_LITRES_K_KWH = 860.0


class Register:
    """A register of `digits` before the point that counts `total` (since the epoch), from a start value on."""

    def __init__(self, total: Total, start: float, resolution: float, digits: int, faults: Faults) -> None:
        self._total = total
        self._resolution = resolution
        self._most = 10.0**digits
        self._faults = faults
        self._events = faults.of("counter-reset", "counter-rollover", "swapped-meter")
        self._begins_us = np.array([EPOCH_US, *(event.from_us for event in self._events)], np.int64)
        begun = self._counted(self._begins_us) if len(self._events) else np.zeros(1)
        shown = [start, *(event.amount if event.kind == "swapped-meter" else 0.0 for event in self._events)]
        for number, event in enumerate(self._events):
            if event.kind == "counter-rollover":
                # It passes its last digit just then.
                shown[number] = self._most - (begun[number + 1] - begun[number])
        self._offsets = np.array(shown) - begun

    def at(self, times_us: Ints) -> Floats:
        """What the register shows."""
        spell: Ints = np.searchsorted(self._begins_us, times_us, side="right") - 1
        value = (self._counted(times_us) + self._offsets[np.maximum(spell, 0)]) % self._most
        shown: Floats = np.floor(value / self._resolution + 1e-6) * self._resolution
        for fault in self._faults.during(times_us, "unit-error"):
            shown = np.where(fault.lasts(times_us), shown * WRONG_UNIT, shown)
        return shown

    def _counted(self, times_us: Ints) -> Floats:
        """What was used and counted; while the meter is stuck nothing is."""
        counted = self._total(times_us)
        for fault in self._faults.of("meter-stuck"):
            missed = self._total(np.clip(times_us, fault.from_us, fault.to_us))
            counted = counted - (missed - self._total(np.array([fault.from_us], np.int64)))
        return counted


def electricity(building: Building, chance: Chance, digits: int, faults: Faults) -> Callable[[Ints], Measured]:
    """A three-phase meter."""
    start = round(chance.one(5_000, 400_000, 1))
    register = Register(lambda times_us: building.electricity(times_us, faults)[0], start, 0.01, digits, faults)
    shares = np.array([0.36, 0.33, 0.31])

    def measure(times_us: Ints) -> Measured:
        slots = times_us // 60_000_000
        watts = building.electricity(times_us, faults)[1] * 1000 * (1 + 0.06 * chance.normal(slots, 3))
        for fault in faults.during(times_us, "meter-stuck"):
            held = building.electricity(np.array([fault.from_us], np.int64), faults)[1] * 1000
            watts = np.where(fault.lasts(times_us), held, watts)
        factor = np.clip(0.95 - 0.04 * chance.uniform(slots, 4), 0.5, 1)
        for fault in faults.during(times_us, "reactive-load"):
            factor = np.where(fault.lasts(times_us), fault.amount + 0.04 * chance.uniform(slots, 4), factor)
        values = {
            "energy_kwh": np.round(register.at(times_us), 2),
            "power_w": np.round(watts),
            "power_factor": np.round(factor, 2),
            "reactive_power_var": np.round(watts * np.tan(np.arccos(factor))),
            "apparent_power_va": np.round(watts / factor),
            "frequency_hz": np.round(50 + 0.02 * chance.normal(slots, 5), 2),
        }
        for phase in range(3):
            volts = building.voltage_v(times_us, phase, faults)
            amperes = watts * shares[phase] / factor / np.maximum(volts, 100.0)
            values[f"voltage_l{phase + 1}_v"] = np.round(volts, 1)
            values[f"current_l{phase + 1}_a"] = np.round(amperes * (volts >= 100), 3)
        return values

    return measure


def heat(building: Building, chance: Chance, digits: int, faults: Faults) -> Callable[[Ints], Measured]:
    """A heat meter: energy, volume, flow, supply and return."""
    energy = Register(
        lambda times_us: building.heat(times_us, faults)[0], round(chance.one(10_000, 400_000, 1)), 1.0, digits, faults
    )
    # The volume follows the energy at the spread of the middling load.
    volume_l_kwh = _LITRES_K_KWH / 22.0

    def measure(times_us: Ints) -> Measured:
        total, kilowatts = building.heat(times_us, faults)
        load = np.minimum(kilowatts * 1000 / building.area_m2, FULL_HEAT_W_M2) / FULL_HEAT_W_M2
        wander = 1.2 * chance.normal(times_us // HOUR_US, 2)
        # About 22 K at the middle (DOMAIN E20 warns below 20 K); a stuck valve lets the supply through.
        supply, spread = 45 + 30 * load + wander, 15 + 13 * load
        for fault in faults.during(times_us, "stuck-valve"):
            lasts = fault.lasts(times_us)
            supply, spread = np.where(lasts, 82 + wander, supply), np.where(lasts, 9 + 6 * load, spread)
        return {
            "energy_kwh": energy.at(times_us),
            "heat_carrier_m3": np.round(total * volume_l_kwh / 1000, 2),
            "power_w": np.round(kilowatts * 1000),
            "flow_m3h": np.round(kilowatts * _LITRES_K_KWH / 1000 / spread, 3),
            "supply_temperature_c": np.round(supply, 1),
            "return_temperature_c": np.round(supply - spread, 1),
        }

    return measure


def gas(building: Building, chance: Chance, digits: int, faults: Faults, *, heats: bool) -> Callable[[Ints], Measured]:
    """A gas meter; `heats` if the building has a boiler of its own."""
    register = Register(
        lambda times_us: building.gas_m3(times_us, faults, heats=heats),
        round(chance.one(800, 60_000, 1)), 0.01, digits, faults,
    )  # fmt: skip
    return lambda times_us: {"gas_m3": np.round(register.at(times_us), 2)}


def water(
    building: Building, chance: Chance, digits: int, faults: Faults, weather: Weather
) -> Callable[[Ints], Measured]:
    """A water meter with a pulse counter that runs on a battery."""
    register = Register(
        lambda times_us: building.water_m3(times_us, faults), round(chance.one(200, 9000, 1)), 0.001, digits, faults
    )
    return lambda times_us: {
        "water_m3": np.round(register.at(times_us), 3),
        "temperature_c": np.round(9 + 0.2 * weather.temperature_c(times_us), 1),
        "humidity_pct": np.round(48 + 20 * chance.uniform(times_us // HOUR_US, 2), 1),
        **device_health(chance, times_us, faults),
    }


def register_metric(kind: str) -> str:
    """The register of a kind of meter."""
    return {"electricity": "energy_kwh", "heat": "energy_kwh", "gas": "gas_m3", "water": "water_m3"}[kind]
