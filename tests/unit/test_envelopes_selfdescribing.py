"""Sparkplug B, Homie and Home Assistant's discovery: what they describe, keep and refuse."""

from __future__ import annotations

import json
import os
import struct
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogue.metrics import Quality
from ingest.decoder import Decoder
from ingest.envelopes import (
    Announcement,
    Envelope,
    NotAReading,
    Uplink,
    all_envelopes,
    ha_discovery,
    homie,
    sparkplug_b,
)
from ingest.envelopes._described import meaning
from ingest.envelopes._ha_config import read_config
from ingest.envelopes._ha_template import Absent, Template
from ingest.envelopes._homie_description import Descriptions
from ingest.envelopes._remembered import Remembered
from ingest.envelopes._sparkplug_payload import DATA_TYPES, Metric, Payload, read_payload
from ingest.envelopes._sparkplug_state import Births, Definition
from ingest.errors import Reason, Undecodable
from ingest.message import Message
from ingest.one_device import OneDevice

UTC = ZoneInfo("UTC")
NOW_US = 1_795_000_000_000_000
NOW_MS = NOW_US // 1000
SECOND_US = 1_000_000

Found = list[Uplink | Announcement]


# ---- Sparkplug on the wire, encoded by hand so that the decoder's own description is proved by another one.


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _whole(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def metric(
    name: str = "",
    value: Any = None,
    *,
    alias: int | None = None,
    kind: str = "",
    at_ms: int | None = None,
    unit: str = "",
    null: bool = False,
    transient: bool = False,
    quality: int | None = None,
) -> bytes:
    """A metric; `value` bytes is an encoded field of the oneof."""
    out = _bytes(1, name) if name else b""
    out += _whole(2, alias) if alias is not None else b""
    out += _whole(3, at_ms) if at_ms is not None else b""
    out += _whole(4, DATA_TYPES[kind]) if kind else b""
    out += _whole(6, 1) if transient else b""
    out += _whole(7, 1) if null else b""
    properties = b""
    if unit:
        properties += _bytes(1, "engUnit") + _bytes(2, _whole(1, 12) + _bytes(8, unit))
    if quality is not None:
        properties += _bytes(1, "Quality") + _bytes(2, _whole(1, 3) + _whole(3, quality))
    out += _bytes(9, properties) if properties else b""
    if isinstance(value, bytes):
        out += value
    elif isinstance(value, bool):
        out += _whole(14, value)
    elif isinstance(value, str):
        out += _bytes(15, value)
    elif kind in ("int64", "uint64"):
        out += _whole(11, value % 2**64)
    elif isinstance(value, int):
        out += _whole(10, value % 2**32)
    elif kind == "float":
        out += _varint(12 << 3 | 5) + struct.pack("<f", value)
    elif isinstance(value, float):
        out += _varint(13 << 3 | 1) + struct.pack("<d", value)
    return out


def payload(*metrics: bytes, seq: int | None = None, at_ms: int | None = NOW_MS) -> bytes:
    out = _whole(1, at_ms) if at_ms is not None else b""
    out += b"".join(_bytes(2, each) for each in metrics)
    return out + (_whole(3, seq) if seq is not None else b"")


@pytest.fixture
def sparkplug() -> Envelope:
    (envelope,) = sparkplug_b.make(UTC)
    return envelope


BIRTH = payload(
    metric("Meter/Energy/Total", 41.5, alias=1, kind="double", unit="MWh"),
    metric("Meter/Power", -250, alias=2, kind="int32", unit="W"),
    metric("Phase A/Voltage", 230.1, alias=3, kind="float", unit="V"),
    metric("Meter/Energy/Today", 3.0, alias=4, kind="double", unit="kWh"),
    metric("Inputs/Valve", True, alias=5, kind="boolean"),
    metric("Inputs/Opening", 7, alias=8, kind="uint8", unit="turns"),
    metric("Properties/Hardware Make", "Acme", kind="string"),
    metric("Node Control/Rebirth", False, alias=6, kind="boolean"),
    metric("Table", _bytes(17, b"\x08\x02"), alias=7, kind="dataset"),
    seq=1,
)
NODE = "spBv1.0/city/{}/edge 7"
DEVICE = "spBv1.0/city/{}/edge 7/meter-3"
NODE_BIRTH = payload(metric("bdSeq", 4, kind="uint64"), seq=0)


def readings(found: Found) -> dict[tuple[str, int | None, str], float]:
    return {
        (item.channel, item.time_us, name): value
        for item in found
        if isinstance(item, Uplink)
        for name, value in (item.metrics or {}).items()
    }


def born(envelope: Envelope, at_us: int = NOW_US) -> Found:
    envelope.decode(NODE.format("NBIRTH"), NODE_BIRTH, at_us)
    return envelope.decode(DEVICE.format("DBIRTH"), BIRTH, at_us)


def test_a_birth_announces_its_device_and_holds_readings(sparkplug: Envelope) -> None:
    announced, uplink = born(sparkplug)
    assert isinstance(announced, Announcement)
    assert announced.address == "city/edge7/meter-3"
    assert announced.facts == {"maker": "Acme", "name": "meter-3", "not understood": "Inputs/Opening (turns)"}
    assert isinstance(uplink, Uplink)
    assert uplink.address == announced.address
    assert uplink.metrics == pytest.approx({"energy_kwh": 41_500, "power_w": -250, "voltage_l1_v": 230.1})
    assert uplink.metrics is not None
    assert uplink.metrics["voltage_l1_v"] == 230.1, "a 32-bit number keeps the digits that were sent"
    assert uplink.time_us == NOW_US
    assert uplink.problems == []


def test_data_by_alias_several_moments(sparkplug: Envelope) -> None:
    born(sparkplug)
    data = payload(
        metric(alias=1, value=41.6, kind="double", at_ms=NOW_MS - 60_000),
        metric(alias=1, value=41.7, at_ms=NOW_MS),
        metric(alias=2, value=-7),  # its type stands in the birth only
        metric(alias=3, null=True),
        metric(alias=7, value=_bytes(17, b"")),
        seq=2,
    )
    found = sparkplug.decode(DEVICE.format("DDATA"), data, NOW_US + 5)
    assert readings(found) == {
        ("", NOW_US - 60 * SECOND_US, "energy_kwh"): pytest.approx(41_600),
        ("", NOW_US, "energy_kwh"): pytest.approx(41_700),
        ("", NOW_US, "power_w"): -7,
    }


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [("int8", 0xF6, -10), ("int8", 0xFFFFFFF6, -10), ("int16", 0xFFFE, -2), ("int32", 2**32 - 1, -1), ("int64", 2**64 - 3, -3),
     ("uint8", 0xF6, 246), ("uint32", 2**32 - 1, 2**32 - 1), ("uint64", 2**63, 2**63)],
)  # fmt: skip
def test_whole_numbers_are_as_signed_as_their_type(sparkplug: Envelope, kind: str, raw: int, expected: int) -> None:
    found = sparkplug.decode(NODE.format("NBIRTH"), payload(metric("Power", raw, kind=kind, unit="W"), seq=0), NOW_US)
    assert readings(found) == {("", NOW_US, "power_w"): float(expected)}


