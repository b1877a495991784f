"""SenML, NGSI, FIWARE IoT Agents, ThingsBoard and batches of plain JSON."""

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

from catalogue.metrics import Quality, metrics_by_id
from ingest.decoder import Decoder
from ingest.envelopes import Announcement, NotAReading, Uplink, all_envelopes
from ingest.errors import Reason, Undecodable
from ingest.message import Message
from ingest.one_device import OneDevice

SAMPLES = Path(os.environ.get("MISTO_SHARED_SAMPLES", Path(__file__).parents[2].parent / "shared" / "samples"))
KYIV = ZoneInfo("Europe/Kyiv")
NOW_US = int(datetime(2026, 11, 23, 10, tzinfo=UTC).timestamp() * 1e6)
NAMES = ("senml", "ngsi", "fiware_iota", "thingsboard", "plain_json")
ALL = all_envelopes(KYIV)
ENVELOPES = {envelope.name: envelope for envelope in ALL if envelope.name in NAMES}


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1e6)


def decode(content: Any, topic: str = "any/topic") -> list[Uplink | Announcement]:
    """What the envelope makes of it that topic or content lead to."""
    payload = content if isinstance(content, bytes) else json.dumps(content).encode()
    for envelope in ALL:
        if envelope.owns_topic(topic):
            assert envelope.name in NAMES
            return envelope.decode(topic, payload, NOW_US)
    value = json.loads(payload)
    envelope = next(envelope for envelope in ALL if envelope.looks_like(value))
    assert envelope.name in NAMES
    return envelope.decode(topic, payload, NOW_US)


def uplinks(content: Any, topic: str = "any/topic") -> list[Uplink]:
    return [item for item in decode(content, topic) if isinstance(item, Uplink)]


def metrics_of(content: Any, topic: str = "any/topic") -> dict[str, float]:
    (uplink,) = uplinks(content, topic)
    assert uplink.metrics is not None
    return uplink.metrics


def problems(found: list[Uplink]) -> list[str]:
    return [detail for uplink in found for _, detail in uplink.problems]


def refused(content: Any, topic: str = "any/topic") -> Undecodable:
    with pytest.raises(Undecodable) as caught:
        decode(content, topic)
    return caught.value


# SenML


def test_senml_base_fields_hold_from_their_record_on() -> None:
    first, second, third = uplinks(
        [
            {"bn": "urn:dev:mac:0024befffe804ff1:", "bt": 1790000000, "bu": "A", "n": "voltage", "u": "V", "v": 231.5},
            {"n": "current", "t": 5, "v": 1.25},
            {"bn": "urn:dev:mac:0024befffe804ff2/", "bt": 1790000100, "n": "voltage", "u": "mV", "v": 229000},
        ]
    )
    assert (first.address, first.time_us, first.metrics) == (
        "urn:dev:mac:0024befffe804ff1",
        1790000000 * 10**6,
        {"voltage_v": 231.5},
    )
    assert (second.address, second.time_us, second.metrics) == (first.address, 1790000005 * 10**6, {"current_a": 1.25})
    assert (third.address, third.time_us, third.metrics) == (
        "urn:dev:mac:0024befffe804ff2",
        1790000100 * 10**6,
        {"voltage_v": 229.0},
    )


def test_senml_small_times_count_from_now() -> None:
    now, before = uplinks([{"bn": "urn:dev:ow:10e2073a0108", "u": "Cel", "v": 4}, {"t": -90, "u": "Cel", "v": 3}])
    assert now.time_us is None
    assert before.time_us == NOW_US - 90_000_000


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"n": "temperature", "u": "K", "v": 300.15}, {"temperature_c": 27}),
        ({"n": "", "u": "%RH", "v": 41}, {"humidity_pct": 41}),
        ({"n": "battery", "u": "%EL", "v": 88}, {"battery_pct": 88}),
        ({"n": "battery", "u": "V", "v": 3.6}, {"battery_v": 3.6}),
        ({"n": "distance", "u": "cm", "v": 84}, {"distance_mm": 840}),
        ({"n": "level", "u": "/", "v": 0.5}, {"fill_level_pct": 50}),
        ({"n": "rssi", "u": "dBW", "v": -130}, {"rssi_dbm": -100}),
        ({"n": "power", "u": "kW", "v": 1.5}, {"power_w": 1500}),
        ({"n": "pressure", "u": "hPa", "v": 1013}, {"air_pressure_hpa": 1013}),
        ({"n": "flow", "u": "l/s", "v": 0.5}, {"flow_m3h": 1.8}),
        ({"n": "energy_total", "u": "Wh", "v": 12500}, {"energy_kwh": 12.5}),
        ({"n": "energy", "u": "J", "s": 7.2e6}, {"energy_kwh": 2}),
        ({"n": "energy", "u": "kWh", "s": 815.25}, {"energy_kwh": 815.25}),
        ({"n": "energyExport", "u": "kWh", "s": 3}, {"energy_export_kwh": 3}),
        ({"n": "power", "u": "W", "v": 100, "s": 3.6e6}, {"power_w": 100, "energy_kwh": 1}),
        ({"n": "water", "u": "m3", "s": 71.5}, {"water_m3": 71.5}),
        ({"n": "water", "u": "l/s", "s": 2500}, {"water_m3": 2.5}),
        ({"n": "water_backward", "u": "l", "s": 40}, {"water_backward_m3": 0.04}),
        ({"n": "gas", "u": "m3", "s": 5}, {"gas_m3": 5}),
        ({"n": "pulses", "u": "count", "s": 17}, {"pulse_count": 17}),
        ({"n": "tilted", "vb": True}, {"tilted": 1}),
        ({"n": "temperature", "v": 21}, {"temperature_c": 21}),
    ],
)
def test_senml_units_and_names(record: dict[str, Any], expected: dict[str, float]) -> None:
    assert metrics_of([{"bn": "urn:dev:ow:10e2073a0108:", **record}]) == pytest.approx(expected)


