"""Formats of meter gateways: P1 bridges, emonHub, OpenEMS, cameras, one value a topic, Prague."""

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

from catalogue.metrics import Quality
from ingest.decoder import Decoder
from ingest.envelopes import NotAReading, Uplink, all_envelopes
from ingest.envelopes._p1 import _crc16
from ingest.errors import Reason, Undecodable
from ingest.message import Message
from ingest.one_device import OneDevice
from ingest.profile import load_profiles
from ingest.vocabulary import find, words_of

KYIV = ZoneInfo("Europe/Kyiv")
ENVELOPES = {envelope.name: envelope for envelope in all_envelopes(KYIV)}
OURS = ("dsmr", "emon", "openems", "ai_on_the_edge", "one_value", "prague")
NOW_US = int(datetime(2026, 11, 23, 10, tzinfo=UTC).timestamp() * 1e6)
SHARED = Path(
    os.environ.get("MISTO_SHARED_SAMPLES") or Path(__file__).parents[2].parent / "shared" / "samples"
)  # fmt: skip


def us(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1e6)  # type: ignore[arg-type,misc]


def uplinks(name: str, topic: str, payload: Any) -> list[Uplink]:
    raw = payload if isinstance(payload, bytes) else (payload if isinstance(payload, str) else json.dumps(payload))
    found = ENVELOPES[name].decode(topic, raw.encode() if isinstance(raw, str) else raw, NOW_US)
    return [item for item in found if isinstance(item, Uplink)]


def read(name: str, topic: str, payload: Any) -> dict[str, dict[str, float]]:
    """Metrics by channel."""
    return {uplink.channel: uplink.metrics or {} for uplink in uplinks(name, topic, payload)}


def owner(topic: str) -> str:
    return next((envelope.name for envelope in ENVELOPES.values() if envelope.owns_topic(topic)), "")


# P1

TELEGRAM = "\r\n".join([
    "/XYZ5\\2M550T-1012", "", "1-3:0.2.8(50)", "0-0:1.0.0(261123104500W)", "1-0:1.8.1(001234.500*kWh)",
    "1-0:1.8.2(000100.250*kWh)", "1-0:1.7.0(00.000*kW)", "1-0:2.7.0(01.200*kW)", "1-0:32.7.0(229.0*V)",
    "0-1:24.1.0(003)", "0-1:24.2.1(261123104000W)(00512.100*m3)", "!",
])  # fmt: skip


def test_dsmr_json_adds_the_tariffs_up() -> None:
    content = {
        "id": 8, "timestamp": "2026-11-23T10:45:00+01:00", "electricity_delivered_1": "00746.379",
        "electricity_delivered_2": "0100.000", "electricity_currently_delivered": "0.100",
        "electricity_currently_returned": "0.350", "phase_voltage_l1": 230, "phase_power_current_l1": 1,
        "phase_currently_delivered_l1": "0.1", "extra_device_timestamp": "2026-11-23T10:40:00+01:00",
        "extra_device_delivered": "00512.100", "electricity_returned_1": None,
    }  # fmt: skip
    electricity, gas = uplinks("dsmr", "dsmr/json", content)
    assert electricity.metrics == pytest.approx(
        {"energy_kwh": 846.379, "power_w": -250, "power_l1_w": 100, "voltage_l1_v": 230, "current_l1_a": 1}
    )
    assert (electricity.address, electricity.time_us) == ("dsmr", us(2026, 11, 23, 9, 45))
    assert (gas.channel, gas.metrics, gas.time_us) == ("gas", {"gas_m3": 512.1}, us(2026, 11, 23, 9, 40))
    assert electricity.unknown == ()


