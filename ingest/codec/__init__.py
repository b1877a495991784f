"""LoRaWAN bytes become the fields that a network server would have decoded, as a profile's `codec:` describes them.

So one profile serves decoded and undecoded uplinks. Layouts are tried in their order; the first that fits port, length
and conditions reads the message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from ingest.codec.cayenne import decode_cayenne
from ingest.codec.layout import SIZE, Deltas, Flags, Layout, Order, Steps, Tlv, Value
from ingest.codec.values import Reader, TooShort, condition, reader

__all__ = ["Codec", "Layout"]

Read = Callable[[bytes, dict[str, Any], list[str]], None]


class Codec:
    """Layouts ready for use."""

    def __init__(self, layouts: Mapping[str, Layout]) -> None:
        self._layouts = [(_fits(layout), _way(layout)) for layout in layouts.values()]

    def fits(self, data: bytes, port: int) -> bool:
        """Whether one of the layouts reads such bytes."""
        return any(fits(data, port) for fits, _ in self._layouts)

    def decode(self, data: bytes, port: int, into: dict[str, Any] | None = None) -> tuple[dict[str, Any], list[str]]:
        """Named fields (`a.b` nested), and a sentence for each thing that is wrong. Raises nothing.

        `into` is the dictionary to fill; `ingest.codec.trace` watches it being filled.
        """
        fields: dict[str, Any] = {} if into is None else into
        problems: list[str] = []
        for fits, read in self._layouts:
            if fits(data, port):
                read(data, fields, problems)
                return fields, problems
        shown = data[:12].hex(" ") + (" …" if len(data) > 12 else "")
        return {}, [f"no layout of the profile fits these {len(data)} bytes ({shown}) on port {port}"]


def _fits(layout: Layout) -> Callable[[bytes, int], bool]:
    ports, length = frozenset(layout.ports), layout.length
    low, high = layout.lengths or (0, 1 << 30)
    conditions = [condition(spec) for spec in layout.when]

    def fits(data: bytes, port: int) -> bool:
        return (
            (not ports or port in ports)
            and (length is None or len(data) == length)
            and low <= len(data) <= high
            and all(holds(data) for holds in conditions)
        )

    return fits


def _way(layout: Layout) -> Read:
    if layout.tlv is not None:
        return _tlv(layout.tlv)
    if layout.cayenne is not None:
        return _cayenne(layout.cayenne.names)
    ways = [_fixed(layout.fields, layout.order)]
    constants = layout.constants
    if layout.flags is not None:
        ways.append(_flags(layout.flags, layout.order))
    if layout.steps is not None:
        ways.append(_steps(layout.steps, layout.order))

    def read(data: bytes, fields: dict[str, Any], problems: list[str]) -> None:
        fields.update(constants)
        for way in ways:
            way(data, fields, problems)

    return read


def _cayenne(names: dict[str, str]) -> Read:
    def read(data: bytes, fields: dict[str, Any], problems: list[str]) -> None:
        found, wrong = decode_cayenne(data, names)
        fields.update(found)
        problems += wrong

    return read


def _fixed(specs: Mapping[str, Value], order: Order) -> Read:
    readers: list[tuple[str, Reader]] = [(name, reader(spec, order)) for name, spec in specs.items()]

    def read(data: bytes, fields: dict[str, Any], problems: list[str]) -> None:
        for name, value_of in readers:
            try:
                value = value_of(data)
            except TooShort as error:
                problems.append(f"{name}: it {error}")
                continue
            if value is not None:
                _put(fields, name, value)

    return read


def _put(fields: dict[str, Any], name: str, value: Any) -> None:
    node = fields
    *outer, last = name.split(".")
    for step in outer:
        node = node.setdefault(step, {})
    node[last] = value


def _flags(spec: Flags, order: Order) -> Read:
    groups = [(group.bit, group.length, _fixed(group.fields, order)) for group in spec.groups]
    flags_of = reader(Value(at=spec.at, type=spec.type), order)

    def read(data: bytes, fields: dict[str, Any], problems: list[str]) -> None:
        try:
            flags = flags_of(data)
        except TooShort as error:
            problems.append(f"its flags: it {error}")
            return
        at = spec.start
        for bit, length, group in groups:
            if flags >> bit & 1:
                group(data[at : at + length], fields, problems)
                at += length

    return read


def _tlv(spec: Tlv) -> Read:
    entries = {
        bytes.fromhex(key): (entry.length, entry.list, _fixed(entry.fields, spec.order))
        for key, entry in spec.entries.items()
    }
    ends = tuple(bytes.fromhex(end) for end in spec.ends)
    head = int(spec.length_first)

    def read(data: bytes, fields: dict[str, Any], problems: list[str]) -> None:
        at = 0
        while at < len(data):
            key = data[at + head : at + head + spec.key_bytes]
            start = at + head + spec.key_bytes
            if len(key) < spec.key_bytes:
                problems.append(f"byte {at}: it ends within a key ({data[at:].hex(' ')})")
                return
            told = data[at] - spec.key_bytes if head else None
            if key not in entries:
                if key.startswith(ends):
                    return
                if told is not None and told >= 0:
                    at = start + told
                    continue
                problems.append(f"byte {at}: the profile does not know {key.hex(' ')}; what follows it cannot be read")
                return
            length, into, entry = entries[key]
            if length is None:
                length = len(data) - start
            if told is not None and told != length:
                problems.append(f"byte {at}: {key.hex(' ')} has {told} bytes, expected {length}")
                return
            piece = data[start : start + length]
            if len(piece) < length:
                problems.append(f"byte {at}: {key.hex(' ')} has {len(piece)} of its {length} bytes")
                return
            if into is None:
                entry(piece, fields, problems)
            else:
                item: dict[str, Any] = {}
                entry(piece, item, problems)
                fields.setdefault(into, []).append(item)
            at = start + length

    return read


def _steps(spec: Steps, order: Order) -> Read:
    time_of = reader(spec.time, order)
    # Added up as whole numbers; scaled once at the end.
    total_of = reader(spec.total.model_copy(update={"scale": 1.0}), order)
    scaled = reader(Value(type="i64", scale=spec.total.scale), "big")

    def read(data: bytes, fields: dict[str, Any], problems: list[str]) -> None:
        try:
            moment, total = time_of(data), total_of(data)
            if moment is None or total is None:
                return
            deltas = _deltas(data, spec.deltas, order)
        except TooShort as error:
            problems.append(f"{spec.into}: it {error}")
            return
        if isinstance(moment, int):
            moment += spec.time_offset_s - moment % spec.time_floor_s
        items = []
        for index, delta in enumerate([0, *deltas]):
            total += -delta if spec.backward else delta
            since = index * spec.every_s * (-1 if spec.backward else 1)
            value = scaled(int(total).to_bytes(8, "big", signed=True))
            items.append({**spec.constants, spec.time_name: _later(moment, since), spec.value_name: value})
        fields[spec.into] = items

    return read


def _later(moment: int | str, seconds: int) -> int | str:
    if isinstance(moment, int):
        return moment + seconds
    try:
        return (datetime.fromisoformat(moment) + timedelta(seconds=seconds)).isoformat()
    except (ValueError, OverflowError):
        return moment


def _deltas(data: bytes, spec: Deltas, order: Order) -> list[int]:
    if spec.bits is not None:
        stream = int.from_bytes(data[spec.at :], "little")
        count = spec.count or 8 * max(len(data) - spec.at, 0) // spec.bits
        if 8 * (len(data) - spec.at) < count * spec.bits:
            raise TooShort(
                f"ends after {len(data)} bytes; {count} steps of {spec.bits} bits from byte {spec.at} need more"
            )
        return [stream >> index * spec.bits & (1 << spec.bits) - 1 for index in range(count)]
    kind = spec.type or "u16"
    size = SIZE[kind]
    count = spec.count or max(len(data) - spec.at, 0) // size
    values = [reader(Value(at=spec.at + index * size, type=kind), order) for index in range(count)]
    return [value(data) for value in values]
