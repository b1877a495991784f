"""Servers stop, processes are killed: what the broker acknowledged is stored once."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import psycopg
import pytest

from misto.runtime import MosquittoServer, PostgresServer
from tests.processes import Process, Publisher, wait_for

BASE_S = 1_770_000_000


def message(number: int) -> str:
    content: dict[str, object] = {"power_w": number, "voltage_v": 230}
    # Every fifth has no time of its own: only its first delivery may give it one.
    if number % 5:
        content["time"] = BASE_S + number
    return json.dumps(content)


def start(tmp_path: Path, postgres: PostgresServer, mosquitto: MosquittoServer, name: str = "log") -> Process:
    return Process(
        "ingest", log=tmp_path / name, port_setting="ingest_metrics_port",
        database_url=postgres.url, mqtt_url=mosquitto.url,
    )  # fmt: skip


def numbers(url: str) -> list[int]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT value::int FROM readings JOIN metric USING (metric_id) WHERE name = 'power_w' ORDER BY 1"
        ).fetchall()
    return [row[0] for row in rows]


def check(postgres: PostgresServer, total: int, log: Path) -> None:
    def all_there() -> bool:
        return len(set(numbers(postgres.url))) >= total

    wait_for(
        all_there, f"{total} messages stored, not {len(set(numbers(postgres.url)))}: {log.read_text()[-3000:]}", 60
    )
    assert numbers(postgres.url) == list(range(total))
    with psycopg.connect(postgres.url) as connection:
        logged = connection.execute("SELECT sum(reading_count) FROM reading_log").fetchone()
        assert logged == (2 * total,)
        assert connection.execute("SELECT count(*) FROM quarantine").fetchone() == (0,)


def test_the_database_stops_and_comes_back(
    own_postgres: PostgresServer, own_mosquitto: MosquittoServer, tmp_path: Path
) -> None:
    with start(tmp_path, own_postgres, own_mosquitto) as ingest, Publisher(own_mosquitto.url) as publisher:
        ingest.wait_well()
        for number in range(500):
            publisher.send("misto/m1/up", message(number))
        own_postgres.kill()
        for number in range(500, 3000):
            publisher.send("misto/m1/up", message(number))
        publisher.settle()
        wait_for(lambda: ingest.health()[0] == 503, "the process says that the database is away")
        assert "database" in ingest.health()[1]
        time.sleep(2)
        own_postgres.start()
        check(own_postgres, 3000, ingest.log)
        ingest.wait_well()
        assert ingest.stop() == 0


def test_the_broker_stops_and_comes_back(
    own_postgres: PostgresServer, own_mosquitto: MosquittoServer, tmp_path: Path
) -> None:
    with start(tmp_path, own_postgres, own_mosquitto) as ingest, Publisher(own_mosquitto.url) as publisher:
        ingest.wait_well()
        for number in range(1000):
            publisher.send("misto/m1/up", message(number))
        publisher.settle()
        own_mosquitto.stop()
        wait_for(lambda: ingest.health()[0] == 503, "the process says that the broker is away")
        own_mosquitto.start()
        for number in range(1000, 2000):
            publisher.send("misto/m1/up", message(number))
        publisher.settle()
        check(own_postgres, 2000, ingest.log)


@pytest.mark.parametrize("seed", [1, 2])
def test_ingest_is_killed_in_the_middle_of_a_stream(
    own_postgres: PostgresServer, own_mosquitto: MosquittoServer, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    total = 8000
    sent = 0
    ingest = start(tmp_path, own_postgres, own_mosquitto)
    ingest.wait_well()
    with Publisher(own_mosquitto.url) as publisher:
        for _ in range(4):
            part = total // 4
            for number in range(sent, sent + part):
                publisher.send("misto/m1/up", message(number))
            sent += part
            time.sleep(chance.uniform(0.05, 0.6))
            ingest.kill()
            ingest = start(tmp_path, own_postgres, own_mosquitto)
        publisher.settle()
    with ingest:
        check(own_postgres, total, ingest.log)
        assert ingest.stop() == 0


def test_a_new_process_knows_devices_that_described_themselves_long_ago(
    own_postgres: PostgresServer, own_mosquitto: MosquittoServer, tmp_path: Path
) -> None:
    """Homie's description is retained and was delivered before; the session is there, what was learnt is not."""
    description = {
        "homie": "5.0", "version": 1, "name": "Hall",
        "nodes": {"air": {"properties": {"p1": {"name": "Temperature", "datatype": "float", "unit": "°C"}}}},
    }  # fmt: skip

    def temperatures() -> list[float]:
        with psycopg.connect(own_postgres.url) as connection:
            rows = connection.execute(
                "SELECT value FROM readings JOIN metric USING (metric_id) WHERE name = 'temperature_c' ORDER BY time"
            ).fetchall()
        return [row[0] for row in rows]

    with Publisher(own_mosquitto.url) as publisher:
        for number, value in enumerate((20.5, 21.5)):
            with start(tmp_path, own_postgres, own_mosquitto, f"log{number}") as ingest:
                ingest.wait_well()
                if number == 0:
                    publisher.send("homie/5/hall-1/$description", json.dumps(description), retain=True)
                publisher.settle()
                time.sleep(1)
                publisher.send("homie/5/hall-1/air/p1", str(value))
                publisher.settle()
                expected = [20.5, 21.5][: number + 1]
                wait_for(lambda: temperatures() == expected, f"{expected}: {ingest.log.read_text()[-2000:]}", 20)  # noqa: B023
                assert ingest.stop() == 0
