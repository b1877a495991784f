"""The Things Stack v3: `v3/<application>@<tenant>/devices/<device>/up`.

Source: The Things Stack documentation, "MQTT Server" and "Data formats". `decoded_payload` is what the device's
formatter made of the bytes; `normalized_payload` speaks fixed names and units. Times, the most trusted first: of the
gateway's settings, of a gateway's reception, of the network server, of the application server. The storage integration
gives the same messages under `result`. Joins, queued and failed downlinks and the like are no readings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

from catalogue.metrics import Quality
from ingest.envelopes._lorawan import best_signal, facts_of, first_time, from_base64, mapping, port_from, text
from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink, device_address, json_object
from ingest.errors import Reason, Undecodable
from ingest.numbers import number

_TOPIC = re.compile(r"^v3/[^/]+/devices/(?P<device>[^/]+)/(?P<event>.+)$")
_UPLINKS = ("up", "up/normalized")

#: Name of a normalised measurement → metric, factor to its unit.
_NORMALISED = {
    "battery": ("battery_v", 1.0),
    "air.temperature": ("temperature_c", 1.0),
    "air.relativeHumidity": ("humidity_pct", 1.0),
    "air.pressure": ("air_pressure_hpa", 1.0),
    "air.co2": ("co2_ppm", 1.0),
    "wind.speed": ("wind_speed_ms", 1.0),
    "water.temperature.current": ("temperature_c", 1.0),
    "metering.water.total": ("water_m3", 0.001),
}


def _owns_topic(topic: str) -> bool:
    return _TOPIC.match(topic) is not None


def _message(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        return {}
    return mapping(content.get("result")) or mapping(content.get("data")) or content


def _looks_like(content: Any) -> bool:
    message = _message(content)
    return "end_device_ids" in message and any(
        name in message for name in ("uplink_message", "uplink_normalized", "join_accept", "downlink_queued")
    )


def _decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
    match = _TOPIC.match(topic)
    if match is not None and match["event"] not in _UPLINKS:
        raise NotAReading(f"The Things Stack's {match['event']}")
    message = _message(json_object(payload))
    ids = mapping(message.get("end_device_ids"))
    up = mapping(message.get("uplink_message")) or mapping(message.get("uplink_normalized"))
    told = text(ids.get("dev_eui")) or text(ids.get("device_id")) or (match["device"] if match else "")
    if not up:
        if "end_device_ids" in message:
            raise NotAReading("a message of The Things Stack without an uplink")
        raise Undecodable(Reason.BAD_STRUCTURE, "it has neither end_device_ids nor uplink_message")
    address = device_address(told)
    received = up.get("rx_metadata")
    received = received if isinstance(received, list) else []
    problems: list[tuple[Reason, str]] = []
    version = mapping(up.get("version_ids"))
    attributes = mapping(mapping(message.get("end_device")).get("attributes"))
    names = (
        text(attributes.get("misto_profile")),
        " ".join(part for part in (text(version.get("brand_id")), text(version.get("model_id"))) if part),
    )
    common: dict[str, Any] = {
        "profile_names": tuple(name for name in names if name),
        "facts": facts_of(
            {},
            name=ids.get("device_id"),
            maker=version.get("brand_id"),
            model=version.get("model_id"),
            group=mapping(ids.get("application_ids")).get("application_id"),
        ),
        "quality": Quality.ESTIMATED if message.get("simulated") is True else Quality.GOOD,
    }
    time_us = first_time(
        [
            ("settings.time", mapping(up.get("settings")).get("time")),
            *(("rx_metadata.time", mapping(item).get("time")) for item in received),
            ("uplink_message.received_at", up.get("received_at")),
            ("received_at", message.get("received_at")),
        ],
        address,
    )
    signal = best_signal(received, "rssi", "snr", problems)
    fields = mapping(up.get("decoded_payload"))
    normalised = up.get("normalized_payload")
    instead: list[Uplink] = []
    if normalised is not None:
        items = normalised if isinstance(normalised, list) else [normalised]
        told_wrong = problems if not fields else []
        instead = list(_normalised(items, address, time_us, common, told_wrong))
        if instead:
            instead[0].signal, instead[0].problems = signal, problems
        if instead and not fields:
            return list(instead)
    data = None if fields else from_base64(up.get("frm_payload"), address, "frm_payload")
    if not fields and data is None:
        raise NotAReading("an uplink without content")
    return [
        Uplink(
            address, time_us, fields=fields, problems=problems, signal=signal, data=data,
            port=port_from(up.get("f_port")), instead=tuple(instead), **common,
        )
    ]  # fmt: skip


def _normalised(
    items: list[Any], address: str, time_us: int | None, common: dict[str, Any], problems: list[tuple[Reason, str]]
) -> Iterator[Uplink]:
    """An uplink for each measurement; each may have a time of its own."""
    for item in items:
        measured = dict(mapping(mapping(item).get("measurement")) or mapping(item))
        own = measured.pop("time", None) or mapping(item).get("measured_at")
        metrics: dict[str, float] = {}
        unknown: list[str] = []
        for name, value in _leaves(measured):
            known = _NORMALISED.get(name)
            if known is None:
                unknown.append(name)
                continue
            try:
                metrics[known[0]] = number(value) * known[1]
            except ValueError as error:
                problems.append((Reason.BAD_VALUE, f"{name}: {error}"))
        if metrics:
            at_us = first_time([("normalized_payload.time", own)], address)
            at_us = time_us if at_us is None else at_us
            yield Uplink(address, at_us, metrics=metrics, unknown=tuple(unknown), **common)


def _leaves(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", value


def make(zone: ZoneInfo) -> list[Envelope]:
    """The Things Stack v3."""
    return [Envelope("tts", "The Things Stack", _owns_topic, _looks_like, _decode, rank=10)]
