"""Actility ThingPark: an object `DevEUI_uplink` with the bytes in hexadecimal.

Source: Actility's "LRC-AS tunnel interface developer guide". Keys of the device may stand in it; nothing of them is
kept. `payload` is what ThingPark X has decoded. `Time` is the gateway's, with its offset.
"""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from ingest.envelopes._lorawan import facts_of, first_time, from_hex, mapping, port_from, signal_of, text
from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink, device_address, json_value
from ingest.errors import Reason

_EVENTS = (
    "DevEUI_notification",
    "DevEUI_downlink_Sent",
    "DevEUI_location",
    "DevEUI_multicast_summary",
    "DevEUI_downlink",
)


def _looks_like(content: Any) -> bool:
    if isinstance(content, list) and content:
        content = content[0]
    return isinstance(content, dict) and any(name in content for name in ("DevEUI_uplink", *_EVENTS))


def _decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
    content = json_value(payload)
    uplinks = [_uplink(item) for item in (content if isinstance(content, list) else [content]) if _is_uplink(item)]
    if not uplinks:
        first = content[0] if isinstance(content, list) and content else content
        name = next((name for name in _EVENTS if isinstance(first, dict) and name in first), "no uplink")
        raise NotAReading(f"ThingPark's {name}")
    found: list[Uplink | Announcement] = [uplink for uplink in uplinks if uplink is not None]
    if not found:
        raise NotAReading("an uplink without content")
    return found


def _is_uplink(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("DevEUI_uplink"), dict)


def _uplink(content: dict[str, Any]) -> Uplink | None:
    up = content["DevEUI_uplink"]
    address = device_address(text(up.get("DevEUI")))
    decoded = mapping(up.get("payload"))
    data = None if decoded else from_hex(up.get("payload_hex"), address, "payload_hex")
    if not decoded and data is None:
        return None
    problems: list[tuple[Reason, str]] = []
    profile = mapping(mapping(up.get("CustomerData")).get("alr"))
    driver = mapping(up.get("DriverCfg"))
    model = mapping(driver.get("app"))
    names = (text(model.get("mId")), text(mapping(driver.get("mod")).get("mId")), text(profile.get("pro")))
    return Uplink(
        address,
        first_time([("Time", up.get("Time"))], address),
        fields=decoded,
        profile_names=tuple(name for name in names if name),
        problems=problems,
        signal=signal_of(up, "LrrRSSI", "LrrSNR", problems),
        data=data,
        port=port_from(up.get("FPort")),
        facts=facts_of(
            {},
            name=mapping(up.get("CustomerData")).get("name"),
            maker=mapping(driver.get("mod")).get("pId"),
            model=model.get("mId") or profile.get("pro"),
        ),
    )


def make(zone: ZoneInfo) -> list[Envelope]:
    """Actility ThingPark: no topic is its own, its content is."""
    return [Envelope("thingpark", "Actility ThingPark", lambda topic: False, _looks_like, _decode)]
