"""LoRaWAN network servers: device, time, signal, bytes; what is no reading; and whatever bytes may come."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogue.metrics import Quality, metrics_by_id
from ingest.decoder import Decoded, Decoder
from ingest.envelopes import NotAReading, Uplink, all_envelopes
from ingest.envelopes.base import Envelope
from ingest.errors import Undecodable
from ingest.message import Message
from ingest.profile import load_profiles
from store.registry import Assignment, RegisteredDevice

ENVELOPES = {envelope.name: envelope for envelope in all_envelopes(ZoneInfo("Europe/Kyiv"))}
SERVERS = ("chirpstack_v3", "chirpstack_v4", "tts", "thingpark", "netmore")
NOW_US = 1_795_428_000_000_000
RAW = bytes.fromhex("0175640367f600")


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1e6)


def open_one(envelope: Envelope, topic: str, content: Any) -> Uplink:
    (item,) = envelope.decode(topic, json.dumps(content).encode(), NOW_US)
    assert isinstance(item, Uplink)
    return item


def test_chirpstack_v3_in_its_variants() -> None:
    topic = "application/7/device/a81758fffe00aa01/event/up"
    content = {
        "applicationID": "7", "devEUI": "A81758FFFE00AA01", "deviceProfileName": "Elsys", "fPort": 5,
        "data": base64.b64encode(RAW).decode(), "tags": {"misto_profile": "elsys-elt-2"},
        "rxInfo": [{"rssi": -112, "loRaSNR": -3.5}, {"rssi": -97, "loRaSNR": 7.2, "time": "2026-11-20T08:00:00.5Z"}],
    }  # fmt: skip
    up = open_one(ENVELOPES["chirpstack_v4"], topic, content)
    assert (up.address, up.data, up.port) == ("a81758fffe00aa01", RAW, 5)
    assert up.time_us == us("2026-11-20T08:00:00.5+00:00")
    assert up.signal == {"rssi_dbm": -97, "snr_db": 7.2}
    assert up.profile_names == ("elsys-elt-2", "Elsys")
    as_text = {**content, "devEUI": base64.b64encode(bytes.fromhex("a81758fffe00aa01")).decode(), "rxInfo": []}
    up = open_one(ENVELOPES["chirpstack_v3"], "lora/x", {**as_text, "objectJSON": '{"distance": 812}'})
    assert (up.address, up.fields, up.data, up.time_us) == ("a81758fffe00aa01", {"distance": 812}, None, None)
    with pytest.raises(NotAReading):
        ENVELOPES["chirpstack_v3"].decode("application/7/node/a81758fffe00aa01/join", b"{}", NOW_US)


def test_the_things_stack() -> None:
    content: dict[str, Any] = {
        "end_device_ids": {"device_id": "bin-7", "dev_eui": "70B3D57ED0000007"},
        "received_at": "2026-11-20T08:00:09.1Z",
        "uplink_message": {
            "f_port": 85, "frm_payload": base64.b64encode(RAW).decode(), "received_at": "2026-11-20T08:00:05Z",
            "rx_metadata": [{"rssi": -101, "snr": 2.5, "time": "2026-11-20T08:00:03.123456789Z"}],
            "version_ids": {"brand_id": "milesight", "model_id": "em400-mud"},
        },
    }  # fmt: skip
    topic = "v3/city@ttn/devices/bin-7/up"
    up = open_one(ENVELOPES["tts"], topic, content)
    assert (up.address, up.data, up.port, up.profile_names) == ("70b3d57ed0000007", RAW, 85, ("milesight em400-mud",))
    assert up.time_us == us("2026-11-20T08:00:03.123456+00:00")
    content["uplink_message"] |= {"decoded_payload": {"distance": 500}, "settings": {"time": "2026-11-20T08:00:01Z"}}
    up = open_one(ENVELOPES["tts"], topic, {**content, "simulated": True})
    assert (up.fields, up.data, up.quality) == ({"distance": 500}, None, Quality.ESTIMATED)
    assert up.time_us == us("2026-11-20T08:00:01+00:00")
    del content["uplink_message"]["decoded_payload"]
    content["uplink_message"]["normalized_payload"] = [
        {"measurement": {"time": "2026-11-20T07:00:00Z", "air": {"temperature": 10.5}, "battery": 3.6}},
        {"measurement": {"metering": {"water": {"total": 123_450}}, "soil": {"ec": 1}}},
    ]
    first, second = ENVELOPES["tts"].decode(topic, json.dumps(content).encode(), NOW_US)
    assert isinstance(first, Uplink)
    assert isinstance(second, Uplink)
    assert first.metrics == {"temperature_c": 10.5, "battery_v": 3.6}
    assert first.time_us == us("2026-11-20T07:00:00+00:00")
    assert (second.metrics, second.unknown) == ({"water_m3": 123.45}, ("soil.ec",))
    assert second.time_us == us("2026-11-20T08:00:01+00:00")
    for event in ("join", "down/queued", "service/data"):
        with pytest.raises(NotAReading):
            ENVELOPES["tts"].decode(f"v3/city@ttn/devices/bin-7/{event}", b"{}", NOW_US)


def test_thingpark_keeps_no_key() -> None:
    content = {
        "DevEUI_uplink": {
            "Time": "2026-11-20T10:00:01.25+02:00", "DevEUI": "0016C001FF00BB02", "FPort": "3", "payload_hex": RAW.hex(),
            "LrrRSSI": "-88.0", "LrrSNR": 6.5, "AppSKey": "00112233445566778899aabbccddeeff",
        }
    }  # fmt: skip
    up = open_one(ENVELOPES["thingpark"], "x/y", content)
    assert (up.address, up.data, up.port) == ("0016c001ff00bb02", RAW, 3)
    assert up.signal == {"rssi_dbm": -88, "snr_db": 6.5}
    assert up.time_us == us("2026-11-20T08:00:01.25+00:00")
    assert "00112233" not in repr(up)
    with pytest.raises(NotAReading):
        ENVELOPES["thingpark"].decode("x", b'{"DevEUI_notification": {}}', NOW_US)


def test_netmore_keeps_what_can_be_read() -> None:
    good = {"devEui": "70b3d55460000aaa", "sensorType": "elt2hp", "timestamp": "2026-11-20T08:00:00.5Z",
            "payload": RAW.hex(), "rssi": "-104", "snr": "-2", "fPort": "2", "messageType": "payload"}  # fmt: skip
    payload = json.dumps([{**good, "payload": "zz"}, good, 5]).encode()
    (up,) = ENVELOPES["netmore"].decode("any", payload, NOW_US)
    assert isinstance(up, Uplink)
    assert (up.data, up.port, up.profile_names) == (RAW, 2, ("elt2hp",))
    assert up.signal == {"rssi_dbm": -104, "snr_db": -2}
    assert len(up.problems) == 2


@pytest.mark.parametrize("server", SERVERS)
def test_they_are_told_apart_by_content(server: str) -> None:
    contents: dict[str, Any] = {
        "chirpstack_v3": {"devEUI": "a", "object": {}},
        "chirpstack_v4": {"deviceInfo": {"devEui": "a"}},
        "tts": {"end_device_ids": {}, "uplink_message": {}},
        "thingpark": {"DevEUI_uplink": {}},
        "netmore": [{"devEui": "a", "payload": ""}],
    }
    for name, content in contents.items():
        assert ENVELOPES[server].looks_like(content) == (name == server)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["deviceInfo", "devEui", "devEUI", "object", "objectJSON", "data", "rxInfo", "time", "uplink_message",
                 "end_device_ids", "dev_eui", "frm_payload", "decoded_payload", "normalized_payload", "measurement",
                 "rx_metadata", "DevEUI_uplink", "DevEUI", "payload_hex", "payload", "Time", "timestamp", "fPort"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(content=JSON, raw=st.binary(max_size=60))
def test_nothing_else_escapes(content: Any, raw: bytes) -> None:
    for server in SERVERS:
        for payload in (json.dumps(content).encode(), raw):
            for topic in ("application/1/device/2/event/up", "v3/a/devices/b/up", "x"):
                with contextlib.suppress(Undecodable, NotAReading):
                    ENVELOPES[server].decode(topic, payload, NOW_US)


# devices that no profile knows


class _Nobody:
    """A registry without devices that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, str]]] = []
        self.bound: list[tuple[str, str | None]] = []

    def device(self, address: str) -> RegisteredDevice | None:
        return None

    def unclaimed(self, address: str, profile: str | None, kind: str, guess: Mapping[str, Any]) -> RegisteredDevice:
        self.bound.append((address, profile))
        return RegisteredDevice(
            1, address, profile, "unclaimed", [Assignment(1, "", float("-inf"), float("inf"), None)]
        )

    def announced(self, address: str, facts: Mapping[str, str]) -> None:
        self.told.append((address, dict(facts)))


