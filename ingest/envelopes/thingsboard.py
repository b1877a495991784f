"""ThingsBoard's MQTT APIs: the gateway's `v1/gateway/telemetry`, and a device's own topic where it names the device.

Source: ThingsBoard documentation, "MQTT Device API Reference" and "MQTT Gateway API Reference". `ts` is in milliseconds
since 1970. A device on `v1/devices/me/…` is known to ThingsBoard by its connection, which no subscriber sees.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

from ingest.clock import parse_time_us
from ingest.envelopes._moments import Moments
from ingest.envelopes._names import by_name
from ingest.envelopes.base import (
    Announcement,
    Envelope,
    NotAReading,
    Uplink,
    device_address,
    json_object,
    json_value,
)
from ingest.errors import Reason, Undecodable

_TOPIC = re.compile(
    r"v[12]/gateway/(?P<gateway>.+)"
    r"|v[12]/devices/(?P<device>[^/]+)/(?P<kind>.+)"
    r"|v2/(?P<short>[ta](?:/[jp])?|[ar](?:/.+)|fw/.+)"
)

#: Attributes that describe a device → fact.
_FACTS = {
    "manufacturer": "maker",
    "vendor": "maker",
    "model": "model",
    "devicemodel": "model",
    "name": "name",
    "label": "name",
    "serialnumber": "serial",
    "serial": "serial",
    "firmwareversion": "firmware",
    "fwversion": "firmware",
}

_NO_DEVICE = (
    "a device on ThingsBoard's topic of its own tells nobody but ThingsBoard who it is; let a gateway send it on "
    "v1/gateway/telemetry, or give each device a topic of its own: v1/devices/<device>/telemetry"
)


def _owns_topic(topic: str) -> bool:
    return _TOPIC.fullmatch(topic) is not None


def _decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
    match = _TOPIC.fullmatch(topic)
    if match is None:
        raise Undecodable(Reason.NO_DEVICE, "its topic is none of ThingsBoard's")
    if match["gateway"] is not None:
        if match["gateway"] == "telemetry":
            return _gateway_telemetry(json_object(payload))
        if match["gateway"] == "attributes":
            return _gateway_attributes(json_object(payload))
        raise NotAReading(f"ThingsBoard's gateway/{match['gateway'][:40]}")
    if match["short"] is not None:
        if match["short"] not in ("t", "t/j", "t/p"):
            raise NotAReading(f"ThingsBoard's v2/{match['short'][:40]}")
        if match["short"] != "t/p":  # which is protobuf
            json_value(payload)
        raise Undecodable(Reason.NO_DEVICE, _NO_DEVICE)
    if match["kind"] == "attributes" and match["device"] != "me":
        return _attributes(match["device"], json_object(payload))
    if match["kind"] != "telemetry":
        raise NotAReading(f"ThingsBoard's devices/{match['kind'][:40]}")
    content = json_value(payload)
    if match["device"] == "me":
        raise Undecodable(Reason.NO_DEVICE, _NO_DEVICE)
    address = device_address(match["device"])
    moments = Moments()
    _telemetry(moments, address, content, "")
    return moments.result(address)


def _gateway_telemetry(content: dict[str, Any]) -> list[Uplink | Announcement]:
    moments = Moments()
    first: str | None = None
    for device, told in content.items():
        try:
            address = device_address(device)
        except Undecodable as error:
            moments.problem(error.reason, error.detail)
            continue
        first = first or address
        _telemetry(moments, address, told, f"{address[:60]}: ")
    return moments.result(first)


def _telemetry(moments: Moments, address: str, told: Any, where: str) -> None:
    """A device's telemetry: `{name: value}`, `{"ts": ms, "values": {…}}`, or a list of these."""
    for part in told if isinstance(told, list) else [told]:
        if not isinstance(part, dict):
            moments.problem(
                Reason.BAD_STRUCTURE, f"{where}telemetry is a {type(part).__name__}, expected an object {{…}}"
            )
            continue
        time_us, values = None, part
        if "ts" in part:
            try:
                time_us = _time_us(part["ts"])
            except ValueError as error:
                moments.problem(Reason.BAD_VALUE, f"{where}ts: {error}")
                continue
            values = part.get("values", {name: value for name, value in part.items() if name != "ts"})
        elif isinstance(part.get("values"), dict):
            values = part["values"]
        if not isinstance(values, dict):
            moments.problem(
                Reason.BAD_STRUCTURE, f"{where}values is a {type(values).__name__}, expected an object {{…}}"
            )
            continue
        for name, value in values.items():
            metric = None if isinstance(value, dict | list) else by_name(name)
            if metric is None:
                moments.unknown(name)
            else:
                moments.add(address, time_us, metric, value, field=f"{where}{name}")


def _time_us(told: Any) -> int:
    if isinstance(told, str) and told.isascii() and told.isdigit() and len(told) <= 15:
        told = int(told)
    return parse_time_us(told)


def _gateway_attributes(content: dict[str, Any]) -> list[Uplink | Announcement]:
    found: list[Uplink | Announcement] = []
    for device, told in content.items():
        if isinstance(told, dict):
            try:
                found += _announced(device, told)
            except Undecodable:
                continue  # a name that no device can have; there are no readings to lose
    if not found:
        raise NotAReading("attributes that describe no device")
    return found


def _attributes(device: str, content: dict[str, Any]) -> list[Uplink | Announcement]:
    found: list[Uplink | Announcement] = list(_announced(device, content))
    if not found:
        raise NotAReading("attributes that describe no device")
    return found


def _announced(device: str, told: dict[str, Any]) -> Iterable[Announcement]:
    """Only what describes a device: its attributes may as well be settings, or secrets."""
    facts: dict[str, str] = {}
    for name, value in told.items():
        fact = _FACTS.get(name.replace("_", "").lower()) if len(name) < 40 else None
        if fact and isinstance(value, str) and value.strip() and value.isprintable():
            facts.setdefault(fact, value.strip()[:200])
    if facts:
        yield Announcement(device_address(device), facts)


def make(zone: ZoneInfo) -> list[Envelope]:
    """ThingsBoard; its times are since 1970."""
    return [Envelope("thingsboard", "ThingsBoard", _owns_topic, lambda content: False, _decode, rank=10)]
