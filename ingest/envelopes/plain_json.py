"""Misto's own JSON (docs/mqtt-json.md): `{"device": …, "time": …, "<metric>": number, …}`.

Topic `misto/<device>/up`, or any topic if the content names the device. Several readings come as a list of such
objects, or as `{"device": …, "readings": [{"time": …, "<metric>": number, …}, …]}`; device, time and quality that stand
beside `readings` hold for each of them that does not tell its own.
"""

from __future__ import annotations

from typing import Any, cast
from zoneinfo import ZoneInfo

from pydantic_core import SchemaValidator, ValidationError, core_schema

from catalogue.metrics import Quality, metrics
from ingest.clock import parse_time_us
from ingest.envelopes.base import Announcement, Envelope, Uplink, device_address, json_value
from ingest.errors import Reason, Undecodable
from ingest.numbers import number

_QUALITIES = {quality.name.lower(): quality for quality in Quality}
_RESERVED = frozenset({"device", "time", "quality"})
#: A batch of nothing but mistakes is told by its first ones.
_MOST_PROBLEMS = 50


def _optional(schema: core_schema.CoreSchema) -> core_schema.TypedDictField:
    return core_schema.typed_dict_field(schema, required=False)


# A typed dictionary of all metrics, checked by pydantic's core: the fast way for what is right in every part.
_text = core_schema.str_schema(strict=True)
_number = core_schema.float_schema(strict=True, allow_inf_nan=False)
read_valid = SchemaValidator(
    core_schema.typed_dict_schema(
        {
            "device": _optional(_text),
            "time": _optional(core_schema.union_schema([_text, _number])),
            "quality": _optional(_text),
            **{name: _optional(_number) for name in metrics()},
        },
        extra_behavior="forbid",
    )
).validate_json


def _owns_topic(topic: str) -> bool:
    return topic.startswith("misto/") and topic.endswith("/up") and topic.count("/") >= 2


def _looks_like(content: Any) -> bool:
    if isinstance(content, list):
        return bool(content) and _looks_like(content[0])
    if not isinstance(content, dict) or not isinstance(content.get("device"), str):
        return False
    readings = content.get("readings")
    if isinstance(readings, list):
        return bool(readings) and isinstance(readings[0], dict) and any(key in metrics() for key in readings[0])
    return any(key in metrics() for key in content)


def _decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
    try:
        content = cast(dict[str, Any], read_valid(payload))
    except ValidationError:
        value = json_value(payload)
        if isinstance(value, list) or (isinstance(value, dict) and isinstance(value.get("readings"), list)):
            return _batch(topic, value)
        if not isinstance(value, dict):
            raise Undecodable(
                Reason.BAD_STRUCTURE, f"it is a JSON {type(value).__name__}, expected an object {{…}} or a list of them"
            ) from None
        return [_checked(topic, value)]
    return [_uplink(topic, content, content, (), [])]


def _checked(topic: str, content: dict[str, Any]) -> Uplink:
    """Something in it is wrong or unknown: field by field, so that the rest is kept."""
    problems: list[tuple[Reason, str]] = []
    values = {}
    for key, value in content.items():
        if key in metrics() and value is not None:
            try:
                values[key] = number(value)
            except ValueError as error:
                problems.append((Reason.BAD_VALUE, f"{key}: {error}"))
    unknown = tuple(key for key in content if key not in metrics() and key not in _RESERVED)
    return _uplink(topic, content, values, unknown, problems)


def _uplink(
    topic: str,
    content: dict[str, Any],
    values: dict[str, Any],
    unknown: tuple[str, ...],
    problems: list[tuple[Reason, str]],
) -> Uplink:
    address = content.get("device")
    if address is None and _owns_topic(topic):
        address = topic.split("/", 1)[1].rsplit("/", 1)[0]
    if not isinstance(address, str) or not address.strip():
        raise Undecodable(Reason.NO_DEVICE, 'it has no "device", and its topic is not misto/<device>/up')
    address = device_address(address)
    time = content.get("time")
    try:
        time_us = None if time is None else parse_time_us(time)
    except ValueError as error:
        raise Undecodable(Reason.BAD_VALUE, f"time: {error}", address) from None
    told = content.get("quality", "good")
    quality = _QUALITIES.get(told) if isinstance(told, str) else None
    if quality is None:
        raise Undecodable(Reason.BAD_VALUE, f"quality: {str(told)[:60]!r} is none of good, estimated, suspect", address)
    for key in _RESERVED:
        values.pop(key, None)  # the values of a message without mistakes are the message itself
    return Uplink(address, time_us, metrics=values, quality=quality, unknown=unknown, problems=problems)


def _batch(topic: str, content: Any) -> list[Uplink | Announcement]:
    """Several readings. One that cannot be read becomes a problem of the first that can."""
    uplinks: list[Uplink | Announcement] = []
    refused: list[tuple[Reason, str]] = []
    first: Uplink | None = None
    for position, part in enumerate(content if isinstance(content, list) else [content]):
        try:
            readings = _readings(part)
        except Undecodable as error:
            refused.append((error.reason, f"part {position + 1}: {error.detail}"))
            continue
        for reading in readings:
            try:
                if not isinstance(reading, dict):
                    raise Undecodable(
                        Reason.BAD_STRUCTURE, f"a reading is a JSON {type(reading).__name__}, expected an object {{…}}"
                    )
                uplink = _checked(topic, reading)
            except Undecodable as error:
                if len(refused) < _MOST_PROBLEMS:
                    refused.append((error.reason, f"part {position + 1}: {error.detail}"))
            else:
                first = first or uplink
                uplinks.append(uplink)
    if first is not None:
        first.problems += refused[:_MOST_PROBLEMS]
    elif refused:
        raise Undecodable(refused[0][0], "; ".join(detail for _, detail in refused[:5]))
    return uplinks


def _readings(part: Any) -> list[Any]:
    """The part itself, or each of its `readings` with the device, time and quality that stand beside them."""
    if not isinstance(part, dict) or not isinstance(part.get("readings"), list):
        return [part]
    common = {key: part[key] for key in _RESERVED if key in part}
    # Checked once, for it is looked at again with each reading.
    if isinstance(common.get("device"), str):
        common["device"] = device_address(common["device"])
    if any(isinstance(value, str) and len(value) > 128 for value in common.values()):
        raise Undecodable(Reason.BAD_VALUE, "time or quality has more than 128 characters")
    beside = {key: value for key, value in part.items() if key not in _RESERVED and key != "readings"}
    own = [{**common, **beside}] if beside else []
    return [*own, *({**common, **reading} if isinstance(reading, dict) else reading for reading in part["readings"])]


def make(zone: ZoneInfo) -> list[Envelope]:
    """Plain JSON takes whatever names a device."""
    return [Envelope("plain_json", "Misto's plain JSON", _owns_topic, _looks_like, _decode, rank=90)]
