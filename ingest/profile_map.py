"""A profile at work: a message's fields become metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo

from ingest.clock import CLOCK_SET_SINCE_US, parse_time_us
from ingest.codec import Codec
from ingest.envelopes.base import Uplink
from ingest.errors import Reason
from ingest.field_path import Path, dotted, get, leaves, path_of
from ingest.numbers import number
from ingest.profile_file import FieldMap, ProfileFile, Series, SuspectIf
from ingest.sent_units import sent_unit
from ingest.units import converter

Problems = list[tuple[Reason, str]]

#: Where a device is, in `Profile.map`'s result: its channel, and the moment (None: the uplink's).
_Place = tuple[str, int | None]


@dataclass(slots=True)
class Mapped:
    """What a profile made of a message's fields, of one channel and one moment (`time_us` None: the uplink's own)."""

    metrics: dict[str, float]
    unknown: tuple[str, ...] = ()
    problems: Problems = field(default_factory=list)
    suspect: frozenset[str] = frozenset()
    time_us: int | None = None
    channel: str = ""


@dataclass(frozen=True, slots=True)
class _Rule:
    path: Path
    name: str
    convert: Callable[[float], float]
    unit_path: Path
    plus: tuple[Path, ...]
    only_if: tuple[tuple[Path, list[str | float]], ...]
    spec: FieldMap


class Profile:
    """A profile ready for use: units worked out once, field paths split. `zone`: of local times."""

    def __init__(self, file: ProfileFile, envelopes: Iterable[str] | None = None, zone: ZoneInfo | None = None) -> None:
        self.file = file
        self.id = file.id
        self.envelopes = tuple(file.envelopes if envelopes is None else envelopes)
        self.names = tuple(folded(name) for name in (file.id, *file.recognise.names))
        self._families = tuple(folded(name) for name in file.recognise.family)
        self._telling = [path_of(name) for name in file.recognise.fields]
        self._zone = zone
        self._codec = Codec(file.codec) if file.codec else None
        self._rules = _rules(file.fields)
        self._suspect = [(path_of(spec.field), spec) for spec in file.suspect_if]
        self._series = [(path_of(name), spec, _rules(spec.fields) or self._rules) for name, spec in file.series.items()]
        covered = {path_of(name) for name in file.ignored} | {path for path, _ in self._suspect}
        self._covered = _cover(covered, self._rules) | {path for path, _, _ in self._series}
        self._item_covered = [
            _cover(covered, rules) | {path_of(name) for name in (spec.time, spec.unit) if name}
            for _, spec, rules in self._series
        ]

    def with_file(self, file: ProfileFile) -> Profile:
        """The same for another content of the file."""
        return Profile(file, self.envelopes, self._zone)

    def map(self, uplink: Uplink, *, report_unknown: bool = True) -> list[Mapped]:
        """Metrics from a message's fields, or from its bytes if nobody has decoded them: one result or more.

        A field that is missing or null is no problem: uplinks may be partial. What is unknown or wrong stands in the
        first result.
        """
        fields, problems = self._content(uplink)
        first = Mapped({}, problems=problems)
        places: dict[_Place, Mapped] = {("", None): first}
        self._apply(self._rules, fields, places, None, problems)
        unknown = list(self._unknown(fields, self._covered)) if report_unknown else []
        for index, (path, spec, rules) in enumerate(self._series):
            items = get(fields, path)
            if items is not None:
                self._map_series(index, spec, rules, items, places, problems, unknown, report_unknown)
        first.unknown = tuple(dict.fromkeys(unknown))
        if self._suspect and any(result.time_us is None for result in places.values()):
            suspect = self._suspicious(fields, problems)
            for result in places.values() if suspect else ():
                if result.time_us is None:
                    result.suspect |= suspect
        if len(places) == 1:
            return [first]
        results = [result for result in places.values() if result.metrics]
        if not results:
            return [first]
        results[0].unknown, results[0].problems = first.unknown, problems
        return results

    def understands(self, uplink: Uplink) -> bool:
        """True if the message has content, all of it known: nothing that it holds was missed."""
        fields, problems = self._content(uplink)
        if not fields:
            return uplink.data is not None and self._codec is not None and not problems
        return next(self._unknown(fields, self._covered), None) is None

    def has_any(self, fields: Mapping[str, Any]) -> bool:
        """True if the message has a field that this profile maps."""
        return any(get(fields, rule.path) is not None for rule in self._rules) or any(
            get(fields, path) for path, _, _ in self._series
        )

    def field_score(self, fields: Mapping[str, Any], names: list[str]) -> tuple[int, int, int] | None:
        """How particularly the message's fields, with the folded model names told, are this profile's; None: not.

        First counts a family that is told, then how deep the deepest field lies, then how many there are.
        """
        if not self._telling:
            return None
        if self._families and not any(want in name for want in self._families for name in names):
            return None
        fields = self._unwrap(fields)
        if any(get(fields, path) is None for path in self._telling):
            return None
        return int(bool(self._families)), max(map(len, self._telling)), len(self._telling)

    def _content(self, uplink: Uplink) -> tuple[Mapping[str, Any], Problems]:
        fields = self._unwrap(uplink.fields)
        if self._codec is None or uplink.data is None or self.has_any(fields):
            return fields, []
        found, wrong = self._codec.decode(uplink.data, uplink.port)
        return found, [(Reason.BAD_VALUE, f"data: {sentence}") for sentence in wrong]

    def _unwrap(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        for name in self.file.inside:
            inner = fields.get(name)
            if isinstance(inner, dict):
                return inner
        return fields

    def _apply(
        self,
        rules: list[_Rule],
        fields: Mapping[str, Any],
        places: dict[_Place, Mapped],
        time_us: int | None,
        problems: Problems,
    ) -> None:
        for rule in rules:
            value = get(fields, rule.path)
            if value is None or value in rule.spec.absent_values:
                continue
            if rule.only_if and any(get(fields, path) not in wanted for path, wanted in rule.only_if):
                continue
            more = [get(fields, path) for path in rule.plus]
            if None in more:
                continue
            try:
                convert = rule.convert
                if rule.unit_path and (told := get(fields, rule.unit_path)) is not None:
                    convert = converter(rule.spec.metric, sent_unit(told), rule.spec.scale)
                read = _value(value, rule.spec)
                if more:
                    read += sum(_value(other, rule.spec) for other in more)
                result = _finite(convert(read))
            except ValueError as error:
                problems.append((Reason.BAD_VALUE, f"{rule.name}: {error}"))
                continue
            place = (rule.spec.channel, time_us)
            found = places.get(place)
            if found is None:
                found = places[place] = Mapped({}, time_us=time_us, channel=rule.spec.channel)
            found.metrics[rule.spec.metric] = result

    def _map_series(
        self,
        index: int,
        spec: Series,
        rules: list[_Rule],
        items: Any,
        places: dict[_Place, Mapped],
        problems: Problems,
        unknown: list[str],
        report_unknown: bool,
    ) -> None:
        name = list(self.file.series)[index]
        if not isinstance(items, list):
            problems.append((Reason.BAD_VALUE, f"{name}: is no list"))
            return
        before = {place: dict(result.metrics) for place, result in places.items()} if spec.replaces_fields else {}
        timed: dict[_Place, Mapped] = {}
        for number_of, item in enumerate(items):
            if not isinstance(item, dict):
                problems.append((Reason.BAD_VALUE, f"{name}.{number_of}: is no object"))
                continue
            record = _pair(item, spec)
            here: Problems = []
            try:
                time_us = self._moment(get(item, path_of(spec.time)))
            except ValueError as error:
                problems.append((Reason.BAD_VALUE, f"{name}.{number_of}.{spec.time}: {error}"))
                continue
            self._apply(rules, record, timed, time_us, here)
            problems += [(reason, f"{name}.{number_of}.{sentence}") for reason, sentence in here]
            if self._suspect and (result := timed.get(("", time_us))) is not None:
                result.suspect |= self._suspicious(record, [])
            if report_unknown:
                unknown += [f"{name}.{told}" for told in self._unknown(record, self._item_covered[index])]
        for (channel, _), metrics in before.items():
            given = {metric for place, result in timed.items() if place[0] == channel for metric in result.metrics}
            for metric in given & metrics.keys():
                places[channel, None].metrics.pop(metric, None)
        for place, result in timed.items():
            known = places.setdefault(place, result)
            if known is not result:
                known.metrics |= result.metrics
                known.suspect |= result.suspect

    def _moment(self, told: Any) -> int | None:
        """Microseconds since 1970, None if the item has no time. Raises ValueError for a time that cannot be."""
        if told is None:
            return None
        time_us = parse_time_us(told, self._zone)
        if time_us < CLOCK_SET_SINCE_US:
            raise ValueError(f"{told!r:.40} is before 2020: the device's clock was never set")
        return time_us

    def _suspicious(self, fields: Mapping[str, Any], problems: Problems) -> frozenset[str]:
        metrics: set[str] = set()
        for path, spec in self._suspect:
            value = get(fields, path)
            if value is not None and _holds(value, spec):
                metrics.update(spec.metrics)
        return frozenset(metrics)

    def _unknown(self, fields: Mapping[str, Any], covered: set[Path]) -> Iterator[str]:
        for path in leaves(fields):
            if not any(path[:length] in covered for length in range(1, len(path) + 1)):
                yield dotted(path)


def _rules(fields: Mapping[str, FieldMap]) -> list[_Rule]:
    return [
        _Rule(
            path_of(spec.path or name),
            name,
            converter(spec.metric, spec.unit, spec.scale),
            path_of(spec.unit_from) if spec.unit_from else (),
            tuple(path_of(other) for other in spec.plus),
            tuple((path_of(other), wanted) for other, wanted in spec.only_if.items()),
            spec,
        )
        for name, spec in fields.items()
    ]


def _cover(covered: set[Path], rules: list[_Rule]) -> set[Path]:
    used = [(rule.path, rule.unit_path, *rule.plus, *(path for path, _ in rule.only_if)) for rule in rules]
    return covered | {path for paths in used for path in paths if path}


def _pair(item: dict[str, Any], spec: Series) -> dict[str, Any]:
    """An item as a record: {variable: index, value: 5, unit: L} becomes {index: 5, index_unit: L}."""
    if spec.name is None or spec.value is None:
        return item
    name = item.get(spec.name)
    if not isinstance(name, str):
        return {}
    record = {name: item.get(spec.value)}
    if spec.unit is not None and item.get(spec.unit) is not None:
        record[f"{name}_unit"] = item[spec.unit]
    return record


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


def _finite(value: float) -> float:
    if not isfinite(value):
        raise ValueError("is larger than any number of a meter")
    return value


def folded(name: str) -> str:
    """A model name as it is compared: letters and digits only, lower case."""
    return "".join(character for character in name.lower() if character.isalnum())


def _value(value: Any, spec: FieldMap) -> float:
    if spec.values is not None:
        key = str(value).lower() if isinstance(value, bool) else str(value)
        if key not in spec.values:
            raise ValueError(f"{value!r:.60} is none of {', '.join(spec.values)}")
        return spec.values[key]
    if isinstance(value, list):
        if spec.combine is None:
            raise ValueError("is a list; the profile says neither which element nor how to combine them")
        numbers = [number(element) for element in value if element is not None]
        if not numbers:
            raise ValueError("is an empty list")
        return sum(numbers) / (len(numbers) if spec.combine == "mean" else 1)
    if spec.suffix is not None and isinstance(value, str):
        value = value.strip().removesuffix(spec.suffix)
    return number(value)