def decoded(topic: str, content: Any) -> tuple[_Nobody, list[Decoded]]:
    registry = _Nobody()
    decoder = Decoder(tuple(ENVELOPES.values()), load_profiles(), registry)
    return registry, decoder.decode(Message(topic, json.dumps(content).encode(), NOW_US))


def named(part: Decoded) -> dict[str, float]:
    return {metrics_by_id()[metric_id].name: value for _, metric_id, value, _ in part.readings}


UNKNOWN = {
    "deviceInfo": {
        "devEui": "0011223344556677", "deviceName": "Cellar", "applicationName": "schools",
        "deviceProfileName": "Acme 9", "tags": {"room": "0.12", "misto_profile": ""},
    },
    "fPort": 9, "data": base64.b64encode(RAW).decode(),
}  # fmt: skip


def test_an_unknown_model_is_read_where_its_names_mean_one_thing_and_bound_to_nothing() -> None:
    topic = "application/1/device/0011223344556677/event/up"
    registry, (part,) = decoded(topic, {**UNKNOWN, "object": {"temperature": 19.5, "battery": 3.6, "foo": 1}})
    assert named(part) == {"temperature_c": 19.5, "battery_v": 3.6}
    assert part.unknown_fields == ("foo",)
    assert registry.bound == [("0011223344556677", None)]


