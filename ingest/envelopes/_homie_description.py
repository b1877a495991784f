"""What Homie devices tell of themselves: properties with units, from a description (5) or from attributes (3, 4).

Source: the Homie convention, versions 3.0.1, 4.0.0 and 5.0, "Device attributes", "Node attributes", "Property
attributes" and "Device description document".
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Any

from ingest.envelopes._described import Meaning, is_not_now, meaning
from ingest.envelopes._remembered import MOST_ENTRIES, Remembered
from ingest.errors import Reason, Undecodable

#: Longer texts of a description are cut.
_LONGEST_TEXT = 200
#: Data types whose values are no numbers.
_TEXTS = frozenset({"string", "enum", "color", "datetime", "duration", "json"})


@dataclass(frozen=True, slots=True)
class Property:
    """A property as described; empty texts were not told."""

    name: str = ""
    unit: str = ""
    datatype: str = ""

    @property
    def is_text(self) -> bool:
        """Whether its values are no numbers and no switches."""
        return self.datatype in _TEXTS


@dataclass(slots=True)
class _Device:
    name: str = ""
    nodes: dict[str, str] = field(default_factory=dict)
    properties: dict[tuple[str, str], Property] = field(default_factory=dict)

    @property
    def weight(self) -> int:
        return 1 + len(self.nodes) + len(self.properties)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a property when a value comes. `described` None: its device has not told of it yet."""

    described: Property | None
    meaning: Meaning | None
    is_not_now: bool


class Descriptions:
    """Descriptions of all devices (by generation, "4" or "5", and id), for several threads."""

    def __init__(self, limit: int = MOST_ENTRIES) -> None:
        self._lock = threading.Lock()
        self._devices: Remembered[tuple[str, str], _Device] = Remembered(limit)

    @property
    def total(self) -> int:
        """How many devices, nodes and properties are remembered."""
        return self._devices.total

    def describe(self, device: tuple[str, str], content: dict[str, Any]) -> dict[str, str]:
        """Take a Homie 5 description over; returns what it tells of the device. Raises `Undecodable`."""
        told = _Device(_text(content.get("name")))
        for node_id, node in _objects(content, "nodes"):
            told.nodes[node_id] = f"{_text(node.get('name'))} {_text(node.get('type'))}".strip()
            for property_id, described in _objects(node, "properties"):
                told.properties[node_id, property_id] = Property(
                    _text(described.get("name")), _text(described.get("unit")), _text(described.get("datatype")).lower()
                )
        with self._lock:
            self._devices.put(device, told, told.weight)
        facts = {
            "name": told.name,
            "model": _text(content.get("type")),
            "firmware": _text(content.get("version")) if isinstance(content.get("version"), str) else "",
            "parts": ", ".join(name or node_id for node_id, name in told.nodes.items())[:_LONGEST_TEXT],
        }
        return {name: text for name, text in facts.items() if text}

    def attribute(self, device: tuple[str, str], path: list[str], name: str, value: str) -> None:
        """Take an attribute of Homie 3 or 4 over: of the device (empty path), a node or a property."""
        value = value[:_LONGEST_TEXT]
        if name not in ("$name", "$type", "$unit", "$datatype"):
            return
        with self._lock:
            told = self._devices.pop(device) or _Device()
            if not path and name == "$name":
                told.name = value
            elif len(path) == 1 and name in ("$name", "$type"):
                before = told.nodes.get(path[0], "")
                told.nodes[path[0]] = f"{before} {value}".strip()[:_LONGEST_TEXT] if value not in before else before
            elif len(path) == 2 and name != "$type":
                place = (path[0], path[1])
                known = told.properties.get(place, Property())
                told.properties[place] = {
                    "$name": replace(known, name=value),
                    "$unit": replace(known, unit=value),
                    "$datatype": replace(known, datatype=value.lower()),
                }[name]
            self._devices.put(device, told, told.weight)

    def known(self, device: tuple[str, str], node: str, property_id: str) -> Known:
        """What a property is: as described, or by its id alone."""
        with self._lock:
            told = self._devices.get(device)
            described = told.properties.get((node, property_id)) if told else None
            medium = f"{told.name} {told.nodes.get(node, '')} {node}" if told else node
        path = f"{node}/{property_id}"
        unit = described.unit if described else ""
        found = meaning(path, unit, medium)
        if found is None and described is not None and described.name and not is_not_now(path):
            by_title = meaning(described.name, unit, medium)
            if by_title is not None:
                # Titles are for people and change; the channel is that of the ids.
                found = replace(by_title, channel=path.replace("/", "-")[:60] if by_title.channel else "")
        return Known(described, found, is_not_now(path))


def _objects(content: dict[str, Any], key: str) -> list[tuple[str, dict[str, Any]]]:
    told = content.get(key)
    if told is None:
        return []
    if not isinstance(told, dict):
        raise Undecodable(Reason.BAD_STRUCTURE, f"{key} of a Homie description is no object")
    for name, value in told.items():
        if not isinstance(value, dict):
            raise Undecodable(Reason.BAD_STRUCTURE, f"{key}.{name[:60]} of a Homie description is no object")
    return [(name[:_LONGEST_TEXT], value) for name, value in told.items()]


def _text(value: object) -> str:
    return value[:_LONGEST_TEXT] if isinstance(value, str) else ""