def test_without_a_birth_data_waits(sparkplug: Envelope) -> None:
    data = payload(metric(alias=1, value=41.6), metric("Meter/Power", 5, kind="int32"), seq=9)
    with pytest.raises(Undecodable, match="alias 1: no birth seen that names it") as caught:
        sparkplug.decode(DEVICE.format("DDATA"), data, NOW_US)
    assert caught.value.reason == Reason.BAD_STRUCTURE
    born(sparkplug, NOW_US + SECOND_US)
    replayed = sparkplug.decode(DEVICE.format("DDATA"), data, NOW_US)
    assert readings(replayed) == {("", NOW_US, "energy_kwh"): pytest.approx(41_600), ("", NOW_US, "power_w"): 5}


def test_switches_and_texts_are_no_readings_and_other_numbers_are_told(sparkplug: Envelope) -> None:
    named = payload(metric("Inputs/Valve", True, kind="boolean"), metric("Energy Today", 1.0, kind="double"), seq=1)
    with pytest.raises(NotAReading, match="without a reading"):
        sparkplug.decode(DEVICE.format("DDATA"), named, NOW_US)
    born(sparkplug)
    with pytest.raises(NotAReading, match="without a reading"):
        sparkplug.decode(DEVICE.format("DDATA"), payload(metric(alias=5, value=False), seq=2), NOW_US)
    (uplink,) = sparkplug.decode(DEVICE.format("DDATA"), payload(metric(alias=8, value=3), seq=3), NOW_US)
    assert isinstance(uplink, Uplink)
    assert (uplink.metrics, uplink.unknown) == ({}, ("Inputs/Opening",))


def test_without_a_birth_what_tells_its_unit_itself_is_read(sparkplug: Envelope) -> None:
    data = payload(metric("Supply Voltage (V)", 12.5, kind="double"), metric("Unheard/Of", 1.0, kind="double"), seq=9)
    (uplink,) = sparkplug.decode(NODE.format("NDATA"), data, NOW_US)
    assert isinstance(uplink, Uplink)
    assert uplink.metrics == {"voltage_v": 12.5}
    assert [reason for reason, _ in uplink.problems] == [Reason.BAD_STRUCTURE]


def test_an_alias_that_the_birth_does_not_have_costs_only_its_metric(sparkplug: Envelope) -> None:
    born(sparkplug)
    data = payload(metric(alias=2, value=9), metric(alias=99, value=1), seq=2)
    (uplink,) = sparkplug.decode(DEVICE.format("DDATA"), data, NOW_US)
    assert isinstance(uplink, Uplink)
    assert uplink.metrics == {"power_w": 9}
    assert uplink.problems == [(Reason.BAD_STRUCTURE, "metric with alias 99: no birth seen that names it")]


def test_a_gap_counts_only_after_a_while_and_until_the_next_birth(sparkplug: Envelope) -> None:
    born(sparkplug)
    data = DEVICE.format("DDATA")

    def power(seq: int, after_s: float) -> Found:
        at_us = NOW_US + round(after_s * SECOND_US)
        return sparkplug.decode(data, payload(metric(alias=2, value=1), seq=seq), at_us)

    assert power(4, 1)  # 2 and 3 may still come
    assert power(3, 2)
    assert power(2, 3)
    assert power(7, 4)
    with pytest.raises(Undecodable, match="no birth seen that names it since a message is missing in the sequence"):
        power(8, 20)
    named = payload(metric("Meter/Power", 6, kind="int32"), seq=9)
    assert readings(sparkplug.decode(data, named, NOW_US + 21 * SECOND_US))
    born(sparkplug, NOW_US + 30 * SECOND_US)
    assert power(2, 31)


def test_the_sequence_goes_round_and_redeliveries_are_no_gap(sparkplug: Envelope) -> None:
    born(sparkplug)
    for step in range(2, 600):
        for _ in range(2):
            data = payload(metric(alias=2, value=step), seq=step % 256)
            assert sparkplug.decode(DEVICE.format("DDATA"), data, NOW_US + step * SECOND_US)