@pytest.mark.parametrize(
    "record",
    [
        {"n": "energy", "u": "kWh", "v": 2},  # of an hour, or since ever?
        {"n": "energy_today", "u": "kWh", "s": 2},
        {"n": "volume", "u": "m3", "s": 2},  # of water or gas?
        {"n": "dew point", "u": "Cel", "v": 2},
        {"n": "max_temperature", "u": "Cel", "v": 2},
        {"n": "temperature", "u": "furlong", "v": 2},
        {"n": "temperature", "u": "V", "v": 2},
        {"n": "label", "vs": "yes"},
        {"n": "raw", "vd": "AQI"},
    ],
)
def test_senml_what_is_not_certain_is_unknown(record: dict[str, Any]) -> None:
    (uplink,) = uplinks([{"bn": "urn:dev:ow:10e2073a0108:", **record}])
    assert uplink.metrics == {}
    assert len(uplink.unknown) == 1


def test_senml_qualified_names_are_channels() -> None:
    found = uplinks(
        [
            {"bn": "urn:dev:ow:10e2073a0108:", "bt": 1790000000, "bu": "Cel", "n": "temperature", "v": 1},
            {"n": "temperature2", "v": 2},
            {"n": "outdoor temperature", "v": 3},
        ]
    )
    assert {uplink.channel: uplink.metrics for uplink in found} == {
        "": {"temperature_c": 1},
        "temperature-2": {"temperature_c": 2},
        "outdoor-temperature": {"temperature_c": 3},
    }


@pytest.mark.parametrize(
    ("base", "own", "device"),
    [
        ("urn:dev:ow:10e2073a01", "temperature", "urn:dev:ow:10e2073a01"),
        ("urn:dev:ow:10e2073a01/", "temperature", "urn:dev:ow:10e2073a01"),
        ("urn:dev:ow:", "10e2073a01", "urn:dev:ow:10e2073a01"),
        ("urn:dev:ow:10e2073a01:temperature", "", "urn:dev:ow:10e2073a01"),
        ("", "urn:dev:ow:10e2073a01/temperature", "urn:dev:ow:10e2073a01"),
        ("2001:db8::7/", "temperature", "2001:db8::7"),
        ("", "2001:db8::7", "2001:db8::7"),
        ("town/", "room3/temperature", "town/room3"),
        ("meter17", "", "meter17"),
        ("urn:uuid:6a0b/", "temperature", "urn:uuid:6a0b"),
    ],
)
def test_senml_device_is_the_name_without_its_field(base: str, own: str, device: str) -> None:
    record = {key: value for key, value in {"bn": base, "n": own}.items() if value}
    (uplink,) = uplinks([{**record, "u": "Cel", "v": 7}])
    assert (uplink.address, uplink.metrics) == (device, {"temperature_c": 7})


@pytest.mark.parametrize("name", ["temperature", "/3303/0/5700", "::"])
def test_senml_names_without_a_device(name: str) -> None:
    assert refused([{"n": name, "u": "Cel", "v": 1}]).reason in (Reason.NO_DEVICE, Reason.BAD_VALUE)


def test_senml_a_field_that_must_be_understood_rejects_its_record_alone() -> None:
    found = uplinks(
        [
            {"bn": "urn:dev:ow:10e2073a01:", "n": "temperature", "u": "Cel", "v": 1, "scale_": 10},
            {"n": "humidity", "u": "%RH", "v": 50, "harmless": 1},
        ]
    )
    assert [uplink.metrics for uplink in found] == [{"humidity_pct": 50}]
    assert problems(found) == ["record 1 must not be read without knowing its field 'scale_'"]


@pytest.mark.parametrize(
    ("version", "right"), [(5, True), (10, True), (26, True), (11, False), (42, False), ("x", False)]
)
def test_senml_versions(version: object, right: bool) -> None:
    pack = [{"bn": "urn:dev:ow:10e2073a01:", "bver": version, "n": "temperature", "u": "Cel", "v": 1}]
    if right:
        assert metrics_of(pack) == {"temperature_c": 1}
    else:
        assert "bver" in refused(pack).detail or "version" in refused(pack).detail


def test_senml_base_values_are_added() -> None:
    found = uplinks(
        [
            {"bn": "urn:dev:ow:10e2073a01:", "bv": 20, "bu": "Cel", "bt": 1790000000, "n": "temperature", "v": 1.5},
            {"n": "temperature", "t": 60},
            {"bs": 100, "bv": 0, "n": "energy", "u": "kWh", "s": 5, "t": 120},
        ]
    )
    assert [uplink.metrics for uplink in found] == [
        {"temperature_c": 21.5},
        {"temperature_c": 20},
        {"energy_kwh": 105},
    ]


