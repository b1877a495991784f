"""Shelly Gen1 (Shelly EM, 3EM, Plug S, 1PM, H&T …): `shellies/<id>/…`, one value a topic.

Source: Shelly Technical Documentation, "Gen1 Device API", MQTT. The topic fixes what the value is, so no profile is
needed. Units: `emeter/N/total` and `total_returned` are registers in Wh; `relay/N/energy` (and roller, light) counts
watt-minutes, as do `meters[].total` of `info`; `power` W, `voltage` V, `current` A. `emeter/N/energy` and
`returned_energy` count watt-minutes from the start of the device beside the register `total`: not kept.

A clamp of a meter is the channel "0", "1", "2": a message holds one phase only, so the three totals of a Shelly 3EM
cannot become one register; each phase is a point of its own with its register, power, voltage and current. Phases of a
3EM (its id has `em3`) keep their names, voltage_l1_v to voltage_l3_v. Relay 0 is the device itself, relay N > 0 the
channel "N", an add-on's sensors the channels "ext0", "ext1" ….

Values have no time; `info` (the device's status) has `unixtime`, 0 until the clock is set. `meters[].timestamp` is a
local time and not used. `online`, `command`, `input`, `announce` and the switches' states are no readings.
"""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo

from ingest.clock import parse_time_us
from ingest.envelopes import shelly_gen2
from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink, device_address, json_object
from ingest.envelopes.shelly_gen2 import Target, keep
from ingest.errors import Reason, Undecodable

_TOPIC = re.compile(
    r"^(?P<id>.+?)/(?:emeter/(?P<clamp>\d{1,2})/(?P<clamped>[a-z_]+)"
    r"|(?:relay|roller|light|white|color)/(?P<relay>\d{1,2})/(?P<switched>[a-z_]+)"
    r"|sensor/(?P<sensed>[a-z_]+)"
    r"|ext_(?P<external>temperature|humidity)/(?P<addon>\d{1,3})"
    r"|(?P<plain>[a-z_]+)(?:/\d{1,3})?)$"
)

_CLAMP: dict[str, Target] = {
    "power": ("power_w", 1),
    "reactive_power": ("reactive_power_var", 1),
    "reactive": ("reactive_power_var", 1),
    "voltage": ("voltage_v", 1),
    "current": ("current_a", 1),
    "pf": ("power_factor", 1),
    "total": ("energy_kwh", 1000),
    "total_returned": ("energy_export_kwh", 1000),
}
_RELAY: dict[str, Target] = {"power": ("power_w", 1), "energy": ("energy_kwh", 60_000)}
_METER: dict[str, Target] = {"power": ("power_w", 1), "total": ("energy_kwh", 60_000)}
_SENSOR: dict[str, Target] = {
    "temperature": ("temperature_c", 1),
    "humidity": ("humidity_pct", 1),
    "battery": ("battery_pct", 1),
    "lux": ("illuminance_lx", 1),
    "concentration": ("gas_concentration_ppm", 1),
}
#: Sensors that tell a state: metric, and what they send for yes and no.
_STATES: dict[str, tuple[str, dict[str, float]]] = {
    "flood": ("water_leak", {"true": 1.0, "false": 0.0}),
    "smoke": ("on_fire", {"true": 1.0, "false": 0.0}),
    "motion": ("occupied", {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0}),
    "state": ("contact_open", {"open": 1.0, "close": 0.0}),
}
_PLAIN: dict[str, Target] = {"temperature": ("device_temperature_c", 1), "voltage": ("voltage_v", 1)}
#: What the sensors of H&T and of the add-on send when they could not measure.
_FAILED = 999.0
_MOST_INSTANCES = 8


def _owns_topic(topic: str) -> bool:
    return "shellies" in topic.split("/")[:-1] and not shelly_gen2.owns_topic(topic)


def _looks_like(content: Any) -> bool:
    return False  # one value without its topic could be anything


def _decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
    levels = topic.split("/")
    below = "/".join(levels[levels.index("shellies") + 1 :]) if "shellies" in levels else ""
    if below == "announce":
        return [_announced(json_object(payload), None)]
    match = _TOPIC.match(below)
    if match is None:
        raise NotAReading(f"Shelly's topic {topic[:100]!r}")
    told = match.groupdict()
    if told["plain"] in ("info", "announce"):
        content = json_object(payload)
        address = device_address(told["id"])
        return _info(address, content) if told["plain"] == "info" else [_announced(content, address)]
    sensed = _STATES.get(told["sensed"] or "")
    if sensed is not None:
        state = sensed[1].get(payload.decode("utf-8", "replace").strip().lower())
        if state is None:
            raise NotAReading(f"Shelly's {told['sensed']} without a state")
        return [Uplink(device_address(told["id"]), None, metrics={sensed[0]: state})]
    channel, target = _target(told)
    if target is None:
        raise NotAReading(f"Shelly's {below[len(told['id']) + 1 :]}")
    address = device_address(told["id"])
    uplink = Uplink(address, None, metrics={}, channel=channel)
    keep(uplink, target[0], payload.decode("utf-8", "replace"), target[1], topic[-100:])
    _drop_failed(uplink)
    return [uplink]


def _target(told: dict[str, Any]) -> tuple[str, Target | None]:
    """Channel and metric of a topic; no metric for what is no reading."""
    if told["clamp"] is not None:
        return _of_clamp(told["id"], int(told["clamp"]), told["clamped"])
    if told["relay"] is not None:
        relay = int(told["relay"])
        return str(relay) if relay else "", _RELAY.get(told["switched"])
    if told["addon"] is not None:
        return f"ext{int(told['addon'])}", _SENSOR[told["external"]]
    if told["sensed"] is not None:
        return "", _SENSOR.get(told["sensed"])
    return "", _PLAIN.get(told["plain"])