def test_deaths_end_what_births_told(sparkplug: Envelope) -> None:
    born(sparkplug)
    data = payload(metric(alias=2, value=1), seq=2)
    with pytest.raises(NotAReading, match="death NDEATH"):
        sparkplug.decode(NODE.format("NDEATH"), payload(metric("bdSeq", 3, kind="uint64")), NOW_US + 5)
    assert sparkplug.decode(DEVICE.format("DDATA"), data, NOW_US + 6), "that was the death of an earlier connection"
    with pytest.raises(NotAReading):
        sparkplug.decode(NODE.format("NDEATH"), payload(metric("bdSeq", 4, kind="uint64")), NOW_US + 10)
    assert sparkplug.decode(DEVICE.format("DDATA"), data, NOW_US + 9), "it was received before the death"
    with pytest.raises(Undecodable, match="since the edge node's death"):
        sparkplug.decode(DEVICE.format("DDATA"), data, NOW_US + 11)
    sparkplug.decode(NODE.format("NBIRTH"), NODE_BIRTH, NOW_US + 20)
    with pytest.raises(Undecodable, match="of the device since the edge node's"):
        sparkplug.decode(DEVICE.format("DDATA"), data, NOW_US + 21)
    sparkplug.decode(DEVICE.format("DBIRTH"), BIRTH, NOW_US + 22)
    assert sparkplug.decode(DEVICE.format("DDATA"), data, NOW_US + 23)
    with pytest.raises(NotAReading, match="death DDEATH"):
        sparkplug.decode(DEVICE.format("DDEATH"), payload(seq=3), NOW_US + 30)
    with pytest.raises(Undecodable, match="since the device's death"):
        sparkplug.decode(DEVICE.format("DDATA"), data, NOW_US + 31)


def test_a_broker_keeps_births_for_those_who_come_later(sparkplug: Envelope) -> None:
    sparkplug.decode("$sparkplug/certificates/" + DEVICE.format("DBIRTH"), BIRTH, NOW_US)
    data = payload(metric(alias=2, value=1), seq=77)
    assert readings(sparkplug.decode(DEVICE.format("DDATA"), data, NOW_US + 1)) == {("", NOW_US, "power_w"): 1}


@pytest.mark.parametrize(
    "topic",
    [NODE.format("NCMD"), DEVICE.format("DCMD"), "spBv1.0/STATE/scada", "spBv1.0/city/STATE/scada", "STATE/scada"],
)
def test_sparkplug_messages_without_readings(sparkplug: Envelope, topic: str) -> None:
    assert sparkplug.owns_topic(topic)
    with pytest.raises(NotAReading):
        sparkplug.decode(topic, b"ONLINE", NOW_US)


@pytest.mark.parametrize(
    ("topic", "content", "reason"),
    [
        (NODE.format("NOTHING"), b"", Reason.BAD_STRUCTURE),
        ("spBv1.0/city", b"", Reason.BAD_STRUCTURE),
        ("spBv1.0/city/DDATA/edge", b"", Reason.NO_DEVICE),
        ("spBv1.0/city/NDATA//", b"", Reason.NO_DEVICE),
        (NODE.format("NDATA"), b"\x12\xff\xff", Reason.BAD_STRUCTURE),
        (NODE.format("NDATA"), b'{"metrics": 5}', Reason.BAD_STRUCTURE),
        (NODE.format("NDATA"), b'{"metrics": ', Reason.NOT_JSON),
        (NODE.format("NBIRTH"), payload(metric(b"\xff".decode("latin-1"), 1.0)) + b"\x12\x03\x0a\x01\xff", None),
    ],
)
def test_broken_sparkplug(sparkplug: Envelope, topic: str, content: bytes, reason: Reason | None) -> None:
    with pytest.raises(Undecodable) as caught:
        sparkplug.decode(topic, content, NOW_US)
    assert caught.value.reason == (reason or Reason.BAD_STRUCTURE)


def test_suspect_transient_and_wrong_values(sparkplug: Envelope) -> None:
    birth = payload(
        metric("Power", 5, kind="int32", unit="kW", quality=0),
        metric("Current", 1.0, kind="double", unit="A", transient=True),
        metric("Voltage", float("nan"), kind="double", unit="V"),
        metric("Frequency", 50.0, kind="double", unit="Hz", at_ms=2**63),
        seq=0,
    )
    _, uplink = sparkplug.decode(NODE.format("NBIRTH"), birth, NOW_US)
    assert isinstance(uplink, Uplink)
    assert uplink.metrics == {"power_w": 5000}
    assert uplink.quality == Quality.SUSPECT
    assert [reason for reason, _ in uplink.problems] == [Reason.BAD_VALUE, Reason.BAD_VALUE]


def test_sparkplug_written_as_json(sparkplug: Envelope) -> None:
    birth = {
        "timestamp": NOW_MS,
        "metrics": [
            {"name": "Water/Volume Total", "alias": 8, "dataType": "Double", "value": 12.25,
             "properties": {"engUnit": {"type": "String", "value": "m³"}}},
            {"name": "Flow", "alias": "9", "datatype": 3, "intValue": 2**32 - 2,
             "properties": {"keys": ["engUnit"], "values": [{"type": 12, "stringValue": "l/h"}]}},
        ],
        "seq": 0,
    }  # fmt: skip
    found = sparkplug.decode(NODE.format("NBIRTH"), json.dumps(birth).encode(), NOW_US)
    assert isinstance(found[0], Announcement)
    assert found[0].facts["kind"] == "water"
    assert readings(found) == {("", NOW_US, "water_m3"): 12.25, ("", NOW_US, "flow_m3h"): -0.002}
    data = b'{"timestamp": %d, "metrics": [{"alias": 8, "value": "12.5"}], "seq": 1}' % NOW_MS
    assert readings(sparkplug.decode(NODE.format("NDATA"), data, NOW_US)) == {("", NOW_US, "water_m3"): 12.5}