def test_senml_a_broken_record_costs_itself() -> None:
    found = uplinks(
        [
            {"bn": "urn:dev:ow:10e2073a01:", "n": "temperature", "u": "Cel", "v": True},
            {"n": "temperature", "u": "Cel", "v": 1e999},
            7,
            {"n": "humidity", "u": "%RH", "v": 50, "vs": "50"},
            {"n": "humidity", "u": "%RH", "v": 51},
        ]
    )
    assert [uplink.metrics for uplink in found] == [{"humidity_pct": 51}]
    assert len(problems(found)) == 4


def test_two_values_of_one_moment_are_told() -> None:
    found = uplinks(
        [
            {"bn": "urn:dev:ow:10e2073a01:", "bu": "Cel", "n": "temperature", "v": 1},
            {"n": "temp", "v": 2},
            {"n": "temp", "v": 1},
        ]
    )
    assert [uplink.metrics for uplink in found] == [{"temperature_c": 1}]
    assert problems(found) == ["temp: temperature_c is told twice for one moment; 1 is kept"]


# NGSI


CONTAINER: dict[str, Any] = {
    "id": "urn:ngsi-ld:WasteContainer:Lviv:17",
    "type": "WasteContainer",
    "fillingLevel": {"type": "Property", "value": 0.62, "observedAt": "2026-11-23T09:00:00Z"},
    "temperature": {"type": "Property", "value": 288.15, "unitCode": "KEL", "observedAt": "2026-11-23T09:00:00Z"},
    "status": {"type": "Property", "value": "dropped", "observedAt": "2026-11-23T09:00:00Z"},
    "refDevice": {"type": "Relationship", "object": ["urn:ngsi-ld:Device:ultra-4"]},
    "serialNumber": {"type": "Property", "value": "WB-17"},
    "@context": ["https://example.org/context.jsonld"],
}


def test_ngsi_ld_normalised() -> None:
    facts, uplink = decode(CONTAINER)
    assert isinstance(facts, Announcement)
    assert isinstance(uplink, Uplink)
    assert facts.facts == {"device": "urn:ngsi-ld:Device:ultra-4", "serial": "WB-17"}
    assert uplink.address == facts.address == "urn:ngsi-ld:wastecontainer:lviv:17"
    assert uplink.time_us == us("2026-11-23T09:00:00Z")
    assert uplink.metrics == pytest.approx({"fill_level_pct": 62, "temperature_c": 15, "tilted": 1})
    assert uplink.unknown == ()


@pytest.mark.parametrize(
    ("level", "unit", "expected"),
    [(0.4, "", 40), (1, "", 100), (40, "", 40), (0.4, "C62", 40), (55, "C62", 55), (0.4, "P1", 0.4), (40, "P1", 40), ("45%", "", 45)],
)  # fmt: skip
def test_ngsi_shares(level: object, unit: str, expected: float) -> None:
    attribute = {"value": level, **({"unitCode": unit} if unit else {})}
    entity = {"id": "urn:ngsi-ld:WasteContainer:1", "type": "WasteContainer", "fillingLevel": attribute}
    assert metrics_of(entity) == pytest.approx({"fill_level_pct": expected})


def test_ngsi_v2_normalised_with_metadata() -> None:
    (uplink,) = uplinks(
        {
            "id": "station-3",
            "type": "WeatherObserved",
            "dateObserved": {"type": "DateTime", "value": "2026-11-23T08:00:00/2026-11-23T09:00:00", "metadata": {}},
            "temperature": {"type": "Number", "value": 41, "metadata": {"unitCode": {"type": "Text", "value": "FAH"}}},
            "relativeHumidity": {"type": "Number", "value": 0.71, "metadata": {}},
            "windSpeed": {"type": "Number", "value": 36, "metadata": {"UnitCode": {"type": "Text", "value": "KMH"}}},
            "precipitation": {"type": "Number", "value": 2},
            "feelsLikeTemperature": {"type": "Number", "value": 2},
        }
    )
    assert uplink.time_us == us("2026-11-23T09:00:00Z")
    assert uplink.metrics == pytest.approx({"temperature_c": 5, "humidity_pct": 71, "wind_speed_ms": 10, "rain_mm": 2})


def test_ngsi_v2_times_of_single_attributes() -> None:
    first, second = uplinks(
        {
            "id": "x",
            "type": "Thing",
            "dateModified": "2026-11-23T09:30:00Z",
            "temperature": {
                "type": "Number",
                "value": 5,
                "metadata": {"TimeInstant": {"type": "DateTime", "value": "2026-11-23T09:00:00Z"}},
            },
            "humidity": {"type": "Number", "value": 55},
        }
    )
    assert (first.time_us, first.metrics) == (us("2026-11-23T09:00:00Z"), {"temperature_c": 5})
    assert (second.time_us, second.metrics) == (us("2026-11-23T09:30:00Z"), {"humidity_pct": 55})


