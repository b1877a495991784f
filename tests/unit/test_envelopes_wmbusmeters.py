"""wmbusmeters: registers by medium, the meter's clock, flags; and whatever bytes may come."""

from __future__ import annotations

import contextlib
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.envelopes import NotAReading, Uplink
from ingest.envelopes.wmbusmeters import make
from ingest.errors import Reason, Undecodable

(ENVELOPE,) = make(ZoneInfo("Europe/Kyiv"))
NOW_US = round(datetime.fromisoformat("2026-11-23T10:00:00+00:00").timestamp() * 1e6)
SAMPLES = Path(os.environ.get("MISTO_SHARED_SAMPLES", Path(__file__).parents[3] / "shared" / "samples")) / "wmbusmeters"


def opened(content: dict[str, Any]) -> Uplink:
    whole = {
        "_": "telegram",
        "id": "00012345",
        "meter": "any",
        "name": "M",
        "timestamp": "2026-11-23T09:58:00Z",
        **content,
    }
    (item,) = ENVELOPE.decode("wmbusmeters/M", json.dumps(whole).encode(), NOW_US)
    assert isinstance(item, Uplink)
    assert item.address == "00012345"
    return item


@pytest.mark.parametrize(
    ("content", "metrics"),
    [
        (
            {"media": "cold water", "total_m3": 12.345, "target_m3": 10, "flow_temperature_c": 9, "max_flow_m3h": 2},
            {"water_m3": 12.345, "temperature_c": 9},
        ),
        (
            {"media": "heat", "total_energy_consumption_kwh": 2651, "total_volume_m3": 150.3, "power_kw": 1.5,
             "volume_flow_m3h": 0.2, "flow_temperature_c": 62.3, "return_temperature_c": 38.1},
            {"energy_kwh": 2651, "heat_carrier_m3": 150.3, "power_w": 1500, "flow_m3h": 0.2,
             "supply_temperature_c": 62.3, "return_temperature_c": 38.1},
        ),
        (
            {"media": "electricity", "total_energy_consumption_kwh": "123.5", "total_energy_production_kwh": 4,
             "current_power_consumption_kw": 0.75, "voltage_at_phase_2_v": 229, "total_energy_consumption_tariff_1_kwh": 9},
            {"energy_kwh": 123.5, "energy_export_kwh": 4, "power_w": 750, "voltage_l2_v": 229},
        ),
        ({"media": "gas", "total_m3": 77.01}, {"gas_m3": 77.01}),
        ({"media": "radio converter (meter side)", "meter": "emerlin868", "total_m3": 5.4}, {"water_m3": 5.4}),
        ({"media": "cold water", "meter": "kamwater", "total_m3": 6, "flow_temperature_c": 127}, {"water_m3": 6}),
        ({"media": "warm water", "total_m3": 6, "voltage_v": 3.6}, {"water_m3": 6, "battery_v": 3.6}),
        (
            {"media": "electricity", "current_power_consumption_kw": 0.2, "current_power_production_kw": 1.5,
             "power_l2_kw": 0.1},
            {"power_w": -1300, "power_l2_w": 100},
        ),
        ({"media": "reed", "meter": "lansendw", "status": "OPEN"}, {"contact_open": 1}),
        ({"media": "heat cost allocator", "current_hca": 7, "temp_room_c": 22.4}, {"temperature_c": 22.4}),
    ],
)  # fmt: skip
def test_registers_by_medium(content: dict[str, Any], metrics: dict[str, float]) -> None:
    assert opened(content).metrics == pytest.approx(metrics)


def test_registers_of_other_days_alone_are_no_reading() -> None:
    for content in ({"media": "heat cost allocation", "current_hca": 7}, {"media": "heat", "target_kwh": 6625}):
        with pytest.raises(NotAReading):
            opened(content)