def test_births_have_an_end_to_their_memory() -> None:
    births = Births(limit=1000)
    definitions = [Definition(str(number), number, 10, None, True) for number in range(99)]
    for node in range(50):
        births.born(("group", f"node{node}", ""), definitions, NOW_US + node, 0)
    assert births.total <= 1000
    assert births.view(("group", "node0", ""), NOW_US + 99, None).find("1", 1) is None
    assert births.view(("group", "node49", ""), NOW_US + 99, None).find("", 1) is definitions[1]


def test_several_threads_share_what_births_told(sparkplug: Envelope) -> None:
    wrong: list[BaseException] = []

    def work(number: int) -> None:
        topic = f"spBv1.0/city/{{}}/edge{number}"
        try:
            for step in range(150):
                at_us = NOW_US + step
                sparkplug.decode(topic.format("NBIRTH"), payload(metric("Power", 1, alias=1, unit="W"), seq=0), at_us)
                data = payload(metric(alias=1, value=step), seq=1)
                assert readings(sparkplug.decode(topic.format("NDATA"), data, at_us)) == {("", NOW_US, "power_w"): step}
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(number % 4,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# ---- Names and units


@pytest.mark.parametrize(
    ("name", "unit", "expected"),
    [
        ("Meter/Energy/Total", "kWh", ("energy_kwh", "")),
        ("Meter/Energy/Total", "", None),
        ("Meter/Energy_kWh", "", ("energy_kwh", "")),
        ("Energy", "kWh", None),  # it may be an hour's
        ("Energy/Today", "kWh", None),
        ("Energy Total T1", "kWh", None),
        ("Energy Total L1", "kWh", None),
        ("Export/Energy Total", "Wh", ("energy_export_kwh", "")),
        ("Meter/Power", "кВт", ("power_w", "")),
        ("Pump 2/Power", "kW", ("power_w", "pump-2")),
        ("L2/Current", "A", ("current_l2_a", "")),
        ("Voltage L1-L2", "V", None),
        ("Voltage", "kWh", None),
        ("Voltage", "furlong", None),
        ("battery/level", "%", ("battery_pct", "")),
        ("bin/level", "%", ("fill_level_pct", "")),
        ("signal/level", "%", None),
        ("cpu/temperature", "°C", ("device_temperature_c", "")),
        ("engine/temperature", "", ("temperature_c", "engine")),
        ("Temperature Setpoint", "°C", None),
        ("Current State", "", None),
        ("x" * 500, "V", None),
    ],
)
def test_meaning(name: str, unit: str, expected: tuple[str, str] | None) -> None:
    found = meaning(name, unit)
    assert (found and (found.metric, found.channel)) == expected


def test_the_oldest_goes_first() -> None:
    memory: Remembered[str, int] = Remembered(3)
    for number, key in enumerate("abc"):
        assert memory.put(key, number) == []
    assert memory.get("a") == 0
    assert memory.put("d", 3) == [1]
    assert memory.put("a", 9) == [0]
    assert memory.put("e", 4, weight=4) == [2, 3, 9, 4]
    assert len(memory) == memory.total == 0


# ---- Homie


@pytest.fixture
def homies() -> Envelope:
    (envelope,) = homie.make(UTC)
    return envelope


DESCRIPTION = {
    "homie": "5.0",
    "name": "Heat station",
    "version": 3,
    "nodes": {
        "meter": {
            "name": "Water meter",
            "properties": {
                "volume-total": {"name": "Volume", "datatype": "float", "unit": "L"},
                "flow": {"datatype": "float", "unit": "L/min"},
                "today": {"datatype": "float", "unit": "L"},
                "mode": {"datatype": "enum", "format": "a,b"},
                "valve": {"datatype": "boolean"},
                "level": {"datatype": "integer", "unit": "bananas"},
            },
        },
        "room": {"properties": {"temperature": {"datatype": "float", "unit": "°F"}}},
    },
}


def values(envelope: Envelope, topic: str, text: str) -> dict[tuple[str, int | None, str], float]:
    return readings(envelope.decode(topic, text.encode(), NOW_US))


def test_homie_5(homies: Envelope) -> None:
    (told,) = homies.decode("homie/5/station-1/$description", json.dumps(DESCRIPTION).encode(), NOW_US)
    assert isinstance(told, Announcement)
    assert (told.address, told.facts) == (
        "station-1",
        {"name": "Heat station", "parts": "Water meter, room"},
    )
    assert values(homies, "homie/5/station-1/meter/volume-total", "12345.5") == {("", None, "water_m3"): 12.3455}
    assert values(homies, "homie/5/station-1/meter/flow", "10") == {("", None, "flow_m3h"): pytest.approx(0.6)}
    assert values(homies, "homie/5/station-1/room/temperature", "50") == {
        ("room", None, "temperature_c"): pytest.approx(10)
    }
    for topic, text in [
        ("meter/today", "5"), ("meter/mode", "a"), ("meter/valve", "true"), ("meter/flow", "\0"), ("meter/flow/set", "5"),
        ("meter/flow/$target", "5"), ("$state", "ready"), ("$alert/hot", "warm"), ("$log/warn", "x"),
    ]:  # fmt: skip
        with pytest.raises(NotAReading):
            values(homies, f"homie/5/station-1/{topic}", text)
    (unknown,) = homies.decode("homie/5/station-1/meter/level", b"7", NOW_US)
    assert isinstance(unknown, Uplink)
    assert (unknown.metrics, unknown.unknown) == ({}, ("meter/level in bananas",))
    for text, reason in [("warm", Reason.BAD_VALUE), ("NaN", Reason.BAD_VALUE), ("9" * 400, Reason.BAD_VALUE)]:
        with pytest.raises(Undecodable) as caught:
            values(homies, "homie/5/station-1/meter/flow", text)
        assert caught.value.reason == reason


def test_before_its_description_a_homie_property_must_say_what_it_is(homies: Envelope) -> None:
    assert values(homies, "homie/5/new/sensor/temperature", "21.5") == {("", None, "temperature_c"): 21.5}
    with pytest.raises(Undecodable, match="no description seen of the property sensor/x1"):
        values(homies, "homie/5/new/sensor/x1", "5")
    with pytest.raises(NotAReading):
        values(homies, "homie/5/new/sensor/colour", "red")


def test_homie_4_tells_units_in_topics(homies: Envelope) -> None:
    with pytest.raises(Undecodable, match="no description seen"):
        values(homies, "homie/cellar/gas-meter/total", "4200")
    for topic, text in [
        ("cellar/$homie", "4.0.0"), ("cellar/$state", "ready"), ("cellar/gas-meter/$name", "Gas"),
        ("cellar/gas-meter/$properties", "total"), ("cellar/gas-meter/total/$unit", "m³"),
        ("cellar/gas-meter/total/$datatype", "float"), ("cellar/gas-meter/total/$settable", "false"),
        ("$broadcast/alert", "x"),
    ]:  # fmt: skip
        with pytest.raises(NotAReading):
            values(homies, f"homie/{topic}", text)
    assert homies.decode("homie/cellar/$name", b"Cellar", NOW_US) == [Announcement("cellar", {"name": "Cellar"})]
    assert values(homies, "homie/cellar/gas-meter/total", "4200") == {("", None, "gas_m3"): 4200}
    assert values(homies, "homie/cellar/$stats/battery", "80") == {("", None, "battery_pct"): 80}


def test_homie_descriptions_have_an_end_to_their_memory() -> None:
    descriptions = Descriptions(limit=100)
    for number in range(50):
        descriptions.describe(("5", f"d{number}"), DESCRIPTION)
        descriptions.attribute(("4", f"d{number}"), ["a", "b"], "$unit", "V")
    assert descriptions.total <= 100
    assert descriptions.known(("5", "d0"), "meter", "flow").described is None
    assert descriptions.known(("5", "d49"), "meter", "flow").described is not None


# ---- Home Assistant's discovery


@pytest.fixture
def discovery() -> Envelope:
    (envelope,) = ha_discovery.make(UTC)
    return envelope


def announce(envelope: Envelope, topic: str, **content: Any) -> Announcement:
    (told,) = envelope.decode(topic, json.dumps(content).encode(), NOW_US)
    assert isinstance(told, Announcement)
    return told


DEV = {"ids": ["plug-77"], "mf": "Acme", "mdl": "P1", "name": "Plug", "sa": "Hall"}


def test_discovery_teaches_a_topic(discovery: Envelope) -> None:
    assert not discovery.owns_topic("plugs/77/state")
    told = announce(
        discovery, "homeassistant/sensor/plug-77/energy/config", **{"~": "plugs/77", "stat_t": "~/state", "dev": DEV},
        uniq_id="plug-77_energy", unit_of_meas="Wh", dev_cla="energy", stat_cla="total_increasing",
        val_tpl="{{ value_json.energy['sum'] | float(0) }}", avty=[{"t": "~/online"}],
    )  # fmt: skip
    assert told == Announcement("plug-77", {"maker": "Acme", "model": "P1", "name": "Plug", "site": "Hall"})
    announce(
        discovery, "homeassistant/sensor/plug-77/power/config", state_topic="plugs/77/state", device=DEV,
        unit_of_measurement="kW", device_class="power", state_class="measurement",
        value_template="{{ (value_json.power / 1000) | round(3) }}",
    )  # fmt: skip
    assert discovery.owns_topic("plugs/77/state")
    found = discovery.decode("plugs/77/state", b'{"energy": {"sum": "1500"}, "power": 230.4}', NOW_US)
    assert readings(found) == {("", None, "energy_kwh"): 1.5, ("", None, "power_w"): 230}
    assert readings(discovery.decode("plugs/77/state", b'{"power": 1000}', NOW_US)) == {("", None, "power_w"): 1000}
    for topic, text in [("plugs/77/online", b"online"), ("plugs/77/state", b"unavailable"), ("plugs/77/state", b"{}")]:
        with pytest.raises(NotAReading):
            discovery.decode(topic, text, NOW_US)
    with pytest.raises(Undecodable, match="no JSON"):
        discovery.decode("plugs/77/state", b"{", NOW_US)


def test_a_whole_device_is_discovered(discovery: Envelope) -> None:
    components = {
        "water": {"p": "sensor", "dev_cla": "water", "stat_cla": "total_increasing", "unit_of_meas": "m³",
                  "val_tpl": "{{ value_json.v }}", "uniq_id": "w1"},
        "rssi": {"p": "sensor", "dev_cla": "signal_strength", "unit_of_meas": "dBm", "val_tpl": "{{ value_json.r }}"},
        "light": {"p": "light", "stat_t": "m/9/light"},
    }  # fmt: skip
    topic = "homeassistant/device/m9/config"
    told = announce(discovery, topic, dev={"cns": [["mac", "AA:BB"]]}, o={}, stat_t="m/9", cmps=components)
    assert (told.address, told.facts["kind"]) == ("aa:bb", "water")
    found = discovery.decode("m/9", b'{"v": 7.5, "r": -70}', NOW_US)
    assert readings(found) == {("", None, "water_m3"): 7.5, ("", None, "rssi_dbm"): -70}
    with pytest.raises(NotAReading):
        discovery.decode("m/9/light", b"ON", NOW_US)
    components["water"] = {"p": "sensor"}
    announce(discovery, topic, dev={"cns": [["mac", "AA:BB"]]}, stat_t="m/9", cmps=components)
    assert readings(discovery.decode("m/9", b'{"v": 7.5, "r": -71}', NOW_US)) == {("", None, "rssi_dbm"): -71}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"dev_cla": "gas", "stat_cla": "total", "unit_of_meas": "ft³"}, "gas_m3"),
        ({"dev_cla": "energy", "stat_cla": "total", "unit_of_meas": "kWh", "name": "Energy returned"}, "energy_export_kwh"),
        ({"dev_cla": "energy", "stat_cla": "measurement", "unit_of_meas": "kWh"}, None),
        ({"dev_cla": "energy", "unit_of_meas": "kWh", "name": "Energy total"}, "energy_kwh"),
        ({"dev_cla": "energy", "unit_of_meas": "kWh", "name": "Energy"}, None),
        ({"dev_cla": "energy", "stat_cla": "total_increasing", "unit_of_meas": "kWh", "name": "Energy tariff 1"}, None),
        ({"dev_cla": "energy", "stat_cla": "total_increasing", "unit_of_meas": "kWh", "name": "EToday"}, None),
        ({"dev_cla": "energy", "stat_cla": "total", "unit_of_meas": "kWh", "lrst_val_tpl": "{{ value_json.reset }}"}, None),
        ({"dev_cla": "energy", "stat_cla": "total_increasing", "unit_of_meas": "m³"}, None),
        ({"dev_cla": "power", "stat_cla": "measurement", "unit_of_meas": "W"}, "power_w"),
        ({"dev_cla": "power", "stat_cla": "total_increasing", "unit_of_meas": "W"}, None),
        ({"dev_cla": "voltage", "unit_of_meas": "V", "name": "Voltage L2"}, "voltage_l2_v"),
        ({"dev_cla": "voltage", "unit_of_meas": "mV", "name": "Battery voltage"}, "battery_v"),
        ({"dev_cla": "distance", "unit_of_meas": "cm"}, "distance_mm"),
        ({"dev_cla": "temperature", "unit_of_meas": "°C", "name": "Return"}, "return_temperature_c"),
        ({"dev_cla": "temperature", "unit_of_meas": "°C", "name": "CPU temperature"}, "device_temperature_c"),
        ({"dev_cla": "pressure", "unit_of_meas": "hPa"}, "air_pressure_hpa"),
        ({"dev_cla": "power_factor"}, "power_factor"),
        ({"dev_cla": "timestamp"}, None),
        ({"unit_of_meas": "%", "name": "Fill level"}, "fill_level_pct"),
        ({"unit_of_meas": "kWh", "stat_cla": "total_increasing", "name": "Heat energy"}, "energy_kwh"),
    ],
)  # fmt: skip
def test_unit_and_classes_decide(content: dict[str, Any], expected: str | None) -> None:
    config = read_config("sensor", "", "object", {"stat_t": "t", "uniq_id": "u", **content})
    (entity,) = config.entities
    assert (entity.meaning.metric if entity.meaning else None) == expected