def test_ngsi_key_values() -> None:
    entity = {
        "id": "urn:ngsi-ld:WasteContainer:2",
        "type": "WasteContainer",
        "fillingLevel": 0.9,
        "isTilted": False,
        "dateObserved": {"@type": "DateTime", "@value": "2026-11-23T09:00:00Z"},
        "location": {"type": "Point", "coordinates": [24.0, 49.8]},
        "binCapacity": 120,
    }
    (uplink,) = uplinks(entity)
    assert uplink.metrics == {"fill_level_pct": 90, "tilted": 0}
    assert uplink.time_us == us("2026-11-23T09:00:00Z")
    assert uplink.unknown == ()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda entity: {"subscriptionId": "6", "data": [entity]},
        lambda entity: {
            "id": "urn:ngsi-ld:Notification:6", "type": "Notification", "subscriptionId": "urn:ngsi-ld:Subscription:6",
            "notifiedAt": "2026-11-23T09:59:00Z", "data": [entity],
        },
        lambda entity: {"actionType": "append", "entities": [entity]},
        lambda entity: [entity],
        lambda entity: {
            "id": entity["id"], "type": "Feature", "geometry": {"type": "Point", "coordinates": [24.0, 49.8]},
            "properties": {key: value for key, value in entity.items() if key != "id"},
        },
        lambda entity: {"type": "FeatureCollection", "features": [
            {"id": entity["id"], "type": "Feature", "geometry": None, "properties": {k: v for k, v in entity.items() if k != "id"}}
        ]},
    ],
)  # fmt: skip
def test_ngsi_wherever_an_entity_stands(wrap: Any) -> None:
    (uplink,) = uplinks(wrap(CONTAINER))
    assert uplink.address == "urn:ngsi-ld:wastecontainer:lviv:17"
    assert uplink.metrics == pytest.approx({"fill_level_pct": 62, "temperature_c": 15, "tilted": 1})


def test_ngsi_a_notification_without_times_has_its_own() -> None:
    entity = {"id": "urn:ngsi-ld:WasteContainer:1", "type": "WasteContainer", "fillingLevel": 0.5}
    (uplink,) = uplinks({"subscriptionId": "s", "notifiedAt": "2026-11-23T09:59:00Z", "data": [entity]})
    assert uplink.time_us == us("2026-11-23T09:59:00Z")


def test_ngsi_three_phases() -> None:
    observed = {"type": "Property", "observedAt": "2026-11-23T09:00:00Z"}
    (uplink,) = uplinks(
        {
            "id": "urn:ngsi-ld:ThreePhaseAcMeasurement:house-5",
            "type": "ThreePhaseAcMeasurement",
            "phaseVoltage": {**observed, "value": {"L1": 230.5, "L2": 231.5, "L3": 232.5}},
            "current": {**observed, "value": {"L1": 1, "L2": 2, "L3": 3, "N": 0.1}},
            "activePower": {**observed, "value": {"L1": 100, "L2": 200, "L3": 300}},
            "totalActiveEnergyImport": {**observed, "value": 4_500_000, "unitCode": "WHR"},
            "totalActiveEnergyExport": {**observed, "value": 12.5},
            "totalReactiveEnergyExport": {**observed, "value": 77},
            "thdVoltage": {**observed, "value": {"L1": 0.01}},
            "dateEnergyMeteringStarted": {
                "type": "Property",
                "value": {"@type": "DateTime", "@value": "2020-01-01T00:00:00Z"},
            },
        }
    )
    assert uplink.metrics == pytest.approx(
        {
            "voltage_l1_v": 230.5, "voltage_l2_v": 231.5, "voltage_l3_v": 232.5,
            "current_l1_a": 1, "current_l2_a": 2, "current_l3_a": 3,
            "power_l1_w": 100, "power_l2_w": 200, "power_l3_w": 300, "power_w": 600, "energy_kwh": 4500, "energy_export_kwh": 12.5,
        }
    )  # fmt: skip
    assert uplink.unknown == ()


def test_ngsi_single_phase() -> None:
    entity = {
        "id": "urn:ngsi-ld:ACMeasurement:flat",
        "type": "ACMeasurement",
        "phaseVoltage": {"L": 229},
        "activePower": {"L": 55},
    }
    assert metrics_of(entity) == {"voltage_v": 229, "power_w": 55}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("t=21.5;h=40", {"temperature_c": 21.5, "humidity_pct": 40}),
        ("l%3D0.31%3Bt%3D7", {"fill_level_pct": 31, "temperature_c": 7}),
    ],
)
def test_ngsi_device_values(value: str, expected: dict[str, float]) -> None:
    entity = {
        "id": "device-1",
        "type": "Device",
        "controlledProperty": ["fillingLevel", "temperature", "humidity"],
        "batteryLevel": 0.75,
        "distance": 12,
        "rssi": 0.86,
        "value": value,
    }
    assert metrics_of(entity) == pytest.approx({"battery_pct": 75, **expected})


def test_ngsi_device_measurement() -> None:
    entity = {
        "id": "urn:ngsi-ld:DeviceMeasurement:5",
        "type": "DeviceMeasurement",
        "controlledProperty": "temperature",
        "numValue": 71.6,
        "unit": "FAH",
        "outlier": True,
        "refDevice": "urn:ngsi-ld:Device:9",
        "dateObserved": "2026-11-23T09:00:00Z",
    }
    (uplink,) = uplinks(entity)
    assert uplink.metrics == pytest.approx({"temperature_c": 22})
    assert uplink.quality is Quality.SUSPECT


