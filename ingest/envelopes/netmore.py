"""Netmore's webhook, bridged to MQTT: a list of uplinks with the bytes in hexadecimal, numbers as text.

Source: Netmore's documentation, "HTTP push". `sensorType` names the model.
"""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from ingest.envelopes._lorawan import facts_of, first_time, from_hex, mapping, port_from, signal_of, text
from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink, device_address, json_value
from ingest.errors import Reason, Undecodable


def _is_uplink(item: Any) -> bool:
    return isinstance(item, dict) and "devEui" in item and "payload" in item and "deviceInfo" not in item


def _looks_like(content: Any) -> bool:
    items = content if isinstance(content, list) else [content]
    return bool(items) and _is_uplink(items[0])


def _decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
    content = json_value(payload)
    found: list[Uplink | Announcement] = []
    refused: list[Undecodable] = []
    for item in content if isinstance(content, list) else [content]:
        try:
            if not _is_uplink(item):
                raise Undecodable(Reason.BAD_STRUCTURE, "an element of the list is no uplink with devEui and payload")
            uplink = _uplink(item)
        except Undecodable as error:
            refused.append(error)
            continue
        if uplink is not None:
            found.append(uplink)
    if not found:
        if refused:
            raise refused[0]
        raise NotAReading("uplinks without content")
    first = found[0]
    assert isinstance(first, Uplink)
    first.problems += [(error.reason, error.detail) for error in refused]
    return found


def _uplink(item: dict[str, Any]) -> Uplink | None:
    address = device_address(text(item.get("devEui")))
    data = from_hex(item.get("payload"), address, "payload")
    if data is None or text(item.get("messageType")) not in ("", "payload"):
        return None
    problems: list[tuple[Reason, str]] = []
    model = text(item.get("sensorType"))
    return Uplink(
        address,
        first_time([("timestamp", item.get("timestamp"))], address),
        profile_names=(model,) if model else (),
        problems=problems,
        signal=signal_of(item, "rssi", "snr", problems),
        data=data,
        port=port_from(item.get("fPort")),
        facts=facts_of(mapping(item.get("tags")), model=model),
    )


def make(zone: ZoneInfo) -> list[Envelope]:
    """Netmore: no topic is its own, its content is."""
    return [Envelope("netmore", "Netmore", lambda topic: False, _looks_like, _decode)]
