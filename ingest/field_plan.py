"""How a profile's fields are read from a message: every path once, then rule by rule."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ingest.field_path import Path, Paths, path_of
from ingest.numbers import number
from ingest.profile_file import FieldMap, SuspectIf
from ingest.units import converter, same


@dataclass(frozen=True, slots=True)
class Rule:
    """A field's way to its metric. Numbers are places in what the plan's paths read; None: the profile has no such."""

    path: Path
    name: str
    at: int
    convert: Callable[[float], float]
    unit_at: int | None
    plus_at: tuple[int, ...]
    only_if_at: tuple[tuple[int, list[str | float]], ...]
    spec: FieldMap
    used: tuple[Path, ...]


class Plan:
    """How a set of fields is read: every path once, then rule by rule.

    `rules` are (place of the value, whether a number needs nothing but `convert`, None for nothing at all, metric,
    rule).
    """

    def __init__(self, fields: Mapping[str, FieldMap], suspect: Iterable[SuspectIf]) -> None:
        self.paths = Paths()
        self.own = [_rule(name, spec, self.paths) for name, spec in fields.items()]
        self.rules = [
            (rule.at, _is_plain(rule.spec), None if rule.convert is same else rule.convert, rule.spec.metric, rule)
            for rule in self.own
        ]
        self.suspect = [(self.paths.place(path_of(spec.field)), spec) for spec in suspect]

    def doubted(self, values: list[Any]) -> frozenset[str]:
        """The metrics that the device itself tells to be wrong."""
        metrics: set[str] = set()
        for at, spec in self.suspect:
            value = values[at]
            if value is not None and _holds(value, spec):
                metrics.update(spec.metrics)
        return frozenset(metrics)


def _rule(name: str, spec: FieldMap, paths: Paths) -> Rule:
    path = path_of(spec.path or name)
    unit = path_of(spec.unit_from) if spec.unit_from else ()
    plus = [path_of(other) for other in spec.plus]
    only_if = [(path_of(other), wanted) for other, wanted in spec.only_if.items()]
    return Rule(
        path,
        name,
        paths.place(path),
        converter(spec.metric, spec.unit, spec.scale),
        paths.place(unit) if unit else None,
        tuple(map(paths.place, plus)),
        tuple((paths.place(other), wanted) for other, wanted in only_if),
        spec,
        tuple(used for used in (path, unit, *plus, *(other for other, _ in only_if)) if used),
    )


def _is_plain(spec: FieldMap) -> bool:
    """True if a number in this field is the value of the device's own metric, whatever else the message holds."""
    return not (
        spec.values is not None
        or spec.absent_values
        or spec.only_if
        or spec.plus
        or spec.unit_from
        or spec.channel
        or spec.between
    )


def _holds(value: Any, spec: SuspectIf) -> bool:
    if value in spec.equals:
        return True
    if spec.below is None and spec.above is None:
        return False
    try:
        told = number(value)
    except ValueError:
        return False
    return (spec.below is not None and told < spec.below) or (spec.above is not None and told > spec.above)
