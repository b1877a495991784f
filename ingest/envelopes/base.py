"""What every envelope gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from catalogue.inventory import normal_address
from catalogue.metrics import Quality
from ingest.errors import IngestError, Reason, Undecodable


class NotAReading(IngestError):
    """A message that its format defines as something else: a join, a status, a last will. Counted, not kept."""


@dataclass(slots=True)
class Uplink:
    """One message, opened. `fields` is the device's own (nested) content, for a profile to map.

    `metrics` is set instead where the format already speaks canonical metrics.
    `profile_names` are the model names that the envelope tells; `problems` are parts that could not be read.
    """

    address: str
    time_us: int | None
    fields: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] | None = None
    quality: Quality = Quality.GOOD
    profile_names: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    problems: list[tuple[Reason, str]] = field(default_factory=list)
    signal: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Envelope:
    """A format: whether a topic is its own, whether content looks like it, and how to open a message.

    `decode(topic, payload, received_us)` raises `Undecodable` or `NotAReading`.
    """

    name: str
    title: str
    owns_topic: Callable[[str], bool]
    looks_like: Callable[[dict[str, Any]], bool]
    decode: Callable[[str, bytes, int], Uplink]


#: A Tasmota device is named by its topic, which may have several levels.
_LONGEST_ADDRESS = 128


def device_address(told: str) -> str:
    """A device's address as the registry compares it. Raises `Undecodable` for what names no device."""
    address = normal_address(told)
    if not address:
        raise Undecodable(Reason.NO_DEVICE, "its device address is empty")
    if not address.isprintable() or len(address) > _LONGEST_ADDRESS:
        # Shortened or cleaned it could become another device's.
        raise Undecodable(
            Reason.NO_DEVICE,
            f"its device address {address[:40]!r} has characters that cannot be printed, or more than "
            f"{_LONGEST_ADDRESS} of them",
        )
    return address


#: Deeper nesting than any sensor sends; Python's parser would otherwise go on until its own limit.
_MAX_DEPTH = 24


def json_object(payload: bytes) -> dict[str, Any]:
    """The JSON object in a payload. Raises `Undecodable`."""
    try:
        value = json.loads(payload, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise Undecodable(Reason.NOT_JSON, f"it is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise Undecodable(Reason.NOT_JSON, f"it is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise Undecodable(Reason.BAD_STRUCTURE, f"it is a JSON {type(value).__name__}, expected an object {{…}}")
    if _depth(value) > _MAX_DEPTH:
        raise Undecodable(Reason.BAD_STRUCTURE, f"it is nested more than {_MAX_DEPTH} deep")
    return value


def _constant(name: str) -> float:
    # NaN and Infinity are no JSON, but devices send them: the field is refused later, not the message.
    return float(name.replace("Infinity", "inf"))


def _depth(value: object) -> int:
    level, layer = 0, [value]
    while layer and level <= _MAX_DEPTH:
        level += 1
        layer = [
            child
            for node in layer
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
    return level
