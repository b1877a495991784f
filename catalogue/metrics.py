"""The metric catalogue: canonical names with unit, kind and plausible range."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from catalogue.yamlfile import parse_yaml, validate

MetricKind = Literal["counter", "gauge", "state"]


class Quality(IntEnum):
    """How far a reading can be trusted. Only good readings are judged by rules and make consumption."""

    GOOD = 0
    ESTIMATED = 1
    SUSPECT = 2


class Metric(BaseModel):
    """One metric. `range` is (low, high) in `unit`, both inclusive."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: int = Field(ge=1, le=32767)
    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    unit: str
    quantity: str
    kind: MetricKind
    range: tuple[float, float]
    en: str
    uk: str


class _MetricsFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Literal[1]
    metrics: list[Metric]


@cache
def metrics() -> Mapping[str, Metric]:
    """All metrics by name, in catalogue order."""
    source = files("catalogue").joinpath("metrics.yaml")
    document = parse_yaml(source.read_text(encoding="utf-8"), "catalogue/metrics.yaml")
    return {metric.name: metric for metric in validate(document, _MetricsFile).metrics}


@cache
def metrics_by_id() -> Mapping[int, Metric]:
    """All metrics by their stable number, the `metric_id` of the database."""
    return {metric.id: metric for metric in metrics().values()}


#: The register that says how much a meter of this kind has counted.
MAIN_COUNTER: Mapping[str, str] = {
    "electricity": "energy_kwh",
    "heat": "energy_kwh",
    "gas": "gas_m3",
    "water": "water_m3",
}