def test_ngsi_water_meter() -> None:
    entity = {"id": "urn:ngsi-ld:WaterConsumptionObserved:1", "type": "WaterConsumptionObserved"}
    for unit, expected in (("LTR", 0.5), ("MTQ", 500)):
        attribute = {"type": "Property", "value": 500, "unitCode": unit}
        assert metrics_of({**entity, "waterConsumption": attribute, "maxFlow": 3}) == {"water_m3": expected}


def test_ngsi_temporal_values() -> None:
    found = uplinks(
        {
            "id": "urn:ngsi-ld:WasteContainer:1",
            "type": "WasteContainer",
            "fillingLevel": {
                "type": "Property",
                "values": [[0.1, "2026-11-23T08:00:00Z"], [0.2, "2026-11-23T09:00:00Z"]],
            },
            "temperature": [
                {"type": "Property", "value": 4, "observedAt": "2026-11-23T08:00:00Z"},
                {"type": "Property", "value": 5, "observedAt": "2026-11-23T09:00:00Z"},
            ],
        }
    )
    assert [(uplink.time_us, uplink.metrics) for uplink in found] == [
        (us("2026-11-23T08:00:00Z"), {"fill_level_pct": 10, "temperature_c": 4}),
        (us("2026-11-23T09:00:00Z"), {"fill_level_pct": 20, "temperature_c": 5}),
    ]


def test_ngsi_an_isle_is_no_device() -> None:
    with pytest.raises(NotAReading, match="WasteContainerIsle"):
        decode({"id": "urn:ngsi-ld:WasteContainerIsle:1", "type": "WasteContainerIsle", "name": {"value": "corner"}})


def test_ngsi_what_is_wrong_is_told_and_the_rest_is_kept() -> None:
    found = uplinks(
        [
            {"id": "urn:ngsi-ld:WasteContainer:1", "type": "WasteContainer", "fillingLevel": {"value": 0.5, "unitCode": "KGM"}},
            {"id": "urn:ngsi-ld:WasteContainer:2", "type": "WasteContainer", "dateObserved": "yesterday", "fillingLevel": 0.5},
            {"id": 3, "type": "WasteContainer", "fillingLevel": 0.5},
            {"id": "urn:ngsi-ld:WasteContainer:4", "type": "WasteContainer", "fillingLevel": 0.5, "temperature": [1], "weight": 3, "odd": 3},
        ]
    )  # fmt: skip
    assert [(uplink.address, uplink.metrics) for uplink in found] == [
        ("urn:ngsi-ld:wastecontainer:4", {"fill_level_pct": 50, "weight_kg": 3})
    ]
    told = problems(found)
    assert len(told) == 4
    assert told[0] == "fillingLevel: its unit 'KGM' is none of fill_level_pct"
    assert "dateObserved" in told[1]
    assert found[0].unknown == ("odd",)


def test_ngsi_units_must_fit() -> None:
    entity = {"id": "urn:ngsi-ld:X:1", "type": "X", "temperature": {"value": 3, "unitCode": "MTR"}}
    assert "is none of temperature_c" in refused(entity).detail


@pytest.mark.parametrize(
    ("interval", "end"),
    [
        ("2026-11-23T08:00:00Z/PT30M", "2026-11-23T08:30:00Z"),
        ("2026-11-23T08:00:00+02:00/2026-11-23T09:00:00+02:00", "2026-11-23T07:00:00Z"),
        ("2026-11-23T08:00:00Z/..", "2026-11-23T08:00:00Z"),
    ],
)
def test_ngsi_intervals_end_when_they_end(interval: str, end: str) -> None:
    entity = {"id": "urn:ngsi-ld:X:1", "type": "WasteContainer", "fillingLevel": 0.5, "dateObserved": interval}
    (uplink,) = uplinks(entity)
    assert uplink.time_us == us(end)


# FIWARE IoT Agents

KEY = "s3cr3tk3y"


@pytest.mark.parametrize(
    "topic",
    [f"/json/{KEY}/bin-7/attrs", f"json/{KEY}/bin-7/attrs", f"/iot/json/{KEY}/bin-7/attrs", f"/{KEY}/bin-7/attrs", f"{KEY}/bin-7/attrs"],
)  # fmt: skip
def test_iota_json(topic: str) -> None:
    content = {
        "temperature": "21,5",
        "h": "45%",
        "fillingLevel": 0.5,
        "led": "on",
        "TimeInstant": "2026-11-23T09:00:00.000Z",
    }
    (uplink,) = uplinks(content, topic)
    assert uplink.address == "bin-7"
    assert uplink.metrics == {"temperature_c": 21.5, "humidity_pct": 45, "fill_level_pct": 50}
    assert uplink.time_us == us("2026-11-23T09:00:00Z")
    assert uplink.unknown == ("led",)


def test_iota_json_groups() -> None:
    content = [{"t": 1, "TimeInstant": "2026-11-23T08:00:00Z"}, {"t": 2, "TimeInstant": "20261123T090000Z"}, {"t": 3}]
    found = uplinks(content, f"/json/{KEY}/a/attrs")
    assert [(uplink.time_us, uplink.metrics) for uplink in found] == [
        (us("2026-11-23T08:00:00Z"), {"temperature_c": 1}),
        (us("2026-11-23T09:00:00Z"), {"temperature_c": 2}),
        (None, {"temperature_c": 3}),
    ]


