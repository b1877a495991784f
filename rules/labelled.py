"""Numbers that a point's labels give: `{label: night_limit_kw, default: 2}` in the conditions of a rule."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from catalogue.yamlfile import Location

#: Parts of a rule in which such a number may stand.
PARTS = ("when", "levels", "unless")


class Reference(NamedTuple):
    """Where in a rule a label's number goes."""

    place: Location
    label: str
    default: float


def references(data: Any) -> list[Reference]:
    """All that are well-formed in a rule as its file has it."""
    return [Reference(place, node["label"], node["default"]) for place, node in _labelled(data) if _well_formed(node)]


def malformed(data: Any) -> list[tuple[Location, str]]:
    """(place, sentence) of each that is not as it has to be."""
    return [
        (place, "must be {label: NAME, default: NUMBER}, with the number for points without that label")
        for place, node in _labelled(data)
        if not _well_formed(node)
    ]


def filled(data: Any, values: Mapping[Location, float]) -> Any:
    """A copy of the rule with these numbers in their places."""
    return _filled(data, (), values)


def number_of(text: str) -> float | None:
    """The number that a label says, if it says one; a comma is a decimal point too."""
    try:
        number = float(text.strip().replace(",", "."))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _labelled(data: Any) -> Iterator[tuple[Location, dict[str, Any]]]:
    for part in PARTS if isinstance(data, dict) else ():
        yield from _within(data.get(part), (part,))


def _within(node: Any, place: Location) -> Iterator[tuple[Location, dict[str, Any]]]:
    if isinstance(node, dict):
        if "label" in node:
            yield place, node
            return
        for key, value in node.items():
            yield from _within(value, (*place, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _within(value, (*place, index))


def _well_formed(node: Mapping[str, Any]) -> bool:
    default = node.get("default")
    is_number = isinstance(default, int | float) and not isinstance(default, bool)
    return node.keys() == {"label", "default"} and isinstance(node["label"], str) and is_number


def _filled(node: Any, place: Location, values: Mapping[Location, float]) -> Any:
    if place in values:
        return values[place]
    if isinstance(node, dict):
        return {key: _filled(value, (*place, key), values) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, (*place, index), values) for index, value in enumerate(node)]
    return node
