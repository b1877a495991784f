"""Which field of a message became which metric: each rule of a profile applied alone, by the profile's own code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from catalogue.metrics import metrics
from ingest.codec import Codec
from ingest.codec.trace import Trace, trace
from ingest.envelopes.base import Uplink, json_value
from ingest.errors import Undecodable
from ingest.field_path import dotted, get, leaves, path_of
from ingest.profile import Profile
from ingest.profile_file import FieldMap, Series


@dataclass(frozen=True)
class FieldTold:
    """A field as sent, and the value that it became; `metric` is empty and `problem` says why if it became none.

    `sent_unit` is what the profile or the message says of the number as sent (`· 0.1 degC` with a scale); `plus` are
    the fields added to it.
    `time_us` is that of an item of a list, None for the message's own.
    """

    name: str
    sent: Any
    sent_unit: str
    metric: str = ""
    value: float = 0.0
    channel: str = ""
    time_us: int | None = None
    plus: tuple[str, ...] = ()
    problem: str = ""


def content_of(profile: Profile, uplink: Uplink) -> Mapping[str, Any]:
    """The fields that a profile reads: those within its wrapping, or what its codec makes of the bytes."""
    fields: Mapping[str, Any] = uplink.fields
    for name in profile.file.inside:
        if isinstance(inner := fields.get(name), dict):
            fields = inner
            break
    if uplink.data is None or not profile.file.codec or profile.has_any(fields):
        return fields
    return Codec(profile.file.codec).decode(uplink.data, uplink.port)[0]


def bytes_of(profile: Profile, uplink: Uplink) -> Trace | None:
    """How the profile's codec reads the bytes; None where it need not."""
    if uplink.data is None or not profile.file.codec or content_of(profile, uplink) is uplink.fields:
        return None
    return trace(profile.file.codec, uplink.data, uplink.port)


def fields_told(profile: Profile, uplink: Uplink) -> list[FieldTold]:
    """Each field of a message that the profile maps, its own first, then those in lists."""
    content = content_of(profile, uplink)
    told: list[FieldTold] = []
    for name, spec in profile.file.fields.items():
        told += _alone(profile, name, spec, content, content, None)
    for name, series in profile.file.series.items():
        items = get(content, path_of(name))
        for item in items if isinstance(items, list) else ():
            told += _of_item(profile, name, series, item)
    return told


def unknown_values(names: Iterable[str], content: Mapping[str, Any], payload: bytes) -> dict[str, Any]:
    """What nobody understood, with its values; None where the format does not show the value as a field."""
    names = list(names)
    if not names:
        return {}
    places = {dotted(path): get(content, path) for path in leaves(content)}
    try:
        whole = json_value(payload)
    except Undecodable:
        whole = None
    for path in leaves(whole):
        places.setdefault(dotted(path), get(whole, path))
        places.setdefault(str(path[-1]) if path else "", get(whole, path))
    for name in names:
        if name not in places:
            inner = get(content, path_of(name))
            places[name] = inner if inner is not None else get(whole, path_of(name))
    return {name: places[name] for name in names if name}


def _of_item(profile: Profile, name: str, series: Series, item: Any) -> Iterator[FieldTold]:
    if not isinstance(item, dict):
        return
    content: dict[str, Any] = {}
    node = content
    *outer, last = name.split(".")
    for step in outer:
        node = node.setdefault(step, {})
    node[last] = [item]
    record = item
    if series.name is not None and series.value is not None:
        record = {str(item.get(series.name)): item.get(series.value)}
        if series.unit is not None:
            record[f"{item.get(series.name)}_unit"] = item.get(series.unit)
    for field_name, spec in (series.fields or profile.file.fields).items():
        yield from _alone(profile, field_name, spec, content, record, (name, series))


def _alone(
    profile: Profile,
    name: str,
    spec: FieldMap,
    content: Mapping[str, Any],
    record: Mapping[str, Any],
    series: tuple[str, Series] | None,
) -> Iterator[FieldTold]:
    """What this one rule makes of the content. `record` is where its field stands: the content or a list's item."""
    sent = get(record, path_of(spec.path or name))
    if sent is None:
        return
    lists = {} if series is None else {series[0]: series[1].model_copy(update={"fields": {}, "replaces_fields": False})}
    file = profile.file.model_copy(
        update={"fields": {name: spec}, "series": lists, "codec": {}, "inside": [], "suspect_if": [], "ignored": []}
    )
    unit = get(record, path_of(spec.unit_from)) if spec.unit_from else None
    place = spec.path or name if series is None else f"{series[0]}[].{spec.path or name}"
    sent_unit = str(unit if unit is not None else spec.unit or metrics()[spec.metric].unit)
    if spec.values is not None or isinstance(sent, bool) or sent_unit in ("1", "state"):
        sent_unit = ""
    elif spec.scale != 1:
        sent_unit = f"· {spec.scale:g} {sent_unit}"
    told = FieldTold(place, sent, sent_unit, channel=spec.channel, plus=tuple(spec.plus))
    for mapped in profile.with_file(file).map(Uplink("", None, dict(content)), report_unknown=False):
        problem = "; ".join(sentence for _, sentence in mapped.problems)
        for metric, value in mapped.metrics.items():
            yield FieldTold(
                told.name, sent, sent_unit, metric, value, mapped.channel, mapped.time_us, told.plus, problem
            )
        if problem and not mapped.metrics:
            yield FieldTold(told.name, sent, sent_unit, channel=spec.channel, plus=told.plus, problem=problem)
