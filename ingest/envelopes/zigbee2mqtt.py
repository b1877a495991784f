"""Zigbee2MQTT: `zigbee2mqtt/<friendly name>` with a device's state as JSON.

Source: Zigbee2MQTT documentation, "MQTT Topics and Messages", "Exposes", "Configuration: advanced" (last_seen, output).
The device is its friendly name, which may hold blanks and slashes. Its name for the base topic may differ
(`zigbee2mqtt_2`, or any other: then `linkquality` tells the format, and the topic's first level is the base).
`last_seen` is RFC 3339 text, local text or milliseconds, and absent unless switched on. With `output: attribute` a
message is one value below the device: `zigbee2mqtt/<friendly name>/<attribute>`.

Units are Zigbee2MQTT's own: energy kWh, power W, current A, temperature °C, pressure hPa; `voltage` is V of the mains,
but mV of a battery. So the model's profile maps the fields; for models without one, and where the message does not tell
the model (`device`, an option), there are general profiles. What a profile gets:

- `general_meter`, `general_three_phases` or `general_sensor`: what it looks like, by which the general ones are found.
- `battery_voltage` instead of `voltage` where a meter runs on a battery.
- `power_factor…` from 0 to 1 (some models send per cent).
- `phases_power`, the list of all three phases' power, of meters that send no total.
- Several outlets or clamps (`power_a` and `power_b` without a third, `energy_l1`, `power_left`) as channels with that
  name, their fields without it.

`availability`, `set`, `get` and `bridge/…` are no readings; `bridge/devices` tells every device's model and maker.
"""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo

from ingest.clock import parse_time_us
from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink, device_address, json_object, json_value
from ingest.errors import Reason, Undecodable

_TOPIC = re.compile(r"^(?:[^/]+/)*?zigbee2mqtt[^/]*/(?P<below>.*)$", re.DOTALL)
_COMMANDS = frozenset({"get", "set"})
_METERED = (
    "power",
    "energy",
    "current",
    "produced_energy",
    "energy_produced",
    "power_factor",
    "power_apparent",
    "power_reactive",
    "voltage",
)
_PART = re.compile(rf"^(?P<field>{'|'.join(_METERED)})_(?P<part>a|b|c|l\d|left|right|top|bottom|center|\d)$")
_THREE = frozenset({"phase_b", "phase_c"})
#: Numbers that are no measurement, or that no metric stands for.
_SETTINGS = frozenset(
    """linkquality brightness color_temp color_temp_startup position last_seen countdown
    voc voc_index formaldehyd device_temperature power_outage_count trigger_count
    occupancy_timeout detection_interval update_frequency action_duration sensitivity angle angle_x angle_y angle_z
    angle_x_absolute angle_y_absolute strength""".split()  # noqa: SIM905
)
_MOST_DEVICES = 1000


def _owns_topic(topic: str) -> bool:
    return "zigbee2mqtt" in topic and _TOPIC.match(topic) is not None


def _looks_like(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("linkquality"), int | float)


def _below(topic: str) -> str:
    match = _TOPIC.match(topic)
    return match["below"] if match is not None else topic.split("/", 1)[-1]


def _bridge(topic: str, payload: bytes) -> list[Uplink | Announcement]:
    if topic != "bridge/devices":
        raise NotAReading("a message of Zigbee2MQTT's bridge")
    content = json_value(payload)
    if not isinstance(content, list):
        raise Undecodable(Reason.BAD_STRUCTURE, "bridge/devices is no list")
    found: list[Uplink | Announcement] = []
    for entry in content[:_MOST_DEVICES]:
        if not isinstance(entry, dict) or entry.get("type") == "Coordinator":
            continue
        definition = entry.get("definition")
        definition = definition if isinstance(definition, dict) else {}
        told = {
            "maker": definition.get("vendor") or entry.get("manufacturer"),
            "model": definition.get("model") or entry.get("model_id"),
            "name": entry.get("friendly_name"),
            "serial": entry.get("ieee_address"),
            "firmware": entry.get("software_build_id"),
        }
        facts = {key: text[:100] for key, text in told.items() if isinstance(text, str) and text}
        try:
            found.append(Announcement(device_address(facts.get("name", facts.get("serial", ""))), facts))
        except Undecodable:
            continue  # a device without a name; the others are told all the same
    if not found:
        raise NotAReading("Zigbee2MQTT's bridge without devices")
    return found