def test_two_values_of_one_metric_are_channels_in_any_order() -> None:
    for order in (("outdoor", "indoor"), ("indoor", "outdoor")):
        (envelope,) = ha_discovery.make(UTC)
        for place in order:
            announce(
                envelope, f"homeassistant/sensor/{place}/config", stat_t=f"h/{place}", dev={"ids": "h1"}, uniq_id=f"h1_{place}",
                unit_of_meas="°C", dev_cla="temperature",
            )  # fmt: skip
        assert readings(envelope.decode("h/indoor", b"21", NOW_US)) == {("", None, "temperature_c"): 21}
        assert readings(envelope.decode("h/outdoor", b"-3", NOW_US)) == {("outdoor", None, "temperature_c"): -3}


@pytest.mark.parametrize(
    "content", [{"name": "Mode"}, {"name": "Uptime", "unit_of_meas": "s", "ent_cat": "diagnostic"}, {"dev_cla": "enum"}]
)
def test_texts_and_diagnoses_are_no_readings(discovery: Envelope, content: dict[str, Any]) -> None:
    announce(discovery, "homeassistant/sensor/x/config", stat_t="x/1", uniq_id="x", **content)
    with pytest.raises(NotAReading):
        discovery.decode("x/1", b"5", NOW_US)


def test_what_discovery_tells_and_misto_does_not_understand(discovery: Envelope) -> None:
    told = announce(
        discovery, "homeassistant/sensor/x/config", stat_t="x/1", uniq_id="x", name="Power", unit_of_meas="W", dev_cla="power",
        val_tpl="{% if value_json.a %}1{% endif %}",
    )  # fmt: skip
    assert "is not one that Misto reads" in told.facts["not understood"]
    (uplink,) = discovery.decode("x/1", b'{"a": 5}', NOW_US)
    assert isinstance(uplink, Uplink)
    assert uplink.metrics == {}
    assert "template" in uplink.unknown[0]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ value }}", "12.5"), ("{{value|float}}", 12.5), ("{{ value_json.a.b }}", 3), ("{{ value_json['a'][\"b\"] }}", 3),
        ("{{ value_json.list[1] }}", 20), ("{{ value_json.a.b | float(0) | round(2) }}", 3), ("{{ value_json.c | int }}", 7),
        ("{{ value_json.c | float / 10 }}", 0.79), ("{{ (value_json.c | float(default=0) * 100) | round(1) }}", 790),
        ("{{ float(value_json.c) + 2 * 3 - 1 }}", 12.9), ("{{ -value_json.a.b }}", -3), ("{{- value_json.a.b -}}", 3),
        ("{{ value_json.c | multiply(0.001) }}", 0.0079), ("{{ value_json.a.b | is_defined }}", 3), ("{{ value_json.neg | abs }}", 4),
    ],
)  # fmt: skip
def test_simple_templates(template: str, expected: object) -> None:
    content = {"a": {"b": 3}, "list": [10, 20], "c": "7.9", "neg": -4}
    assert Template(template).value("12.5", content) == (
        pytest.approx(expected) if isinstance(expected, float) else expected
    )


