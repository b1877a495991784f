"""Ingest workers share one stream: they join, die, come back and leave; each message is stored once."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest.leaving import LeavingSession
from ingest.message import Message
from ingest.session import SessionConfig
from misto.runtime import MosquittoServer, PostgresServer
from tests.processes import Process, Publisher, wait_for

BASE_S = 1_770_000_000
# So many that hardly two messages without a time come from one device in the same microsecond to two workers.
DEVICES = 497


def message(number: int) -> str:
    content: dict[str, object] = {"power_w": number, "voltage_v": 230}
    if number % 5:
        content["time"] = BASE_S + number
    # Some are no JSON: each of them is in quarantine once.
    return json.dumps(content) if number % 50 else f"broken {number}"


class City:
    """A database, a broker, workers of one shared subscription, and a stream of numbered messages."""

    def __init__(self, postgres: PostgresServer, mosquitto: MosquittoServer, folder: Path) -> None:
        self.postgres, self.mosquitto, self.folder = postgres, mosquitto, folder
        self.publisher = Publisher(mosquitto.url)
        self.sent = 0
        self.running: dict[str, Process] = {}

    def settings(self, name: str) -> dict[str, object]:
        return {
            "database_url": self.postgres.url, "mqtt_url": self.mosquitto.url,
            "mqtt_client_id": name, "mqtt_share": "misto",
        }  # fmt: skip

    def start(self, name: str) -> Process:
        process = Process("ingest", log=self.folder / name, port_setting="ingest_metrics_port", **self.settings(name))
        self.running[name] = process
        process.wait_well()
        return process

    def leave(self, name: str) -> Process:
        log = self.folder / f"leave-{name}"
        log.unlink(missing_ok=True)
        process = self.running[f"leave-{name}"] = Process("ingest", "--leave", log=log, **self.settings(name))
        return process

    def left(self, name: str) -> str:
        """Let it leave; returns its last line."""
        process = self.leave(name)
        assert process.wait(40) == 0, process.log.read_text()
        return process.log.read_text().splitlines()[-1]

    def send(self, count: int) -> None:
        for number in range(self.sent, self.sent + count):
            self.publisher.send(f"misto/m{number % DEVICES}/up", message(number))
        self.sent += count

    def session_present(self, name: str, protocol: int = mqtt.MQTTv5) -> bool:
        """Whether the broker has a session of this name; asking leaves none behind and takes nothing out of it."""
        answers: list[bool] = []
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, name, protocol=protocol, reconnect_on_failure=False,
            clean_session=None if protocol == mqtt.MQTTv5 else False,
        )  # fmt: skip
        client.on_connect = lambda c, data, flags, reason, properties: answers.append(flags.session_present)
        parts = urlsplit(self.mosquitto.url)
        if protocol == mqtt.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 0xFFFFFFFF
            client.connect(str(parts.hostname), parts.port or 1883, clean_start=False, properties=properties)
        else:
            client.connect(str(parts.hostname), parts.port or 1883)
        deadline = time.monotonic() + 10
        while not answers and time.monotonic() < deadline:
            client.loop(0.1)
        client.disconnect()
        return answers[0]

    def values(self) -> list[int]:
        with psycopg.connect(self.postgres.url) as connection:
            rows = connection.execute(
                "SELECT value::int FROM readings JOIN metric USING (metric_id) WHERE name = 'power_w' ORDER BY 1"
            ).fetchall()
        return [row[0] for row in rows]

    def quarantined(self) -> list[str]:
        with psycopg.connect(self.postgres.url) as connection:
            rows = connection.execute("SELECT convert_from(payload, 'UTF8') FROM quarantine ORDER BY 1").fetchall()
        return [row[0] for row in rows]

    def check(self) -> None:
        """Each message that was sent is stored once, and so says the reading log."""
        self.publisher.settle()
        good = [number for number in range(self.sent) if number % 50]
        bad = sorted(message(number) for number in range(0, self.sent, 50))
        logs = "\n".join(process.log.read_text()[-1500:] for process in self.running.values())
        wait_for(lambda: len(self.values()) >= len(good), f"{len(good)} messages, not {len(self.values())}: {logs}")
        wait_for(lambda: len(self.quarantined()) >= len(bad), f"{len(bad)} in quarantine: {logs}")
        assert self.values() == good
        assert self.quarantined() == bad
        with psycopg.connect(self.postgres.url) as connection:
            assert connection.execute("SELECT sum(reading_count) FROM reading_log").fetchone() == (2 * len(good),)
        assert "Traceback" not in logs


@pytest.fixture
def city(own_postgres: PostgresServer, own_mosquitto: MosquittoServer, tmp_path: Path) -> Iterator[City]:
    made = City(own_postgres, own_mosquitto, tmp_path)
    yield made
    made.publisher.close()
    for process in made.running.values():
        process.__exit__()


def test_workers_join_die_come_back_and_leave(city: City) -> None:
    city.start("w1")
    city.send(500)
    city.start("w2")
    city.start("w3")
    city.send(1500)
    city.running["w2"].kill()
    city.send(1000)
    city.start("w2")
    city.send(1000)
    city.running["w3"].kill()
    city.send(1500)
    city.publisher.settle()
    assert city.session_present("w3")
    leaving = city.leave("w3")
    deadline = time.monotonic() + 30
    while leaving.ended() is None:
        assert time.monotonic() < deadline, leaving.log.read_text()
        city.send(50)
        time.sleep(0.1)
    assert leaving.wait(0) == 0, leaving.log.read_text()
    told = leaving.log.read_text().splitlines()[-1]
    assert told.startswith("the session w3 has left the broker at ")
    brought = int(told.split()[-2])
    # A third of the 1,500, and what its worker had not acknowledged when it was killed.
    assert 300 <= brought <= 2500, told
    assert not city.session_present("w3")
    city.send(500)
    city.check()
    with psycopg.connect(city.postgres.url) as connection:
        sessions = connection.execute("SELECT DISTINCT client_id FROM delivery ORDER BY 1").fetchall()
        assert sessions == [("w1",), ("w2",)]
    for name in ("w1", "w2"):
        assert city.running[name].stop() == 0


def test_each_worker_knows_what_devices_said_of_themselves_before_it_was_there(city: City) -> None:
    description = {
        "homie": "5.0", "version": 1, "name": "Hall",
        "nodes": {"air": {"properties": {"p1": {"name": "Temperature", "datatype": "float", "unit": "°C"}}}},
    }  # fmt: skip
    city.publisher.send("homie/5/hall-1/$description", json.dumps(description), retain=True)
    city.publisher.settle()
    city.start("w1")
    city.start("w2")
    sent = [round(15 + number / 10, 1) for number in range(60)]
    for value in sent:
        city.publisher.send("homie/5/hall-1/air/p1", str(value))
    city.publisher.settle()

    def stored() -> list[float]:
        with psycopg.connect(city.postgres.url) as connection:
            rows = connection.execute(
                "SELECT value FROM readings JOIN metric USING (metric_id) WHERE name = 'temperature_c' ORDER BY 1"
            ).fetchall()
        return [row[0] for row in rows]

    wait_for(lambda: stored() == sent, f"each temperature once: {stored()}; in quarantine: {city.quarantined()}", 20)
    assert city.quarantined() == []


def test_what_was_never_there_is_not_made(city: City) -> None:
    assert "has no session w9" in city.left("w9")
    assert not city.session_present("w9")


def test_the_database_is_awaited_and_a_stop_in_the_middle_loses_nothing(city: City) -> None:
    city.start("w1")
    assert city.start("w2").stop() == 0
    city.send(1000)
    city.publisher.settle()
    city.postgres.kill()
    leaving = city.leave("w2")
    wait_for(lambda: "waiting for it" in leaving.log.read_text(), "it says that it waits for the database")
    assert leaving.stop() == 1
    assert "what it holds waits at the broker" in leaving.log.read_text()
    city.postgres.start()
    leaving = city.leave("w2")
    wait_for(lambda: "takes nothing new" in leaving.log.read_text(), "it is leaving")
    assert leaving.stop() == 1
    assert "what it holds waits at the broker" in leaving.log.read_text()
    assert "has left" in city.left("w2")
    assert not city.session_present("w2")
    city.check()


def test_a_worker_that_runs_keeps_its_session(city: City) -> None:
    city.start("w1")
    leaving = city.leave("w1")
    assert leaving.wait(30) == 1
    assert "stop that worker first" in leaving.log.read_text()
    city.running["w1"].wait_well()
    city.send(200)
    city.check()


def test_a_session_of_mqtt_3_1_1_ends_too(city: City) -> None:
    parts = urlsplit(city.mosquitto.url)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "w1", clean_session=False, protocol=mqtt.MQTTv311)
    subscribed: list[int] = []
    client.on_subscribe = lambda *told: subscribed.append(1)
    client.connect(str(parts.hostname), parts.port or 1883)
    client.subscribe("$share/misto/#", 1)
    while not subscribed:
        client.loop(0.1)
    client.disconnect()
    city.send(200)
    city.publisher.settle()
    got: list[Message] = []
    handed = 0

    def finished() -> list[tuple[int, list[int]]]:
        nonlocal handed
        fresh, handed = got[handed:], len(got)
        return [(1, [message.packet_id for message in fresh])]

    wake, poke = socket.socketpair()
    with wake, poke:
        session = LeavingSession(
            SessionConfig(city.mosquitto.url, "w1", ("#",), "misto"),
            on_messages=lambda messages, generation: got.extend(messages),
            finished=finished,
            has_room=lambda: True,
            wake=wake,
            drain=lambda: None,
            on_connected=lambda present: None,
            on_disconnected=lambda: None,
            unfinished=lambda: len(got) - handed,
        )
        session._protocol.five = False
        session.run(threading.Event())
    assert session.gone
    assert session.existed
    assert sorted(each.payload.decode() for each in got) == sorted(message(number) for number in range(200))
    assert session.acknowledged == 200
    assert not city.session_present("w1", mqtt.MQTTv311)
