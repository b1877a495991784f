"""From a scenario to faults: where and when, from the seed. A longer look ahead never changes what came before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from math import log
from zoneinfo import ZoneInfo

from catalogue.faults import Span, fault_kinds
from catalogue.inventory import Point, Site
from simulators.bins import BinPhysics
from simulators.buildings import USES, Building
from simulators.calendar import DAY_US, EPOCH_US, HOUR_US, in_heating_season, is_off
from simulators.chance import Chance
from simulators.faults import Fault
from simulators.scenario import Injection, Scenario, Where

#: After a fault its point is well for at least this long before another of the same kind comes at random.
_WELL_US = 21 * DAY_US
#: Between two faults of different kinds that come at random to the same point.
_APART_US = 2 * DAY_US
#: A holiday that is nearer than this after its moment is the one that a fault waits for.
_WAITS_DAYS = 120
#: A meter begins anew in one way only; which one, its own chance says.
_ANEW = ("counter-reset", "counter-rollover", "swapped-meter")


@dataclass(frozen=True)
class Target:
    """A point that may have faults, with what its physics says about when they can come."""

    point: Point
    site: Site
    profile: str | None
    building: Building | None = None
    bin: BinPhysics | None = None

    @property
    def lora(self) -> bool:
        """A battery-powered device that a gateway hears."""
        return (self.profile or "").startswith("milesight-")


class Planner:
    """Plans the faults of a scenario for a city's points."""

    def __init__(self, scenario: Scenario, targets: Sequence[Target], seed: int, zone: ZoneInfo) -> None:
        self._scenario = scenario
        self._targets = targets
        self._seed = seed
        self._zone = zone
        self._begin_us = EPOCH_US if scenario.begin is None else round(scenario.begin.timestamp() * 1e6)

    def plan(self, until_us: int) -> dict[str, list[Fault]]:
        """Faults of each point that begin before a moment."""
        planned: dict[str, list[Fault]] = {}
        drawn: dict[str, list[Fault]] = {}
        for number, injection in enumerate(self._scenario.faults):
            for target, faults in self._injected(number, injection, until_us):
                into = planned if injection.at or injection.kind == "gateway-silent" else drawn
                into.setdefault(target.point.id, []).extend(faults)
        for point, faults in drawn.items():
            kept = planned.setdefault(point, [])
            for fault in sorted(faults):
                if all(
                    fault.from_us >= other.to_us + _APART_US or fault.to_us + _APART_US <= other.from_us
                    for other in kept
                ):
                    kept.append(fault)
        return planned

    def _injected(self, number: int, injection: Injection, until_us: int) -> Iterator[tuple[Target, list[Fault]]]:
        targets = [target for target in self._targets if self._can_have(injection.kind, target)]
        targets = [target for target in targets if _fits(injection.where, target)]
        targets = self._share(number, injection.where.share, targets)
        if injection.kind == "gateway-silent":
            yield from self._gateways(number, injection, targets, until_us)
            return
        for target in targets:
            chance = Chance(self._seed, "fault", str(number), injection.kind, target.point.id)
            yield target, list(self._series(injection, target, chance, until_us))

    def _gateways(
        self, number: int, injection: Injection, targets: Sequence[Target], until_us: int
    ) -> Iterator[tuple[Target, list[Fault]]]:
        by_gateway: dict[str, list[Target]] = {}
        for target in targets:
            by_gateway.setdefault(gateway_of(target.site), []).append(target)
        for gateway, its in sorted(by_gateway.items()):
            chance = Chance(self._seed, "fault", str(number), gateway)
            faults = list(self._series(injection, its[0], chance, until_us))
            for target in its:
                yield (
                    target,
                    [
                        Fault(f.from_us, f.to_us, f.kind, target.point.id, f.amount, f"{gateway} {f.from_us}")
                        for f in faults
                    ],
                )

    def _share(self, number: int, share: float, targets: list[Target]) -> list[Target]:
        if share >= 1 or not targets:
            return targets
        lots = [float(Chance(self._seed, "share", str(number), target.point.id).uniform(0)) for target in targets]
        order = sorted(range(len(targets)), key=lambda index: lots[index])
        chosen = set(order[: max(1, round(share * len(targets)))])
        return [target for index, target in enumerate(targets) if index in chosen]

    def _can_have(self, kind: str, target: Target) -> bool:
        if target.point.kind not in fault_kinds()[kind].points:
            return False
        use = target.building.use if target.building else None
        match kind:
            case "lights-left-on":
                return use is not None and use != "lighting" and not USES[use].weekends
            case "heating-in-holiday" | "no-night-setback":
                heats = target.point.kind == "heat" or not any(other.kind == "heat" for other in target.site.points)
                closes = use is not None and not USES[use].weekends
                return heats and closes and target.building is not None and target.building.lowers_at_night
            case "battery-fading" | "signal-fading" | "gateway-silent":
                return target.lora
            case "clock-off":
                return not target.lora
        return True

    def _series(self, injection: Injection, target: Target, chance: Chance, until_us: int) -> Iterator[Fault]:
        if injection.at:
            for index, moment in enumerate(injection.at):
                fault = self._made(injection, target, chance, index, round(moment.timestamp() * 1e6))
                if fault is not None and fault.from_us < until_us:
                    yield fault
            return
        assert injection.random is not None
        if injection.kind in _ANEW:
            way = int(Chance(self._seed, "anew", target.point.id).uniform(0) * len(_ANEW))
            if _ANEW[way] != injection.kind:
                return
        mean_us = 365 * DAY_US / injection.random.per_point_year
        at_us = self._begin_us
        for index in range(10_000):
            at_us += round(-log(1 - float(chance.uniform(index, 1))) * mean_us)
            if at_us >= until_us:
                return
            fault = self._made(injection, target, chance, index, at_us)
            if fault is not None:
                yield fault
                at_us = fault.to_us + _WELL_US
                if injection.kind == "counter-rollover":
                    return

    def _made(self, injection: Injection, target: Target, chance: Chance, index: int, at_us: int) -> Fault | None:
        """The fault that a moment brings; None if it cannot come then."""
        kind = fault_kinds()[injection.kind]
        lasts_h = _drawn(injection.lasts or kind.lasts_h, float(chance.uniform(index, 2)))
        amount = _drawn(injection.amount or kind.amount, float(chance.uniform(index, 3)))
        if kind.id == "clock-off" and abs(amount) < 1:
            amount = 1.0 if amount >= 0 else -1.0
        # A whole second, as a person would write it.
        at_us -= at_us % 1_000_000
        to_us = at_us + round(lasts_h * 3600) * 1_000_000
        special: dict[str, Callable[[], tuple[int, int] | None]] = {
            "lights-left-on": lambda: self._weekend(at_us),
            "heating-in-holiday": lambda: self._holiday(at_us, target),
            "missed-collection": lambda: _missed(at_us, target.bin, chance, index),
        }
        if not injection.at and injection.kind in ("no-night-setback", "stuck-valve"):
            special[injection.kind] = lambda: self._heated(at_us, to_us)
        span: tuple[int, int] | None = (at_us, to_us)
        if injection.kind in special:
            span = special[injection.kind]()
        if span is None:
            return None
        return Fault(span[0], span[1], kind.id, target.point.id, round(amount, 3))

    def _day(self, at_us: int) -> date:
        return datetime.fromtimestamp(at_us / 1e6, self._zone).date()

    def _us(self, day: date, at: time) -> int:
        return round(datetime.combine(day, at, self._zone).timestamp()) * 1_000_000

    def _weekend(self, at_us: int) -> tuple[int, int]:
        friday = self._day(at_us) + timedelta(days=(4 - self._day(at_us).weekday()) % 7)
        from_us = self._us(friday, time(19))
        if from_us < at_us:
            friday += timedelta(days=7)
            from_us = self._us(friday, time(19))
        return from_us, self._us(friday + timedelta(days=3), time(6, 30))

    def _holiday(self, at_us: int, target: Target) -> tuple[int, int] | None:
        """The next days off in a row, three or more, in the heating season."""
        assert target.building is not None
        school = USES[target.building.use].school
        first = (self._day(at_us) - date(1970, 1, 1)).days + 1

        def off(day: int) -> bool:
            return (day + 3) % 7 >= 5 or is_off(day, school=school)

        for day in range(first, first + _WAITS_DAYS):
            if off(day) and not off(day - 1) and in_heating_season(day):
                end = day
                while off(end) and end - day < 10:
                    end += 1
                if end - day >= 3 and in_heating_season(end):
                    begin = date(1970, 1, 1) + timedelta(days=day)
                    return self._us(begin, time()), self._us(begin + timedelta(days=end - day), time())
        return None

    def _heated(self, from_us: int, to_us: int) -> tuple[int, int] | None:
        """Only while heating is on, and not in its mild first and last weeks."""
        first, last = ((self._day(at_us) - date(1970, 1, 1)).days for at_us in (from_us, to_us))
        heated = all(in_heating_season(day) for day in (first - 14, first, last, last + 7))
        return (from_us, to_us) if heated else None


