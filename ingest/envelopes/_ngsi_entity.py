"""NGSI entities: attributes with their values, units and times, whichever way they are written.

Sources: FIWARE NGSI-v2 (normalised, keyValues), ETSI GS CIM 009 NGSI-LD (normalised, concise, simplified, temporal,
GeoJSON). A time without a zone is UTC (FIWARE Orion, "Datetime support").
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from ingest.clock import parse_time_us

_UTC = ZoneInfo("UTC")

#: When an attribute was observed; in NGSI-v2 this stands in its metadata.
_ATTRIBUTE_TIMES = ("observedAt", "TimeInstant", "dateObserved", "timestamp")
#: When an entity was observed, the surest first; the last are when a broker wrote it.
_ENTITY_TIMES = (
    "dateObserved", "dateObservedTo", "observedAt", "observationDateTime", "TimeInstant", "timestamp",
    "dateLastValueReported", "dateModified", "modifiedAt",
)  # fmt: skip

#: Attributes that say when, and no reading.
TIME_NAMES = frozenset({*_ENTITY_TIMES, "dateObservedFrom", "dateCreated", "createdAt", "dateIssued"})

_STEP = r"(?:(\d{1,6}(?:[.,]\d+)?)%s)?"
_DURATION = re.compile("P" + _STEP % "W" + _STEP % "D" + "(?:T" + _STEP % "H" + _STEP % "M" + _STEP % "S" + ")?")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One value of an attribute. `unit` is what the entity tells, mostly a UN/CEFACT code."""

    name: str
    value: Any
    unit: str = ""
    time: Any = None
    instance: str = ""


def last_segment(name: str) -> str:
    """The short name of a type or attribute that is written as an IRI."""
    return re.split(r"[/#]", name)[-1] if "://" in name else name


def type_of(entity: dict[str, Any]) -> str:
    """The entity's type, the first of several."""
    told = entity.get("type")
    if isinstance(told, list):
        told = next((name for name in told if isinstance(name, str)), "")
    return last_segment(told) if isinstance(told, str) else ""


def plain(value: Any) -> Any:
    """The value without JSON-LD's or NGSI's wrapping."""
    for _ in range(3):
        if not isinstance(value, dict):
            break
        if "@value" in value:
            value = value["@value"]
        elif "value" in value and value.keys() <= {"type", "value", "metadata", "observedAt", "unitCode"}:
            value = value["value"]
        else:
            break
    return value


def attributes(entity: dict[str, Any]) -> Iterable[Attribute]:
    """Every attribute; of one with several instances (temporal, or with data set ids) each of them."""
    for key, told in entity.items():
        if key in ("id", "type", "@context", "@id", "@type"):
            continue
        name = last_segment(key)
        if isinstance(told, list) and told and all(isinstance(part, dict) and _is_wrapped(part) for part in told):
            for part in told:
                yield from _wrapped(name, part)
        elif isinstance(told, dict) and _is_wrapped(told):
            yield from _wrapped(name, told)
        else:
            yield Attribute(name, plain(told))


def _is_wrapped(told: dict[str, Any]) -> bool:
    return any(key in told for key in ("value", "object", "values", "languageMap", "vocab"))


def _wrapped(name: str, told: dict[str, Any]) -> Iterable[Attribute]:
    metadata = told.get("metadata")
    beside = {**told, **metadata} if isinstance(metadata, dict) else told
    unit = ""
    time: Any = None
    for key, value in beside.items():
        if key.lower() in ("unitcode", "unit") and not unit:
            code = plain(value)
            unit = code if isinstance(code, str) else ""
    for key in _ATTRIBUTE_TIMES:
        if time is None and key in beside:
            time = plain(beside[key])
    series = told.get("values")
    if isinstance(series, list) and "value" not in told:
        for pair in series:
            if isinstance(pair, list) and len(pair) == 2:
                yield Attribute(name, pair[0], unit, pair[1])
        return
    value = next((told[key] for key in ("value", "object", "languageMap", "vocab") if key in told), None)
    instance = told.get("datasetId")
    yield Attribute(name, plain(value), unit, time, instance if isinstance(instance, str) else "")


def entity_time(found: Iterable[Attribute]) -> tuple[str, Any]:
    """The entity's own time: the attribute's name and what it holds; ("", None) without one."""
    told = {attribute.name: attribute.value for attribute in found if attribute.name in _ENTITY_TIMES}
    return next(((name, told[name]) for name in _ENTITY_TIMES if told.get(name)), ("", None))


def moment_us(told: Any) -> int:
    """Microseconds of an instant, or of the end of an interval (ISO 8601, `start/end`). Raises ValueError."""
    if not isinstance(told, str) or "/" not in told:
        return parse_time_us(told, _UTC)
    start, _, end = (part.strip() for part in told[:200].partition("/"))
    if not end or end == "..":
        return parse_time_us(start, _UTC)
    if not end.startswith("P"):
        return parse_time_us(end, _UTC)
    match = _DURATION.fullmatch(end)
    if match is None:
        raise ValueError(f"{told[:60]!r} is no interval that has an end")
    weeks, days, hours, minutes, seconds = (float((part or "0").replace(",", ".")) for part in match.groups())
    length = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    return parse_time_us(start, _UTC) + round(length.total_seconds() * 1e6)