@pytest.mark.parametrize(
    ("topic", "payload", "device", "expected"),
    [
        ("dsmr/reading/electricity_delivered_2", "00746.379", "dsmr", {"tariff-2": {"energy_kwh": 746.379}}),
        ("home/dsmr/reading/electricity_currently_delivered", "0.25", "home/dsmr", {"": {"power_w": 250}}),
        ("dsmr/reading/electricity_currently_returned", "0.25", "dsmr", {"returned": {"power_w": 250}}),
        ("dsmr/consumption/gas/delivered", "6573.2", "dsmr", {"gas": {"gas_m3": 6573.2}}),
        ("DSMR-API/energy_returned_tariff1", {"energy_returned_tariff1": [{"value": 1.5, "unit": "kWh"}]}, "dsmr-api",
         {"tariff-1": {"energy_export_kwh": 1.5}}),
        ("DSMR-API/voltage_l3", "231.5", "dsmr-api", {"": {"voltage_l3_v": 231.5}}),
        ("sensors/power/p1meter/consumption_high_tarif", "1964962", "sensors/power/p1meter",
         {"tariff-2": {"energy_kwh": 1964.962}}),
        ("sensors/power/p1meter/gas_meter_m3", "968922", "sensors/power/p1meter", {"gas": {"gas_m3": 968.922}}),
        ("hall/sensor/energy_consumed_tariff_1/state", "12.5", "hall", {"tariff-1": {"energy_kwh": 12.5}}),
        ("p1/any", {"smr_version": 50, "total_power_import_kwh": 30.5, "total_power_import_t1_kwh": 10,
                    "total_power_import_t2_kwh": 20.5, "active_power_w": -543, "wifi_strength": 70}, "p1/any",
         {"": {"energy_kwh": 30.5, "power_w": -543}}),
        ("dsmr/raw", f"{TELEGRAM}{_crc16(TELEGRAM.encode()):04X}\r\n", "dsmr",
         {"": {"energy_kwh": 1334.75, "power_w": -1200, "voltage_l1_v": 229}, "gas": {"gas_m3": 512.1}}),
    ],
)  # fmt: skip
def test_p1_bridges(topic: str, payload: Any, device: str, expected: dict[str, dict[str, float]]) -> None:
    assert owner(topic) == ("dsmr" if topic != "p1/any" else "")
    found = read("dsmr", topic, payload)
    assert found.keys() == expected.keys()
    for channel, metrics in expected.items():
        assert found[channel] == pytest.approx(metrics)
    assert uplinks("dsmr", topic, payload)[0].address == device


def test_what_is_no_reading_of_a_p1_bridge() -> None:
    for topic, payload in (
        ("dsmr/day-consumption/electricity1", "3.5"), ("dsmr/day-consumption", '{"electricity1": 3}'),
        ("dsmr/current-month/gas", "7"), ("dsmr/meter-stats/dsmr_version", "50"), ("dsmr/reading/id", "9"),
        ("dsmr/reading/timestamp", "2026-11-23T10:45:00+01:00"), ("DSMR-API/LWT", "Online"),
        ("dsmr/reading/extra_device_delivered", "null"),
    ):  # fmt: skip
        with pytest.raises(NotAReading):
            read("dsmr", topic, payload)
    with pytest.raises(Undecodable, match="checksum is wrong"):
        read("dsmr", "dsmr/raw", f"{TELEGRAM}0000")


def test_one_broken_tariff_leaves_the_other_on_its_channel() -> None:
    (uplink,) = uplinks("dsmr", "dsmr/json", {"electricity_delivered_1": "x", "electricity_delivered_2": "5"})
    assert (uplink.channel, uplink.metrics) == ("tariff-2", {"energy_kwh": 5})
    assert uplink.problems[0][1].startswith("electricity_delivered_1")


# emonHub, OpenEMS


@pytest.mark.parametrize(
    ("topic", "payload", "expected"),
    [
        ("emon/emontx4/power1", "623", {"": {"power_w": 623}}),
        ("emon/emontx4/P2", "-20", {"2": {"power_w": -20}}),
        ("emon/emontx4/e3", "121940", {"3": {"energy_kwh": 121.94}}),
        ("emon/emonpi/vrms", "23.26e1", {"": {"voltage_v": 232.6}}),
        ("emon/emonpi2/V2", "230", {"": {"voltage_l2_v": 230}}),
        ("emon/emonth/external temperature", "-3.5", {"external": {"temperature_c": -3.5}}),
        ("emon/emonth/battery", "2.8", {"": {"battery_v": 2.8}}),
        ("emon/emonpi/pulsecount", "77", {"": {"pulse_count": 77}}),
        ("emon/sdm/EI", "12.5", {"": {"energy_kwh": 12.5}}),
        ("emon/emontx4", {"time": 1795427880, "power1": 5, "e1": 2000, "power2": 7, "MSG": 4},
         {"": {"power_w": 5, "energy_kwh": 2}, "2": {"power_w": 7}}),
    ],
)  # fmt: skip
def test_emon(topic: str, payload: Any, expected: dict[str, dict[str, float]]) -> None:
    assert owner(topic) == "emon"
    found = read("emon", topic, payload)
    assert found.keys() == expected.keys()
    for channel, metrics in expected.items():
        assert found[channel] == pytest.approx(metrics)