@pytest.mark.parametrize(
    "template",
    ["", "value", "{{ }}", "{{ value", "{{ states('sensor.x') }}", "{{ value_json.a if value else 0 }}", "{{ value | map }}",
     "{{ value_json.a }}{{ value_json.b }}", "{{ value_json[a] }}", "{{ value.__class__ }}", "{{ value | float( }}", "{{" + "(" * 90 + "}}",
     "{{ value_json. }}", "{{ 1 / }}", "{{ value | round(x(1)) }}", "{{ value }}" + " " * 400],
)  # fmt: skip
def test_other_templates_are_refused(template: str) -> None:
    with pytest.raises(ValueError, match="template"):
        Template(template)


@given(st.text(alphabet="{}value_json.a[]'|()+-*/ 0123456789float,round\"", max_size=60))
@settings(max_examples=300, deadline=None)
def test_no_template_brings_anything_down(text: str) -> None:
    with suppress(ValueError, Absent):
        Template(f"{{{{ {text} }}}}").value("5", {"a": [1, {"v": 2}]})


def test_a_value_that_cannot_be_worked_out(discovery: Envelope) -> None:
    announce(
        discovery, "homeassistant/sensor/x/config", stat_t="x/1", uniq_id="x", unit_of_meas="W", dev_cla="power",
        val_tpl="{{ 5 / value_json.a }}",
    )  # fmt: skip
    for content in (b'{"a": 0}', b'{"a": "x"}', b'{"a": {}}', b'{"a": 1e-320}', b'{"a": NaN}'):
        with pytest.raises(Undecodable) as caught:
            discovery.decode("x/1", content, NOW_US)
        assert caught.value.reason == Reason.BAD_VALUE