def test_iota_json_single() -> None:
    topic = f"/json/{KEY}/a/attrs/humidity"
    assert metrics_of(b"45%", topic) == {"humidity_pct": 45}
    assert metrics_of(b'"45"', topic) == {"humidity_pct": 45}
    found = uplinks(
        [{"timestamp": "2026-11-23T08:00:00Z", "value": 4}, {"TimeInstant": "2026-11-23T09:00:00Z", "value": 5}], topic
    )
    assert [uplink.metrics for uplink in found] == [{"humidity_pct": 4}, {"humidity_pct": 5}]
    assert [uplink.time_us for uplink in found] == [us("2026-11-23T08:00:00Z"), us("2026-11-23T09:00:00Z")]


def test_iota_ngsi_payload_takes_the_device_of_the_topic() -> None:
    (uplink,) = uplinks(CONTAINER, f"/json/{KEY}/bin-7/attrs")
    assert uplink.address == "bin-7"


@pytest.mark.parametrize(
    "topic", [f"/ul/{KEY}/a/attrs", f"ul/{KEY}/a/attrs", f"/{KEY}/a/attrs", f"/ul20/{KEY}/a/attrs"]
)
def test_iota_ultralight(topic: str) -> None:
    found = uplinks(
        b"2026-11-23T08:00:00Z|t|21|h|40#battery|87%|TimeInstant|2026-11-23T09:00:00Z#voltage|230|x|y", topic
    )
    assert [(uplink.time_us, uplink.metrics) for uplink in found] == [
        (us("2026-11-23T08:00:00Z"), {"temperature_c": 21, "humidity_pct": 40}),
        (us("2026-11-23T09:00:00Z"), {"battery_pct": 87}),
        (None, {"voltage_v": 230}),
    ]
    assert found[0].unknown == ("x",)


def test_iota_ultralight_single_and_local_time() -> None:
    assert metrics_of(b"70", f"/ul/{KEY}/a/attrs/h") == {"humidity_pct": 70}
    (uplink,) = uplinks(b"2026-11-23T10:00:00|70", f"/ul/{KEY}/a/attrs/h")
    assert uplink.time_us == us("2026-11-23T08:00:00Z")


def test_iota_a_broken_group_costs_itself() -> None:
    found = uplinks(b"t|21#t|h|9#h|wet", f"/ul/{KEY}/a/attrs")
    assert [uplink.metrics for uplink in found] == [{"temperature_c": 21}]
    assert len(problems(found)) == 2


@pytest.mark.parametrize(
    "topic",
    [f"/json/{KEY}/a/cmdexe", f"/{KEY}/a/cmd", f"/ul/{KEY}/a/cmdexe", f"/json/{KEY}/a/configuration/commands", f"/{KEY}/a/configuration/values"],
)  # fmt: skip
def test_iota_commands_are_no_readings(topic: str) -> None:
    with pytest.raises(NotAReading):
        decode(b'{"ping": 1}', topic)


@pytest.mark.parametrize(
    "payload", [b"", b"x", b"{", b"[]", b"[1]", b"t|x", b"\xff", b'{"t": []}', b'{"TimeInstant": 5e99, "t": 1}']
)
def test_iota_the_key_is_told_nowhere(payload: bytes) -> None:
    for topic in (
        f"/json/{KEY}/a/attrs",
        f"/ul/{KEY}/a/attrs",
        f"/{KEY}/a/attrs",
        f"/json/{KEY}/a/attrs/t",
        f"/{KEY}/ /attrs",
    ):
        try:
            told = repr(decode(payload, topic))
        except (Undecodable, NotAReading) as error:
            told = f"{error!r} {error} {vars(error)}"
        assert KEY not in told


# ThingsBoard


def test_thingsboard_gateway() -> None:
    found = uplinks(
        {
            "Room 1": [
                {"ts": 1795000000000, "values": {"temperature": 21.5, "humidity": "40"}},
                {"ts": "1795000060000", "values": {"temperature": 21.6, "door": True}},
            ],
            "Room 2": [{"battery": 80}],
            "Room 3": {"ts": 1795000000000, "voltage": 230},
            "": [{"battery": 1}],
        },
        "v1/gateway/telemetry",
    )
    assert [(uplink.address, uplink.time_us, uplink.metrics) for uplink in found] == [
        ("room1", 1795000000 * 10**6, {"temperature_c": 21.5, "humidity_pct": 40}),
        ("room1", 1795000060 * 10**6, {"temperature_c": 21.6}),
        ("room2", None, {"battery_pct": 80}),
        ("room3", 1795000000 * 10**6, {"voltage_v": 230}),
    ]
    assert found[0].unknown == ("door",)
    assert problems(found) == ["its device address is empty"]


@pytest.mark.parametrize("topic", ["v1/devices/me/telemetry", "v2/t", "v2/t/j"])
def test_thingsboard_a_device_on_its_own_topic_is_nobody(topic: str) -> None:
    error = refused({"temperature": 1}, topic)
    assert error.reason is Reason.NO_DEVICE
    assert "v1/gateway/telemetry" in error.detail
    assert refused(b'{"temperature":,}', topic).reason is Reason.NOT_JSON