def gateway_of(site: Site) -> str:
    """The gateway that hears the devices of a site: one a zone."""
    return f"gateway-{site.zone or 'city'}"


def _drawn(span: Span | None, lot: float) -> float:
    return 0.0 if span is None else span.least + (span.most - span.least) * lot


def _missed(at_us: int, bin_: BinPhysics | None, chance: Chance, index: int) -> tuple[int, int] | None:
    """From the first round that leaves it out until before the one that takes it along again."""
    assert bin_ is not None
    every = bin_.every_days
    rounds = max(1, round((2 + 1.5 * float(chance.uniform(index, 4))) / every))
    due = bin_.rounds_us(at_us, at_us + (rounds + 3) * every * DAY_US)
    if len(due) <= rounds:
        return None
    return int(due[0]) - HOUR_US // 60, int(due[rounds]) - HOUR_US // 60


def _fits(where: Where, target: Target) -> bool:
    parts: tuple[tuple[Sequence[str], str | None], ...] = (
        (where.kind, target.point.kind),
        (where.use, target.site.use),
        (where.fraction, target.point.fraction),
        (where.site, target.site.id),
        (where.point, target.point.id),
        (where.zone, target.site.zone),
        (where.contractor, target.point.contractor),
    )
    return all(not wanted or own in wanted for wanted, own in parts)
