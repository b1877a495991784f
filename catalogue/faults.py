"""The kinds of fault that the simulated city can have and that a rule can say it detects."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict

from catalogue.inventory import PointKind
from catalogue.yamlfile import parse_yaml, validate

FaultGroup = Literal["use", "network", "meter", "clock", "delivery", "device", "bin"]


class Span(BaseModel):
    """From the least to the most, in the unit of what it is of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    least: float
    most: float


class FaultKind(BaseModel):
    """A kind of fault.

    `points`: the kinds of point that can have it. `lasts_h`: how long, in hours; without it the fault is a moment.
    `amount` is how bad, in `unit`. `en`, `uk`: what a person would notice.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    group: FaultGroup
    points: list[PointKind]
    lasts_h: Span | None = None
    amount: Span | None = None
    unit: str = ""
    en: str
    uk: str


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1]
    faults: list[FaultKind]


@cache
def fault_kinds() -> dict[str, FaultKind]:
    """All kinds by their id."""
    text = files("catalogue").joinpath("faults.yaml").read_text(encoding="utf-8")
    content = validate(parse_yaml(text, "catalogue/faults.yaml"), _File)
    return {kind.id: kind for kind in content.faults}
