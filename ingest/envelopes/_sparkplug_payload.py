"""Sparkplug B payloads: protobuf, and its renderings as JSON, brought into one form.

Source: Eclipse Sparkplug 3.0 specification, chapter "Payloads". The message is described below from there, for the
protobuf runtime: no generated code. Text is declared as bytes, so that text which is no UTF-8 costs its metric and not
the message; data sets, templates and extensions too, so that they are not even opened.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from ingest.envelopes.base import json_object
from ingest.errors import Reason, Undecodable

# Message → its fields; `*` repeats, `|` belongs to the oneof `value`, another message is named by its name.
_MESSAGES = {
    "PropertyValue": "1 type uint32, 2 is_null bool, 3 |int_value uint32, 4 |long_value uint64, 5 |float_value float,"
    " 6 |double_value double, 7 |boolean_value bool, 8 |string_value bytes",
    "PropertySet": "1 *keys bytes, 2 *values PropertyValue",
    "Metric": "1 name bytes, 2 alias uint64, 3 timestamp uint64, 4 datatype uint32, 5 is_historical bool,"
    " 6 is_transient bool, 7 is_null bool, 9 properties PropertySet, 10 |int_value uint32, 11 |long_value uint64,"
    " 12 |float_value float, 13 |double_value double, 14 |boolean_value bool, 15 |string_value bytes,"
    " 16 |bytes_value bytes, 17 |dataset_value bytes, 18 |template_value bytes, 19 |extension_value bytes",
    "Payload": "1 timestamp uint64, 2 *metrics Metric, 3 seq uint64",
}
_OPAQUE = frozenset({"bytes_value", "dataset_value", "template_value", "extension_value"})

_TYPES = [
    "unknown", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float", "double", "boolean",
    "string", "datetime", "text", "uuid", "dataset", "bytes", "file", "template", "propertyset", "propertysetlist",
]  # fmt: skip
#: Data types by their lower-case names; 22 to 34 are arrays.
DATA_TYPES = {name: code for code, name in enumerate(_TYPES)}
_SIGNED_BITS = {DATA_TYPES["int8"]: 8, DATA_TYPES["int16"]: 16, DATA_TYPES["int32"]: 32, DATA_TYPES["int64"]: 64}
#: Types whose values are no numbers and no states.
_NO_READING = frozenset({DATA_TYPES["datetime"], *range(DATA_TYPES["uuid"], 35)})

_SWITCHES_AND_TEXTS = frozenset({DATA_TYPES["boolean"], DATA_TYPES["string"], DATA_TYPES["text"]})

_UNIT_KEYS = frozenset({"engunit", "engunits", "engineeringunit", "engineeringunits", "unit", "units", "uom"})
#: Values of the property `Quality`.
_BAD, _STALE = 0, 500
_LONGEST_TEXT = 500


@dataclass(slots=True)
class Metric:
    """A metric as sent. `encoded`: whole numbers are unsigned and carry signed ones as two's complement."""

    name: str = ""
    alias: int | None = None
    timestamp: object = None
    datatype: int = 0
    value: Any = None
    unit: str | None = None
    is_null: bool = False
    is_transient: bool = False
    is_opaque: bool = False
    is_suspect: bool = False
    encoded: bool = False
    problem: str = ""


@dataclass(slots=True)
class Payload:
    """A message as sent; `timestamp` in milliseconds since 1970."""

    timestamp: object = None
    seq: int | None = None
    metrics: list[Metric] = field(default_factory=list)


def is_no_reading(datatype: int) -> bool:
    """Whether values of this type are neither numbers nor states nor texts: times, arrays, tables."""
    return datatype in _NO_READING


def is_switch_or_text(datatype: int) -> bool:
    """Whether values of this type are true and false, or texts."""
    return datatype in _SWITCHES_AND_TEXTS


def plain_value(metric: Metric, datatype: int) -> Any:
    """A metric's value, with whole numbers as signed as their type says."""
    bits = _SIGNED_BITS.get(datatype)
    if bits is None or not metric.encoded or isinstance(metric.value, bool) or not isinstance(metric.value, int):
        return metric.value
    value = metric.value & ((1 << bits) - 1)
    return value - (1 << bits) if value >> (bits - 1) else value


def read_payload(payload: bytes) -> Payload:
    """A payload, protobuf or JSON. Raises `Undecodable`."""
    # 0x7B would begin a group of protobuf, which the format does not have.
    if payload.lstrip()[:1] == b"{":
        return _read_json(json_object(payload))
    message = _Message()
    try:
        message.ParseFromString(payload)
    except (DecodeError, RecursionError):
        raise Undecodable(Reason.BAD_STRUCTURE, "it is no Sparkplug B payload: its protobuf is broken") from None
    return Payload(
        message.timestamp if message.HasField("timestamp") else None,
        message.seq if message.HasField("seq") else None,
        [_metric(told) for told in message.metrics],
    )


