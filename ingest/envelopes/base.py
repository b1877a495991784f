"""What every envelope gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json

from catalogue.inventory import normal_address
from catalogue.metrics import Quality
from ingest.errors import IngestError, Reason, Undecodable


class NotAReading(IngestError):
    """A message that its format defines as something else: a join, a status, a last will. Counted, not kept.

    `outcome` is what it counts as.
    """

    outcome = "ignored"


@dataclass(slots=True)
class Uplink:
    """What one device (or one channel of it) says of one moment. A message may hold several.

    `fields` is the device's own (nested) content, for a profile to map; `data` and `port` are its bytes where a LoRaWAN
    network server has not decoded them, for a profile's codec. `metrics` is set instead where the format itself tells
    what is what: canonical metrics in their units.
    `profile_names` are the model names that the envelope tells; `signal` holds rssi_dbm and snr_db; `suspect` names
    metrics that the device itself doubts; `unknown` are fields that the envelope has seen and does not understand;
    `problems` are parts that could not be read, while the rest can. `facts` is what is told of the device beside them
    (see `Announcement`). `instead` is what the sender itself made of it: read where no profile knows the model.
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
    channel: str = ""
    data: bytes | None = None
    port: int = 0
    suspect: frozenset[str] = frozenset()
    facts: dict[str, str] = field(default_factory=dict)
    instead: tuple[Uplink, ...] = ()


@dataclass(slots=True)
class Announcement:
    """What a message tells of a device itself, and no readings; its envelope may need it to read later messages.

    `facts` are texts by name: maker, model, name, kind (of point), site, serial, profile, tags …
    """

    address: str
    facts: dict[str, str]


@dataclass(frozen=True)
class Envelope:
    """A format: whether a topic is its own, whether content looks like it, and how to open a message.

    `owns_topic` must be cheap and sure: no other format uses such a topic. `looks_like` gets the parsed JSON object or
    list of a message whose topic nobody owns. `decode(topic, payload, received_us)` raises `Undecodable` (the whole
    message cannot be read) or `NotAReading`, and nothing else; time and memory are bounded by the payload's size.
    `reads_empty`: a message without content means something in this format. `tells_at_length` are topics of its own on
    which a message too large to be parsed is no mistake, and no reading. `descriptions` are filters of the topics on
    which devices describe themselves: of several workers that share the messages, each needs all of these.
    Envelopes are asked in order of `rank`: 10 for those that own their topics by a fixed prefix, 50 the usual, 90 for
    those that take what nobody else does. One that keeps a state is used by several threads at once.
    """

    name: str
    title: str
    owns_topic: Callable[[str], bool]
    looks_like: Callable[[Any], bool]
    decode: Callable[[str, bytes, int], list[Uplink | Announcement]]
    rank: int = 50
    reads_empty: bool = False
    tells_at_length: frozenset[str] = frozenset()
    descriptions: tuple[str, ...] = ()


#: A Tasmota device is named by its topic, which may have several levels.
_LONGEST_ADDRESS = 128

#: Addresses as told → as compared. They are input: their memory has an end.
_addresses: dict[str, str] = {}
_MOST_ADDRESSES = 100_000


def device_address(told: str) -> str:
    """A device's address as the registry compares it. Raises `Undecodable` for what names no device."""
    known = _addresses.get(told)
    if known is not None:
        return known
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
    if len(told) <= _LONGEST_ADDRESS:
        if len(_addresses) >= _MOST_ADDRESSES:
            _addresses.clear()
        _addresses[told] = address
    return address


#: Deeper nesting than any sensor sends; Python's parser would otherwise go on until its own limit.
_MAX_DEPTH = 24


def json_object(payload: bytes) -> dict[str, Any]:
    """The JSON object in a payload. Raises `Undecodable`."""
    value = json_value(payload)
    if not isinstance(value, dict):
        raise Undecodable(Reason.BAD_STRUCTURE, f"it is a JSON {type(value).__name__}, expected an object {{…}}")
    return value


def json_value(payload: bytes) -> Any:
    """Any JSON value in a payload, not nested too deep. Raises `Undecodable`."""
    try:
        value = from_json(payload, cache_strings="keys")
    except ValueError:
        value = _tolerant(payload)
    # With fewer brackets it cannot be that deep: walking through it would cost more than parsing.
    if payload.count(b"{") + payload.count(b"[") >= _MAX_DEPTH and _depth(value) > _MAX_DEPTH:
        raise Undecodable(Reason.BAD_STRUCTURE, f"it is nested more than {_MAX_DEPTH} deep")
    return value


def _tolerant(payload: bytes) -> Any:
    """What only the standard library reads (a byte order mark, UTF-16, half a surrogate pair), or what is wrong."""
    try:
        return json.loads(payload, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise Undecodable(Reason.NOT_JSON, f"it is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise Undecodable(Reason.NOT_JSON, f"it is no JSON: {error}") from None


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