def test_emon_times_signals_and_positions() -> None:
    assert uplinks("emon", "emon/a", {"time": 1795427880, "power": 5})[0].time_us == 1795427880_000_000
    assert uplinks("emon", "emon/a/rssi", "-53")[0].signal == {"rssi_dbm": -53}
    with pytest.raises(Undecodable, match="by position, without names"):
        read("emon", "emonhub/rx/10/values", "1,2,3")
    with pytest.raises(NotAReading):
        read("emon", "emonhub/tx/10/values", "1,2,3")


def test_openems() -> None:
    def at(channel: str, payload: Any) -> dict[str, dict[str, float]]:
        topic = f"edge/edge7/channel/{channel}"
        assert owner(topic) == "openems"
        return read("openems", topic, payload)

    assert at("meter0/ActivePower", "-1250") == {"": {"power_w": -1250}}
    assert at("meter0/ActiveProductionEnergy", "5831900")[""] == pytest.approx({"energy_kwh": 5831.9})
    assert at("meter0/ActiveConsumptionEnergy", "1000") == {"": {"energy_export_kwh": 1}}
    assert at("meter0/VoltageL2", "231400")[""] == pytest.approx({"voltage_l2_v": 231.4})
    assert at("meter0/ActivePowerL2", "350") == {"": {"power_l2_w": 350}}
    assert at("meter0/Frequency", "49980")[""] == pytest.approx({"frequency_hz": 49.98})
    assert at("_sum/GridBuyActiveEnergy", "4500") == {"grid": {"energy_kwh": 4.5}}
    assert at("_sum/all", {"GridActivePower": 25, "ConsumptionActivePower": 30, "EssSoc": 85}) == {
        "grid": {"power_w": 25}, "consumption": {"power_w": 30}}  # fmt: skip
    assert uplinks("openems", "edge/edge7/channel/meter0/ActivePower", "1")[0].address == "edge7/meter0"
    for channel, payload in (("lastUpdate", "1795427880000"), ("meter0/ActivePower", "null"), ("ess0/Soc", "80"),
                             ("meter0/ActiveProductionEnergyL1", "4"), ("meter0/_PropertyAlias", "Grid meter")):  # fmt: skip
        with pytest.raises(NotAReading):
            at(channel, payload)


# The camera


def test_the_camera_on_a_meter() -> None:
    told = {"value": "512.3020", "raw": "0512.3020", "pre": "512.3010", "error": "no error", "rate": "0.002",
            "timestamp": "2026-11-23T11:55:00+0200"}  # fmt: skip
    (uplink,) = uplinks("ai_on_the_edge", "cellar/watermeter/main/json", told)
    assert (uplink.address, uplink.channel, uplink.time_us) == ("cellar/watermeter", "", us(2026, 11, 23, 9, 55))
    assert uplink.metrics == pytest.approx({"water_m3": 512.302, "flow_m3h": 0.12})
    assert read("ai_on_the_edge", "gasmeter/left/value", "12.5") == {"left": {"gas_m3": 12.5}}
    assert read("ai_on_the_edge", "watermeter/value", "7") == {"": {"water_m3": 7}}
    failed = {**told, "error": "Rate too high - Read: 900"}
    (uplink,) = uplinks("ai_on_the_edge", "watermeter/main/json", failed)
    assert uplink.suspect == {"water_m3"}
    assert "Rate too high" in uplink.problems[0][1]
    with pytest.raises(Undecodable, match="could not read the meter: Neg"):
        read("ai_on_the_edge", "watermeter/main/json", {**told, "value": "", "error": "Neg. Rate"})
    for topic in ("watermeter/main/raw", "watermeter/main/error", "watermeter/uptime", "watermeter/main/changeabsolut"):
        assert owner(topic) == "ai_on_the_edge"
        with pytest.raises(NotAReading):
            read("ai_on_the_edge", topic, "0512.30")


# One value a topic


