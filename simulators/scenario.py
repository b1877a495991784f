"""Scenario files: which city, which time, which faults, where and when."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from catalogue.errors import FileProblems
from catalogue.faults import Span, fault_kinds
from catalogue.inventory import BuildingUse, Fraction, Id, Inventory, PointKind, parse_duration, read_inventory
from catalogue.yamlfile import Document, read_yaml, validate
from simulators.calendar import EPOCH
from simulators.generate import CitySize, generate_inventory

#: Kinds that follow from others and are never injected.
DERIVED_KINDS = frozenset({"bin-nearly-full"})


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _known_kind(value: str) -> str:
    if value not in fault_kinds() or value in DERIVED_KINDS:
        raise ValueError(f"there is no fault {value!r} to inject; see `misto simulate faults`, for example slow-leak")
    return value


def _moment(value: Any) -> datetime:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError("must be a moment with its zone, for example 2026-01-15T02:00:00+02:00") from None
    if moment.tzinfo is None:
        raise ValueError("needs a time zone, for example 2026-01-15T02:00:00+02:00")
    if moment < EPOCH:
        raise ValueError(f"lies before {EPOCH:%Y-%m-%d}, where the simulation begins")
    return moment.astimezone(UTC)


def _hours(value: Any) -> Span:
    """`6h`, or `{from: 2d, to: 10d}`."""
    if isinstance(value, str):
        hours = parse_duration(value) / 3600
        return Span(least=hours, most=hours)
    return _span(value, lambda part: parse_duration(part) / 3600, "{from: 2d, to: 10d} or 6h")


def _amount(value: Any) -> Span:
    """A number, or `{from: 60, to: 300}`."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Span(least=value, most=value)
    return _span(value, float, "{from: 60, to: 300} or 120")


def _span(value: Any, read: Any, example: str) -> Span:
    if isinstance(value, Span):
        return value
    if not isinstance(value, dict) or set(value) != {"from", "to"}:
        raise ValueError(f"must be written as {example}")
    least, most = read(value["from"]), read(value["to"])
    if least > most:
        raise ValueError("its from must not be more than its to")
    return Span(least=least, most=most)


Moment = Annotated[datetime, BeforeValidator(_moment)]
Hours = Annotated[Span, BeforeValidator(_hours)]
Amount = Annotated[Span, BeforeValidator(_amount)]


class Where(_Strict):
    """Which points; every given part must fit. `share` takes a part of them, chosen by the seed."""

    kind: list[PointKind] = []
    use: list[BuildingUse] = []
    fraction: list[Fraction] = []
    site: list[Id] = []
    point: list[Id] = []
    zone: list[Id] = []
    contractor: list[Id] = []
    share: float = Field(default=1.0, gt=0, le=1)


class AtRandom(_Strict):
    """How often on average at a point in a year; for gateway-silent, at a gateway."""

    per_point_year: float = Field(gt=0, le=100)


class Injection(_Strict):
    """One kind of fault: on a schedule (`at`) or at random from the seed (`random`)."""

    kind: Annotated[str, AfterValidator(_known_kind)]
    where: Where = Where()
    at: list[Moment] = []
    random: AtRandom | None = None
    lasts: Hours | None = None
    amount: Amount | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Injection:
        if bool(self.at) == (self.random is not None):
            raise ValueError(
                "needs either at or random, for example at: [2026-01-15T02:00:00+02:00] or random: {per_point_year: 1}"
            )
        kind = fault_kinds()[self.kind]
        if self.amount is not None and kind.amount is None:
            raise ValueError(f"the fault {self.kind} has no amount")
        if self.lasts is not None and kind.lasts_h is None:
            raise ValueError(f"the fault {self.kind} happens at its moment or by the rounds; it takes no lasts")
        return self


class Scenario(_Strict):
    """A whole scenario. `city`: an inventory file beside it, or a size to make one; without it the demo city."""

    version: Literal[1]
    city: str | CitySize | None = None
    seed: int = Field(default=1, ge=0)
    begin: Annotated[Moment | None, Field(alias="from")] = None
    end: Annotated[Moment | None, Field(alias="to")] = None
    unknown_devices: int = Field(default=0, ge=0, le=1000)
    faults: list[Injection] = []

    @model_validator(mode="after")
    def _in_order(self) -> Scenario:
        if self.begin is not None and self.end is not None and self.begin >= self.end:
            raise ValueError("its from must lie before its to")
        return self


def read_scenario(path: Path) -> tuple[Scenario, Inventory | None]:
    """A scenario and its city (None: the demo city). Raises `FileProblems` with every mistake at once."""
    document = read_yaml(path)
    scenario = validate(document, Scenario)
    inventory = None
    if isinstance(scenario.city, str):
        inventory = read_inventory(path.parent / scenario.city)
    elif scenario.city is not None:
        inventory = generate_inventory(scenario.city)
    if inventory is not None:
        check_places(document, scenario, inventory)
    return scenario, inventory


def check_places(document: Document, scenario: Scenario, inventory: Inventory) -> None:
    """Raise `FileProblems` for ids that the inventory does not have."""
    known = {
        "site": {site.id for site in inventory.sites},
        "point": {point.id for site in inventory.sites for point in site.points},
        "zone": {zone.id for zone in inventory.zones},
        "contractor": {contractor.id for contractor in inventory.contractors},
    }
    problems = [
        document.problem(
            ("faults", number, "where", part, place),
            f"the city has no {part} {wanted!r}, but for example {min(ids)!r}" if ids else f"the city has no {part}",
        )
        for number, injection in enumerate(scenario.faults)
        for part, ids in known.items()
        for place, wanted in enumerate(getattr(injection.where, part))
        if wanted not in ids
    ]
    if problems:
        raise FileProblems(problems)
