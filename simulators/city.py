"""The whole city: which point has which physics, and when its device reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np

from catalogue.inventory import Inventory, Point, Site
from simulators.bins import Bin, BinPhysics
from simulators.chance import Chance, Floats, Ints
from simulators.physics import EPOCH_US, USES, Building, BuildingPhysics, Register, Weather

#: Metric → values at the given moments, as the device measures them.
Measure = Callable[[Ints], dict[str, Floats]]


@dataclass(frozen=True)
class Meter:
    """A point with its device: it reports every `interval_us`, from `phase_us` on."""

    point: Point
    site: Site
    address: str
    profile: str | None
    interval_us: int
    phase_us: int
    measure: Measure

    def times_us(self, from_us: int, to_us: int) -> Ints:
        """Moments of its reports from `from_us` until before `to_us`."""
        first = -(-(from_us - self.phase_us) // self.interval_us) * self.interval_us + self.phase_us
        return np.arange(first, to_us, self.interval_us, dtype=np.int64)


class City:
    """Every simulated point of an inventory. The same inventory and seed make the same city."""

    def __init__(self, inventory: Inventory, seed: int = 1) -> None:
        self.inventory = inventory
        self.seed = seed
        self._zone = ZoneInfo(inventory.city.time_zone)
        self._weather = Weather(seed, self._zone)
        self.meters = list(self._make())

    def _make(self) -> Iterator[Meter]:
        buildings = [site for site in self.inventory.sites if site.kind == "building"]
        bins = [point for site in self.inventory.sites for point in site.points if point.kind == "bin"]
        quirks = _quirks(buildings, bins, self.seed)
        for site in self.inventory.sites:
            physics = None
            if site.kind == "building":
                building = Building(site.id, site.use or "other", site.floor_area_m2 or 1000.0, quirks[site.id])
                physics = BuildingPhysics(self.seed, building, self._weather, self._zone)
            for point in site.points:
                current = [device for device in point.devices if device.valid_to is None]
                if not current:
                    continue
                measure = self._measure(site, point, physics, quirks.get(point.id, frozenset()))
                if measure is None:
                    continue
                interval_us = round(point.interval * 1e6)
                # Whole seconds, as devices send them.
                phase = int(Chance(self.seed, "phase", point.id).one(0, point.interval, 1)) * 1_000_000
                device = current[0]
                yield Meter(point, site, device.address, device.profile, interval_us, phase, measure)

    def _measure(
        self, site: Site, point: Point, physics: BuildingPhysics | None, quirks: frozenset[str]
    ) -> Measure | None:
        chance = Chance(self.seed, "point", point.id)
        match point.kind:
            case "bin" if point.bin is not None and point.fraction is not None:
                rounds_h = 6.5 if (point.contractor or "").startswith("e") else 17.5
                return _bin(
                    BinPhysics(
                        self.seed, Bin(point.id, point.fraction, point.bin, rounds_h, quirks), self._weather, self._zone
                    )
                )
            case "weather":
                return lambda times_us: {
                    "temperature_c": np.round(self._weather.temperature_c(times_us), 1),
                    "humidity_pct": np.round(self._weather.humidity_pct(times_us)),
                }
        if physics is None:
            return None
        match point.kind:
            case "electricity":
                return _electricity(physics, chance)
            case "heat":
                return _heat(physics, chance)
            case "gas":
                heats = not any(other.kind == "heat" for other in site.points)
                gas = Register(
                    lambda times_us: physics.gas_m3h(times_us, heats=heats), round(chance.one(800, 60000, 1)), 0.01
                )
                return lambda times_us: {"gas_m3": np.round(gas.at(times_us), 2)}
            case "water":
                water = Register(physics.water_m3h, round(chance.one(200, 9000, 1)), 0.001)
                return lambda times_us: {
                    "water_m3": np.round(water.at(times_us), 3),
                    "temperature_c": np.round(9 + 0.2 * self._weather.temperature_c(times_us), 1),
                    "humidity_pct": np.round(48 + 20 * chance.uniform(times_us // 3_600_000_000, 2), 1),
                    "battery_pct": np.clip(np.round(96 - (times_us - EPOCH_US) / 86_400_000_000 * 0.02), 1, 100),
                }
        return None


def _electricity(physics: BuildingPhysics, chance: Chance) -> Measure:
    register = Register(physics.electricity_kw, round(chance.one(5_000, 400_000, 1)), 0.01)
    shares = np.array([0.36, 0.33, 0.31])

    def measure(times_us: Ints) -> dict[str, Floats]:
        slots = times_us // 60_000_000
        watts = physics.electricity_kw(times_us) * 1000 * (1 + 0.06 * chance.normal(slots, 3))
        factor = np.clip(0.95 - 0.04 * chance.uniform(slots, 4), 0.5, 1)
        values = {
            "energy_kwh": np.round(register.at(times_us), 2),
            "power_w": np.round(watts),
            "power_factor": np.round(factor, 2),
            "reactive_power_var": np.round(watts * np.tan(np.arccos(factor))),
            "apparent_power_va": np.round(watts / factor),
            "frequency_hz": np.round(50 + 0.02 * chance.normal(slots, 5), 2),
        }
        for phase in range(3):
            volts = physics.voltage_v(times_us, phase)
            values[f"voltage_l{phase + 1}_v"] = np.round(volts, 1)
            values[f"current_l{phase + 1}_a"] = np.round(watts * shares[phase] / factor / volts, 3)
        return values

    return measure


def _heat(physics: BuildingPhysics, chance: Chance) -> Measure:
    energy = Register(physics.heat_kw, round(chance.one(10_000, 900_000, 1)), 1.0)

    def spread(times_us: Ints) -> Floats:
        """Difference of supply and return: larger at full load, about 22 K (DOMAIN E20 warns below 20 K)."""
        load = physics.heat_kw(times_us) * 1000 / physics.building.floor_area_m2
        return 14 + 0.22 * np.minimum(load, 60) + 1.5 * chance.normal(times_us // 3_600_000_000, 2)

    # 1 kWh warms 860 litres by 1 K.
    volume = Register(lambda times_us: physics.heat_kw(times_us) * 0.86 / spread(times_us), 0.0, 0.01)

    def measure(times_us: Ints) -> dict[str, Floats]:
        difference = spread(times_us)
        kilowatts = physics.heat_kw(times_us)
        supply = 48 + 0.55 * np.minimum(kilowatts * 1000 / physics.building.floor_area_m2, 60)
        return {
            "energy_kwh": energy.at(times_us),
            "heat_carrier_m3": np.round(volume.at(times_us), 2),
            "power_w": np.round(kilowatts * 1000),
            "flow_m3h": np.round(kilowatts * 0.86 / difference, 3),
            "supply_temperature_c": np.round(supply, 1),
            "return_temperature_c": np.round(supply - difference, 1),
        }

    return measure


def _bin(physics: BinPhysics) -> Measure:
    return lambda times_us: {
        "distance_mm": physics.distance_mm(times_us),
        "temperature_c": physics.temperature_c(times_us),
        "tilted": physics.tilted(times_us),
        "battery_pct": physics.battery_pct(times_us),
    }


def _quirks(buildings: list[Site], bins: list[Point], seed: int) -> dict[str, frozenset[str]]:
    """What goes wrong where: a fixed share of the city, chosen by the seed."""
    names = [site.id for site in buildings] + [point.id for point in bins]
    chosen: dict[str, set[str]] = {name: set() for name in names}
    chance = Chance(seed, "quirks")

    def choose(names: list[str], quirk: str, share: float, stream: int) -> None:
        order = np.argsort(chance.uniform(np.arange(len(names), dtype=np.int64), stream))
        for index in order[: max(1, round(share * len(names)))] if names else []:
            chosen[names[index]].add(quirk)

    closed = [site.id for site in buildings if not USES[site.use or "other"][5]]
    choose(closed, "night-load", 0.1, 1)
    choose(closed, "leak", 0.1, 2)
    choose([site.id for site in buildings], "weak-line", 0.08, 3)
    names = [point.id for point in bins]
    choose(names, "busy", 0.08, 4)
    choose(names, "missed", 0.05, 5)
    choose(names, "tips", 0.025, 6)
    choose(names, "fire", 0.01, 7)
    choose(names, "weak-battery", 0.02, 8)
    return {name: frozenset(quirks) for name, quirks in chosen.items()}