def _state(below: str, payload: bytes) -> tuple[str, dict[str, Any]]:
    """Friendly name and fields of a message, also of one with a single attribute."""
    try:
        content = json_value(payload)
    except Undecodable:
        if "/" not in below or payload.lstrip()[:1] in (b"{", b"["):
            raise
        raise NotAReading("a text attribute of Zigbee2MQTT") from None
    if isinstance(content, dict) or "/" not in below:
        return below, json_object(payload) if not isinstance(content, dict) else content
    name, attribute = below.rsplit("/", 1)
    return name, {attribute.replace("-", "_"): content}


#: True or false that say something of a place.
_STATES = frozenset({"contact", "occupancy", "presence", "water_leak", "smoke"})


def _measures(content: dict[str, Any]) -> bool:
    return any(
        key in _STATES or (isinstance(value, int | float) and not isinstance(value, bool) and key not in _SETTINGS)
        for key, value in content.items()
    )


def _parts(fields: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Fields by outlet or clamp where a device has several; without their names."""
    parts: dict[str, dict[str, Any]] = {}
    names: dict[str, list[str]] = {}
    for key, value in fields.items():
        match = _PART.match(key)
        if match is not None:
            parts.setdefault(match["part"], {})[match["field"]] = value
            names.setdefault(match["part"], []).append(key)
    three = {"a", "b", "c"} <= parts.keys() or ({"l1", "l2", "l3"} <= parts.keys() and "state_l1" not in fields)
    if len(parts) < 2 or three:
        return {}
    for keys in names.values():
        for key in keys:
            del fields[key]
    for shared in ("voltage", "ac_frequency"):
        for part in parts.values():
            if shared in fields:
                part.setdefault(shared, fields[shared])
    return parts


def _prepare(fields: dict[str, Any]) -> None:
    for key, value in fields.items():
        if key.startswith("power_factor") and isinstance(value, int | float) and 1 < abs(value) <= 100:
            fields[key] = value / 100
    first = "power_phase_a" if "power_phase_a" in fields else "power"
    phases = [fields.get(key) for key in (first, "power_phase_b", "power_phase_c")]
    if "power" in fields and first != "power":
        return  # it sends the total
    if all(isinstance(value, int | float) for value in phases):
        fields["phases_power"] = phases
        fields["power_phase_a"] = phases[0]


def _general(fields: dict[str, Any]) -> str:
    """What a device looks like by its fields."""
    if any(key.endswith(("_phase_b", "_phase_c")) for key in fields) or any(
        {f"{field}_{one}", f"{field}_{other}"} <= fields.keys()
        for field in ("voltage", "current", "power")
        for one, other in (("b", "c"), ("l2", "l3"))
    ):
        return "three_phases"
    voltage = fields.get("voltage")
    of_battery = "battery" in fields or (isinstance(voltage, int | float) and voltage >= 1000)
    if any(key in fields for key in _METERED if key != "voltage"):
        if of_battery and "voltage" in fields:
            fields["battery_voltage"] = fields.pop("voltage")
        return "meter"
    return "meter" if "voltage" in fields and not of_battery else "sensor"


def make(zone: ZoneInfo) -> list[Envelope]:
    """Zigbee2MQTT; `zone` is for `last_seen` as local text without a zone."""

    def decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
        below = _below(topic)
        if below == "bridge" or below.startswith("bridge/"):
            return _bridge(below, payload)
        levels = below.split("/")
        if levels[-1] == "availability" or _COMMANDS & set(levels[1:]):
            raise NotAReading(f"Zigbee2MQTT's {levels[-1][:40]}")
        name, fields = _state(below, payload)
        address = device_address(name)
        told = fields.pop("last_seen", None)
        about = fields.pop("device", None)
        if not _measures(fields):
            raise NotAReading("a state without a measurement")
        try:
            time_us = None if told is None else parse_time_us(told, zone, received_us)
        except ValueError as error:
            raise Undecodable(Reason.BAD_VALUE, f"last_seen: {error}", address) from None
        model = about.get("model") if isinstance(about, dict) else None
        names = [text for text in (model, name) if isinstance(text, str)]
        _prepare(fields)
        found: list[Uplink | Announcement] = []
        parts = _parts(fields)
        if not parts or any(key in fields for key in ("power", "energy", "temperature", "battery")):
            parts = {"": fields, **parts}
        for channel, part in parts.items():
            part[f"general_{_general(part)}"] = True
            found.append(Uplink(address, time_us, part, profile_names=tuple(names), channel=channel))
        return found

    long = frozenset({"zigbee2mqtt/bridge/devices", "zigbee2mqtt/bridge/definitions"})
    return [
        Envelope("zigbee2mqtt", "Zigbee2MQTT", _owns_topic, _looks_like, decode, rank=10, tells_at_length=long),
    ]
