"""One value a topic: ioBroker, mqtt-smarthome, ESPHome and whatever else sends `…/energy/total` → `1234.5`.

Sources: ioBroker's MQTT adapters, the mqtt-smarthome convention (`{"val": 21.5, "ts": 1795000000000, "ack": true}`,
time in ms), ESPHome "MQTT client component" (`<node>/sensor/<name>/state`).

The last level of the topic, or the last two, name the quantity in words of `ingest.vocabulary`; the device is what
stands before. Words before the known ones in the same level (`kitchen_temperature`) are a channel. A payload is a
number, with a unit behind it (`21.5 °C`) or not, or such JSON. A topic that ends in no known word is not taken, nor
one of a set point, an extreme, or the register of a day, month, year or tariff.

JSON of several such names (`{"fill_level": 73.5, "distance_cm": 69.8}`) on a topic that nobody owns is read by the
names of its fields, if one of them tells what is measured; the device is the topic without its last levels `sensor`,
`state` and the like. `"valid": false` makes it suspect.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo

from catalogue.metrics import Quality, metrics
from ingest.clock import parse_time_us
from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink, device_address, json_value
from ingest.errors import Reason, Undecodable
from ingest.numbers import number
from ingest.vocabulary import Converter, find, words_of


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Levels that end a topic and say nothing, and those before the name.
_ENDS = _set("state value val")
_CLASSES = _set("sensor sensors binary_sensor")
_NOT_NOW = _set(
    "set setpoint target limit threshold alarm max min maximum minimum avg average mean today yesterday daily day"
    " hourly hour weekly week monthly month yearly year tariff tariff1 tariff2 t1 t2 last previous delta forecast"
    " predicted cost price cmd command get config availability session dew feels peak"
)
#: The temperature of these is none of the place.
_INNER = _set("cpu chip battery board core soc esp esp32 mcu internal device system processor")
#: Words before the known ones that tell no channel.
_NEUTRAL = _set("energy electricity electric meter sensor data current actual main mains grid water gas heat bin value")
#: A bare `level` may be a lamp's or a blind's; of these it is the filling.
_FILLED = re.compile(r"bin|container|waste|fill|trash|garbage|litter|dumpster|tank|silo", re.IGNORECASE)
_NUMBER = re.compile(
    r"^(?P<number>[+-]?(?:\d{1,30}(?:[.,]\d{0,30})?|[.,]\d{1,30})(?:[eE][+-]?\d{1,3})?)\s*(?P<unit>\D.{0,15})?$"
)
_NO_VALUE = _set("null nan none unknown unavailable undefined online offline n/a -") | {""}
_STATES = {**dict.fromkeys(("true", "on", "yes", "open", "1"), 1.0),
           **dict.fromkeys(("false", "off", "no", "closed", "0"), 0.0)}  # fmt: skip
_LONGEST_TEXT = 100
_MOST_FIELDS = 60
_TIMES = _set("time timestamp ts datetime date_time")
#: Levels that end the topic of JSON and name no device.
_TOPIC_ENDS = _set("state sensor sensors data json telemetry value values status attributes up measurements")
#: Metrics by which such JSON is known: others (battery, current, temperature inside) are anybody's.
_TELLING = _set(
    "fill_level_pct distance_mm water_level_mm energy_kwh energy_export_kwh water_m3 gas_m3 heat_carrier_m3 power_w"
    " temperature_c humidity_pct co2_ppm air_pressure_hpa soil_moisture_pct weight_kg pm2_5_ugm3 pm10_ugm3"
    " illuminance_lx voltage_v"
)


@dataclass(frozen=True, slots=True)
class _Place:
    """What a topic says: whose value it is, and its words."""

    device: str
    channel: str
    words: tuple[str, ...]


@lru_cache(maxsize=20_000)
def _place(topic: str) -> _Place | None:
    levels = topic.split("/")
    if len(levels) > 1 and levels[-1].lower() in _ENDS:
        levels.pop()
    if not 2 <= len(levels) <= 32 or topic.startswith("$"):
        return None
    last, before = words_of(levels[-1]), words_of(levels[-2])
    if _NOT_NOW & {*last, *before}:
        return None
    if len(levels) > 2 and before and _known((*before, *last)):
        return _Place(_device(levels[:-2]), "", (*before, *last))
    for start in range(len(last)):
        if not _known(last[start:]):
            continue
        found = find(last[start:])
        if found is not None and found[0] == "temperature_c" and _INNER & {*last[:start], *before}:
            return None
        if last[start:] == ("level",) and not _FILLED.search(topic):
            return None
        channel = "-".join(word for word in last[:start] if word not in _NEUTRAL)[:40]
        return _Place(_device(levels[:-1]), channel, last[start:])
    return None


def _known(words: tuple[str, ...]) -> bool:
    """Whether the words mean something, if only with a unit."""
    return any(find(words, unit) for unit in (None, "m3/h", "bar"))


def _device(levels: list[str]) -> str:
    if len(levels) > 1 and levels[-1].lower() in _CLASSES:
        levels = levels[:-1]
    return "/".join(levels).strip("/")


def _owns_topic(topic: str) -> bool:
    place = _place(topic) if len(topic) <= 300 else None
    return place is not None and place.device != ""


@dataclass(frozen=True, slots=True)
class _Told:
    """A payload: the value, its unit, its time and whether it is doubted."""

    value: Any
    unit: str | None = None
    time: Any = None
    doubted: bool = False


def _from_json(content: dict[str, Any]) -> _Told:
    if content.get("ack") is False:
        raise NotAReading("a command to a state, not yet acknowledged")
    unit = content.get("unit")
    quality = content.get("q")
    value = content["val"] if "val" in content else content["value"]
    return _Told(
        value,
        unit if isinstance(unit, str) and unit.strip() else None,
        next((content[key] for key in ("ts", "timestamp", "time") if content.get(key) is not None), None),
        isinstance(quality, int) and quality != 0,
    )


def _value(metric: str, convert: Converter, told: Any) -> float:
    """In the metric's unit. Raises ValueError."""
    if metrics()[metric].kind == "state":
        state = _STATES.get(str(told).strip().lower()) if isinstance(told, bool | str | int) else None
        if state is None:
            raise ValueError(f"{str(told)[:40]!r} is neither true nor false")
        return state
    if isinstance(told, bool):
        raise ValueError("is true or false, expected a number")
    value = convert(number(told))
    if not isfinite(value):
        raise ValueError("is larger than any number of a meter")
    return value