def test_discovery_has_an_end_to_its_memory() -> None:
    memory = ha_discovery.Discovery(limit=100)
    for number in range(500):
        told = {"stat_t": f"t/{number}", "uniq_id": f"u{number}", "unit_of_meas": "W", "dev_cla": "power"}
        memory.learn(read_config("sensor", "", f"o{number}", told))
    assert memory.total == 100
    assert not memory.knows("t/0")
    assert memory.knows("t/499")
    crowded = ha_discovery.Discovery()
    for number in range(500):
        told = {"stat_t": "t", "dev": {"ids": "d"}, "unit_of_meas": "W", "dev_cla": "power"}
        crowded.learn(read_config("sensor", "", f"o{number}", told))
    assert len(crowded.on_topic("t")) == 200


def test_a_topic_that_another_format_owns_stays_its_own() -> None:
    decoder = Decoder(all_envelopes(UTC), {}, OneDevice(None, None))
    config = {"stat_t": "misto/a/up", "uniq_id": "x", "unit_of_meas": "W", "dev_cla": "power", "dev": {"ids": "other"}}
    for state_topic in ("misto/a/up", "own/topic"):
        config["stat_t"] = state_topic
        message = Message("homeassistant/sensor/x/config", json.dumps(config).encode(), NOW_US)
        with pytest.raises(NotAReading, match="tells about the device other"):
            decoder.decode(message)
    (own,) = decoder.decode(Message("misto/a/up", b'{"power_w": 5}', NOW_US))
    assert own.envelope == "plain_json"
    (learnt,) = decoder.decode(Message("own/topic", b"5", NOW_US))
    assert learnt.envelope == "ha_discovery"


def test_an_empty_description_takes_the_earlier_one_away() -> None:
    decoder = Decoder(all_envelopes(UTC), {}, OneDevice(None, None))
    config = {"stat_t": "own/topic", "uniq_id": "x", "unit_of_meas": "W", "dev_cla": "power", "dev": {"ids": "other"}}
    whole = {
        "cmps": {"p": {"p": "sensor", **config, "stat_t": "own/second"}},
        "dev": {"ids": "whole"},
        "o": {"name": "o"},
    }
    for topic, content, named in (
        ("homeassistant/sensor/x/config", config, "own/topic"),
        ("homeassistant/device/whole/config", whole, "own/second"),
    ):
        with pytest.raises(NotAReading):
            decoder.decode(Message(topic, json.dumps(content).encode(), NOW_US))
        assert decoder.decode(Message(named, b"5", NOW_US))
        with pytest.raises(NotAReading, match="takes a description away"):
            decoder.decode(Message(topic, b"", NOW_US))
        with pytest.raises(NotAReading):
            decoder.decode(Message(topic, b"", NOW_US))  # and again
    with pytest.raises(Undecodable, match="no content"):
        decoder.decode(Message("misto/a/up", b"", NOW_US))
    (kept,) = ha_discovery.make(UTC)
    kept.decode("homeassistant/sensor/x/config", json.dumps(config).encode(), NOW_US)
    assert kept.owns_topic("own/topic")
    with suppress(NotAReading):
        kept.decode("homeassistant/sensor/x/config", b"", NOW_US)
    assert not kept.owns_topic("own/topic")