def test_thingsboard_a_topic_per_device() -> None:
    (uplink,) = uplinks({"ts": 1795000000000, "values": {"fillLevel": 70}}, "v1/devices/Bin 7/telemetry")
    assert (uplink.address, uplink.metrics) == ("bin7", {"fill_level_pct": 70})


def test_thingsboard_attributes_tell_about_devices() -> None:
    content = {"Room 1": {"model": "T-100", "serial_number": "17", "token": "hush", "interval": 5}, "Room 2": {"x": 1}}
    assert decode(content, "v1/gateway/attributes") == [Announcement("room1", {"model": "T-100", "serial": "17"})]


@pytest.mark.parametrize(
    "topic",
    ["v1/gateway/connect", "v1/gateway/disconnect", "v1/gateway/claim", "v1/gateway/rpc", "v1/devices/me/attributes",
     "v1/devices/me/rpc/request/1", "v1/devices/me/claim", "v2/a", "v2/fw/request/1/chunk/0", "v1/gateway/attributes/request"],
)  # fmt: skip
def test_thingsboard_what_is_no_reading(topic: str) -> None:
    with pytest.raises(NotAReading):
        decode({"device": "Room 1"}, topic)


# plain JSON


def test_plain_json_lists() -> None:
    found = uplinks(
        [
            {"device": "a", "time": "2026-11-23T09:00:00Z", "power_w": 5},
            {"device": "b", "power_w": "6", "colour": "red"},
            {"power_w": 7},
            8,
        ]
    )
    assert [(uplink.address, uplink.metrics) for uplink in found] == [("a", {"power_w": 5}), ("b", {"power_w": 6})]
    assert found[1].time_us is None
    assert found[1].unknown == ("colour",)
    assert len(found[0].problems) == 2


def test_plain_json_readings_of_one_device() -> None:
    content = {
        "device": "a",
        "time": "2026-11-23T09:00:00Z",
        "quality": "estimated",
        "readings": [
            {"power_w": 5},
            {"time": 1795000000, "power_w": 6, "quality": "good"},
            {"time": "soon", "power_w": 1},
        ],
    }
    for topic, body in (("x/y", content), ("misto/a/up", {k: v for k, v in content.items() if k != "device"})):
        first, second = uplinks(body, topic)
        assert (first.address, first.time_us, first.quality) == ("a", us("2026-11-23T09:00:00Z"), Quality.ESTIMATED)
        assert (second.time_us, second.quality, second.metrics) == (1795000000 * 10**6, Quality.GOOD, {"power_w": 6})
        assert [reason for reason, _ in first.problems] == [Reason.BAD_VALUE]


@pytest.mark.parametrize("key", ["timestamp", "ts", "deviceId", "id"])
def test_plain_json_guesses_no_keys(key: str) -> None:
    (uplink,) = uplinks([{"device": "a", "power_w": 5, key: "2026-11-23T09:00:00Z"}])
    assert uplink.time_us is None
    assert uplink.unknown == (key,)


def test_plain_json_empty_batches_hold_nothing() -> None:
    assert decode([], "misto/a/up") == []
    assert refused(b"5", "misto/a/up").reason is Reason.BAD_STRUCTURE


# Whatever comes

TOPICS = [
    "x/y", "/json/k/d/attrs", "/json/k/d/attrs/t", "/ul/k/d/attrs", "/ul/k/d/attrs/t", "/k/d/attrs", "/k/d/cmd",
    "v1/gateway/telemetry", "v1/gateway/attributes", "v1/devices/me/telemetry", "v1/devices/d/telemetry",
    "v1/devices/d/attributes", "misto/d/up",
]  # fmt: skip
KEYS = st.sampled_from(
    ["bn", "bt", "bu", "bv", "bs", "bver", "n", "u", "t", "v", "vs", "vb", "vd", "s", "x_", "id", "type", "value", "values", "unitCode", "observedAt", "metadata", "dateObserved", "fillingLevel", "phaseVoltage", "activePower", "status", "L1", "L2", "L3", "L", "subscriptionId", "data", "entities", "actionType", "features", "properties", "readings", "device", "time", "quality", "power_w", "TimeInstant", "timestamp", "temperature", "ts", "controlledProperty", "numValue", "unit", "@value", "@context", "rssi", "datasetId", "refDevice", "notifiedAt"]
)  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(
        ["WasteContainer", "Device", "DeviceMeasurement", "Feature", "FeatureCollection", "Cel", "kWh", "CEL", "P1", "urn:ngsi-ld:A:1",
         "urn:dev:ow:1:", "2026-11-23T09:00:00Z/P1D", "t=1;h=2", "temperature", 10**400, -(10**30), 2**28, 1e300, "nan"]
    )
)  # fmt: skip
CONTENT = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=6), inner, max_size=6),
    max_leaves=25,
)


def all_of(topic: str, payload: bytes) -> None:
    """Every envelope, also those that would not be asked."""
    for envelope in ENVELOPES.values():
        with suppress(Undecodable, NotAReading):
            for item in envelope.decode(topic, payload, NOW_US):
                assert item.address
                assert not isinstance(item, Uplink) or item.metrics is not None