def _of_clamp(device: str, clamp: int, quantity: str) -> tuple[str, Target | None]:
    target = _CLAMP.get(quantity)
    if target is not None and quantity in ("voltage", "current") and clamp < 3 and "em3" in device.lower():
        target = (target[0].replace("_", f"_l{clamp + 1}_"), 1)
    return str(clamp), target


def _announced(content: dict[str, Any], address: str | None) -> Announcement:
    told = {
        "model": content.get("model"),
        "serial": content.get("mac"),
        "firmware": content.get("fw_ver") or content.get("ver"),
        "name": content.get("name"),
    }
    facts = {"maker": "Shelly", **{key: text[:100] for key, text in told.items() if isinstance(text, str) and text}}
    own = content.get("id")
    return Announcement(address or device_address(own if isinstance(own, str) else ""), facts)


def _info(address: str, content: dict[str, Any]) -> list[Uplink | Announcement]:
    """The whole status: an uplink a clamp or meter, and one of the device's own sensors."""
    try:
        time_us = None if content.get("unixtime") is None else parse_time_us(content["unixtime"])
    except ValueError as error:
        raise Undecodable(Reason.BAD_VALUE, f"unixtime: {error}", address) from None
    uplinks: dict[str, Uplink] = {}

    def uplink(channel: str) -> Uplink:
        return uplinks.setdefault(channel, Uplink(address, time_us, metrics={}, channel=channel))

    for index, meter in _valid(content.get("emeters")):
        for key in _CLAMP:
            channel, target = _of_clamp(address, index, key)
            if target is not None:
                keep(uplink(channel), target[0], meter.get(key), target[1], f"emeters.{index}.{key}")
    # Shelly EM lists meters beside its clamps without power of their own.
    for index, meter in [] if content.get("emeters") else _valid(content.get("meters")):
        for key, (metric, divisor) in _METER.items():
            keep(uplink(str(index) if index else ""), metric, meter.get(key), divisor, f"meters.{index}.{key}")
    inside = content.get("temperature")  # relays tell their own, sensors that of their place
    own = {
        "device_temperature_c": inside,
        "temperature_c": _celsius(content.get("tmp")) if inside is None else None,
        "humidity_pct": _part(content, "hum", "value"),
        "battery_pct": _part(content, "bat", "value"),
        "battery_v": _part(content, "bat", "voltage"),
        "gas_concentration_ppm": _part(content, "concentration", "ppm"),
        "illuminance_lx": _part(content, "lux", "value"),
        "voltage_v": content.get("voltage"),
    }
    for metric, value in own.items():
        if value is not None:
            keep(uplink(""), metric, value, 1, metric)
    for name, key, metric in (("ext_temperature", "tC", "temperature_c"), ("ext_humidity", "hum", "humidity_pct")):
        sensors = content.get(name)
        for index in range(_MOST_INSTANCES) if isinstance(sensors, dict) else ():
            value = _part(sensors, str(index), key)
            if value is not None:
                keep(uplink(f"ext{index}"), metric, value, 1, f"{name}.{index}")
    for part in uplinks.values():
        _drop_failed(part)
    rssi = _part(content, "wifi_sta", "rssi")
    if isinstance(rssi, int | float) and -150 <= rssi < 0:  # 0 stands for no connection
        (next(iter(uplinks.values()), None) or uplink("")).signal["rssi_dbm"] = float(rssi)
    update = content.get("update")
    about = _announced({**content, "fw_ver": update.get("old_version") if isinstance(update, dict) else None}, address)
    return [about, *(part for part in uplinks.values() if part.metrics or part.problems or part.signal)]


def _valid(listed: Any) -> list[tuple[int, dict[str, Any]]]:
    """The entries that the device does not call invalid, with their index."""
    entries = enumerate(listed[:_MOST_INSTANCES]) if isinstance(listed, list) else ()
    return [
        (index, entry) for index, entry in entries if isinstance(entry, dict) and entry.get("is_valid") is not False
    ]


def _part(content: Any, name: str, key: str) -> Any:
    entry = content.get(name) if isinstance(content, dict) else None
    if not isinstance(entry, dict):
        return None
    return entry.get(key) if _is_valid(entry) else None


def _celsius(sensor: Any) -> Any:
    """The temperature of `tmp`; the valve's has no tC."""
    if isinstance(sensor, dict) and "tC" not in sensor and sensor.get("units") == "C":
        return _part({"tmp": sensor}, "tmp", "value")
    return _part({"tmp": sensor}, "tmp", "tC")


def _is_valid(entry: dict[str, Any]) -> bool:
    # Some models send the word as text.
    return entry.get("is_valid") not in (False, "false")


def _drop_failed(uplink: Uplink) -> None:
    metrics = uplink.metrics or {}
    for metric in ("temperature_c", "device_temperature_c", "humidity_pct"):
        if metrics.get(metric) == _FAILED:
            del metrics[metric]
            uplink.problems.append((Reason.BAD_VALUE, f"{metric}: 999 means that the sensor could not measure"))


def make(zone: ZoneInfo) -> list[Envelope]:
    """Shelly Gen1."""
    return [Envelope("shelly_gen1", "Shelly Gen1", _owns_topic, _looks_like, _decode, rank=10)]