def _metric(told: Any) -> Metric:
    metric = Metric(
        alias=told.alias if told.HasField("alias") else None,
        timestamp=told.timestamp if told.HasField("timestamp") else None,
        datatype=told.datatype,
        is_null=told.is_null,
        is_transient=told.is_transient,
        encoded=True,
    )
    which = told.WhichOneof("value")
    try:
        metric.name = _text(told.name)
        metric.is_opaque = which in _OPAQUE
        if which is not None and not metric.is_opaque:
            metric.value = _value(told, which)
        if told.HasField("properties"):
            for key, value in zip(told.properties.keys, told.properties.values, strict=False):
                kind = value.WhichOneof("value")
                if kind is not None and not value.is_null:
                    _property(metric, _text(key), _value(value, kind))
    except UnicodeDecodeError:
        metric.problem = "has text that is no UTF-8"
    except ValueError as error:
        metric.problem = str(error)
    return metric


def _value(told: Any, which: str) -> Any:
    value = getattr(told, which)
    if which == "string_value":
        return _text(value)
    if which == "float_value":
        return float(str(np.float32(value)))  # 230.1, not 230.10000610351562
    return value


def _text(told: bytes) -> str:
    if len(told) > _LONGEST_TEXT:
        raise ValueError(f"has a text of more than {_LONGEST_TEXT} bytes")
    return told.decode()


def _property(metric: Metric, key: str, value: Any) -> None:
    folded = "".join(key.split()).replace("_", "").lower()
    if folded in _UNIT_KEYS and isinstance(value, str):
        metric.unit = value[:60]
    elif folded == "quality" and isinstance(value, int) and value in (_BAD, _STALE):
        metric.is_suspect = True


def _read_json(content: dict[str, Any]) -> Payload:
    metrics = content.get("metrics", [])
    if not isinstance(metrics, list):
        raise Undecodable(Reason.BAD_STRUCTURE, "its metrics are no list")
    return Payload(content.get("timestamp"), _whole(content.get("seq")), [_json_metric(told) for told in metrics])


def _json_metric(told: object) -> Metric:
    if not isinstance(told, dict):
        return Metric(problem="is no object")
    plain = {str(key).replace("_", "").lower(): value for key, value in told.items()}
    name = plain.get("name")
    metric = Metric(
        name=name if isinstance(name, str) else "",
        alias=_whole(plain.get("alias")),
        timestamp=_number_of(plain.get("timestamp")),
        datatype=_datatype(plain.get("datatype", plain.get("type"))),
        is_null=plain.get("isnull") is True,
        is_transient=plain.get("istransient") is True,
    )
    if len(metric.name) > _LONGEST_TEXT:
        metric.name, metric.problem = metric.name[:60], f"has a name of more than {_LONGEST_TEXT} characters"
    if "value" in plain:
        metric.value = plain["value"]
    else:
        key = next((key for key in plain if key.endswith("value")), "")
        metric.value, metric.encoded = _number_of(plain.get(key)), key in ("intvalue", "longvalue")
    metric.is_opaque = isinstance(metric.value, dict | list)
    for key, value in _json_properties(plain.get("properties")):
        _property(metric, key, value)
    return metric


def _json_properties(told: object) -> list[tuple[str, Any]]:
    """Keys and values, written as an object or, as protobuf does, as two lists."""
    if not isinstance(told, dict):
        return []
    pairs: list[tuple[object, Any]] = list(told.items())
    keys, values = told.get("keys"), told.get("values")
    if isinstance(keys, list) and isinstance(values, list):
        pairs = list(zip(keys, values, strict=False))
    found = []
    for key, value in pairs:
        if isinstance(value, dict):
            value = next((inner for name, inner in value.items() if str(name).lower().endswith("value")), None)
        if isinstance(key, str):
            found.append((key, value))
    return found


def _number_of(told: Any) -> Any:
    # Protobuf's JSON writes 64-bit numbers as text.
    return int(told) if isinstance(told, str) and told.isascii() and told.isdigit() and len(told) <= 20 else told


def _whole(told: object) -> int | None:
    value = _number_of(told)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64 else None


def _datatype(told: object) -> int:
    if isinstance(told, str):
        return DATA_TYPES.get(told.lower(), 0)
    return _whole(told) or 0


def _message_class() -> type[Message]:
    file = descriptor_pb2.FileDescriptorProto(name="misto/sparkplug_b.proto", package="misto.sparkplug_b")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for text in fields.split(","):
            number, told, kind = text.split()
            added = message.field.add(name=told.strip("*|"), number=int(number))
            added.label = kinds.LABEL_REPEATED if told.startswith("*") else kinds.LABEL_OPTIONAL
            if kind in _MESSAGES:
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".misto.sparkplug_b.{kind}"
            else:
                added.type = kinds.Type.Value(f"TYPE_{kind.upper()}")
            if told.startswith("|"):
                if not message.oneof_decl:
                    message.oneof_decl.add(name="value")
                added.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("misto.sparkplug_b.Payload"))


_Message: Any = _message_class()