@given(topic=st.sampled_from(TOPICS), payload=st.binary(max_size=120))
@settings(max_examples=300, deadline=None)
def test_any_bytes(topic: str, payload: bytes) -> None:
    all_of(topic, payload)


@given(topic=st.sampled_from(TOPICS), content=CONTENT)
@settings(max_examples=600, deadline=None)
def test_any_json(topic: str, content: Any) -> None:
    all_of(topic, json.dumps(content).encode())
    for envelope in ENVELOPES.values():
        envelope.looks_like(content)


@given(topic=st.sampled_from(TOPICS), text=st.text(alphabet="t|h#2061-:TZ.%@=x\n", max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_ultralight(topic: str, text: str) -> None:
    all_of(topic, text.encode())


@given(cut=st.integers(0, 400), changed=st.integers(0, 400), byte=st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_truncated_and_damaged(cut: int, changed: int, byte: int) -> None:
    payload = bytearray(json.dumps(CONTAINER).encode())
    payload[changed % len(payload)] = byte
    all_of("x/y", bytes(payload))
    all_of("x/y", bytes(payload[:cut]))


def _hostile() -> list[tuple[str, bytes]]:
    long = "x" * 100_000
    return [
        ("nested", b"[" * 100_000),
        ("records", json.dumps([{"bn": long, "n": "t", "v": 1}] + [{"n": "t"}] * 20_000).encode()),
        ("numbers", b"[" + b"1," * 120_000 + b"1]"),
        ("names", json.dumps([{"bn": "urn:dev:ow:1:", "n": f"n{i}", "u": "Cel", "v": i} for i in range(5000)]).encode()),
        ("attributes", json.dumps({"id": "urn:ngsi-ld:A:1", "type": "Device", **{f"a{i}": {"value": i} for i in range(9000)}}).encode()),
        ("instances", json.dumps({"id": "urn:ngsi-ld:A:1", "type": "DeviceMeasurement", "controlledProperty": ["a"] * 20_000,
                                  "unit": long, "numValue": [{"value": 1}] * 7000}).encode()),
        ("readings", json.dumps({"device": " " * 100_000 + "a", "time": "2026-11-23T09:00:00Z", "readings": [{"power_w": 1}] * 9000}).encode()),
        ("late time", json.dumps({"device": "a", "time": long, "readings": [{"power_w": 1}] * 9000}).encode()),
        ("groups", b"#" * 250_000),
        ("pairs", b"t|1|" * 60_000),
        ("digits", b'[{"bn":"urn:dev:ow:1","u":"Cel","v":' + b"9" * 4000 + b"}]"),
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "payload"), [pytest.param(*case, id=case[0]) for case in _hostile()])
@pytest.mark.timeout(90)  # 13 topics, 5 envelopes; what grows with the square of the size takes many minutes
def test_hostile_sizes_cost_little(name: str, payload: bytes) -> None:
    for topic in TOPICS:
        all_of(topic, payload)


# Recorded messages

RECORDED = {
    "senml/rfc8428_ex3": {"voltage_v", "current_a"},
    "senml/rfc8428_ex5": {"humidity_pct", "battery_pct"},
    "senml/rfc8428_ex8": {"temperature_c", "humidity_pct"},
    "senml/rfc8428_ex11": {"temperature_c"},
    "senml/rfc8428_ex12": Reason.NO_READINGS,
    "fiware-iota/json_array_ts": {"humidity_pct"},
    "fiware-iota/json_binary": Reason.NO_READINGS,
    "fiware-iota/ul_multi": {"humidity_pct", "temperature_c"},
    "fiware-smart-data-models/Device_example_json": {"battery_pct", "fill_level_pct", "temperature_c"},
    "fiware-smart-data-models/DeviceMeasurement_example_jsonld": {"humidity_pct"},
    "fiware-smart-data-models/WasteContainer_example-geojsonfeature_json": {"tilted", "lid_open", "temperature_c", "fill_level_pct"},
    "fiware-smart-data-models/WasteContainer_example_jsonld": NotAReading,
    "fiware-smart-data-models/WasteContainerIsle_example-normalized_json": NotAReading,
    "thingsboard/malformed": Reason.NOT_JSON,
    "thingsboard/telemetry_ts_values": Reason.NO_DEVICE,
}  # fmt: skip


@pytest.mark.skipif(
    not SAMPLES.is_dir(), reason="the recorded samples are not beside this checkout (../shared/samples)"
)
@pytest.mark.parametrize("name", RECORDED)
def test_recorded(name: str) -> None:
    path = SAMPLES / f"{name}.json"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    sample = json.loads(path.read_text(encoding="utf-8"))
    raw = sample.get("raw") or (
        sample["payload"] if isinstance(sample["payload"], str) else json.dumps(sample["payload"])
    )
    decoder = Decoder(ALL, {}, OneDevice(None, None))
    outcome: object
    try:
        parts = decoder.decode(Message(sample["topic"] or "any/topic", raw.encode(), NOW_US))
        outcome = {metrics_by_id()[metric].name for part in parts for _, metric, _, _ in part.readings}
    except Undecodable as error:
        outcome = error.reason
    except NotAReading:
        outcome = NotAReading
    assert outcome == RECORDED[name]