@pytest.mark.parametrize(
    ("topic", "payload", "device", "expected"),
    [
        ("school 5/meter/energy/total", "1234.5", "school5/meter", {"": {"energy_kwh": 1234.5}}),
        ("a/meter/energy/total", "1500 Wh", "a/meter", {"": {"energy_kwh": 1.5}}),
        ("a/roof/temperature", "21,5 °C", "a/roof", {"": {"temperature_c": 21.5}}),
        ("a/roof/temperature", "212 °F", "a/roof", {"": {"temperature_c": 100}}),
        ("hm/status/Hall/POWER", {"val": 60.5, "ts": 1795427880000, "ack": True}, "hm/status/hall", {"": {"power_w": 60.5}}),
        ("bins/17/fill", "45%", "bins/17", {"": {"fill_level_pct": 45}}),
        ("bins/17/level", "45", "bins/17", {"": {"fill_level_pct": 45}}),
        ("bins/17/distance_cm", "120", "bins/17", {"": {"distance_mm": 1200}}),
        ("a/b/battery/voltage", "3.6", "a/b", {"": {"battery_v": 3.6}}),
        ("a/b/battery", "3600 mV", "a/b", {"": {"battery_v": 3.6}}),
        ("a/b/water/total", "12 m³", "a/b", {"": {"water_m3": 12}}),
        ("a/b/voltage/l2", "231", "a/b", {"": {"voltage_l2_v": 231}}),
        ("node1/sensor/kitchen_temperature/state", "19.5", "node1", {"kitchen": {"temperature_c": 19.5}}),
        ("sonoff/0/plug/ENERGY_Total", "7.25", "sonoff/0/plug", {"": {"energy_kwh": 7.25}}),
        ("a/b/pressure", "1013 hPa", "a/b", {"": {"air_pressure_hpa": 1013}}),
        ("a/b/pressure", "4.5 bar", "a/b", {"": {"pressure_bar": 4.5}}),
        ("a/bin/tilted", "true", "a/bin", {"": {"tilted": 1}}),
    ],
)  # fmt: skip
def test_one_value(topic: str, payload: Any, device: str, expected: dict[str, dict[str, float]]) -> None:
    assert owner(topic) == "one_value"
    found = read("one_value", topic, payload)
    assert found.keys() == expected.keys()
    for channel, metrics in expected.items():
        assert found[channel] == pytest.approx(metrics)
    assert uplinks("one_value", topic, payload)[0].address == device


@pytest.mark.parametrize(
    "topic",
    ["temperature", "a/b/energy/today", "a/b/energy", "a/temperature/set", "a/target/temperature", "lamp/level", "a/b",
     "$SYS/broker/load", "a/b/day_energy", "a/max_power", "a/door", "a/setpoint_temperature"],
)  # fmt: skip
def test_topics_that_nobody_should_take(topic: str) -> None:
    assert owner(topic) != "one_value"


def test_values_that_are_none() -> None:
    nothing: tuple[Any, ...] = ("unavailable", "null", {"val": None}, {"val": 3, "ack": False})
    for payload in nothing:
        with pytest.raises(NotAReading):
            read("one_value", "a/b/power", payload)
    wrong: tuple[Any, ...] = ("much", "5 kWh", "1e400", "5 W W", "x" * 500, {"val": [1]})
    for payload in wrong:
        with pytest.raises(Undecodable) as caught:
            read("one_value", "a/b/power", payload)
        assert caught.value.reason == Reason.BAD_VALUE
    with pytest.raises(Undecodable, match="its unit is not told"):
        read("one_value", "a/b/flow", "5")
    (uplink,) = uplinks("one_value", "a/b/power", {"val": 5, "ts": 1795427880000, "q": 64})
    assert (uplink.time_us, uplink.quality) == (1795427880_000_000, Quality.SUSPECT)


def test_content_with_a_name_of_its_own_is_read_on_a_telling_topic() -> None:
    assert read("one_value", "a/b/temperature", {"device": "x", "temperature_c": 4}) == {"": {"temperature_c": 4}}
    with pytest.raises(Undecodable, match="no single value"):
        read("one_value", "a/b/temperature", {"colour": 4})


