"""FIWARE's NGSI entities and notifications, on any topic.

Sources: FIWARE NGSI-v2 specification, ETSI GS CIM 009 (NGSI-LD), FIWARE Smart Data Models. The entity's id is the
device; the devices that it refers to are told as a fact. Entities come alone, in a list, in a notification's `data`, in
a batch's `entities` or as GeoJSON features.
"""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from ingest.envelopes._moments import Moments, address_of
from ingest.envelopes._ngsi_entity import last_segment, moment_us, type_of
from ingest.envelopes._ngsi_models import KNOWN_TYPES, NO_DEVICE
from ingest.envelopes._ngsi_reader import EntityReader
from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink, json_value
from ingest.errors import Reason, Undecodable

_MARKS = frozenset({"@context", "dateObserved", "dateModified", "TimeInstant", "refDevice"})


def is_entity(content: Any) -> bool:
    """Whether an object is an NGSI entity: id, type, and a mark that no other format has."""
    if not isinstance(content, dict) or not isinstance(content.get("id"), str):
        return False
    kind = type_of(content)
    if not kind:
        return False
    return (
        content["id"].startswith("urn:ngsi-ld:")
        or kind in KNOWN_TYPES
        or not _MARKS.isdisjoint(content)
        or any(isinstance(part, dict) and ("value" in part or "object" in part) for part in content.values())
    )


def _looks_like(content: Any) -> bool:
    if isinstance(content, list):
        return bool(content) and (is_entity(content[0]) or _is_feature(content[0]))
    if not isinstance(content, dict):
        return False
    if isinstance(content.get("subscriptionId"), str) and isinstance(content.get("data"), list | dict):
        return True
    if isinstance(content.get("entities"), list) and isinstance(content.get("actionType"), str):
        return True
    if content.get("type") == "FeatureCollection":
        features = content.get("features")
        return isinstance(features, list) and bool(features) and _is_feature(features[0])
    return _is_feature(content) or is_entity(content)


def _is_feature(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and content.get("type") == "Feature"
        and isinstance(content.get("id"), str)
        and isinstance(content.get("properties"), dict)
        and type_of(content["properties"]) != ""
    )


def entities_of(content: Any, level: int = 0) -> list[Any]:
    """The entities within whatever carries them."""
    if isinstance(content, list) and level < 3:
        return [entity for part in content for entity in entities_of(part, level + 1)]
    if not isinstance(content, dict) or level >= 4:
        return [content]
    if isinstance(content.get("data"), list | dict) and "subscriptionId" in content:
        return entities_of(content["data"], level + 1)
    if isinstance(content.get("entities"), list) and "actionType" in content:
        return entities_of(content["entities"], level + 1)
    if content.get("type") == "FeatureCollection" and isinstance(content.get("features"), list):
        return entities_of(content["features"], level + 1)
    if content.get("type") == "Feature" and isinstance(content.get("properties"), dict):
        return [{"id": content.get("id"), **content["properties"]}]
    return [content]


def _decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
    content = json_value(payload)
    notified_us = None
    if isinstance(content, dict) and "notifiedAt" in content:
        try:
            notified_us = moment_us(content["notifiedAt"])
        except ValueError:
            notified_us = None  # the entities have times of their own; else that of reception is as good
    return read_entities(entities_of(content), notified_us)


def read_entities(
    entities: list[Any], fallback_us: int | None, address: str | None = None
) -> list[Uplink | Announcement]:
    """Readings of all entities. `address` is the device where the topic names it, not the entity's id."""
    moments = Moments()
    first = address
    others: set[str] = set()
    for entity in entities:
        if not isinstance(entity, dict):
            moments.problem(Reason.BAD_STRUCTURE, f"an entity is a {type(entity).__name__}, expected an object")
            continue
        kind = type_of(entity)
        if kind in NO_DEVICE:
            others.add(kind)
            continue
        try:
            own = address or address_of(entity.get("id"), "an entity's id")
        except Undecodable as error:
            moments.problem(error.reason, error.detail)
            continue
        first = first or own
        EntityReader(moments, own, entity, fallback_us).read()
    found = moments.result(first)
    if not found:
        what = ", ".join(sorted(last_segment(kind) for kind in others)) or "entities without a reading"
        raise NotAReading(f"NGSI: {what}")
    return found


def make(zone: ZoneInfo) -> list[Envelope]:
    """NGSI-v2 and NGSI-LD; their times are UTC where they tell no zone."""
    return [Envelope("ngsi", "FIWARE NGSI", lambda topic: False, _looks_like, _decode)]
