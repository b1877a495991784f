"""An example's message in the shape of each LoRaWAN network server."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

from ingest.envelopes import Announcement, Envelope, NotAReading, Uplink
from ingest.errors import Undecodable
from ingest.profile_file import Example

#: The device of every example, and the earliest time at which its shapes can be received.
EUI = "24e124000000a001"
RECEIVED_US = int(datetime(2026, 11, 23, 10, tzinfo=UTC).timestamp() * 1e6)
_PROBE = bytes.fromhex("0175640a")


def shape(server: str, example: Example, name: str, *, decoded: bool) -> tuple[str, bytes]:
    """Topic and payload of an example as this network server sends it; `name` is the model name that it tells."""
    data = bytes.fromhex(example.data or _PROBE.hex())
    b64, fields = base64.b64encode(data).decode(), {"object": example.fields} if decoded else {}
    match server:
        case "chirpstack_v4":
            topic = f"application/1/device/{EUI}/event/up"
            info = {"devEui": EUI, "deviceProfileName": name}
            return topic, json.dumps({"deviceInfo": info, "fPort": example.port, "data": b64, **fields}).encode()
        case "chirpstack_v3":
            topic = f"application/1/device/{EUI}/event/up"
            body = {"applicationID": "1", "devEUI": EUI, "deviceProfileName": name, "fPort": example.port, "data": b64}
            return topic, json.dumps({**body, **fields}).encode()
        case "tts":
            up = {"f_port": example.port, "frm_payload": b64, "version_ids": {"brand_id": "x", "model_id": name}}
            if decoded:
                up["decoded_payload"] = example.fields
            ids = {"device_id": "a", "application_ids": {"application_id": "b"}, "dev_eui": EUI.upper()}
            body = {"end_device_ids": ids, "received_at": "2026-11-23T09:59:00Z", "uplink_message": up}
            return "v3/b@ttn/devices/a/up", json.dumps(body).encode()
        case "thingpark":
            up = {"DevEUI": EUI.upper(), "FPort": example.port, "payload_hex": data.hex(), "Time":
                  "2026-11-23T11:59:00.000+02:00", "CustomerData": {"alr": {"pro": name, "ver": "1"}}}  # fmt: skip
            if decoded:
                up["payload"] = example.fields
            return f"mqtt/things/{EUI}/uplink", json.dumps({"DevEUI_uplink": up}).encode()
        case "netmore":
            up = {"devEui": EUI, "sensorType": name, "timestamp": "2026-11-23T09:59:00Z", "payload": data.hex(),
                  "fPort": str(example.port), "rssi": "-90", "snr": "5"}  # fmt: skip
            return "netmore/up", json.dumps([up]).encode()
    raise ValueError(f"{server!r} is no LoRaWAN network server")


def plain(envelope: str) -> Envelope:
    """A format without any form: the payload is what the uplink holds (fields, data, port, names)."""

    def opened(topic: str, payload: bytes, received_us: int) -> list[Uplink | Announcement]:
        told: dict[str, Any] = json.loads(payload)
        data = told.get("data")
        return [
            Uplink(
                EUI,
                None,
                fields=told.get("fields") or {},
                profile_names=tuple(told["names"]),
                data=bytes.fromhex(data) if data is not None else None,
                port=told.get("port", 0),
            )
        ]

    return Envelope(envelope, envelope, lambda topic: topic == "plain", lambda content: False, opened)


def carries_bytes(envelope: Envelope) -> bool:
    """Whether this format hands on what its network server has not decoded."""
    example = Example(data=_PROBE.hex(), readings={"battery_pct": 1})
    try:
        items = envelope.decode(*shape(envelope.name, example, "x", decoded=False), RECEIVED_US)
    except (Undecodable, NotAReading):
        return False
    return any(isinstance(item, Uplink) and item.data == _PROBE for item in items)