def test_the_vocabulary() -> None:
    assert words_of("ActivePower_L1-now") == ("active", "power", "l1", "now")
    metric, convert = find(("energy", "total"), "MWh") or ("", float)
    assert metric == "energy_kwh"
    assert convert(2) == pytest.approx(2000)
    metric, convert = find(("total", "wh")) or ("", float)
    assert metric == "energy_kwh"
    assert convert(500) == pytest.approx(0.5)
    for words, unit in (
        ((), None), (("energy",), None), (("power",), "furlong"), (("power",), "kWh"), (("flow",), None),
        (("energy", "today"), None), (("a",) * 100, None), (("power",), "W" * 1000),
    ):  # fmt: skip
        assert find(words, unit) is None


# Prague


def test_pragues_bins_and_meters() -> None:
    measured = {"id": 1, "container_id": 20123, "code": "0007/ 100C00001", "percent_calculated": 61, "upturned": 1,
                "temperature": 9, "battery_status": 3.7, "measured_at": "2026-11-23T09:30:00.000Z",
                "measured_at_utc": "2026-11-23T09:30:00.000Z", "prediction": None, "firealarm": 0}  # fmt: skip
    assert ENVELOPES["prague"].looks_like([measured])
    first, second = uplinks("prague", "bins", [measured, {**measured, "container_id": 20124, "upturned": 0}])
    assert first.metrics == {"fill_level_pct": 61, "tilted": 1, "temperature_c": 9, "battery_v": 3.7}
    assert (first.address, first.time_us) == ("20123", us(2026, 11, 23, 9, 30))
    assert first.suspect == {"fill_level_pct"}
    assert second.suspect == frozenset()
    meter = {"addr": "/9.9/EP4", "var": "EFwActi", "commodity": "electricity", "unit": "kWh", "value": "218.50",
             "timeUtc": "2026-11-23T09:00:00Z", "timeLocal": "2026-11-23T10:00:00+01:00"}  # fmt: skip
    (uplink,) = uplinks("prague", "x", meter)
    assert (uplink.address, uplink.metrics) == ("/9.9/ep4/efwacti", {"energy_kwh": 218.5})
    assert read("prague", "x", {**meter, "var": "EFwReact"}) == {"": {"reactive_energy_kvarh": 218.5}}
    assert read("prague", "x", {**meter, "commodity": "heat", "unit": "GJ", "value": "3.6"})[""] == pytest.approx(
        {"energy_kwh": 1000}
    )
    assert read("prague", "x", {**meter, "commodity": "gas", "unit": "m3"}) == {"": {"gas_m3": 218.5}}
    batch = [{"var_id": "5001", "values": [{"timestamp": 1795427880000, "value": 1.5}]}, {"var_id": "5", "values": []}]
    (uplink,) = uplinks("prague", "x", batch)
    assert (uplink.address, uplink.time_us, uplink.fields) == ("5001", 1795427880_000_000, {"value": 1.5})
    pick = {"container_id": 3, "pick_minfilllevel": 30, "decrease": 20, "percent_before": 50, "percent_now": 0}
    with pytest.raises(NotAReading):
        read("prague", "x", [pick])


# Whatever comes

