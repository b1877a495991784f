"""Everything that a broker can bring, through a real broker and the real process: nothing stops it, nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from misto.runtime import MosquittoServer
from tests.processes import Process, Publisher, wait_for

NOW = datetime.now(UTC).replace(microsecond=0)


def iso(delta: timedelta = timedelta()) -> str:
    return (NOW + delta).isoformat()


@pytest.fixture
def ingest(own_mosquitto: MosquittoServer, database_url: str, tmp_path: Path) -> Iterator[Process]:
    with Process(
        "ingest", log=tmp_path / "log", port_setting="ingest_metrics_port",
        database_url=database_url, mqtt_url=own_mosquitto.url,
    ) as process:  # fmt: skip
        process.wait_well()
        yield process
        assert process.stop() == 0, process.log.read_text()
        assert "Traceback" not in process.log.read_text()


def plain(**content: object) -> str:
    return json.dumps({"time": iso(), **content})


#: name → (topic, payload, reason in quarantine or None, readings that are stored)
CASES: dict[str, tuple[str, bytes | str, str | None, dict[str, float]]] = {
    "not JSON": ("misto/c1/up", "hello", "not_json", {}),
    "truncated": ("misto/c2/up", '{"energy_kwh": 12', "not_json", {}),
    "a list": ("misto/c3/up", "[1, 2]", "bad_structure", {}),
    "a wrong type": ("misto/c4/up", plain(energy_kwh={"a": 1}, power_w=5), "bad_value", {"power_w": 5}),
    "NaN": ("misto/c5/up", '{"power_w": NaN, "voltage_v": 230}', "bad_value", {"voltage_v": 230}),
    "infinity": ("misto/c6/up", '{"power_w": 1e999, "voltage_v": 231}', "bad_value", {"voltage_v": 231}),
    "a huge whole number": ("misto/c7/up", '{"power_w": ' + "9" * 400 + "}", "bad_value", {}),
    "1 MB": ("misto/c8/up", b"x" * 1_000_000, "too_large", {}),
    "binary": ("misto/c9/up", bytes(range(256)), "not_json", {}),
    "empty": ("misto/c10/up", b"", "empty", {}),
    "invalid UTF-8": ("misto/c11/up", b'{"power_w": 1, "x": "\xff\xfe"}', "not_json", {}),
    "unknown topic": ("some/where/else", '{"mood": 5}', "unknown_envelope", {}),
    "unknown topic, telling names": ("some/where/room", '{"temp": 5}', None, {"temperature_c": 5}),
    "1970": ("misto/c12/up", '{"time": 12, "power_w": 12}', None, {"power_w": 12}),
    "next year": ("misto/c13/up", json.dumps({"time": iso(timedelta(days=365)), "power_w": 1}), "time_in_future", {}),
    "a year beyond all": ("misto/c14/up", '{"time": 9e18, "power_w": 1}', "bad_value", {}),
    "no time zone": ("misto/c15/up", '{"time": "2026-03-01T10:00:00", "power_w": 1}', "bad_value", {}),
    "a negative counter": ("misto/c16/up", plain(energy_kwh=-5), None, {"energy_kwh": -5}),
    "unknown fields": ("misto/c17/up", plain(power_w=17, colour="red"), None, {"power_w": 17}),
    "nothing but unknown fields": ("misto/c18/up", plain(colour="red"), "no_readings", {}),
    "no device": ("misto/up", plain(power_w=1), "unknown_envelope", {}),
    "numbers as text": ("misto/c19/up", plain(power_w="0019,5", humidity_pct="45%"), None,
                        {"power_w": 19.5, "humidity_pct": 45}),
    "deep nesting": ("misto/c20/up", '{"a":' * 5000 + "1" + "}" * 5000, "not_json", {}),
    "deep but parsable": ("misto/c21/up", '{"a":' * 100 + "1" + "}" * 100, "bad_structure", {}),
    "a bad quality": ("misto/c22/up", plain(power_w=1, quality="great"), "bad_value", {}),
    "ChirpStack, no object": ("application/1/device/aa01/event/up",
                              '{"deviceInfo": {"devEui": "aa01"}, "data": "AQI="}', "unknown_profile", {}),
    "ChirpStack, wrong nesting": ("application/1/device/aa02/event/up", '{"deviceInfo": "aa02"}', "bad_structure", {}),
    "ChirpStack join": ("application/1/device/aa03/event/join", "{}", None, {}),
    "ChirpStack, unknown model": ("application/1/device/aa04/event/up",
                                  '{"deviceInfo": {"devEui": "aa04"}, "object": {"odd": 1}}', "unknown_profile", {}),
    "Tasmota last will": ("tele/t1/LWT", "Offline", None, {}),
    "Tasmota, wrong time": ("tele/t2/SENSOR", '{"Time": "yesterday", "ENERGY": {}}', "bad_value", {}),
    "other envelope's content": ("application/1/device/aa05/event/up", plain(power_w=1), "bad_structure", {}),
    "a zero character in the address": ("x/zero", '{"device": "a\\u0000b", "power_w": 1}', "no_device", {}),
    "half a character in the address": ("x/half", '{"device": "a\\ud800b", "power_w": 1}', "no_device", {}),
    "half a character in a field": ("misto/c24/up", '{"power_w": 24, "\\ud800": 1}', None, {"power_w": 24}),
    "half a character in what is told": ("application/1/device/aa06/event/up",
                                         '{"deviceInfo": {"devEui": "aa06"}, "object": {"\\ud800": 1}}',
                                         "unknown_profile", {}),
    "infinite signal": ("application/1/device/aa07/event/up",
                        '{"deviceInfo": {"devEui": "aa07"}, "object": {"odd": 1}, "rxInfo": [{"rssi": Infinity}]}',
                        "unknown_profile", {}),
    "control characters": ("misto/c23/up", '{"power_w": 23, "\\u0000": "\\u0000"}', None, {"power_w": 23}),
}  # fmt: skip


def test_bad_input(ingest: Process, own_mosquitto: MosquittoServer, database: psycopg.Connection) -> None:
    with Publisher(own_mosquitto.url) as publisher:
        for topic, payload, _, _ in CASES.values():
            publisher.send(topic, payload)
        publisher.send("misto/last/up", plain(power_w=99))
        publisher.settle()
    unreadable = sum(reason is not None for _, _, reason, _ in CASES.values())
    # Two writers: the last message may be committed before those ahead of it.
    wait_for(
        lambda: (
            database.execute(
                "SELECT (SELECT count(*) FROM readings WHERE value = 99), (SELECT count(*) FROM quarantine) >= %s",
                [unreadable],
            ).fetchone()
            == (1, True)
        ),
        f"the messages are not all through: {ingest.log.read_text()}",
    )
    quarantined = dict(database.execute("SELECT topic, reason FROM quarantine").fetchall())
    kept = dict(database.execute("SELECT topic, payload FROM quarantine").fetchall())
    stored: dict[str, dict[str, float]] = {}
    for address, metric, value in database.execute(
        "SELECT d.address, m.name, r.value FROM readings r JOIN metric m USING (metric_id)"
        " JOIN assignment a USING (point_id) JOIN device d USING (device_id)"
    ).fetchall():
        stored.setdefault(address, {})[metric] = value
    for name, (topic, payload, reason, readings) in CASES.items():
        assert quarantined.get(topic) == reason, name
        if reason is not None:
            assert kept[topic] == (payload.encode() if isinstance(payload, str) else payload), name
        address = topic.split("/")[1] if topic.startswith("misto/") else topic
        assert stored.get(address, {}) == readings, name
    assert len(quarantined) == sum(reason is not None for _, _, reason, _ in CASES.values())
    suspect = database.execute("SELECT value, quality FROM readings WHERE value = -5").fetchone()
    assert suspect == (-5, 2)
    odd_clock = database.execute("SELECT abs(extract(epoch FROM now() - time)) < 60 FROM readings WHERE value = 12")
    assert odd_clock.fetchone() == (True,)
    unclaimed = database.execute("SELECT state, guess ->> 'envelope' FROM device WHERE address = 'c17'").fetchone()
    assert unclaimed == ("unclaimed", "plain_json")


def test_duplicates_and_disorder(ingest: Process, own_mosquitto: MosquittoServer, database: psycopg.Connection) -> None:
    with Publisher(own_mosquitto.url) as publisher:
        for minutes in (5, 3, 9, 3, 1, 5, 7, 1):
            publisher.send("misto/d1/up", plain(time=iso(-timedelta(minutes=minutes)), power_w=minutes))
        publisher.settle()
    wait_for(lambda: database.execute("SELECT count(*) FROM readings").fetchone() == (5,), "five different readings")
    logged = database.execute("SELECT sum(reading_count) FROM reading_log").fetchone()
    assert logged == (5,)
    ordered = database.execute("SELECT value FROM readings ORDER BY time").fetchall()
    assert ordered == [(9,), (7,), (5,), (3,), (1,)]


def test_a_retained_message_without_time_does_not_count_at_each_session(
    own_mosquitto: MosquittoServer, database_url: str, database: psycopg.Connection, tmp_path: Path
) -> None:
    with Publisher(own_mosquitto.url) as publisher:
        publisher.send("misto/r1/up", '{"power_w": 5}', retain=True)
        publisher.send("misto/r2/up", plain(power_w=6), retain=True)
        publisher.settle()
    for round_ in ("first", "second"):
        with Process(
            "ingest", log=tmp_path / round_, port_setting="ingest_metrics_port", mqtt_client_id=round_,
            database_url=database_url, mqtt_url=own_mosquitto.url,
        ) as process:  # fmt: skip
            process.wait_well()
            wait_for(
                lambda: database.execute("SELECT count(*) FROM readings WHERE value = 6").fetchone() == (1,),
                "the retained message with a time is read",
            )
            assert process.stop() == 0
    assert database.execute("SELECT count(*) FROM readings").fetchone() == (1,)