def _reading(place: _Place, told: _Told, zone: ZoneInfo, received_us: int) -> Uplink:
    address = device_address(place.device)
    value, unit = told.value, told.unit
    if isinstance(value, str):
        if value.strip().lower() in _NO_VALUE:
            raise NotAReading("a topic without a value")
        match = _NUMBER.match(value.strip()) if len(value) <= _LONGEST_TEXT else None
        if match is not None:
            value, unit = match["number"], (match["unit"] or unit or "").strip() or None
    elif value is None:
        raise NotAReading("a topic without a value")
    name = " ".join(place.words)
    found = find(place.words, unit)
    if found is None:
        why = f"the unit {unit[:20]!r} is not one of it" if unit else "its unit is not told, and several are usual"
        raise Undecodable(Reason.BAD_VALUE, f"{name}: {why}", address)
    metric, convert = found
    try:
        metric_value = _value(metric, convert, value)
    except ValueError as error:
        raise Undecodable(Reason.BAD_VALUE, f"{name}: {error}", address) from None
    uplink = Uplink(address, None, channel=place.channel)
    if metric in ("rssi_dbm", "snr_db"):
        uplink.metrics, uplink.signal = {}, {metric: metric_value}
    else:
        uplink.metrics = {metric: metric_value}
    if told.doubted:
        uplink.quality = Quality.SUSPECT
    if told.time is not None:
        try:
            uplink.time_us = parse_time_us(told.time, zone, received_us)
        except ValueError as error:
            uplink.problems.append((Reason.BAD_VALUE, f"ts: {error}"))
    return uplink