TOPICS = {
    "wmbusmeters": ["wmbusmeters/x"], "emon": ["emon/a/power1", "emon/a", "emonhub/rx/1/values"],
    "dsmr": ["dsmr/json", "dsmr/raw", "dsmr/reading/electricity_delivered_1", "DSMR-API/gas_delivered"],
    "openems": ["edge/e/channel/meter0/ActivePower", "edge/e/channel/_sum/x"],
    "ai_on_the_edge": ["watermeter/main/json", "watermeter/main/value", "watermeter/wifiRSSI"],
    "one_value": ["a/b/power", "a/b/temperature", "a/b/tilted", "a/b"], "prague": ["x"],
}  # fmt: skip
NAMES = (
    "id media meter timestamp meter_datetime status total_m3 power_kw rssi_dbm val value ts unit q raw pre error rate"
    " container_id percent_calculated upturned measured_at_utc addr var timeUtc commodity var_id values external type"
    " electricity_delivered_1 electricity_delivered_2 gas_timestamp total_gas_m3 power1 time rssi GridActivePower"
)
KEYS = st.sampled_from(NAMES.split())
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
    | st.sampled_from([10**400, "1e999", "NaN", "2026-11-23T09:00:00Z", "2026-11-23 09:00", "water", "kWh", "m3", 1e308]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(data=st.data(), content=st.dictionaries(KEYS, VALUES, max_size=10) | VALUES)
@settings(max_examples=600, deadline=None)
def test_no_content_brings_them_down(data: st.DataObject, content: Any) -> None:
    name = data.draw(st.sampled_from(OURS))
    topic = data.draw(st.sampled_from(TOPICS[name]) | st.text(max_size=20))
    with suppress(Undecodable, NotAReading):
        ENVELOPES[name].decode(topic, json.dumps(content).encode(), NOW_US)
    ENVELOPES[name].looks_like(content)
    ENVELOPES[name].owns_topic(topic)


@given(data=st.data(), payload=st.binary(max_size=80) | st.text(max_size=40).map(str.encode))
@settings(max_examples=400, deadline=None)
def test_no_bytes_bring_them_down(data: st.DataObject, payload: bytes) -> None:
    name = data.draw(st.sampled_from(OURS))
    with suppress(Undecodable, NotAReading):
        ENVELOPES[name].decode(data.draw(st.sampled_from(TOPICS[name])), payload, NOW_US)


@pytest.mark.parametrize(
    "payload",
    [b"[" * 200_000, b'{"a":' * 40_000, b"9" * 250_000, b"/" + b"1-0:1.8.1(" * 20_000, b"/" + b"(" * 250_000 + b"!AAAA",
     json.dumps({f"k{n}_m3": n for n in range(12_000)} | {"id": "1"}).encode(), b"\xff" * 1000,
     json.dumps([{"container_id": n, "percent_calculated": n, "measured_at": n} for n in range(3000)]).encode(),
     json.dumps({"id": "1", "status": "A " * 100_000, "total_m3": 1}).encode()],
)  # fmt: skip
@pytest.mark.timeout(60)  # what grows with the square of the size takes many minutes
def test_size_costs_little(payload: bytes) -> None:
    for name in OURS:
        for topic in TOPICS[name]:
            with suppress(Undecodable, NotAReading):
                ENVELOPES[name].decode(topic, payload, NOW_US)


def test_recorded_messages() -> None:
    folders = ("dsmr-reader", "emon", "openems", "ai-on-the-edge", "prague-sensoneo", "prague-energy")
    paths = [path for folder in folders for path in sorted((SHARED / folder).glob("*.json"))]
    if not paths:
        pytest.skip("the recorded samples are not beside this checkout (../shared/samples)")
    decoder = Decoder(tuple(ENVELOPES.values()), load_profiles(), OneDevice(None, None), thorough=True)
    outcomes: dict[str, str] = {}
    for path in paths:
        sample = json.loads(path.read_text(encoding="utf-8"))
        told = sample["payload"]
        raw = sample.get("raw") or (told if isinstance(told, str) else json.dumps(told))
        try:
            parts = decoder.decode(Message(sample["topic"].split(" (json)")[0], raw.encode(), NOW_US))
        except NotAReading:
            outcomes[path.stem] = "none"
        except Undecodable as error:
            outcomes[path.stem] = error.reason.value
        else:
            assert all(part.readings for part in parts), path.stem
            outcomes[path.stem] = parts[0].envelope
    refused = {name for name, outcome in outcomes.items() if outcome in set(Reason)}
    assert refused <= {"emonhub_rx_10_values", "vpalac_measurement_batch"}


def test_json_of_named_quantities_is_read_by_its_names() -> None:
    content = {"fill_level": 73.5, "distance_cm": 69.8, "ping_us": 1468, "valid": False, "status": "ok", "rssi": -70}
    envelope = ENVELOPES["one_value"]
    assert envelope.looks_like(content)
    (uplink,) = envelope.decode("salt/sensor/state", json.dumps(content).encode(), NOW_US)
    assert isinstance(uplink, Uplink)
    assert (uplink.address, uplink.quality) == ("salt", Quality.SUSPECT)
    assert uplink.metrics == pytest.approx({"fill_level_pct": 73.5, "distance_mm": 698})
    assert (uplink.signal, uplink.unknown) == ({"rssi_dbm": -70}, ("ping_us",))


@pytest.mark.parametrize(
    "content",
    [{"battery": 50}, {"level": 5}, {"max_temperature": 5}, {"status": "ok"}, {"temperature": {"value": 5}}, [], 5],
)
def test_json_that_names_nothing_certain_is_nobody_s(content: Any) -> None:
    envelope = ENVELOPES["one_value"]
    assert not envelope.looks_like(content)
