"""Tasmota's telemetry: `tele/<topic>/SENSOR`.

Source: Tasmota documentation, "MQTT" and "Power Monitoring". The device is named only by its topic. `Time` is the
device's local wall clock without a zone. `STATE`, `INFO`, `LWT` and `UPTIME` are no readings.
"""

from __future__ import annotations

import re
from typing import Any
from zoneinfo import ZoneInfo

from ingest.clock import parse_time_us
from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink, device_address, json_object
from ingest.errors import Reason, Undecodable

# Tasmota's FullTopic may be %prefix%/%topic%/ (its default) or %topic%/%prefix%/.
_TOPIC = re.compile(r"^(?:tele/(?P<name>.+)|(?P<other>.+)/tele)/(?P<suffix>[A-Z0-9_]+)$")
_READINGS = frozenset({"SENSOR", "ENERGY"})


def _owns_topic(topic: str) -> bool:
    return _TOPIC.match(topic) is not None


def _looks_like(content: Any) -> bool:
    return False  # without its topic a Tasmota message has no device


def make(zone: ZoneInfo) -> list[Envelope]:
    """The envelope for devices whose clocks run in `zone`."""

    def decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
        match = _TOPIC.match(topic)
        if match is None:
            raise Undecodable(Reason.NO_DEVICE, "a Tasmota device is named only by its topic tele/<device>/SENSOR")
        if match["suffix"] not in _READINGS:
            raise NotAReading(f"Tasmota's {match['suffix']}")
        address = device_address(match["name"] or match["other"])
        content = json_object(payload)
        time_us = None
        if "Time" in content:
            try:
                time_us = parse_time_us(content.pop("Time"), zone, received_us)
            except ValueError as error:
                raise Undecodable(Reason.BAD_VALUE, f"Time: {error}", address) from None
        if match["suffix"] == "ENERGY":
            content = {"ENERGY": content}
        return [Uplink(address, time_us, fields=content)]

    return [Envelope("tasmota", "Tasmota", _owns_topic, _looks_like, decode)]