def test_pulse_inputs_are_channels() -> None:
    content = {"_": "telegram", "id": "7", "meter": "lansenpu", "media": "other", "a_counter": 4711, "b_counter": 12}
    found = ENVELOPE.decode("wmbusmeters/M", json.dumps(content).encode(), NOW_US)
    assert [(up.channel, up.metrics) for up in found if isinstance(up, Uplink)] == [
        ("a", {"pulse_count": 4711}),
        ("b", {"pulse_count": 12}),
    ]


def test_the_meter_s_clock_is_taken_where_it_can_be_right() -> None:
    def at(text: str) -> int:
        return round(datetime.fromisoformat(text).timestamp() * 1e6)

    assert opened({"media": "gas", "meter_datetime": "2026-11-23 11:30"}).time_us == at("2026-11-23T11:30:00+02:00")
    for wrong in ("2019-01-01 00:00", "2026-11-23 12:30", "soon"):
        assert opened({"media": "gas", "meter_datetime": wrong}).time_us == at("2026-11-23T09:58:00+00:00")
    assert opened({"media": "gas", "timestamp": 5}).time_us is None


@pytest.mark.parametrize(
    ("status", "suspect"),
    [
        ("OK", set()),
        ("DRY", set()),
        ("SABOTAGE_ENCLOSURE POWER_LOW", set()),
        ("ERROR_FLOW_MEASUREMENT_SYSTEM_ERROR", {"flow_m3h"}),
        ("DRY ERROR RETURN_SENSOR_INTERRUPTED", {"flow_m3h"}),
        ("PERMANENT_ERROR", {"flow_m3h", "heat_carrier_m3"}),
    ],
)
def test_flags_that_doubt_the_measurement(status: str, suspect: set[str]) -> None:
    assert opened({"media": "heat", "total_m3": 5, "flow_m3h": 1, "status": status}).suspect == suspect


def test_what_is_wrong_is_told_and_the_rest_kept() -> None:
    up = opened({"media": "water", "total_m3": "?", "flow_m3h": 1, "odd_m3": 7, "rssi_dbm": -77})
    assert up.metrics == {"flow_m3h": 1}
    assert [reason for reason, _ in up.problems] == [Reason.BAD_VALUE]
    assert up.unknown == ("odd_m3",)
    assert up.signal == {"rssi_dbm": -77}
    with pytest.raises(Undecodable):
        ENVELOPE.decode("wmbusmeters/M", b'{"media": "water", "total_m3": 1}', NOW_US)


def test_recorded_telegrams() -> None:
    if not SAMPLES.is_dir():
        pytest.skip(f"there are no recorded telegrams in {SAMPLES}")
    files = sorted(SAMPLES.glob("*.json"))
    empty = []
    for file in files:
        sample = json.loads(file.read_text(encoding="utf-8"))
        raw = sample.get("raw") or json.dumps(sample["payload"])
        try:
            found = ENVELOPE.decode(sample["topic"], raw.encode(), NOW_US)
        except NotAReading:
            empty.append(file.stem)
            continue
        for up in found:
            assert isinstance(up, Uplink)
            assert up.problems == []
            assert up.metrics, file.stem
    # Units of heat cost allocators and registers of other days are nothing that the catalogue knows.
    assert len(empty) <= 0.05 * len(files), empty


@settings(max_examples=150, deadline=None)
@given(
    content=st.dictionaries(
        st.sampled_from(["id", "media", "total_m3", "power_kw", "status", "timestamp", "meter_datetime", "rssi_dbm"]),
        st.none()
        | st.booleans()
        | st.floats()
        | st.integers()
        | st.text(max_size=9)
        | st.lists(st.integers(), max_size=2),
    ),
    raw=st.binary(max_size=60),
)
def test_nothing_else_escapes(content: dict[str, Any], raw: bytes) -> None:
    for payload in (json.dumps(content).encode(), raw):
        with contextlib.suppress(Undecodable, NotAReading):
            ENVELOPE.decode("wmbusmeters/x", payload, NOW_US)
