"""SenML in JSON: a list of records, on any topic.

Source: RFC 8428, with the secondary units of RFC 8798 and the version's features of RFC 9100. A record's name is its
base name and its own name; what stands before the last `/` or `:` is the device, the rest the field. SenML in CBOR,
EXI or XML is not read: without a topic of its own nothing tells such bytes from others.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from ingest.envelopes._moments import Moments
from ingest.envelopes._names import by_name, by_name_and_unit, register
from ingest.envelopes._units import SENML, SUM_OF_RATE, amount
from ingest.envelopes.base import Announcement, Envelope, Uplink, device_address, json_value
from ingest.errors import Reason, Undecodable
from ingest.numbers import number

#: Times below are seconds from now, others since 1970.
_RELATIVE_BELOW_S = 2**28
#: Version 10 is RFC 8428's; in later ones the bits from 4 on are features, of which 4 is that of secondary units.
_VERSION, _KNOWN_FEATURES = 10, 1 << 4

_VALUES = ("v", "vs", "vb", "vd")
_KEYS = frozenset({"bn", "bt", "bu", "bv", "bs", "bver", "n", "u", "t", "ut", "s", "l", *_VALUES})

# A name that is a device's alone: urn:dev:<kind>:<id> (RFC 9039), another URN of three parts.
_WHOLE_DEVICE = re.compile(r"urn:(?:dev:[^:/]+:[^:/]+|(?!dev:)[^:/]+:[^:/]+)", re.IGNORECASE)
_SEPARATORS = "/:"
#: Units of a position: understood, and no reading.
_POSITION = frozenset({"lat", "lon"})


#: Every record joins the base name to its own.
_LONGEST_TEXT = 300


class _Bad(ValueError):
    """A base field that is wrong: nothing after it can be resolved."""


class _Base(NamedTuple):
    name: str = ""
    time_s: float = 0.0
    unit: str = ""
    value: float = 0.0
    total: float = 0.0


def _looks_like(content: Any) -> bool:
    if not isinstance(content, list) or not content or not isinstance(content[0], dict):
        return False
    first = content[0]
    named = isinstance(first.get("bn"), str) or isinstance(first.get("n"), str)
    return named and any(key in _KEYS and key not in ("n", "l") for key in first)


def _decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
    pack = json_value(payload)
    if not isinstance(pack, list):
        raise Undecodable(Reason.BAD_STRUCTURE, "a SenML pack is a list of records")
    moments = Moments()
    base = _Base()
    for position, record in enumerate(pack):
        where = f"record {position + 1}"
        if not isinstance(record, dict):
            moments.problem(Reason.BAD_STRUCTURE, f"{where} is no object")
            continue
        try:
            base = _next_base(base, record)
        except _Bad as error:
            moments.problem(Reason.BAD_STRUCTURE, f"{where}: {error}; the records from here on cannot be resolved")
            break
        _read(moments, base, record, where, received_us)
    return moments.result(_first_device(pack))


def _next_base(base: _Base, record: dict[str, Any]) -> _Base:
    """The base fields that hold from this record on."""
    if "bver" in record:
        version = record["bver"]
        if isinstance(version, bool) or not isinstance(version, int | float) or version != version // 1:
            raise _Bad(f"bver {str(version)[:20]!r} is no version")
        if version > _VERSION and int(version) & ~_KNOWN_FEATURES != _VERSION:
            raise _Bad(f"version {int(version)} of SenML is not known")
    return _Base(
        _text(record, "bn", base.name),
        _number(record, "bt", base.time_s),
        _text(record, "bu", base.unit),
        _number(record, "bv", base.value),
        _number(record, "bs", base.total),
    )


def _text(record: dict[str, Any], key: str, otherwise: str) -> str:
    value = record.get(key, otherwise)
    if not isinstance(value, str):
        raise _Bad(f"{key} is no text")
    if len(value) > _LONGEST_TEXT:
        raise _Bad(f"{key} has more than {_LONGEST_TEXT} characters")
    return value


def _number(record: dict[str, Any], key: str, otherwise: float) -> float:
    if key not in record:
        return otherwise
    if isinstance(record[key], bool):
        raise _Bad(f"{key} is no number")
    try:
        return number(record[key])
    except ValueError as error:
        raise _Bad(f"{key}: {error}") from None


def _read(moments: Moments, base: _Base, record: dict[str, Any], where: str, received_us: int) -> None:
    must = [key for key in record if key.endswith("_")]
    if must:
        moments.problem(Reason.BAD_STRUCTURE, f"{where} must not be read without knowing its field {must[0][:40]!r}")
        return
    if not record.keys() & {"v", "vs", "vb", "vd", "s", "n", "u", "t"}:
        return  # base fields alone
    try:
        device, field = _split(base.name, _text(record, "n", ""))
        unit = _text(record, "u", base.unit)
        seconds = base.time_s + _number(record, "t", 0.0)
        values = [key for key in _VALUES if key in record]
        if len(values) > 1:
            raise _Bad(f"has several values: {', '.join(values)}")
        total = base.total + _number(record, "s", 0.0) if "s" in record else None
        value: object = None
        if "v" in record or (not values and total is None and base.value):
            value = base.value + _number(record, "v", 0.0)
        address = device_address(device)
    except (_Bad, Undecodable) as error:
        reason = error.reason if isinstance(error, Undecodable) else Reason.BAD_VALUE
        moments.problem(reason, f"{where}: {error}")
        return
    time_us = _time_us(seconds, received_us)
    told = field or unit or "value"
    if total is not None:
        _sum(moments, address, time_us, field, unit, total, told)
    if "vb" in record or "vs" in record:
        metric = by_name(field)
        if metric in ("tilted", "lid_open"):
            moments.add(address, time_us, metric, record.get("vb", record.get("vs")), field=told)
        else:
            moments.unknown(told)
    elif "vd" in record:
        moments.unknown(told)
    elif value is not None:
        _momentary(moments, address, time_us, field, unit, value, told)


def _momentary(
    moments: Moments, address: str, time_us: int | None, field: str, unit: str, value: object, told: str
) -> None:
    if unit in _POSITION:
        return
    symbol = SENML.get(unit)
    found: tuple[str, str] | None = None
    if symbol is not None:
        quantity = amount(symbol)
        if quantity is None:
            found = by_name_and_unit(field, symbol)
        else:
            # A value in kWh is a register only if its name says so: it may be an hour's consumption.
            metric = register(field, quantity, told=False)
            found = (metric, "") if metric else None
    elif not unit:
        metric = by_name(field)
        found = (metric, "") if metric else None
    if found is None:
        moments.unknown(f"{told} in {unit}" if unit and unit != told else told)
        return
    moments.add(address, time_us, found[0], value, field=told, symbol=symbol, channel=found[1])


def _sum(moments: Moments, address: str, time_us: int | None, field: str, unit: str, total: float, told: str) -> None:
    """A sum is the integral over time, so in the unit times a second; of an amount it is taken as the register."""
    symbol = SENML.get(unit)
    if symbol in SUM_OF_RATE:
        quantity, factor = SUM_OF_RATE[symbol]
        metric = register(field, quantity, told=True)
        if metric is not None:
            moments.add(address, time_us, metric, total * factor, field=f"sum of {told}")
            return
    elif symbol is not None and (quantity_of := amount(symbol)) is not None:
        metric = register(field, quantity_of, told=True)
        if metric is not None:
            moments.add(address, time_us, metric, total, field=f"sum of {told}", symbol=symbol)
            return
    moments.unknown(f"sum of {told}")


def _time_us(seconds: float, received_us: int) -> int | None:
    if seconds == 0:
        return None
    seconds = max(-1e14, min(seconds, 1e14))  # a time that nobody believes, but a number of the database
    if seconds < _RELATIVE_BELOW_S:
        return received_us + round(seconds * 1e6)
    return round(seconds * 1e6)


def _split(base: str, own: str) -> tuple[str, str]:
    """Device and field. Raises `_Bad` where the name has no device."""
    name = (base + own).strip()
    if name.startswith("/"):
        raise _Bad(f"its name {name[:60]!r} is a path within a device, and no base name tells which")
    trimmed = name.rstrip(_SEPARATORS)
    if _WHOLE_DEVICE.fullmatch(trimmed) or _is_ip(trimmed):
        if own and base and not base.endswith(tuple(_SEPARATORS)):
            return base, own  # the base name is whole, the field was joined to it without a separator
        return trimmed, ""
    if own and not any(separator in own for separator in _SEPARATORS) and base:
        return base.rstrip(_SEPARATORS), own
    if not own and not base.lower().startswith("urn:"):
        return trimmed, ""
    cut = max(trimmed.rfind(separator) for separator in _SEPARATORS)
    if cut <= 0:
        raise Undecodable(Reason.NO_DEVICE, f"its name {name[:60]!r} names a field and no device")
    return trimmed[:cut].rstrip(_SEPARATORS), trimmed[cut + 1 :]


def _is_ip(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _first_device(pack: list[Any]) -> str | None:
    """The device of the first record, to say whose message it is when it holds no reading."""
    first = pack[0] if pack and isinstance(pack[0], dict) else {}
    base, own = first.get("bn", ""), first.get("n", "")
    if not isinstance(base, str) or not isinstance(own, str):
        return None
    try:
        return device_address(_split(base, own)[0])
    except (_Bad, Undecodable):
        return None


def make(zone: ZoneInfo) -> list[Envelope]:
    """SenML; its times are UTC."""
    return [Envelope("senml", "SenML", lambda topic: False, _looks_like, _decode)]
