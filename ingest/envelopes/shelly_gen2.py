"""Shelly Gen2 and later (Plus, Pro, Gen3, Gen4): `<prefix>/events/rpc` and `<prefix>/status/<component>:<n>`.

Source: Shelly Technical Documentation, "Gen2+ Device API": MQTT, Notifications, and the components Switch, PM1, EM,
EM1, EMData, EM1Data, Temperature, Humidity, DevicePower. The components fix what a field is, so no profile is needed:
`total_act…` and `aenergy.total` are registers in Wh (`by_minute` is in mWh and belongs to a minute: not used), `apower`
and `act_power` W, `tC` °C, `rh` %. A notification is partial: only what has changed.

The device is the topic's prefix, by default its id (`shellypro3em-…`): status topics name it in no other way, and one
device must not become two. Without such a topic it is `src`. A bridge's levels before an id are left out.

A three-phase `em:0` with its `emdata:0` is the device itself. Clamps of single-phase meters (`em1:n`, `em1data:n`) are
the channels "0", "1" …; of all other components the instance 0 is the device itself and n > 0 the channel "n".

`params.ts` is the time; before the clock is set it counts from the start of the device. Status topics have no time.
The temperature inside a switch is that of the device; a component `temperature:n` measures its place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

from ingest.clock import parse_time_us
from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink, device_address, json_object
from ingest.errors import Reason, Undecodable
from ingest.numbers import number

_ID = re.compile(r"^shelly[a-z0-9]*-[0-9a-f]{6,16}$", re.IGNORECASE)
_COMPONENT = re.compile(r"^([a-z][a-z0-9_]*):(\d{1,3})$")

#: Metric, and the divisor that makes its unit of the component's.
Target = tuple[str, float]

_METERED: dict[str, Target] = {
    "apower": ("power_w", 1),
    "aprtpower": ("apparent_power_va", 1),
    "voltage": ("voltage_v", 1),
    "current": ("current_a", 1),
    "pf": ("power_factor", 1),
    "freq": ("frequency_hz", 1),
    "aenergy.total": ("energy_kwh", 1000),
    "ret_aenergy.total": ("energy_export_kwh", 1000),
}
_FIELDS: dict[str, dict[str, Target]] = {
    **dict.fromkeys(("switch", "pm1", "cover", "light", "rgb", "rgbw", "cct"), _METERED),
    "em": {
        "total_act_power": ("power_w", 1),
        "total_aprt_power": ("apparent_power_va", 1),
        "total_current": ("current_a", 1),
        **{f"{phase}_act_power": (f"power_l{n}_w", 1) for n, phase in enumerate("abc", 1)},
        **{f"{phase}_voltage": (f"voltage_l{n}_v", 1) for n, phase in enumerate("abc", 1)},
        **{f"{phase}_current": (f"current_l{n}_a", 1) for n, phase in enumerate("abc", 1)},
        **{f"{phase}_freq": ("frequency_hz", 1) for phase in "abc"},
    },
    "emdata": {
        "total_act": ("energy_kwh", 1000),
        "total_act_ret": ("energy_export_kwh", 1000),
        "total_act_energy": ("energy_kwh", 1000),
        "total_act_ret_energy": ("energy_export_kwh", 1000),
    },
    "em1": {
        "act_power": ("power_w", 1),
        "aprt_power": ("apparent_power_va", 1),
        "voltage": ("voltage_v", 1),
        "current": ("current_a", 1),
        "pf": ("power_factor", 1),
        "freq": ("frequency_hz", 1),
    },
    "em1data": {"total_act_energy": ("energy_kwh", 1000), "total_act_ret_energy": ("energy_export_kwh", 1000)},
    "temperature": {"tC": ("temperature_c", 1)},
    "humidity": {"rh": ("humidity_pct", 1)},
    "devicepower": {"battery.percent": ("battery_pct", 1), "battery.V": ("battery_v", 1)},
    "input": {"counts.total": ("pulse_count", 1)},
    "illuminance": {"lux": ("illuminance_lx", 1)},
    "voltmeter": {"voltage": ("voltage_v", 1)},
}
#: Components that tell a state: field → metric.
_STATES = {"smoke": ("alarm", "on_fire"), "flood": ("alarm", "water_leak"), "presence": ("presence", "occupied")}
# Where a firmware leaves out the total, it is the sum of the three phases.
_SUMS: dict[str, dict[str, tuple[str, ...]]] = {
    "em": {"total_act_power": ("a_act_power", "b_act_power", "c_act_power")},
    "emdata": {
        "total_act": ("a_total_act_energy", "b_total_act_energy", "c_total_act_energy"),
        "total_act_ret": ("a_total_act_ret_energy", "b_total_act_ret_energy", "c_total_act_ret_energy"),
    },
}
_CLAMPS = frozenset({"em1", "em1data"})
#: Errors by which a component doubts its own measurement; the others are about what it protects.
_DOUBTS = ("power_meter_failure", "out_of_range", "read", "ct_type_not_set")


def keep(uplink: Uplink, metric: str, value: object, divisor: float, name: str) -> None:
    """Add a value to an uplink's metrics unless there is one; what is no number becomes a problem."""
    metrics = uplink.metrics
    assert metrics is not None
    if value is None or metric in metrics:
        return
    try:
        if isinstance(value, bool):
            raise ValueError("bool is no number")
        metrics[metric] = number(value) / divisor
    except ValueError as error:
        uplink.problems.append((Reason.BAD_VALUE, f"{name}: {error}"))