# ---- Whatever comes


TOPICS = [
    NODE.format("NBIRTH"), NODE.format("NDATA"), NODE.format("NDEATH"), DEVICE.format("DBIRTH"), DEVICE.format("DDATA"),
    DEVICE.format("DDEATH"), "spBv1.0/a/b/c/d/e", "$sparkplug/certificates/" + NODE.format("NBIRTH"),
    "homie/5/d/$description", "homie/5/d/meter/volume-total", "homie/d/$name", "homie/d/n/p/$unit", "homie/d/n/p", "homie/", "homie/5/",
    "homie/$broadcast/x", "homeassistant/sensor/x/config", "homeassistant/device/x/config", "homeassistant/config", "s/1", "",
]  # fmt: skip
ENVELOPES = [*sparkplug_b.make(UTC), *homie.make(UTC), *ha_discovery.make(UTC)]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)
keys = st.sampled_from(
    ["metrics", "timestamp", "seq", "name", "alias", "value", "datatype", "properties", "engUnit", "nodes", "properties", "unit",
     "stat_t", "state_topic", "val_tpl", "dev", "ids", "cns", "cmps", "p", "~", "avty", "dev_cla", "unit_of_meas", "uniq_id"]
)  # fmt: skip
shaped = st.recursive(
    json_values | st.sampled_from(["s/1", "~/1", "power", "W", "sensor", "{{ value_json.a }}", "Meter/Power", 10**400, 2**64]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=30,
)  # fmt: skip
contents = (
    st.binary(max_size=200)
    | shaped.map(lambda content: json.dumps(content).encode())
    | st.lists(st.binary(max_size=30).map(lambda data: _bytes(2, data)), max_size=5).map(b"".join)
    | st.integers(0, len(BIRTH)).map(lambda end: BIRTH[:end])
)


def attempt(envelope: Envelope, topic: str, content: bytes) -> None:
    envelope.owns_topic(topic)
    try:
        found = envelope.decode(topic, content, NOW_US)
    except (Undecodable, NotAReading):
        return
    assert all(isinstance(item, Uplink | Announcement) for item in found)


@given(envelope=st.sampled_from(ENVELOPES), topic=st.sampled_from(TOPICS) | st.text(max_size=40), content=contents)
@settings(max_examples=1500, deadline=None)
def test_nothing_but_the_two_errors_escapes(envelope: Envelope, topic: str, content: bytes) -> None:
    attempt(envelope, topic, content)


@given(content=contents, looked=shaped)
@settings(max_examples=300, deadline=None)
def test_payloads_and_looks(content: bytes, looked: object) -> None:
    for envelope in ENVELOPES:
        assert envelope.looks_like(looked) in (True, False)
    try:
        told = read_payload(content)
    except Undecodable:
        return
    assert isinstance(told, Payload)
    assert all(isinstance(each, Metric) for each in told.metrics)


@pytest.mark.parametrize(
    ("topic", "content"),
    [
        (NODE.format("NBIRTH"), b"\x12\x00" * 100_000),
        (NODE.format("NDATA"), b"\x12\x02\x10\x05" * 60_000),
        (NODE.format("NBIRTH"), b"\x12" + _varint(200_000) + b"\x0a" * 200_000),
        (NODE.format("NDATA"), b'{"metrics":' + b"[" * 100_000),
        ("homie/5/d/$description", b'{"nodes":{' + b",".join(b'"%d":{}' % n for n in range(20_000)) + b"}}"),
        ("homie/d/n/p", b"9" * 250_000),
        ("homeassistant/device/x/config", b'{"stat_t":"s","cmps":{' + b",".join(b'"%d":{"p":"sensor","name":""}' % n for n in range(6_000)) + b"}}"),
    ],
)  # fmt: skip
@pytest.mark.timeout(20)
def test_large_content_takes_bounded_time(topic: str, content: bytes) -> None:
    for envelope in [*sparkplug_b.make(UTC), *homie.make(UTC), *ha_discovery.make(UTC)]:
        attempt(envelope, topic, content)


# ---- Recorded payloads

SHARED = Path(os.environ.get("MISTO_SHARED_SAMPLES") or Path(__file__).parents[2].parent / "shared" / "samples")
SAMPLES = [path for source in ("sparkplug-b", "homie-v5", "ha-discovery") for path in sorted((SHARED / source).glob("*.json"))]  # fmt: skip


@pytest.mark.skipif(not SAMPLES, reason="no recorded payloads beside the checkout (MISTO_SHARED_SAMPLES)")
def test_recorded_payloads() -> None:
    envelopes = all_envelopes(UTC)
    outcomes: dict[str, str] = {}
    for path in SAMPLES:
        sample = json.loads(path.read_text(encoding="utf-8"))
        told = sample.get("raw") or sample["payload"]
        content = (told if isinstance(told, str) else json.dumps(told)).encode()
        owner = next(envelope for envelope in envelopes if envelope.owns_topic(sample["topic"]))
        try:
            found = owner.decode(sample["topic"], content, NOW_US)
            outcomes[path.stem] = type(found[0]).__name__
        except (NotAReading, Undecodable) as error:
            outcomes[path.stem] = type(error).__name__
    assert outcomes == {
        "spec_DBIRTH_2": "Announcement",
        "spec_DCMD_5": "NotAReading",
        "spec_NCMD_4": "NotAReading",
        "convention_desc_1": "Undecodable",  # the convention's example has dots in place of its nodes
        "value_childlost": "NotAReading",
        "value_warn": "NotAReading",
        "gas_meter": "Announcement",
        "sma_energy_today": "Announcement",
    }
