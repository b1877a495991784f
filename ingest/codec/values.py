"""Numbers out of bytes. Every reader raises `TooShort` or gives None for a value that is absent."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from ingest.codec.layout import SIZE, Order, Value, When

Reader = Callable[[bytes], Any]


class TooShort(Exception):
    """The bytes end before the value does."""


def reader(spec: Value, order: Order) -> Reader:
    """A function from a message's (or an entry's) bytes to the value: number, word, or None."""
    raw = _raw(spec.at, spec.type, spec.order or order)
    cut, finish, exists = _cut(spec), _finish(spec), condition(spec.when) if spec.when else None
    absent = frozenset(spec.absent)

    def read(data: bytes) -> Any:
        if exists is not None and not exists(data):
            return None
        value = raw(data)
        if cut is not None:
            value = cut(value)
        return None if value in absent else finish(value)

    return read


def condition(spec: When) -> Callable[[bytes], bool]:
    """Whether the bytes fulfil a condition; bytes that are too short do not."""
    if spec.hex is not None:
        wanted, at = bytes.fromhex(spec.hex), spec.at

        def same(data: bytes) -> bool:
            start = at if at >= 0 else len(data) + at
            return start >= 0 and data[start : start + len(wanted)] == wanted

        return same
    raw, mask, equals = _raw(spec.at, spec.type, spec.order), spec.mask, frozenset(spec.equals)
    if spec.near is not None:
        other = _raw(spec.near, spec.type, spec.order)

        def close(data: bytes) -> bool:
            try:
                return bool(abs(raw(data) - other(data)) <= spec.within)
            except TooShort:
                return False

        return close

    def equal(data: bytes) -> bool:
        try:
            value = raw(data)
        except TooShort:
            return False
        return (value if mask is None else value & mask) in equals

    return equal


def _raw(at: int, kind: str, order: Order) -> Reader:
    size = SIZE[kind]
    convert = _converter(kind, order)

    def read(data: bytes) -> Any:
        start = at if at >= 0 else len(data) + at
        piece = data[start : start + size] if start >= 0 else b""
        if len(piece) < size:
            raise TooShort(f"ends after {len(data)} bytes; {kind} at byte {at} needs {size}")
        return convert(piece)

    return read


def _converter(kind: str, order: Order) -> Callable[[bytes], Any]:
    if kind[0] in "ui":
        return lambda piece: int.from_bytes(piece, order, signed=kind[0] == "i")
    if kind[0] == "f":
        form = struct.Struct((">" if order == "big" else "<") + ("f" if kind == "f32" else "d"))
        return lambda piece: _shortest(form.unpack(piece)[0], kind)
    if kind == "bcd32":
        return lambda piece: _decimal(piece if order == "big" else piece[::-1])
    return mbus_datetime


def _shortest(value: float, kind: str) -> float:
    # A single has about seven digits; 22.7 should not become 22.700000762939453.
    return float(f"{value:.7g}") if kind == "f32" else value


def _decimal(piece: bytes) -> int | None:
    digits = piece.hex()
    return int(digits) if digits.isdigit() else None


def mbus_datetime(piece: bytes) -> str | None:
    """Local time as text from type F of EN 13757-3; None if the meter marks it invalid or it is no date."""
    low, hour, day, month = piece
    if low & 0x80:
        return None
    minute, year = low & 0x3F, 2000 + ((day >> 5) | ((month & 0xF0) >> 1))
    hour, day, month = hour & 0x1F, day & 0x1F, month & 0x0F
    if not (minute < 60 and hour < 24 and 1 <= day <= 31 and 1 <= month <= 12):
        return None
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:00"


def _cut(spec: Value) -> Callable[[int], int] | None:
    if spec.bits is not None:
        low, width = spec.bits[0], spec.bits[1] - spec.bits[0] + 1
        mask, sign = (1 << width) - 1, (1 << (width - 1)) if spec.signed else 0
        return lambda value: (((value >> low) & mask) ^ sign) - sign
    if spec.mask is not None:
        kept = spec.mask
        return lambda value: value & kept
    return None


def _finish(spec: Value) -> Callable[[Any], Any]:
    words, scale, offset = spec.values, spec.scale, spec.offset
    if words is not None:
        return lambda value: words.get(str(value), value)
    if scale == 1 and offset == 0:
        return lambda value: value
    divisor = round(1 / scale) if scale else 0
    if divisor > 1 and abs(divisor * scale - 1) < 1e-9:
        # 257 / 10 is 25.7; 257 * 0.1 is 25.700000000000003.
        return lambda value: None if value is None else value / divisor + offset
    return lambda value: None if value is None else value * scale + offset