def owns_topic(topic: str) -> bool:
    """Whether a topic is one of Gen2's, also below a prefix that people chose."""
    levels = topic.split("/")
    if topic.endswith("/events/rpc"):
        return len(levels) >= 3
    if len(levels) >= 3 and levels[-2] == "status" and _COMPONENT.match(levels[-1]):
        return True
    # All other topics of its are too plain to be sure of, unless its name stands before them.
    if "shellies" in levels or not any(level.lower().startswith("shelly") for level in levels[:-1]):
        return False
    return levels[-1] in ("online", "rpc", "command", "announce") or levels[-2] in ("status", "debug", "command")


def _looks_like(content: Any) -> bool:
    if not isinstance(content, dict):
        return False
    src = content.get("src")
    if not (isinstance(src, str) and src.startswith("shelly")):
        return False
    return content.get("method") in ("NotifyStatus", "NotifyFullStatus", "NotifyEvent") or "result" in content


def _decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
    levels = topic.split("/")
    if len(levels) >= 3 and levels[-2] == "status":
        address = _address(levels[:-2])
        if _COMPONENT.match(levels[-1]) is None:
            raise NotAReading(f"the status of a Shelly's {levels[-1]}")
        return _readings(address, None, {levels[-1]: json_object(payload)})
    if owns_topic(topic) and levels[-2:] != ["events", "rpc"] and levels[-1] != "rpc":
        raise NotAReading(f"a Shelly's {levels[-1]}")
    content = json_object(payload)
    method = content.get("method")
    if method is not None and method not in ("NotifyStatus", "NotifyFullStatus"):
        raise NotAReading(f"a Shelly's {str(method)[:60]}")
    src = content.get("src")
    by_topic = levels[-2:] == ["events", "rpc"]
    address = _address(levels[:-2]) if by_topic else device_address(src if isinstance(src, str) else "")
    status = content.get("params") if method is not None else content.get("result")
    if not isinstance(status, dict):
        raise Undecodable(Reason.BAD_STRUCTURE, "a Shelly's message without the object params or result", address)
    sys = status.get("sys")
    sys = sys if isinstance(sys, dict) else {}
    told = status.get("ts") if method is not None else sys.get("unixtime")
    try:
        time_us = None if told is None else parse_time_us(told)
    except ValueError as error:
        raise Undecodable(Reason.BAD_VALUE, f"ts: {error}", address) from None
    found: list[Uplink | Announcement] = []
    if isinstance(sys.get("mac"), str):
        found.append(Announcement(address, {"maker": "Shelly", "serial": sys["mac"][:40]}))
    try:
        return [*found, *_readings(address, time_us, status)]
    except NotAReading:
        if not found:
            raise
        return found