def test_what_a_network_server_tells_of_a_device_is_a_suggestion() -> None:
    topic = "application/1/device/0011223344556677/event/up"
    registry, _ = decoded(topic, {**UNKNOWN, "object": {"temperature": 19.5}})
    facts = {"name": "Cellar", "model": "Acme 9", "group": "schools", "tags": "room: 0.12"}
    assert registry.told == [("0011223344556677", facts)]


def test_bytes_beside_an_empty_object_are_undecoded() -> None:
    topic = "application/1/device/0011223344556677/event/up"
    with pytest.raises(Undecodable, match=r"nobody has decoded its bytes \(port 9, 7 bytes\).*Acme 9"):
        decoded(topic, {**UNKNOWN, "object": {}})


def test_what_the_things_stack_normalised_counts_for_unknown_models_only() -> None:
    content: dict[str, Any] = {
        "end_device_ids": {"device_id": "x-1", "dev_eui": "70B3D57ED0000009"},
        "uplink_message": {
            "f_port": 85,
            "decoded_payload": {"temperature": 99, "whatever": 1},
            "normalized_payload": [{"air": {"temperature": 21.25, "relativeHumidity": 40}}],
            "rx_metadata": [{"rssi": -90, "snr": 5}],
        },
    }
    _, (part,) = decoded("v3/app@ttn/devices/x-1/up", content)
    assert named(part) == {"temperature_c": 21.25, "humidity_pct": 40, "rssi_dbm": -90, "snr_db": 5}
    content["uplink_message"]["version_ids"] = {"brand_id": "milesight-iot", "model_id": "em300-th"}
    _, (part,) = decoded("v3/app@ttn/devices/x-1/up", content)
    assert named(part)["temperature_c"] == 99


def test_port_0_carries_the_networks_own_commands() -> None:
    content = {**UNKNOWN, "fPort": 0}
    with pytest.raises(NotAReading, match="network commands"):
        decoded("application/1/device/0011223344556677/event/up", content)
    v3 = {"devEUI": "0011223344556677", "fPort": 0, "data": base64.b64encode(RAW).decode()}
    with pytest.raises(NotAReading, match="network commands"):
        ENVELOPES["chirpstack_v3"].decode("application/1/device/x/rx", json.dumps(v3).encode(), NOW_US)


def test_a_gateways_clock_counts_where_the_server_tells_no_time() -> None:
    content = {**UNKNOWN, "object": {"temperature": 1}, "rxInfo": [{"gwTime": "2026-11-20T08:00:00.5Z", "rssi": -90}]}
    up = open_one(ENVELOPES["chirpstack_v4"], "application/1/device/0011223344556677/event/up", content)
    assert up.time_us == us("2026-11-20T08:00:00.5+00:00")


def test_thingpark_may_send_a_list() -> None:
    one = {"DevEUI": "0011223344556677", "FPort": "85", "payload_hex": RAW.hex(), "Time": "2026-11-20T10:00:00+02:00"}
    items = ENVELOPES["thingpark"].decode(
        "tp", json.dumps([{"DevEUI_uplink": one}, {"DevEUI_uplink": {**one, "DevEUI": "AA"}}]).encode(), NOW_US
    )
    assert [(item.address, item.data) for item in items if isinstance(item, Uplink)] == [
        ("0011223344556677", RAW),
        ("aa", RAW),
    ]
    assert ENVELOPES["thingpark"].looks_like([{"DevEUI_uplink": one}])
