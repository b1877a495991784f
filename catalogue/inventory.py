"""The inventory file: the city's sites, the points measured there, the devices that measure them."""

from __future__ import annotations

import re
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from catalogue.errors import FileProblems, Problem
from catalogue.geometry import BinGeometry
from catalogue.yamlfile import Document, read_yaml, validate

PointKind = Literal["electricity", "heat", "gas", "water", "bin", "weather", "indoor"]
Fraction = Literal["mixed", "paper", "plastic", "glass", "bio"]
BuildingUse = Literal[
    "school", "kindergarten", "hospital", "office", "library", "culture", "sport", "lighting", "other"
]

_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(s|m|h|d)$")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(value: Any) -> float:
    """Seconds from `90s`, `15m`, `36h`, `7d`; raises ValueError for anything else."""
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a number with a unit s, m, h or d, for example 15m")
    return float(match[1]) * _UNIT_SECONDS[match[2]]


def normal_address(value: str) -> str:
    """A device's address as it is compared: no blanks, lower case (EUIs are written either way)."""
    return "".join(value.split()).lower()


def _known_time_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError("is not a time zone of the IANA database, for example Europe/Kyiv")
    return value


Duration = Annotated[float, BeforeValidator(parse_duration), Field(gt=0)]
Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Address = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(normal_address)]
TimeZone = Annotated[str, AfterValidator(_known_time_zone)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Text(_Strict):
    """A text in both languages of the city."""

    en: str
    uk: str


class City(_Strict):
    name: Text
    time_zone: TimeZone = "Europe/Kyiv"
    currency: str = Field(default="UAH", pattern=r"^[A-Z]{3}$")
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)


class Contractor(_Strict):
    id: Id
    name: Text
    phone: str | None = None
    email: str | None = None


class Zone(_Strict):
    id: Id
    name: Text


class Tariff(_Strict):
    """Price of one kWh (electricity, heat) or m3 (gas, water) in the city's currency, from a day on."""

    kind: Literal["electricity", "heat", "gas", "water"]
    price: float = Field(ge=0)
    valid_from: date


class DeviceEntry(_Strict):
    """The hardware at a point for a time. `register_start`/`register_end`: what the register showed then."""

    address: Address
    profile: str | None = None
    channel: str = ""
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    register_start: float | None = None
    register_end: float | None = None

    @field_validator("valid_from", "valid_to")
    @classmethod
    def _with_zone(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("needs a time zone, for example 2026-03-01T12:00:00+02:00")
        return value


class Point(_Strict):
    id: Id
    kind: PointKind
    name: Text | None = None
    interval: Duration = 900.0
    fraction: Fraction | None = None
    contractor: Id | None = None
    bin: BinGeometry | None = None
    register_digits: int | None = Field(default=None, ge=3, le=12)
    labels: dict[str, str] = {}
    devices: list[DeviceEntry] = []


class Site(_Strict):
    id: Id
    kind: Literal["building", "stand"]
    name: Text
    use: BuildingUse | None = None
    address: Text | None = None
    zone: Id | None = None
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    floor_area_m2: float | None = Field(default=None, gt=0)
    labels: dict[str, str] = {}
    points: list[Point] = []


class Inventory(_Strict):
    """A whole inventory file."""

    version: Literal[1]
    city: City
    zones: list[Zone] = []
    contractors: list[Contractor] = []
    tariffs: list[Tariff] = []
    sites: list[Site] = []


def read_inventory(path: Path) -> Inventory:
    """Read and check an inventory file; raises `FileProblems` with every mistake at once."""
    document = read_yaml(path)
    inventory = validate(document, Inventory)
    problems = list(cross_problems(document, inventory))
    if problems:
        raise FileProblems(problems)
    return inventory


def cross_problems(document: Document, inventory: Inventory) -> list[Problem]:
    """Mistakes that only the whole file shows: duplicates, references to nowhere, missing geometry."""
    problems: list[Problem] = []
    zones = {zone.id for zone in inventory.zones}
    contractors = {contractor.id for contractor in inventory.contractors}
    seen: dict[str, set[str]] = {"site": set(), "point": set()}
    spans: dict[tuple[str, str], list[tuple[float, float, str]]] = {}

    def once(group: str, name: str, location: tuple[int | str, ...]) -> None:
        if name in seen[group]:
            problems.append(document.problem(location, f"the {group} id {name!r} stands twice in this file"))
        seen[group].add(name)

    for s, site in enumerate(inventory.sites):
        here: tuple[int | str, ...] = ("sites", s)
        once("site", site.id, (*here, "id"))
        if site.zone is not None and site.zone not in zones:
            problems.append(document.problem((*here, "zone"), f"there is no zone {site.zone!r} under zones"))
        for p, point in enumerate(site.points):
            there = (*here, "points", p)
            once("point", point.id, (*there, "id"))
            if point.kind == "bin" and point.fraction is None:
                problems.append(document.problem((*there, "fraction"), "a bin needs its fraction"))
            if point.contractor is not None and point.contractor not in contractors:
                problems.append(
                    document.problem(
                        (*there, "contractor"),
                        f"there is no contractor {point.contractor!r} under contractors",
                    )
                )
            for d, device in enumerate(point.devices):
                start = device.valid_from.timestamp() if device.valid_from else float("-inf")
                end = device.valid_to.timestamp() if device.valid_to else float("inf")
                place = (*there, "devices", d)
                if start >= end:
                    problems.append(document.problem((*place, "valid_to"), "must be later than valid_from"))
                for key, what in (
                    ((device.address, device.channel), f"the device {device.address!r}"),
                    ((point.id, "\0point"), f"the point {point.id!r}"),
                ):
                    for other_start, other_end, other in spans.get(key, []):
                        if start < other_end and other_start < end:
                            problems.append(
                                document.problem(place, f"{what} is assigned twice at the same time (also at {other})")
                            )
                    spans.setdefault(key, []).append((start, end, point.id))
    return problems
