"""ChirpStack v3's JSON (and LoRa Server's before it): `application/<id>/device/<EUI>/event/up`, `…/rx`.

Source: ChirpStack Application Server documentation, "MQTT integration", "Event types". There is no time at the top;
only gateways with GPS tell one in `rxInfo`. `object` is decoded content, or `objectJSON` the same as text. The newer
topic is also ChirpStack v4's, whose envelope owns it and hands on what is built like this.
"""

from __future__ import annotations

import json
import re
from typing import Any
from zoneinfo import ZoneInfo

from ingest.envelopes._lorawan import best_signal, eui_from, facts_of, first_time, from_base64, mapping, port_from, text
from ingest.envelopes.base import Announcement, Envelope, NotAReading, Uplink, device_address, json_object
from ingest.errors import Reason, Undecodable

_TOPIC = re.compile(
    r"(?:^|/)application/[^/]+/(?:device|node)/(?P<eui>[^/]+)/(?P<event>rx|join|ack|error|status|txack)$"
)


def is_v3(content: Any) -> bool:
    """Whether content is built as an uplink of ChirpStack v3."""
    return isinstance(content, dict) and "devEUI" in content and "deviceInfo" not in content


def open_v3(content: dict[str, Any]) -> list[Uplink | Announcement]:
    """The uplink in the content of an event."""
    address = device_address(eui_from(content.get("devEUI")))
    decoded = content.get("object")
    if decoded is None and text(content.get("objectJSON")):
        try:
            decoded = json.loads(text(content["objectJSON"]))
        except (ValueError, RecursionError) as error:
            raise Undecodable(Reason.BAD_STRUCTURE, f"objectJSON: is no JSON: {error}", address) from None
    data = from_base64(content.get("data"), address, "data") if not decoded else None
    if not isinstance(decoded, dict | None):
        raise Undecodable(Reason.BAD_STRUCTURE, "object: is no JSON object", address)
    if not decoded and data is None:
        raise NotAReading("an uplink without content")
    if data is not None and content.get("fPort") == 0:
        raise NotAReading("an uplink of network commands")
    received = content.get("rxInfo")
    received = received if isinstance(received, list) else []
    problems: list[tuple[Reason, str]] = []
    tags = mapping(content.get("tags"))
    names = (text(tags.get("misto_profile")), text(content.get("deviceProfileName")))
    snr = "loRaSNR" if any("loRaSNR" in mapping(item) for item in received) else "snr"
    return [
        Uplink(
            address,
            first_time((("rxInfo.time", mapping(item).get("time")) for item in received), address),
            fields=decoded or {},
            profile_names=tuple(name for name in names if name),
            problems=problems,
            signal=best_signal(received, "rssi", snr, problems),
            data=data,
            port=port_from(content.get("fPort")),
            facts=facts_of(
                tags,
                name=content.get("deviceName"),
                model=content.get("deviceProfileName"),
                group=content.get("applicationName"),
            ),
        )
    ]


def _owns_topic(topic: str) -> bool:
    return _TOPIC.search(topic) is not None


def _decode(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
    match = _TOPIC.search(topic)
    if match is not None and match["event"] != "rx":
        raise NotAReading(f"a ChirpStack event {match['event']!r}")
    return open_v3(json_object(payload))


def make(zone: ZoneInfo) -> list[Envelope]:
    """ChirpStack v3."""
    return [Envelope("chirpstack_v3", "ChirpStack v3", _owns_topic, is_v3, _decode)]
