"""A profile at work: a message's fields become metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo

from ingest.clock import CLOCK_SET_SINCE_US, parse_time_us
from ingest.codec import Codec
from ingest.envelopes.base import Uplink
from ingest.errors import Reason
from ingest.field_path import Path, dotted, get, leaves, path_of
from ingest.field_plan import Plan
from ingest.numbers import finite, number
from ingest.profile_file import FieldMap, ProfileFile, Series
from ingest.sent_units import sent_unit
from ingest.units import converter

Problems = list[tuple[Reason, str]]

#: Where a device is, in `Profile.map`'s result: its channel, and the moment (None: the uplink's).
_Place = tuple[str, int | None]
_HERE: _Place = ("", None)

#: Without bool, which is a kind of int.
_NUMBERS = frozenset({int, float})


@dataclass(slots=True)
class Mapped:
    """What a profile made of a message's fields, of one channel and one moment (`time_us` None: the uplink's own)."""

    metrics: dict[str, float]
    unknown: tuple[str, ...] = ()
    problems: Problems = field(default_factory=list)
    suspect: frozenset[str] = frozenset()
    time_us: int | None = None
    channel: str = ""


class Profile:
    """A profile ready for use: units worked out once, field paths split. `zone`: of local times."""

    def __init__(self, file: ProfileFile, envelopes: Iterable[str] | None = None, zone: ZoneInfo | None = None) -> None:
        self.file = file
        self.id = file.id
        self.envelopes = tuple(file.envelopes if envelopes is None else envelopes)
        self.names = tuple(folded(name) for name in (file.id, *file.recognise.names))
        self.families = tuple(folded(name) for name in file.recognise.family)
        self.telling = [path_of(name) for name in file.recognise.fields]
        self._inside = tuple(file.inside)
        self._zone = zone
        self._codec = Codec(file.codec) if file.codec else None
        self._plan = Plan(file.fields, file.suspect_if)
        self._series = [
            (path_of(name), spec, Plan(spec.fields, file.suspect_if) if spec.fields else self._plan)
            for name, spec in file.series.items()
        ]
        covered = {path_of(name) for name in file.ignored} | {path_of(spec.field) for spec in file.suspect_if}
        self._covered = _cover(covered, self._plan) | {path for path, _, _ in self._series}
        self._item_covered = [
            _cover(covered, plan) | {path_of(name) for name in (spec.time, spec.unit) if name}
            for _, spec, plan in self._series
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
        places: dict[_Place, Mapped] = {_HERE: first}
        values = self._plan.paths.read(fields)
        _apply(self._plan, values, places, first, None, problems)
        unknown = list(self._unknown(fields, self._covered)) if report_unknown else []
        for index, (path, spec, plan) in enumerate(self._series):
            items = get(fields, path)
            if items is not None:
                self._map_series(index, spec, plan, items, places, problems, unknown, report_unknown)
        if unknown:
            first.unknown = tuple(dict.fromkeys(unknown))
        if self._plan.suspect:
            suspect = self._plan.doubted(values)
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
        return any(get(fields, rule.path) is not None for rule in self._plan.own) or any(
            get(fields, path) for path, _, _ in self._series
        )

    def reads(self, fields: Mapping[str, Any]) -> bool:
        """True if the message, as it came, has a field that this profile maps."""
        return self.has_any(self._unwrap(fields))

    def is_of_family(self, names: list[str]) -> bool:
        """True if the folded model names told are of this profile's family, or it asks for none."""
        return not self.families or any(want in name for want in self.families for name in names)

    def fits(self, fields: Mapping[str, Any]) -> bool:
        """True if the message has all fields by which this profile's devices are known."""
        fields = self._unwrap(fields)
        for path in self.telling:  # noqa: SIM110  (a generator would cost more than what it looks at)
            if get(fields, path) is None:
                return False
        return True

    def _content(self, uplink: Uplink) -> tuple[Mapping[str, Any], Problems]:
        fields = self._unwrap(uplink.fields)
        if self._codec is None or uplink.data is None or self.has_any(fields):
            return fields, []
        found, wrong = self._codec.decode(uplink.data, uplink.port)
        return found, [(Reason.BAD_VALUE, f"data: {sentence}") for sentence in wrong]

    def _unwrap(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        for name in self._inside:
            inner = fields.get(name)
            if isinstance(inner, dict):
                return inner
        return fields

    def _map_series(
        self,
        index: int,
        spec: Series,
        plan: Plan,
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
            values = plan.paths.read(record)
            _apply(plan, values, timed, None, time_us, here)
            problems += [(reason, f"{name}.{number_of}.{sentence}") for reason, sentence in here]
            if plan.suspect and (result := timed.get(("", time_us))) is not None:
                result.suspect |= plan.doubted(values)
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

    def _unknown(self, fields: Mapping[str, Any], covered: set[Path]) -> Iterator[str]:
        for path in leaves(fields):
            if not any(path[:length] in covered for length in range(1, len(path) + 1)):
                yield dotted(path)


def _apply(
    plan: Plan,
    values: list[Any],
    places: dict[_Place, Mapped],
    own: Mapped | None,
    time_us: int | None,
    problems: Problems,
) -> None:
    """Put what the rules find into `places`; `own` is the device's at this moment, if it is among them already."""
    for at, plain, convert, metric, rule in plan.rules:
        value = values[at]
        if value is None:
            continue
        # What is no finite number, or too large for a float, is told below.
        if plain and own is not None and type(value) in _NUMBERS and -1e300 < value < 1e300:
            result = float(value) if convert is None else convert(float(value))
            if isfinite(result):
                own.metrics[metric] = result
                continue
        spec = rule.spec
        if value in spec.absent_values:
            continue
        if rule.only_if_at and any(values[other] not in wanted for other, wanted in rule.only_if_at):
            continue
        more = [values[other] for other in rule.plus_at]
        if None in more:
            continue
        try:
            change = rule.convert
            if rule.unit_at is not None and (told := values[rule.unit_at]) is not None:
                change = converter(metric, sent_unit(told), spec.scale)
            read = _value(value, spec)
            if spec.between is not None and not spec.between[0] <= read <= spec.between[1]:
                continue
            if more:
                read += sum(_value(other, spec) for other in more)
            result = finite(change(read))
        except ValueError as error:
            problems.append((Reason.BAD_VALUE, f"{rule.name}: {error}"))
            continue
        place = (spec.channel, time_us)
        found = places.get(place)
        if found is None:
            found = places[place] = Mapped({}, time_us=time_us, channel=spec.channel)
        found.metrics[metric] = result


def _cover(covered: set[Path], plan: Plan) -> set[Path]:
    return covered | {path for rule in plan.own for path in rule.used}


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
