"""Records of the city of Prague's suppliers, alone or in a list: Sensoneo's bins, ENESA's and Unimonitor's meters.

Source: the city's data platform (Golemio), modules "Waste collection" and "Energetics". They are told by their content:

- Sensoneo: `container_id`, `percent_calculated`, `upturned`, `temperature` °C, `battery_status` V, `measured_at_utc`.
  The device is the container. While it lies on its side the level is suspect. Collections (`pick_at`) are no readings.
- ENESA: `addr`, `var`, `commodity`, `unit`, `value` (a text), `timeUtc`. The device is `<addr>/<var>`: a variable of a
  meter. Reactive energy is told in kWh.
- Unimonitor: `var_id` and `values` with a time in ms. Neither unit nor medium are told, so the inventory gives such a
  device a profile that maps the field `value`.

Entries of the registers of meters and bins are no readings.
"""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo

from ingest.clock import parse_time_us
from ingest.envelopes._moments import Moments
from ingest.envelopes._units import symbol_of
from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink, device_address, json_value
from ingest.errors import Reason, Undecodable

_BIN = {"percent_calculated": "fill_level_pct", "upturned": "tilted", "temperature": "temperature_c",
        "battery_status": "battery_v"}  # fmt: skip
_BIN_TIMES = ("measured_at_utc", "measured_at")
_METER_TIMES = ("timeUtc", "timeLocal")
_COMMODITIES = {
    ("electricity", "energy"): "energy_kwh", ("heat", "energy"): "energy_kwh", ("gas", "energy"): "energy_kwh",
    ("gas", "volume"): "gas_m3", ("water", "volume"): "water_m3", ("heat", "volume"): "heat_carrier_m3",
}  # fmt: skip
_QUANTITIES = {"kWh": "energy", "MWh": "energy", "Wh": "energy", "GJ": "energy", "MJ": "energy", "kvarh": "energy",
               "m3": "volume", "l": "volume"}  # fmt: skip
_REACTIVE = re.compile(r"react|jalov|^E[RF]w?Q", re.IGNORECASE)
_REVERSE = re.compile(r"^ERv|export|dod[aá]vka", re.IGNORECASE)
#: Keys by which an entry of a register, or a collection, is told.
_REGISTERS = (
    frozenset({"container_id", "pick_minfilllevel"}), frozenset({"me_id", "me_serial"}),
    frozenset({"addr", "meterNumber", "meterIndex"}), frozenset({"pot_id", "jed_zkr"}),
)  # fmt: skip


def _kind(part: Any) -> str:
    """sensoneo, enesa, unimonitor, register, or nothing."""
    if not isinstance(part, dict):
        return ""
    keys = part.keys()
    if {"container_id", "percent_calculated"} <= keys and ("measured_at_utc" in keys or "measured_at" in keys):
        return "sensoneo"
    if {"addr", "var", "value"} <= keys and ("timeUtc" in keys or "timeLocal" in keys):
        return "enesa"
    if keys == {"var_id", "values"} and isinstance(part["values"], list):
        return "unimonitor"
    return "register" if any(known <= keys for known in _REGISTERS) else ""


def _looks_like(content: Any) -> bool:
    return bool(_kind(content[0] if isinstance(content, list) and content else content))


def _text_of(told: Any) -> str:
    """An identity, with the blanks that the suppliers put into it at will taken out."""
    if isinstance(told, bool) or not isinstance(told, str | int):
        raise Undecodable(Reason.NO_DEVICE, "its device is named neither by a text nor by a number")
    return "".join(str(told)[:200].split())


def _time_us(moments: Moments, part: dict[str, Any], names: tuple[str, ...], zone: ZoneInfo) -> int | None:
    for name in names:
        told = part.get(name)
        if told is None:
            continue
        try:
            return parse_time_us(told, zone)
        except ValueError as error:
            moments.problem(Reason.BAD_VALUE, f"{name}: {error}")
    return None


def _bin(moments: Moments, part: dict[str, Any], zone: ZoneInfo) -> None:
    told = part.get("container_id")
    address = device_address(_text_of(part.get("code") if told is None else told))
    time_us = _time_us(moments, part, _BIN_TIMES, zone)
    for field, metric in _BIN.items():
        moments.add(address, time_us, metric, part.get(field), field=field)


def _meter(moments: Moments, part: dict[str, Any], zone: ZoneInfo) -> None:
    variable = _text_of(part["var"])
    address = device_address(f"{_text_of(part['addr'])}/{variable}")
    time_us = _time_us(moments, part, _METER_TIMES, zone)
    told = part.get("unit")
    symbol = symbol_of(told) if isinstance(told, str) else None
    commodity = part.get("commodity")
    commodity = commodity.lower() if isinstance(commodity, str) else ""
    metric = _COMMODITIES.get((commodity, _QUANTITIES.get(symbol or "", "")))
    if metric == "energy_kwh" and commodity == "electricity":
        if _REVERSE.search(variable):
            metric = "energy_export_kwh"
        if _REACTIVE.search(variable):
            metric = None if metric == "energy_export_kwh" else "reactive_energy_kvarh"
            symbol = {"kWh": "kvarh", "Wh": "varh"}.get(symbol or "", symbol)
    if metric is None:
        moments.unknown(f"{variable} ({commodity or 'no commodity'}, {str(told)[:20]})")
        return
    try:
        moments.add(address, time_us, metric, part.get("value"), field=variable, symbol=symbol)
    except KeyError:
        moments.problem(Reason.BAD_VALUE, f"{variable}: a unit of energy that its register cannot have")


def _values(part: dict[str, Any], found: list[Uplink | Announcement], moments: Moments) -> None:
    address = device_address(_text_of(part["var_id"]))
    for entry in part["values"]:
        if not isinstance(entry, dict):
            moments.problem(Reason.BAD_STRUCTURE, f"var_id {address}: a value is no object with timestamp and value")
            continue
        try:
            time_us = parse_time_us(entry.get("timestamp"))
        except ValueError as error:
            moments.problem(Reason.BAD_VALUE, f"var_id {address}: timestamp: {error}")
            continue
        if entry.get("value") is not None:
            found.append(Uplink(address, time_us, fields={"value": entry["value"]}))


def make(zone: ZoneInfo) -> list[Envelope]:
    """The envelope for records of Prague's suppliers; times without a zone are those of `zone`."""

    def decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
        content = json_value(payload)
        moments = Moments()
        unmapped: list[Uplink | Announcement] = []
        for position, part in enumerate(content if isinstance(content, list) else [content]):
            kind = _kind(part)
            try:
                if kind == "sensoneo":
                    _bin(moments, part, zone)
                elif kind == "enesa":
                    _meter(moments, part, zone)
                elif kind == "unimonitor":
                    _values(part, unmapped, moments)
                elif not kind:
                    raise Undecodable(Reason.BAD_STRUCTURE, "it is no measurement of a bin or meter")
            except Undecodable as error:
                moments.problem(error.reason, f"part {position + 1}: {error.detail}")
        try:
            found = moments.result()
        except Undecodable as error:
            if not unmapped:
                raise
            first = unmapped[0]
            if isinstance(first, Uplink):
                first.problems.append((error.reason, error.detail))
            found = []
        for uplink in found:
            if isinstance(uplink, Uplink) and uplink.metrics and uplink.metrics.get("tilted"):
                uplink.suspect = frozenset({"fill_level_pct"})
        if not found and not unmapped:
            raise NotAReading("an entry of a register, a collection or an empty list")
        return [*found, *unmapped]

    return [Envelope("prague", "Prague's suppliers", lambda topic: False, _looks_like, decode, rank=40)]
