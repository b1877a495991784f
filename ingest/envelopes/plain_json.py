"""Misto's own JSON (docs/mqtt-json.md): `{"device": …, "time": …, "<metric>": number, …}`.

Topic `misto/<device>/up`, or any topic if the content names the device.
"""

from __future__ import annotations

from typing import Any, cast
from zoneinfo import ZoneInfo

from pydantic_core import SchemaValidator, ValidationError, core_schema

from catalogue.metrics import Quality, metrics
from ingest.clock import parse_time_us
from ingest.envelopes.base import Announcement, Envelope, Uplink, device_address, json_object
from ingest.errors import Reason, Undecodable
from ingest.numbers import number

_QUALITIES = {quality.name.lower(): quality for quality in Quality}
_RESERVED = frozenset({"device", "time", "quality"})


def _optional(schema: core_schema.CoreSchema) -> core_schema.TypedDictField:
    return core_schema.typed_dict_field(schema, required=False)


# A typed dictionary of all metrics, checked by pydantic's core: the fast way for what is right in every part.
_text = core_schema.str_schema(strict=True)
_number = core_schema.float_schema(strict=True, allow_inf_nan=False)
_validate = SchemaValidator(
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
    return (
        isinstance(content, dict)
        and isinstance(content.get("device"), str)
        and any(key in metrics() for key in content)
    )


def _decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
    problems: list[tuple[Reason, str]] = []
    unknown: tuple[str, ...] = ()
    try:
        content = cast(dict[str, Any], _validate(payload))
        values = content
    except ValidationError:
        # Something in it is wrong or unknown: field by field, so that the rest is kept.
        content = json_object(payload)
        values = {}
        unknown = tuple(key for key in content if key not in metrics() and key not in _RESERVED)
        for key, value in content.items():
            if key in metrics() and value is not None:
                try:
                    values[key] = number(value)
                except ValueError as error:
                    problems.append((Reason.BAD_VALUE, f"{key}: {error}"))
    address = content.get("device")
    if address is None and _owns_topic(topic):
        address = topic.split("/", 1)[1].rsplit("/", 1)[0]
    if not isinstance(address, str) or not address.strip():
        raise Undecodable(Reason.NO_DEVICE, 'it has no "device", and its topic is not misto/<device>/up')
    address = device_address(address)
    time_us = None
    if content.get("time") is not None:
        try:
            time_us = parse_time_us(content["time"])
        except ValueError as error:
            raise Undecodable(Reason.BAD_VALUE, f"time: {error}", address) from None
    told = content.get("quality", "good")
    quality = _QUALITIES.get(told) if isinstance(told, str) else None
    if quality is None:
        raise Undecodable(Reason.BAD_VALUE, f"quality: {str(told)[:60]!r} is none of good, estimated, suspect", address)
    found = {key: value for key, value in values.items() if key not in _RESERVED}
    return [Uplink(address, time_us, metrics=found, quality=quality, unknown=unknown, problems=problems)]


def make(zone: ZoneInfo) -> list[Envelope]:
    """Plain JSON takes whatever names a device."""
    return [Envelope("plain_json", "Misto's plain JSON", _owns_topic, _looks_like, _decode, rank=90)]
