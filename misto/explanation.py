"""An explained message as lines for people, and as JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo

from catalogue.metrics import Quality, metrics
from dashboards.board.messages import has_message, message
from ingest.errors import REASONS, Reason
from ingest.explain import DeviceTold, Moment, Told
from ingest.explain_fields import FieldTold
from ingest.explain_readings import ReadingTold

#: Of a list with times, or of a long message, people see the first ones; --json has all.
_MOST_FIELDS = 60
_MOST_MOMENTS = 12
_MOST_BYTES = 64
_LONGEST_VALUE = 60


def lines_of(told: Told, zone: ZoneInfo, *, forced: bool = False) -> Iterator[str]:
    """What is told of a message, for people. `forced`: the profile was given on the command line."""
    size = len(told.message.payload)
    received = _time(told.message.received_us, zone)
    yield _line("topic", f"{_printable(told.message.topic)}  ({size:,} bytes, received {received})")
    if told.envelope_title:
        name = f" [{told.envelope}]" if told.envelope else ""
        yield _line("format", f"{told.envelope_title}{name}: {_printable(told.envelope_why)}")
    for announcement in told.announcements:
        yield _line("announces", _printable(announcement.address))
        for name, text in announcement.facts.items():
            yield f"  {_printable(name):<22} {_printable(text)}"
    for device in told.devices:
        yield from _device(device, told, zone, forced)
    if told.refusal is not None and not told.devices:
        yield from _refusal(told.refusal, told)
    elif not told.devices and told.announcements:
        yield _line("result", "it tells about devices and holds no reading; it is counted and not stored")


def as_json(told: Told) -> dict[str, Any]:
    """What is told of a message, for machines; times are RFC 3339 in UTC, numbers that JSON has not are text."""
    whole: dict[str, Any] = _finite(_as_json(told))
    return whole


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return str(value) if isinstance(value, float) and not isfinite(value) else value


def _as_json(told: Told) -> dict[str, Any]:
    return {
        "topic": told.message.topic,
        "received": _utc(told.message.received_us),
        "read": told.is_read,
        "envelope": told.envelope or None,
        "envelope_why": told.envelope_why or None,
        "announcements": [{"device": its.address, **its.facts} for its in told.announcements],
        "devices": [_device_as_json(device) for device in told.devices],
        "refusal": _refusal_as_json(told.refusal),
    }


def _device_as_json(device: DeviceTold) -> dict[str, Any]:
    trace = device.trace
    return {
        "device": device.address,
        "channel": device.channel,
        "model_names": list(device.model_names),
        "profile": device.profile or None,
        "profile_why": device.profile_why or None,
        "near": [asdict(near) for near in device.near],
        "bytes": None if device.data is None else device.data.hex(),
        "layout": trace.layout or None if trace else None,
        "spans": [asdict(span) for span in trace.spans] if trace else [],
        "fields": [
            {
                **{key: value for key, value in asdict(its).items() if key != "time_us"},
                "time": its.time_us and _utc(its.time_us),
            }
            for its in device.fields
        ],
        "moments": [
            {
                "time": _utc(moment.time_us),
                "time_source": moment.time_source,
                "channel": moment.channel,
                "readings": [
                    {**asdict(reading), "quality": reading.quality.name.lower()} for reading in moment.readings
                ],
            }
            for moment in device.moments
        ],
        "unknown": device.unknown,
        "problems": [{"reason": str(reason), "detail": detail} for reason, detail in device.problems],
        "refusal": _refusal_as_json(device.refusal),
    }


def _refusal_as_json(refusal: tuple[Reason | None, str] | None) -> dict[str, Any] | None:
    if refusal is None:
        return None
    reason, detail = refusal
    return {"reason": None if reason is None else str(reason), "detail": detail}


def _device(device: DeviceTold, told: Told, zone: ZoneInfo, forced: bool) -> Iterator[str]:
    channel = f", channel {_printable(device.channel)}" if device.channel else ""
    yield _line("device", f"{_printable(device.address)}{channel}")
    if device.profile:
        reason = "given with --profile" if forced else device.profile_why
        yield _line("profile", f"{device.profile}: {_printable(reason)}")
    elif device.profile_why:
        yield _line("profile", device.profile_why)
    if not forced:
        for index, near in enumerate(device.near):
            yield _line("" if index else "  near it", f"{near.profile}: {_printable(near.text)}")
    yield from _bytes(device)
    if device.fields:
        yield "fields as sent, and what they are"
        yield from map(_field, device.fields[:_MOST_FIELDS])
        if len(device.fields) > _MOST_FIELDS:
            yield f"  and {len(device.fields) - _MOST_FIELDS:,} more; --json shows all"
    for moment in device.moments[:_MOST_MOMENTS]:
        yield from _moment(moment, told, zone)
    if len(device.moments) > _MOST_MOMENTS:
        yield f"and readings of {len(device.moments) - _MOST_MOMENTS:,} more moments; --json shows all"
    if any(reading.metric == "distance_mm" for moment in device.moments for reading in moment.readings) and not any(
        reading.metric == "fill_level_pct" for moment in device.moments for reading in moment.readings
    ):
        yield "  (the bin's geometry makes a fill level of the distance: try --bin-mm 1500,300)"
    if device.unknown:
        yield "not understood by anybody"
        yield from _values(device.unknown)
    for reason, detail in device.problems:
        yield _line("problem", f"{reason}: {_printable(detail)}")
        yield _line("", "this part would go to quarantine; the rest is stored")
        if reason == Reason.UNKNOWN_PROFILE:
            yield _line("what to do", _todo(reason, told))
    if device.refusal is not None:
        if not device.profile and device.sent:
            yield "fields that it sends"
            yield from _values(device.sent)
        yield from _refusal(device.refusal, told)


def _bytes(device: DeviceTold) -> Iterator[str]:
    if device.data is None:
        return
    cut = " …" if len(device.data) > _MOST_BYTES else ""
    layout = device.trace.layout if device.trace else ""
    how = f", layout {layout!r} of the profile's codec" if layout else ""
    shown = device.data[:_MOST_BYTES].hex(" ")
    yield _line("bytes", f"{shown}{cut}  ({len(device.data)} bytes on port {device.port}{how})")
    if device.trace is None:
        return
    lines: list[tuple[int, str]] = []
    for span in device.trace.spans:
        value = "" if span.value is None or isinstance(span.value, list) else f" = {_shown(span.value)}"
        piece = device.data[span.start : span.end]
        digits = piece[:12].hex(" ") + (" …" if len(piece) > 12 else "")
        place = f"{_range(span.start, span.end):>10}"
        lines.append((span.start, f"  {place}  {digits:<24} {_printable(span.field)}{value}"))
    for start, end in device.trace.unread(len(device.data)) if layout else ():
        digits = device.data[start:end][:12].hex(" ")
        lines.append((start, f"  {_range(start, end):>10}  {digits:<24} (no field: key, flag or absent value)"))
    for _, line in sorted(lines, key=lambda entry: entry[0]):
        yield line


def _range(start: int, end: int) -> str:
    return f"byte {start}" if end == start + 1 else f"{start} to {end - 1}"


def _field(its: FieldTold) -> str:
    sent = f"{_shown(its.sent)} {its.sent_unit}".strip()
    more = f" + {' + '.join(its.plus)}" if its.plus else ""
    if not its.metric:
        return f"  {_printable(its.name + more):<28} {_printable(sent):>18}   cannot be read: {_printable(its.problem)}"
    place = f"  (channel {_printable(its.channel)})" if its.channel else ""
    place += f"  (of {_utc(its.time_us)})" if its.time_us is not None else ""
    became = f"{its.metric} {its.value:.10g} {_unit(metrics()[its.metric].unit)}".rstrip()
    return f"  {_printable(its.name + more):<28} {_printable(sent):>18}   → {became}{place}"


def _moment(moment: Moment, told: Told, zone: ZoneInfo) -> Iterator[str]:
    place = f" of channel {_printable(moment.channel)}" if moment.channel else ""
    yield _line("readings", f"{_time(moment.time_us, zone)}{place}: {_source(moment, told, zone)}")
    for reading in moment.readings:
        yield from _reading(reading)


def _source(moment: Moment, told: Told, zone: ZoneInfo) -> str:
    if moment.device_us is None:
        return moment.time_source
    if moment.device_us != moment.time_us:
        return f"{moment.time_source} (it says {_time(moment.device_us, zone)})"
    apart_s = (told.message.received_us - moment.time_us) / 1e6
    if abs(apart_s) < 1:
        return moment.time_source
    return f"{moment.time_source}, {_span(abs(apart_s))} {'before' if apart_s > 0 else 'after'} its reception"


def _reading(reading: ReadingTold) -> Iterator[str]:
    unit = _unit(reading.unit)
    note = "" if reading.quality == Quality.GOOD else f"  {reading.quality.name.lower()}"
    origin = f"  {reading.origin}" if reading.origin else ""
    yield f"  {reading.metric:<24} {reading.value:>16.10g} {unit:<6}{note}{origin}".rstrip()
    for doubt in reading.doubts:
        yield f"  {'':<24} {'':>16} {'':<6}  because {_printable(doubt)}"


def _refusal(refusal: tuple[Reason | None, str], told: Told) -> Iterator[str]:
    reason, detail = refusal
    if reason is None:
        yield _line("result", f"no reading: {_printable(detail)}; it is counted and not stored")
        return
    yield _line("quarantine", f"{reason}: {_printable(detail)}")
    yield _line("", REASONS[reason])
    yield _line("what to do", _todo(reason, told))


def _todo(reason: Reason, told: Told) -> str:
    if reason == Reason.UNKNOWN_PROFILE:
        if any(device.data is not None and not device.sent for device in told.devices):
            return "have the network server decode the bytes, or write a profile with a codec (docs/profiles.md, Bytes)"
        topic = _printable(told.message.topic)
        return f"draft a profile from some of its messages: misto profile new FILE --topic '{topic}'"
    return message("en", f"todo.{reason}") if has_message(f"todo.{reason}") else "see docs/quarantine.md"


def _values(values: Mapping[str, Any]) -> Iterator[str]:
    for index, (name, value) in enumerate(values.items()):
        if index == _MOST_FIELDS:
            yield f"  and {len(values) - index:,} more; --json shows all"
            return
        yield f"  {_printable(str(name)):<28} {_printable(_shown(value))}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | str | bool) else str(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _unit(unit: str) -> str:
    return "" if unit in ("1", "state") else unit


def _line(name: str, text: str) -> str:
    return f"{name:<11} {text}".rstrip()


def _span(seconds: float) -> str:
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"


def _time(us: int, zone: ZoneInfo) -> str:
    try:
        return datetime.fromtimestamp(us / 1e6, zone).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return f"{us / 1e6:.0f} s after 1970"


def _utc(us: int) -> str:
    try:
        return datetime.fromtimestamp(us / 1e6, UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return f"{us / 1e6:.0f} s after 1970"


def _printable(text: str) -> str:
    """What devices say must not steer the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