def _address(prefix: list[str]) -> str:
    own = next((level for level in reversed(prefix) if _ID.match(level)), None)
    return device_address(own or "/".join(prefix))


def _readings(address: str, time_us: int | None, status: dict[str, Any]) -> list[Uplink | Announcement]:
    """An uplink a channel from the components of a status."""
    uplinks: dict[str, Uplink] = {}
    for name, body in status.items():
        match = _COMPONENT.match(name)
        if match is None or (match[1] not in _FIELDS and match[1] not in _STATES):
            continue
        kind, instance = match[1], int(match[2])
        channel = str(instance) if instance or kind in _CLAMPS else ""
        uplink = uplinks.setdefault(channel, Uplink(address, time_us, metrics={}, channel=channel))
        if isinstance(body, dict):
            _component(uplink, kind, name, body)
        elif body is not None:
            uplink.problems.append((Reason.BAD_STRUCTURE, f"{name}: is no object"))
    kept = [uplink for uplink in uplinks.values() if uplink.metrics or uplink.problems]
    if not kept:
        raise NotAReading("a Shelly's status without a measurement")
    wifi = status.get("wifi")
    rssi = wifi.get("rssi") if isinstance(wifi, dict) else None
    if isinstance(rssi, int | float) and -150 <= rssi < 0:  # 0 stands for no connection
        kept[0].signal["rssi_dbm"] = float(rssi)
    return [*kept]


def _component(uplink: Uplink, kind: str, name: str, body: dict[str, Any]) -> None:
    if kind == "devicepower":
        external = body.get("external")
        if isinstance(external, dict) and external.get("present") is True:
            return  # on mains, it measures an empty battery holder
    metrics = uplink.metrics or {}
    before = set(metrics)
    if kind in _STATES and uplink.metrics is not None:
        field, metric = _STATES[kind]
        if isinstance(body.get(field), bool):
            uplink.metrics[metric] = float(body[field])
        return
    inner = _get(body, "temperature.tC")
    if inner is not None and kind not in _CLAMPS:
        keep(uplink, "device_temperature_c", inner, 1, f"{name}.temperature.tC")
    for field, (metric, divisor) in _FIELDS[kind].items():
        keep(uplink, metric, _get(body, field), divisor, f"{name}.{field}")
    for total, parts in _SUMS.get(kind, {}).items():
        metric, divisor = _FIELDS[kind][total]
        phases = [body.get(part) for part in parts]
        if body.get(total) is None and all(isinstance(p, int | float) and not isinstance(p, bool) for p in phases):
            keep(uplink, metric, _sum(phases), divisor, f"{name}.{total}")
    if any(str(error).startswith(_DOUBTS) for error in _errors(body)):
        # By phase where it tells: a_errors. Which of a phase's values is wrong, it tells only sometimes.
        uplink.suspect |= set(uplink.metrics or {}) - before


def _sum(values: list[Any]) -> float:
    try:
        return float(sum(values))
    except OverflowError:
        return float("inf")


def _errors(body: dict[str, Any]) -> Iterator[Any]:
    for key in ("errors", "a_errors", "b_errors", "c_errors"):
        listed = body.get(key)
        if isinstance(listed, list):
            yield from listed


def _get(body: dict[str, Any], path: str) -> Any:
    node: Any = body
    for step in path.split("."):
        node = node.get(step) if isinstance(node, dict) else None
    return node


def make(zone: ZoneInfo) -> list[Envelope]:
    """Shelly Gen2, Gen3, Gen4."""
    return [Envelope("shelly_gen2", "Shelly Gen2 and later", owns_topic, _looks_like, _decode, rank=10)]
