"""The mapping file: what the columns of a recorded file are (docs/replay.md)."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    field_validator,
    model_validator,
)
from pydantic import StrictStr as Text

from catalogue.errors import FileProblems
from catalogue.inventory import BuildingUse, City, Duration, Fraction, PointKind, TimeZone, parse_duration
from catalogue.inventory import Text as Names
from catalogue.yamlfile import Document, Location
from simulators.replay.units import Conversion, conversion

#: In a wide file: the column of the device itself.
OWN_COLUMN = "*"

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def placeholders(template: str) -> list[str]:
    """The names in braces of a template: `wyndham-{Bin ID}` has `Bin ID`."""
    return _PLACEHOLDER.findall(template)


def fill(template: str, known: dict[str, str]) -> str:
    """A template with each name in braces replaced. Raises KeyError for an unknown name."""
    return _PLACEHOLDER.sub(lambda match: known[match[1]], template)


def _signed_duration(value: Any) -> float:
    """Seconds from `-1m`, `12h`, `0s`."""
    if isinstance(value, str) and value.startswith("-"):
        return -parse_duration(value[1:])
    try:
        return parse_duration(value)
    except ValueError:
        raise ValueError("must be a number with a unit s, m, h or d, for example 1h or -1m") from None


def _template(value: str) -> str:
    if re.search(r"[{}]", _PLACEHOLDER.sub("", value)):
        raise ValueError("has a brace without its partner; names of columns stand in braces, for example bin-{Bin ID}")
    return value


def _encoding(value: str) -> str:
    try:
        codecs.lookup(value)
    except LookupError:
        raise ValueError("is no encoding that Python knows, for example windows-1251") from None
    return value


Template = Annotated[str, Field(min_length=1), AfterValidator(_template)]


#: What a cell is compared with.
Cell = StrictBool | StrictInt | StrictFloat | Text


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileFormat(_Strict):
    """How the file is written. `columns` names them where the file has no header."""

    format: Literal["csv", "parquet"] | None = None
    separator: str = Field(default=",", min_length=1, max_length=1)
    columns: list[Text] | None = Field(default=None, min_length=1)
    skip_lines: int = Field(default=0, ge=0)
    encoding: Annotated[str, AfterValidator(_encoding)] = "utf-8-sig"
    decimal: Literal[".", ","] = "."


class TimeColumn(_Strict):
    """Where the time stands. `marks` and `interval` tell which interval an accumulated amount is of."""

    column: Text | list[Text]
    format: str = Field(default="iso", min_length=1)
    zone: TimeZone | None = None
    marks: Literal["start", "end"] | None = None
    interval: Duration | None = None

    @property
    def columns(self) -> list[str]:
        return [self.column] if isinstance(self.column, str) else self.column

    @model_validator(mode="after")
    def _known_format(self) -> TimeColumn:
        if self.format not in ("iso", "epoch_s", "epoch_ms"):
            if "%" not in self.format:
                raise ValueError(
                    f"format {self.format!r} is none; expected iso, epoch_s, epoch_ms or one of strptime, "
                    "for example '%d-%m-%Y %H:%M'"
                )
            if "%z" not in self.format and self.zone is None:
                raise ValueError(
                    f"format {self.format!r} has no zone, so the key zone is needed, for example zone: Europe/Kyiv"
                )
        if not self.columns:
            raise ValueError("column names no column, for example column: timestamp")
        return self


class DeviceAddress(_Strict):
    """The device's address: a template over columns. `from_columns`: a wide file, each column is a device."""

    address: Template
    from_columns: Literal["others"] | list[Text] | None = None


class Condition(_Strict):
    """Only rows whose column equals (or does not equal) one of these; capitals do not count."""

    column: Text
    equals: Cell | list[Cell] | None = None
    not_equals: Cell | list[Cell] | None = None

    @model_validator(mode="after")
    def _one(self) -> Condition:
        if (self.equals is None) == (self.not_equals is None):
            raise ValueError("needs either equals or not_equals, for example {column: status, equals: ok}")
        return self


class Value(_Strict):
    """A column that is a metric: (number · scale + offset) in `unit`, converted into the metric's unit."""

    column: Text
    metric: str
    unit: Text | None = None
    scale: float = Field(default=1.0, allow_inf_nan=False)
    offset: float = Field(default=0.0, allow_inf_nan=False)
    between: tuple[float, float] | None = None
    accumulate: bool = False

    @field_validator("between")
    @classmethod
    def _in_order(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] > value[1]:
            raise ValueError("must be the lower and then the upper bound, for example [0, 60]")
        return value

    @property
    def conversion(self) -> Conversion:
        return conversion(self.metric, self.unit, self.scale, self.offset, accumulate=self.accumulate)


class Reading(_Strict):
    """What is measured at one moment of a row: its time plus `at` (seconds)."""

    at: Annotated[float, BeforeValidator(_signed_duration)] = 0.0
    values: list[Value] = Field(min_length=1)


class Shift(_Strict):
    """Moves all times, so that the last one lies at `end`; by whole multiples of `step` (s) never past it."""

    end: Literal["now"] | datetime
    step: Duration | None = None

    @field_validator("end")
    @classmethod
    def _with_zone(cls, value: Any) -> Any:
        if isinstance(value, datetime) and value.tzinfo is None:
            raise ValueError("needs a time zone, for example 2026-03-01T12:00:00+02:00")
        return value


class SiteTemplate(_Strict):
    """The site of a device; texts may name columns. Without coordinates it has the city's."""

    id: Template
    kind: Literal["building", "stand"]
    name: Names
    use: BuildingUse | None = None
    address: Names | None = None
    latitude: float | None = Field(default=None, ge=-90, le=90)
    longitude: float | None = Field(default=None, ge=-180, le=180)
    floor_area_m2: float | None = Field(default=None, gt=0)

    @field_validator("name", "address")
    @classmethod
    def _templates(cls, value: Names | None) -> Names | None:
        for text in (value.en, value.uk) if value is not None else ():
            _template(text)
        return value


class PointTemplate(_Strict):
    """What a device measures, as in the inventory. The point's id is its device's address."""

    kind: PointKind
    fraction: Fraction | None = None
    interval: Duration = 900.0
    register_digits: int | None = Field(default=None, ge=3, le=12)

    @model_validator(mode="after")
    def _bin(self) -> PointTemplate:
        if self.kind == "bin" and self.fraction is None:
            raise ValueError("a bin needs its fraction, for example fraction: mixed")
        return self


class InventoryTemplate(_Strict):
    """An inventory for the devices of the file."""

    city: City
    site: SiteTemplate
    point: PointTemplate


class MappingFile(_Strict):
    """A whole mapping file."""

    version: Literal[1]
    title: str
    source: str | None = None
    licence: str | None = None
    file: FileFormat = FileFormat()
    time: TimeColumn
    device: DeviceAddress
    where: list[Condition] = []
    readings: list[Reading] = Field(min_length=1)
    shift: Shift | None = None
    inventory: InventoryTemplate | None = None


@dataclass(frozen=True)
class Mapping:
    """A checked mapping, and its document for the places of later mistakes."""

    spec: MappingFile
    document: Document

    def fail(self, found: list[tuple[Location, str]]) -> None:
        """Raise `FileProblems` for these places and sentences, if there are any."""
        if found:
            raise FileProblems([self.document.problem(location, message) for location, message in found])
