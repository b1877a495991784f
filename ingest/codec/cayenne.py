"""Cayenne Low Power Payload: channel, type, big-endian value.

Source: "Cayenne LPP 1.0" of myDevices, whose types are IPSO Smart Object numbers less 3200, and the extended types that
the ElectronicCats CayenneLPP library defines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

#: Type → (name, per axis: bytes, divisor, signed).
_TYPES: dict[int, tuple[str, tuple[tuple[str, int, int, bool], ...]]] = {
    0: ("digital_in", (("", 1, 1, False),)),
    1: ("digital_out", (("", 1, 1, False),)),
    2: ("analog_in", (("", 2, 100, True),)),
    3: ("analog_out", (("", 2, 100, True),)),
    100: ("generic", (("", 4, 1, False),)),
    101: ("luminosity", (("", 2, 1, False),)),
    102: ("presence", (("", 1, 1, False),)),
    103: ("temperature", (("", 2, 10, True),)),
    104: ("humidity", (("", 1, 2, False),)),
    113: ("accelerometer", (("x", 2, 1000, True), ("y", 2, 1000, True), ("z", 2, 1000, True))),
    115: ("barometer", (("", 2, 10, False),)),
    116: ("voltage", (("", 2, 100, False),)),
    117: ("current", (("", 2, 1000, False),)),
    118: ("frequency", (("", 4, 1, False),)),
    120: ("percentage", (("", 1, 1, False),)),
    121: ("altitude", (("", 2, 1, True),)),
    125: ("concentration", (("", 2, 1, False),)),
    128: ("power", (("", 2, 1, False),)),
    130: ("distance", (("", 4, 1000, False),)),
    131: ("energy", (("", 4, 1000, False),)),
    132: ("direction", (("", 2, 1, False),)),
    133: ("unixtime", (("", 4, 1, False),)),
    134: ("gyrometer", (("x", 2, 100, True), ("y", 2, 100, True), ("z", 2, 100, True))),
    135: ("colour", (("r", 1, 1, False), ("g", 1, 1, False), ("b", 1, 1, False))),
    136: ("gps", (("latitude", 3, 10000, True), ("longitude", 3, 10000, True), ("altitude", 3, 100, True))),
    142: ("switch", (("", 1, 1, False),)),
}


def decode_cayenne(data: bytes, names: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Fields `temperature_3` (name, channel), or as `names` says for `3.temperature`; and what could not be read."""
    fields: dict[str, Any] = {}
    problems: list[str] = []
    for _, _, name, value in walk_cayenne(data, names, problems):
        fields[name] = value
    return fields, problems


def walk_cayenne(data: bytes, names: dict[str, str], problems: list[str]) -> Iterator[tuple[int, int, str, Any]]:
    """(first byte, byte after the last, field, value) in the order of the bytes; ends with a sentence in `problems`."""
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            problems.append(f"byte {at}: a channel without a type at the end")
            return
        channel, kind = data[at], data[at + 1]
        if kind not in _TYPES:
            problems.append(f"byte {at + 1}: Cayenne LPP has no type {kind}; what follows it cannot be read")
            return
        name, axes = _TYPES[kind]
        start, at = at, at + 2
        values: dict[str, Any] = {}
        for axis, size, divisor, signed in axes:
            piece = data[at : at + size]
            if len(piece) < size:
                problems.append(f"byte {start}: {name} of channel {channel} is cut off")
                return
            whole = int.from_bytes(piece, "big", signed=signed)
            values[axis] = whole / divisor if divisor > 1 else whole
            at += size
        yield start, at, names.get(f"{channel}.{name}", f"{name}_{channel}"), values.get("", values)