def _meant(name: str) -> tuple[str, Converter] | None:
    """What a field of JSON means by its name alone."""
    words = words_of(name)
    return None if _NOT_NOW & set(words) or words == ("level",) else find(words)


def _looks_like(content: Any) -> bool:
    if not isinstance(content, dict) or len(content) > _MOST_FIELDS:
        return False
    return any(
        isinstance(value, int | float | str)
        and not isinstance(value, bool)
        and (found := _meant(name)) is not None
        and found[0] in _TELLING
        for name, value in content.items()
    )


def _named(topic: str, content: dict[str, Any], zone: ZoneInfo, received_us: int) -> Uplink:
    """JSON whose fields are named after what they are."""
    levels = topic.split("/")
    while len(levels) > 1 and levels[-1].lower() in _TOPIC_ENDS:
        levels.pop()
    if levels == ["misto"]:
        raise Undecodable(Reason.UNKNOWN_ENVELOPE, "its topic names no device: expected misto/<device>/up")
    uplink = Uplink(device_address("/".join(levels).strip("/")), None, metrics={})
    assert uplink.metrics is not None
    unknown = []
    for name, value in content.items():
        found = _meant(name)
        if name.lower() in _TIMES:
            try:
                uplink.time_us = parse_time_us(value, zone, received_us)
            except ValueError as error:
                uplink.problems.append((Reason.BAD_VALUE, f"{name}: {error}"))
        elif value is None or (isinstance(value, str) and value.strip().lower() in _NO_VALUE):
            continue
        elif found is None:
            if isinstance(value, int | float) and not isinstance(value, bool):
                unknown.append(name[:60])
        else:
            try:
                told = _value(found[0], found[1], value)
            except ValueError as error:
                uplink.problems.append((Reason.BAD_VALUE, f"{name[:60]}: {error}"))
            else:
                (uplink.signal if found[0] in ("rssi_dbm", "snr_db") else uplink.metrics).setdefault(found[0], told)
    uplink.unknown = tuple(unknown)
    if content.get("valid") is False:
        uplink.quality = Quality.SUSPECT
    return uplink


@cache
def _others(zone: ZoneInfo) -> tuple[Envelope, ...]:
    from ingest.envelopes import all_envelopes  # it collects this module too

    return tuple(envelope for envelope in all_envelopes(zone) if envelope.name != "one_value")


def make(zone: ZoneInfo) -> list[Envelope]:
    """The envelope for single values; times without a zone are those of `zone`."""

    def decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
        place = _place(topic) if len(topic) <= 300 else None
        if place is None and payload.lstrip()[:1] == b"{":
            content = json_value(payload)
            if isinstance(content, dict) and _looks_like(content):
                return [_named(topic, content, zone, received_us)]
        if place is None:
            raise Undecodable(Reason.UNKNOWN_ENVELOPE, "its topic ends in no word that names a quantity")
        if payload.lstrip()[:1] in (b"{", b"["):
            content = json_value(payload)
            if isinstance(content, dict) and ("val" in content or "value" in content):
                return [_reading(place, _from_json(content), zone, received_us)]
            # Formats that are known by their content may come on any topic.
            for envelope in _others(zone):
                if envelope.looks_like(content):
                    return envelope.decode(topic, payload, received_us)
            if isinstance(content, dict) and _looks_like(content):
                return [_named(topic, content, zone, received_us)]
            raise Undecodable(Reason.UNKNOWN_ENVELOPE, "its topic names one quantity, but it holds no single value")
        try:
            text = payload.decode()
        except UnicodeDecodeError as error:
            raise Undecodable(Reason.BAD_VALUE, f"it is not UTF-8 text: {error.reason}") from None
        text = text.strip().strip('"').strip()
        if len(text) > _LONGEST_TEXT:
            raise Undecodable(Reason.BAD_VALUE, f"one value has at most {_LONGEST_TEXT} characters")
        return [_reading(place, _Told(text), zone, received_us)]

    # After Home Assistant's discovery (95), which tells unit and device of a topic instead of guessing them.
    return [Envelope("one_value", "one value a topic", _owns_topic, _looks_like, decode, rank=97)]
