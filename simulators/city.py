"""The whole city: which point has which physics and which faults, and when its device reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np

from catalogue.inventory import Inventory, Point, Site
from simulators import meters
from simulators.bins import Bin, BinPhysics, Filling
from simulators.buildings import Building, SharedCurves
from simulators.calendar import EPOCH_US
from simulators.chance import Chance, Floats, Ints
from simulators.faults import Fault, Faults
from simulators.plan import Planner, Target
from simulators.scenario import Scenario
from simulators.transport import Deliveries, deliver
from simulators.weather import Weather

#: Metric → values at the given moments, as the device measures them.
Measure = Callable[[Ints], dict[str, Floats]]

_LOOK_AHEAD = timedelta(days=400)


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
    faults: Faults
    chance: Chance

    def first_us(self, from_us: int) -> int:
        """The first moment from `from_us` on at which it measures."""
        return -(-(from_us - self.phase_us) // self.interval_us) * self.interval_us + self.phase_us

    def times_us(self, from_us: int, to_us: int) -> Ints:
        """Moments at which it measures, from `from_us` until before `to_us`."""
        return np.arange(self.first_us(from_us), to_us, self.interval_us, dtype=np.int64)

    def deliveries(self, from_us: int, to_us: int) -> Deliveries:
        """What becomes of what it measures then, in order of sending; some of it may be sent after `to_us`."""
        times_us = self.times_us(from_us, to_us)
        return deliver(times_us, self.measure(times_us), self.interval_us, self.chance, self.faults)


class City:
    """Every simulated point of an inventory. The same inventory, scenario and seed make the same city.

    `faults` holds what goes wrong until `until_us`, by default a year from now.
    """

    def __init__(
        self,
        inventory: Inventory,
        scenario: Scenario | None = None,
        seed: int | None = None,
        until_us: int | None = None,
    ) -> None:
        self.inventory = inventory
        self.scenario = scenario or Scenario(version=1)
        self.seed = self.scenario.seed if seed is None else seed
        self.zone = ZoneInfo(inventory.city.time_zone)
        self.weather = Weather(self.seed, self.zone)
        self._shared = SharedCurves(self.seed, self.weather, self.zone, inventory.city.latitude)
        self._filling = Filling(self.zone)
        targets = list(self._targets())
        if until_us is None:
            until_us = round((datetime.now(self.zone) + _LOOK_AHEAD).timestamp() * 1e6)
        planned = Planner(self.scenario, targets, self.seed, self.zone).plan(until_us)
        self.faults: dict[str, list[Fault]] = {point: sorted(faults) for point, faults in planned.items() if faults}
        self.bins = {target.point.id: target.bin for target in targets if target.bin is not None}
        self.meters = [self._meter(target) for target in targets]

    @cached_property
    def meter_of(self) -> dict[str, Meter]:
        """Meters by point."""
        return {meter.point.id: meter for meter in self.meters}

    def _targets(self) -> Iterator[Target]:
        for site in self.inventory.sites:
            building = None
            if site.kind == "building":
                use, area = site.use or "other", site.floor_area_m2 or 1000.0
                building = Building(self.seed, site.id, use, area, self._shared, self.zone)
            for point in site.points:
                current = [device for device in point.devices if device.valid_to is None]
                if not current or (point.kind not in ("bin", "weather") and building is None):
                    continue
                bin_ = None
                if point.kind == "bin":
                    if point.bin is None or point.fraction is None:
                        continue
                    rounds_h = 6.5 if (point.contractor or "").startswith("e") else 17.5
                    its = Bin(point.id, point.fraction, point.bin, rounds_h)
                    bin_ = BinPhysics(self.seed, its, self._filling, self.weather, self.zone)
                yield Target(point, site, current[0].profile, building, bin_)

    def _meter(self, target: Target) -> Meter:
        point, site = target.point, target.site
        device = next(device for device in point.devices if device.valid_to is None)
        faults = Faults(self.faults.get(point.id, ()))
        chance = Chance(self.seed, "point", point.id)
        # Whole seconds, as devices send them.
        phase_us = int(Chance(self.seed, "phase", point.id).one(0, point.interval, 1)) * 1_000_000
        return Meter(
            point, site, device.address, device.profile, round(point.interval * 1e6), EPOCH_US + phase_us,
            self._measure(target, chance, faults), faults, chance,
        )  # fmt: skip

    def _measure(self, target: Target, chance: Chance, faults: Faults) -> Measure:
        point, building = target.point, target.building
        if target.bin is not None:
            bin_ = target.bin
            return lambda times_us: bin_.measure(times_us, faults)
        if point.kind == "weather":
            return lambda times_us: {
                "temperature_c": np.round(self.weather.temperature_c(times_us), 1),
                "humidity_pct": np.round(self.weather.humidity_pct(times_us)),
            }
        assert building is not None
        digits = point.register_digits or meters.DIGITS[point.kind]
        match point.kind:
            case "electricity":
                return meters.electricity(building, chance, digits, faults)
            case "heat":
                return meters.heat(building, chance, digits, faults)
            case "gas":
                heats = not any(other.kind == "heat" for other in target.site.points)
                return meters.gas(building, chance, digits, faults, heats=heats)
        return meters.water(building, chance, digits, faults, self.weather)
