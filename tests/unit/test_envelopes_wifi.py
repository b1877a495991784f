"""Shelly, Zigbee2MQTT and Tasmota: their envelopes and profiles, without servers."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogue.geometry import BinGeometry
from catalogue.metrics import metrics_by_id
from ingest.clock import TimeSource
from ingest.decoder import Decoded, Decoder, Explanation
from ingest.envelopes import Announcement, NotAReading, Uplink, all_envelopes
from ingest.errors import Reason, Undecodable
from ingest.message import Message
from ingest.one_device import OneDevice
from ingest.profile import load_profiles, profile_examples

KYIV = ZoneInfo("Europe/Kyiv")
NOW_US = int(datetime(2026, 11, 23, 10, tzinfo=UTC).timestamp() * 1e6)
PROFILES = load_profiles()
ENVELOPES = {envelope.name: envelope for envelope in all_envelopes(KYIV)}
OURS = ("shelly_gen1", "shelly_gen2", "tasmota", "zigbee2mqtt")
SHARED = Path(os.environ.get("MISTO_SHARED_SAMPLES") or Path(__file__).parents[2].parent / "shared" / "samples")


def as_bytes(content: Any) -> bytes:
    return content.encode() if isinstance(content, str) else json.dumps(content).encode()


def decode(topic: str, content: Any, profile: str | None = None, geometry: BinGeometry | None = None) -> list[Decoded]:
    decoder = Decoder(tuple(ENVELOPES.values()), PROFILES, OneDevice(profile, geometry), thorough=True)
    return decoder.decode(Message(topic, as_bytes(content), NOW_US), Explanation())


def readings(part: Decoded) -> dict[str, float]:
    return {metrics_by_id()[metric].name: value for _, metric, value, _ in part.readings}


def by_device(topic: str, content: Any) -> dict[str, dict[str, float]]:
    return {part.device.address: readings(part) for part in decode(topic, content)}


def announced(topic: str, content: Any) -> dict[str, dict[str, str]]:
    owner = next(envelope for envelope in ENVELOPES.values() if envelope.owns_topic(topic))
    items = owner.decode(topic, as_bytes(content), NOW_US)
    return {item.address: item.facts for item in items if isinstance(item, Announcement)}


MODELS = sorted(name for name, profile in PROFILES.items() if set(profile.file.envelopes) & set(OURS))


@pytest.mark.parametrize("name", MODELS)
def test_every_profile_proves_itself(name: str) -> None:
    for example in profile_examples(name):
        assert example.topic is not None
        for forced in (name, None):
            if forced is None and len(example.readings) < 2:
                continue
            (part,) = decode(example.topic, example.payload, forced, example.bin)
            assert part.profile == name
            assert readings(part) == pytest.approx(example.readings)
            assert (part.problems, part.unknown_fields) == ([], ())


GEN1 = [
    ("shellies/shellyem-A1B2C3/emeter/1/power", "-431.27", "shellyem-a1b2c3/1", {"power_w": -431.27}),
    ("shellies/shellyem-A1B2C3/emeter/0/total", "1250500.4", "shellyem-a1b2c3/0", {"energy_kwh": 1250.5004}),
    ("shellies/shellyem-A1B2C3/emeter/0/total_returned", "900", "shellyem-a1b2c3/0", {"energy_export_kwh": 0.9}),
    ("shellies/shellyem-A1B2C3/emeter/0/reactive_power", "12.5", "shellyem-a1b2c3/0", {"reactive_power_var": 12.5}),
    ("shellies/shellyem-A1B2C3/emeter/0/voltage", "231.4", "shellyem-a1b2c3/0", {"voltage_v": 231.4}),
    ("shellies/shellyem3-485519/emeter/2/voltage", "229.9", "shellyem3-485519/2", {"voltage_l3_v": 229.9}),
    ("shellies/shellyem3-485519/emeter/1/current", "3.25", "shellyem3-485519/1", {"current_l2_a": 3.25}),
    ("shellies/shellyem3-485519/emeter/1/pf", "-0.98", "shellyem3-485519/1", {"power_factor": -0.98}),
    ("shellies/shellies/hall/emeter/0/power", "12", "shellies/hall/0", {"power_w": 12}),
    ("site7/shellies/shellyplug-s-C8/relay/0/power", "61.2", "shellyplug-s-c8", {"power_w": 61.2}),
    ("shellies/shellyplug-s-C8/relay/0/energy", "720000", "shellyplug-s-c8", {"energy_kwh": 12}),
    ("shellies/shellyswitch25-55/relay/1/energy", "60", "shellyswitch25-55/1", {"energy_kwh": 0.001}),
    ("shellies/shellyswitch25-55/roller/0/power", "90", "shellyswitch25-55", {"power_w": 90}),
    ("shellies/shellyswitch25-55/temperature", "51.80", "shellyswitch25-55", {"device_temperature_c": 51.8}),
    ("shellies/shellyht-7F/sensor/temperature", "21.25", "shellyht-7f", {"temperature_c": 21.25}),
    ("shellies/shellyht-7F/sensor/humidity", "44.5", "shellyht-7f", {"humidity_pct": 44.5}),
    ("shellies/shellyht-7F/sensor/battery", "83", "shellyht-7f", {"battery_pct": 83}),
    ("shellies/shelly1-9A/ext_temperature/2", "-4.5", "shelly1-9a/ext2", {"temperature_c": -4.5}),
    ("shellies/shelly1-9A/ext_humidity/0", "60", "shelly1-9a/ext0", {"humidity_pct": 60}),
]  # fmt: skip


@pytest.mark.parametrize(("topic", "payload", "address", "expected"), GEN1)
def test_gen1_topics(topic: str, payload: str, address: str, expected: dict[str, float]) -> None:
    (part,) = decode(topic, payload)
    assert part.envelope == "shelly_gen1"
    assert part.time_source is TimeSource.RECEPTION
    assert {part.device.address: readings(part)} == {address: pytest.approx(expected)}


NO_READINGS = [
    ("shellies/shellyem3-48/online", "true"),
    ("shellies/shellyem3-48/relay/0", "off"),
    ("shellies/shellyem3-48/relay/0/command", "on"),
    ("shellies/shellyem3-48/input/0", "1"),
    ("shellies/shellyem3-48/emeter/0/energy", "17"),
    ("shellies/shellyem3-48/emeter/0/returned_energy", "0"),
    ("shellies/shellygas-1/sensor/gas", "none"),
    ("shellies/shellyplug-s-C8/overtemperature", "0"),
    ("shellies/command", "announce"),
    ("shellies/announce", {"id": "shellyem-A1", "model": "SHEM"}),
    ("shellyplus1pm-a1b2c3d4e5f6/online", "true"),
    ("shelly/hall/online", "false"),
    ("shelly/hall/debug/log", "shos_init.c:94 boot"),
    ("shellyplus1pm-a1b2c3d4e5f6/rpc", {"id": 3, "src": "x", "method": "Switch.Set"}),
    ("shellyplus1pm-a1b2c3d4e5f6/status/sys", {"mac": "A1B2C3D4E5F6"}),
    ("shellyplus1pm-a1b2c3d4e5f6/status/input:0", {"id": 0, "state": True}),
    ("home/hall/events/rpc", {"src": "shellyplus1pm-a1b2c3d4e5f6", "method": "NotifyEvent", "params": {"ts": 1.0}}),
    ("home/hall/events/rpc", {"src": "s", "method": "NotifyStatus", "params": {"ts": 1.5, "wifi": {"rssi": -60}}}),
    ("home/hall/events/rpc", {"src": "s", "method": "NotifyStatus", "params": {"switch:0": {"id": 0, "output": True}}}),
    ("tele/plug/STATE", {"Time": "2026-03-02T09:00:00", "POWER": "ON"}),
    ("tele/plug/LWT", "Online"),
    ("tele/plug/UPTIME", {"Uptime": "1T02:00:00"}),
    ("tele/plug/INFO2", {"Info2": {"Hostname": "plug"}}),
    ("tele/plug/INFO1", {"Info1": {"Module": "Nous A1T", "Version": "14.1.0(tasmota)"}}),
    ("tele/plug/SENSOR", {"Time": "2026-03-02T09:00:00", "Switch1": "OFF"}),
    ("tele/plug/SENSOR", {"Time": "2026-03-02T09:00:00", "ESP32": {"Temperature": 48.1}, "TempUnit": "C"}),
    ("stat/plug/RESULT", {"POWER": "ON"}),
    ("stat/plug/STATUS11", {"StatusSTS": {"Time": "2026-03-02T09:00:00"}}),
    ("cmnd/plug/POWER", "TOGGLE"),
    ("tasmota/discovery/A1B2C3D4E5F6/sensors", {"sn": {"ENERGY": {"Total": 1}}}),
    ("zigbee2mqtt/bridge/state", {"state": "online"}),
    ("zigbee2mqtt/bridge/devices", []),
    ("zigbee2mqtt/hall/plug/availability", {"state": "online"}),
    ("zigbee2mqtt/hall/plug/set", {"state": "ON"}),
    ("zigbee2mqtt/hall/plug/get", {"state": ""}),
    ("zigbee2mqtt/hall/lamp", {"brightness": 120, "color_temp": 300, "linkquality": 40, "state": "ON"}),
    ("zigbee2mqtt/button", {"action": "single", "battery": None, "linkquality": 40}),
    ("zigbee2mqtt/hall/plug/state", "ON"),
]  # fmt: skip


@pytest.mark.parametrize(("topic", "content"), NO_READINGS)
def test_what_is_no_reading_is_no_mistake(topic: str, content: Any) -> None:
    with pytest.raises(NotAReading):
        decode(topic, content)


@pytest.mark.parametrize("payload", ["", " ", "null", "nan", "1e999", "on", "{}", "\x00", "9" * 5000])
def test_a_gen1_value_that_is_no_number(payload: str) -> None:
    with pytest.raises(Undecodable) as caught:
        decode("shellies/shellyem-A1/emeter/0/power", payload)
    assert caught.value.reason in (Reason.BAD_VALUE, Reason.EMPTY)


def test_gen1_info_of_meters_and_sensors() -> None:
    emeter = {"power": 100.0, "pf": 0.9, "current": 0.5, "voltage": 230.0, "is_valid": True, "total": 2500.0}
    content = {
        "wifi_sta": {"rssi": -58},
        "unixtime": 1772443200,
        "mac": "A1B2C3D4E5F6",
        "update": {"old_version": "20230913-114244/v1.14.0"},
        "emeters": [{**emeter, "total_returned": 40.0}, {**emeter, "is_valid": False}, {**emeter, "power": "x"}],
        "meters": [{"power": 1, "is_valid": True, "total": 60}],
    }
    first, third = decode("shellies/shellyem3-48/info", content)
    assert first.device.address == "shellyem3-48/0"
    assert (first.time_us, first.time_source) == (1772443200_000_000, TimeSource.DEVICE)
    assert readings(first) == pytest.approx(
        {
            "rssi_dbm": -58,
            "power_w": 100,
            "power_factor": 0.9,
            "current_l1_a": 0.5,
            "voltage_l1_v": 230,
            "energy_kwh": 2.5,
            "energy_export_kwh": 0.04,
        }
    )
    assert (third.device.address, third.problems) == (
        "shellyem3-48/2",
        [(Reason.BAD_VALUE, "emeters.2.power: 'x' is no number")],
    )
    assert announced("shellies/shellyem3-48/info", content) == {
        "shellyem3-48": {"maker": "Shelly", "serial": "A1B2C3D4E5F6", "firmware": "20230913-114244/v1.14.0"}
    }
    plug = {"unixtime": 0, "meters": [{"power": 5, "is_valid": True, "timestamp": 1772450400, "total": 1200}]}
    (part,) = decode("shellies/shellyplug-s-C8/info", plug)
    assert readings(part) == {"power_w": 5, "energy_kwh": 0.02}
    assert part.time_source is TimeSource.UNSET_CLOCK
    sensor = {
        "tmp": {"value": 71.6, "units": "F", "tC": 22.0, "tF": 71.6, "is_valid": True},
        "hum": {"value": 999, "is_valid": True},
        "bat": {"value": 77, "voltage": 2.9},
        "ext_temperature": {"0": {"hwID": "28ff", "tC": 3.5, "tF": 38.3}},
    }
    assert by_device("shellies/shellyht-7F/info", sensor) == {
        "shellyht-7f": {"temperature_c": 22, "battery_pct": 77, "battery_v": 2.9},
        "shellyht-7f/ext0": {"temperature_c": 3.5},
    }


def test_gen1_info_of_what_says_valid_as_text() -> None:
    content = {"meters": [{"power": 0.0, "is_valid": "true"}], "tmp": {"tC": 46.1, "tF": 115, "is_valid": "true"}}
    assert by_device("shellies/shelly1-9A/info", content) == {"shelly1-9a": {"power_w": 0, "temperature_c": 46.1}}
    valve = {"tmp": {"value": 20.5, "units": "C", "is_valid": True}, "bat": {"value": 99, "voltage": 4.1}}
    assert by_device("shellies/valve/info", valve) == {
        "valve": {"temperature_c": 20.5, "battery_pct": 99, "battery_v": 4.1}
    }


def test_gen1_announcements() -> None:
    content = {"id": "shellyem-A1B2C3", "model": "SHEM", "mac": "E8DB84A1B2C3", "fw_ver": "20230913/v1.14.0", "ip": "x"}
    facts = {"maker": "Shelly", "model": "SHEM", "serial": "E8DB84A1B2C3", "firmware": "20230913/v1.14.0"}
    assert announced("shellies/announce", content) == {"shellyem-a1b2c3": facts}
    assert announced("shellies/custom/announce", content) == {"custom": facts}


GEN2 = [
    ("em:0", {"id": 0, "a_act_power": 10.0, "a_voltage": 230.0, "a_current": 0.1, "a_freq": 50.0, "a_errors": None,
              "n_current": None, "b_voltage": 231.0, "c_voltage": 232.0, "total_act_power": 33.5, "total_current": 0.4,
              "total_aprt_power": 50.0}, "",
     {"power_w": 33.5, "apparent_power_va": 50, "current_a": 0.4, "voltage_l1_v": 230, "voltage_l2_v": 231,
      "voltage_l3_v": 232, "current_l1_a": 0.1, "frequency_hz": 50, "power_l1_w": 10}),
    ("em:0", {"id": 0, "a_act_power": 10.5, "b_act_power": -20, "c_act_power": 30}, "",
     {"power_w": 20.5, "power_l1_w": 10.5, "power_l2_w": -20, "power_l3_w": 30}),
    ("emdata:0", {"id": 0, "a_total_act_energy": 1.0, "total_act": 81500.5, "total_act_ret": 250.0}, "",
     {"energy_kwh": 81.5005, "energy_export_kwh": 0.25}),
    ("emdata:0", {"id": 0, "a_total_act_energy": 1000, "b_total_act_energy": 2000.0, "c_total_act_energy": 500}, "",
     {"energy_kwh": 3.5}),
    ("em1:1", {"id": 1, "current": 2.5, "voltage": 231.0, "act_power": 501.0, "aprt_power": 610.0, "pf": 0.82,
               "freq": 50.0, "calibration": "factory"}, "/1",
     {"current_a": 2.5, "voltage_v": 231, "power_w": 501, "apparent_power_va": 610, "power_factor": 0.82,
      "frequency_hz": 50}),
    ("em1data:0", {"id": 0, "total_act_energy": 4000.0, "total_act_ret_energy": 0.0}, "/0",
     {"energy_kwh": 4, "energy_export_kwh": 0}),
    ("switch:1", {"id": 1, "apower": 8.0, "voltage": 229.0, "pf": 0.5, "freq": 50.1, "temperature": {"tC": 40.0},
                  "aenergy": {"total": 1500.0, "by_minute": [900.0, 1.0, 2.0], "minute_ts": 1772443200},
                  "ret_aenergy": {"total": 100.0}}, "/1",
     {"power_w": 8, "voltage_v": 229, "power_factor": 0.5, "frequency_hz": 50.1, "energy_kwh": 1.5,
      "energy_export_kwh": 0.1, "device_temperature_c": 40}),
    ("smoke:0", {"id": 0, "alarm": True, "mute": False}, "", {"on_fire": 1}),
    ("flood:0", {"id": 0, "alarm": False, "mute": False}, "", {"water_leak": 0}),
    ("illuminance:0", {"id": 0, "lux": 210, "illumination": "bright"}, "", {"illuminance_lx": 210}),
    ("pm1:0", {"id": 0, "apower": -3.5, "aprtpower": 5.0, "current": 0.2}, "",
     {"power_w": -3.5, "apparent_power_va": 5, "current_a": 0.2}),
    ("temperature:0", {"id": 0, "tC": 19.8, "tF": 67.6}, "", {"temperature_c": 19.8}),
    ("temperature:101", {"id": 101, "tC": -3.0, "tF": 26.6}, "/101", {"temperature_c": -3}),
    ("humidity:0", {"id": 0, "rh": 42.2}, "", {"humidity_pct": 42.2}),
    ("devicepower:0", {"id": 0, "battery": {"V": 5.1, "percent": 64}, "external": {"present": False}}, "",
     {"battery_pct": 64, "battery_v": 5.1}),
    ("input:2", {"id": 2, "counts": {"total": 7120, "by_minute": [1, 0, 2]}}, "/2", {"pulse_count": 7120}),
]  # fmt: skip


@pytest.mark.parametrize(("component", "body", "channel", "expected"), GEN2)
def test_gen2_components(component: str, body: dict[str, Any], channel: str, expected: dict[str, float]) -> None:
    device = "shellypro-a1b2c3d4e5f6"
    (part,) = decode(f"{device}/status/{component}", body)
    assert part.time_source is TimeSource.RECEPTION
    assert {part.device.address: readings(part)} == {device + channel: pytest.approx(expected)}
    notification = {"src": device, "dst": f"{device}/events", "method": "NotifyStatus"}
    content = {**notification, "params": {"ts": 1772443200.25, component: body}}
    (part,) = decode(f"bridge/{device}/events/rpc", content)
    assert (part.time_us, part.time_source) == (1772443200_250_000, TimeSource.DEVICE)
    assert {part.device.address: readings(part)} == {device + channel: pytest.approx(expected)}


def test_gen2_full_status() -> None:
    content = {
        "src": "shellyhtg3-a1b2c3d4e5f6",
        "method": "NotifyFullStatus",
        "params": {
            "ts": 3.25,
            "devicepower:0": {"id": 0, "battery": {"V": 0.4, "percent": 0}, "external": {"present": True}},
            "humidity:0": {"id": 0, "rh": None},
            "temperature:0": {"id": 0, "tC": 20.5, "tF": 68.9},
            "sys": {"mac": "A1B2C3D4E5F6", "unixtime": None},
            "wifi": {"rssi": -71},
        },
    }
    (part,) = decode("climate/hall/events/rpc", content)
    assert (part.device.address, part.time_source) == ("climate/hall", TimeSource.UNSET_CLOCK)
    assert readings(part) == {"temperature_c": 20.5, "rssi_dbm": -71}
    assert announced("climate/hall/events/rpc", content) == {
        "climate/hall": {"maker": "Shelly", "serial": "A1B2C3D4E5F6"}
    }
    answer = {"id": 1, "src": "shellyhtg3-a1b2c3d4e5f6", "dst": "me", "result": content["params"]}
    assert by_device("me/rpc", answer) == {"shellyhtg3-a1b2c3d4e5f6": {"temperature_c": 20.5, "rssi_dbm": -71}}


def test_gen2_channels_problems_and_doubts() -> None:
    content = {
        "src": "shellypro2pm-a1b2c3d4e5f6",
        "method": "NotifyStatus",
        "params": {
            "ts": 1772443200,
            "switch:0": {"id": 0, "apower": 5, "aenergy": {"total": "many"}},
            "switch:1": {"id": 1, "apower": 7, "errors": ["power_meter_failure"]},
            "switch:2": 7,
        },
    }
    first, second = decode("shellypro2pm-a1b2c3d4e5f6/events/rpc", content)
    assert readings(first) == {"power_w": 5}
    assert first.problems == [
        (Reason.BAD_VALUE, "switch:0.aenergy.total: 'many' is no number"),
        (Reason.BAD_STRUCTURE, "shellypro2pm-a1b2c3d4e5f6: switch:2: is no object"),
    ]
    assert second.device.address.endswith("/1")
    assert [quality for *_, quality in second.readings] == [2]


def test_zigbee_names_times_and_parts() -> None:
    plug = {"power": 12, "energy": 1.5, "voltage": 230, "current": 0.1, "linkquality": 9, "state": "ON"}
    for told, expected in (
        ("2026-03-02T09:00:00+02:00", 1772434800),
        ("2026-03-02T07:00:00.000Z", 1772434800),
        ("2026-03-02T09:00:00", 1772434800),
        (1772434800000, 1772434800),
    ):
        (part,) = decode("zigbee2mqtt/Школа 12/plug 1", {**plug, "last_seen": told})
        assert (part.device.address, part.time_us) == ("школа12/plug1", expected * 1_000_000)
    (part,) = decode("cellar-zigbee/plug", plug)
    assert (part.envelope, part.device.address, part.time_source) == ("zigbee2mqtt", "plug", TimeSource.RECEPTION)
    assert by_device("zigbee2mqtt/meter/power", "812.5") == {"meter": {"power_w": 812.5}}
    clamps = {"power_a": 100, "power_b": 20, "power_ab": 120, "energy_a": 5.5, "energy_b": 1, "energy_produced_a": 2,
              "power_factor_a": 95, "voltage": 231, "ac_frequency": 50, "linkquality": 9}  # fmt: skip
    assert by_device("zigbee2mqtt/clamps", clamps) == {
        "clamps/a": {"power_w": 100, "energy_kwh": 5.5, "energy_export_kwh": 2, "power_factor": 0.95, "voltage_v": 231,
                     "frequency_hz": 50},
        "clamps/b": {"power_w": 20, "energy_kwh": 1, "voltage_v": 231, "frequency_hz": 50},
    }  # fmt: skip
    assert by_device("zigbee2mqtt/reader", {"power": 90, "energy": 3, "battery": 80, "voltage": 3000}) == {
        "reader": {"power_w": 90, "energy_kwh": 3, "battery_pct": 80, "battery_v": 3}
    }
    assert by_device("zigbee2mqtt/t", {"temperature": 3.5, "voltage": 2950}) == {
        "t": {"temperature_c": 3.5, "battery_v": 2.95}
    }
    with pytest.raises(Undecodable, match="last_seen"):
        decode("zigbee2mqtt/plug", {**plug, "last_seen": "yesterday"})


def test_zigbee_bridge_tells_the_devices() -> None:
    content = [
        {"ieee_address": "0x00", "type": "Coordinator", "friendly_name": "Coordinator"},
        {"ieee_address": "0x00158d0001", "type": "EndDevice", "friendly_name": "yard north", "power_source": "Battery",
         "definition": {"model": "WSDCGQ11LM", "vendor": "Aqara", "exposes": []}},
        {"ieee_address": "0x00158d0002", "type": "Router", "friendly_name": "lamp", "definition": None},
        "nonsense",
    ]  # fmt: skip
    assert announced("zigbee2mqtt/bridge/devices", content) == {
        "yardnorth": {"maker": "Aqara", "model": "WSDCGQ11LM", "name": "yard north", "serial": "0x00158d0001"},
        "lamp": {"name": "lamp", "serial": "0x00158d0002"},
    }


def test_tasmota_topics_and_times() -> None:
    energy = {"Total": 5.5, "Power": 10, "Voltage": 230}
    for topic in ("tele/plug/SENSOR", "plug/tele/SENSOR", "stat/plug/STATUS8", "stat/plug/STATUS10"):
        inner = {"Time": "2026-03-02T09:00:00", "ENERGY": energy}
        (part,) = decode(topic, {"StatusSNS": inner} if "STATUS" in topic else inner)
        assert (part.device.address, part.time_us) == ("plug", 1772434800_000_000)
        assert readings(part) == {"energy_kwh": 5.5, "power_w": 10, "voltage_v": 230}
    assert by_device("city/tele/hall/plug/SENSOR", {"ENERGY": energy}) == {
        "city/hall/plug": {"energy_kwh": 5.5, "power_w": 10, "voltage_v": 230}
    }
    assert announced("tele/plug/INFO1", {"Info1": {"Module": "Sonoff Pow R2", "Version": "14.1"}}) == {
        "plug": {"model": "Sonoff Pow R2", "firmware": "14.1"}
    }
    assert announced(
        "tasmota/discovery/A1B2C3/config", {"t": "plug", "md": "Nous A1T", "mac": "A1B2C3", "sw": "14.1", "dn": "Plug"}
    ) == {"plug": {"model": "Nous A1T", "serial": "A1B2C3", "firmware": "14.1", "name": "Plug"}}


def test_tasmota_sensors_keep_apart() -> None:
    content = {
        "Time": "2026-03-02T09:00:00",
        "ENERGY": {"Total": 5.5, "Power": 10, "Voltage": 230},
        "AM2301": {"Temperature": 68.0, "Humidity": 40.0, "DewPoint": 43.0},
        "COUNTER": {"C1": 12, "C2": 99},
        "TempUnit": "F",
    }
    assert by_device("tele/x/SENSOR", content) == {
        "x": {"energy_kwh": 5.5, "power_w": 10, "voltage_v": 230},
        "x/am2301": {"temperature_c": 20, "humidity_pct": 40},
        "x/c1": {"pulse_count": 12},
        "x/c2": {"pulse_count": 99},
    }
    probes = {"DS18B20-2": {"Id": "01", "Temperature": 40.5}, "DS18B20-1": {"Id": "02", "Temperature": "61.0"}}
    assert by_device("tele/x/SENSOR", probes) == {
        "x": {"temperature_c": 61}, "x/ds18b20-2": {"temperature_c": 40.5}
    }  # fmt: skip
    two = {"BME280-76": {"Temperature": 1, "Pressure": 1000}, "BME280-77": {"Temperature": 2, "Pressure": 1001}}
    assert by_device("tele/x/SENSOR", two) == {
        "x": {"temperature_c": 1, "air_pressure_hpa": 1000},
        "x/bme280-77": {"temperature_c": 2, "air_pressure_hpa": 1001},
    }
    relayed = {"ATC1a2b3c": {"mac": "a4c1381a2b3c", "Temperature": 5.5, "Humidity": 80, "Battery": 91, "RSSI": -70}}
    assert by_device("tele/x/SENSOR", relayed) == {
        "x/atc1a2b3c": {"temperature_c": 5.5, "humidity_pct": 80, "battery_pct": 91}
    }
    counter = {"COUNTER": {"C1": 5}}
    assert by_device("tele/x/SENSOR", counter) == {"x": {"pulse_count": 5}}


@pytest.mark.parametrize(
    ("block", "content", "expected"),
    [
        ("SML", {"E_in": 100.5, "E_out": 2, "Power": 300}, {"energy_kwh": 100.5, "energy_export_kwh": 2, "power_w": 300}),
        ("Main", {"Total_in": 100.5, "Power_curr": 12, "Meter_number": "1EMH00"}, {"energy_kwh": 100.5, "power_w": 12}),
        ("ENERGY", {"E_in": 7.25, "Power": 4}, {"energy_kwh": 7.25, "power_w": 4}),
        ("eHZ", {"1_8_0": 9, "16_7_0": 33, "Volt_p1": 230, "Amp_p1": 2},
         {"energy_kwh": 9, "power_w": 33, "voltage_l1_v": 230, "current_l1_a": 2}),
        ("SML", {"E_in": 0, "Power": 0}, {"power_w": 0}),
    ],
)  # fmt: skip
def test_tasmota_script_meters(block: str, content: dict[str, Any], expected: dict[str, float]) -> None:
    (part,) = decode("tele/reader/SENSOR", {"Time": "2026-03-02T09:00:00", block: content})
    assert part.profile == "tasmota-script-meter"
    assert readings(part) == pytest.approx(expected)


def test_tasmota_models_by_fields() -> None:
    three = {"Total": [1, 2, 3], "Power": [1, 2, 3], "Voltage": [230, 231, 232], "Current": [1, 1, 1]}
    for energy, profile in (
        (three, "eastron-sdm630-tasmota"),
        ({"Total": 3, "Power": [1, 2], "Voltage": 230, "Current": [1, 1]}, "sonoff-dual-r3-tasmota"),
        ({"Total": 3, "Power": 1, "Voltage": 230, "Frequency": 50}, "pzem-004t-tasmota"),
        ({"Total": 3, "Power": 1, "Voltage": 230}, "nous-a1t-tasmota"),
        ({"Total": 3, "Power": 1}, "tasmota-power-monitor"),
    ):
        (part,) = decode("tele/x/SENSOR", {"ENERGY": energy})
        assert (part.profile, part.problems) == (profile, [])


@pytest.mark.parametrize("content", [{"SR04": {"Distance": 0}}, {"VL53L0X": {"Distance": 8191}}])
def test_no_echo_is_no_distance(content: dict[str, Any]) -> None:
    with pytest.raises((Undecodable, NotAReading)):
        decode("tele/bin/SENSOR", content)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(
    """method params result src ts sys em:0 emdata:0 em1:1 switch:0 devicepower:0 total_act_power aenergy total errors
    a_errors emeters meters tmp ext_temperature unixtime wifi_sta update Time Epoch ENERGY TIC SML COUNTER C1 DS18B20-2
    BME280 Temperature TempUnit PressureUnit Pressure StatusSNS E_in power energy_a power_a power_b power_phase_b
    power_phase_c power_factor voltage battery device model last_seen linkquality definition friendly_name""".split()  # noqa: SIM905
)
nested = st.recursive(
    json_values, lambda inner: st.dictionaries(KEYS, inner, max_size=5) | st.lists(inner, max_size=2), max_leaves=20
)
TOPICS = st.sampled_from(
    """shellies/x/info shellies/announce shellies/x/announce shellies/x/emeter/0/total shellies// shellies/x/y/z
    x/events/rpc /events/rpc x/status/em:0 x/status/devicepower:0 shellyplug-aabbccdd/rpc tele/x/SENSOR stat/x/STATUS10
    tele//SENSOR tele/x/ENERGY tele/x/INFO1 tasmota/discovery/aa/config zigbee2mqtt/x zigbee2mqtt/ zigbee2mqtt//
    zigbee2mqtt/x/power zigbee2mqtt/bridge/devices""".split()  # noqa: SIM905
)


@given(topic=TOPICS, content=st.dictionaries(KEYS, nested, max_size=6) | nested)
@settings(max_examples=600, deadline=None)
def test_no_content_brings_them_down(topic: str, content: object) -> None:
    for name in OURS:
        with suppress(Undecodable, NotAReading):
            for item in ENVELOPES[name].decode(topic, as_bytes(json.dumps(content)), NOW_US):
                assert isinstance(item, Uplink | Announcement)
    with suppress(Undecodable, NotAReading):
        decode(topic, json.dumps(content))


@given(topic=TOPICS | st.text(max_size=40), payload=st.binary(max_size=120))
@settings(max_examples=400, deadline=None)
def test_no_bytes_bring_them_down(topic: str, payload: bytes) -> None:
    for name in OURS:
        ENVELOPES[name].owns_topic(topic)
        with suppress(Undecodable, NotAReading):
            ENVELOPES[name].decode(topic, payload, NOW_US)


def test_sizes_are_bounded() -> None:
    for topic in (
        "tele/" * 13_000 + "SENSOR",
        "zigbee2mqtt/" * 5_000,
        "shellies/" * 7_000 + "emeter/0/power",
        "a/" * 30_000,
    ):
        for name in OURS:
            ENVELOPES[name].owns_topic(topic)
            with suppress(Undecodable, NotAReading):
                ENVELOPES[name].decode(topic, b'{"power": 1}', NOW_US)
    many = {f"switch:{n}": {"apower": 1} for n in range(5_000)}
    assert len(decode("x/events/rpc", {"method": "NotifyStatus", "params": many})) <= 1000
    blocks = {f"T{n}": {"Temperature": 1} for n in range(5_000)}
    with suppress(Undecodable, NotAReading):
        decode("tele/x/SENSOR", blocks)


def samples() -> list[Any]:
    return [
        pytest.param(path, id=f"{source}-{path.stem}")
        for source in ("shelly-gen1", "shelly-gen2", "tasmota", "zigbee2mqtt")
        for path in sorted(SHARED.glob(f"{source}/*.json"))
    ]


@pytest.mark.skipif(not samples(), reason=f"the recorded samples are not at {SHARED}")
@pytest.mark.parametrize("path", samples())
def test_recorded_messages(path: Path) -> None:
    sample = json.loads(path.read_text(encoding="utf-8"))
    raw = sample.get("raw") or sample["payload"]
    topic = sample["topic"].replace("{", "").replace("}", "").replace("%", "")
    try:
        parts = decode(topic, raw if isinstance(raw, str) else json.dumps(raw))
    except NotAReading:
        assert path.stem in ("shellyem3_relay_0", "plus1pm_events_rpc")
        return
    assert parts
    assert all(part.readings and not part.problems and not part.unknown_fields for part in parts)


def test_a_list_of_zigbee_devices_that_is_too_large_is_no_mistake() -> None:
    large = json.dumps(["x" * 300_000])
    with pytest.raises(NotAReading, match="too long"):
        decode("zigbee2mqtt/bridge/devices", json.loads(large))
    with pytest.raises(Undecodable):
        decode("zigbee2mqtt/hall", json.loads(large))


def test_zigbee_states_of_a_place_alone_are_readings() -> None:
    assert by_device("zigbee2mqtt/leak", {"water_leak": True, "linkquality": 9}) == {"leak": {"water_leak": 1}}


def test_gen1_states() -> None:
    assert by_device("shellies/shellyflood-A1/sensor/flood", "true") == {"shellyflood-a1": {"water_leak": 1}}
    assert by_device("shellies/shellydw2-A1/sensor/state", "close") == {"shellydw2-a1": {"contact_open": 0}}
    assert by_device("shellies/shellydw2-A1/sensor/lux", "52") == {"shellydw2-a1": {"illuminance_lx": 52}}
