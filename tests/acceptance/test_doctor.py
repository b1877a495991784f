"""The doctor on real servers: what is well, what is wrong, and what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from misto.runtime import MosquittoServer
from store.rules_leases import change_hands, partitions, put_in_force, register
from store.service_state import beat
from tests.cities import bins, found
from tests.processes import environment


def doctor(**settings: object) -> tuple[int, dict[str, list[str]]]:
    """Exit status, and (level: text) by subject."""
    done = subprocess.run(
        [Path(sys.executable).with_name("misto"), "doctor", "--json"],
        env=environment(**settings), capture_output=True, text=True, check=False,
    )  # fmt: skip
    said: dict[str, list[str]] = {}
    for finding in json.loads(done.stdout):
        said.setdefault(finding["subject"], []).append(f"{finding['level']}: {finding['text']}")
        assert finding["level"] == "ok" or finding["remedy"]
    return done.returncode, said


def test_everything_is_well(database_url: str, database: psycopg.Connection, own_mosquitto: MosquittoServer) -> None:
    found(database, bins(2))
    now = database.execute("SELECT now()").fetchone()
    assert now is not None
    for service in ("ingest", "rules", "keeper", "board"):
        beat(database, service, service, now[0], {})
    hold_all(database, "one")
    database.execute(
        "INSERT INTO device_status (device_id, last_received_at) SELECT device_id, now() FROM device LIMIT 1"
    )
    status, said = doctor(database_url=database_url, mqtt_url=own_mosquitto.url)
    assert status == 0
    levels = {line.split(":")[0] for lines in said.values() for line in lines}
    assert levels == {"ok"}, said


def hold_all(database: psycopg.Connection, name: str, rules_hash: str = "h") -> None:
    """A worker on this connection that holds every partition."""
    worker_id, _ = register(database, name, rules_hash, 60, None)
    put_in_force(database, rules_hash)
    assert len(change_hands(database, worker_id, [(one[0], one[2]) for one in partitions(database)])) == 64


def test_who_judges_what(database_url: str, database: psycopg.Connection, own_mosquitto: MosquittoServer) -> None:
    found(database, bins(2))
    beat(database, "rules", "one", datetime.now(UTC), {})
    settings = {"database_url": database_url, "mqtt_url": own_mosquitto.url}
    assert doctor(**settings)[1]["rules"] == [
        "wrong: 64 of 64 partitions of the points are judged by nobody; workers: none"
    ]
    hold_all(database, "older", "old")
    assert doctor(**settings)[1]["rules"] == ["ok: partitions by worker: older (64)"]
    hold_all(database, "newer", "new")
    assert doctor(**settings)[1]["rules"] == [
        "ok: partitions by worker: older (0), newer (64)",
        "warning: the worker older has other rules than those in force and waits",
    ]


def test_everything_is_down() -> None:
    status, said = doctor(database_url="postgresql://x@127.0.0.1:1/misto", mqtt_url="mqtt://127.0.0.1:1", board_prot=1)
    assert status == 1
    assert said["settings"] == ["warning: there is no setting MISTO_BOARD_PROT"]
    assert "cannot be reached" in said["database"][0]
    assert "cannot be reached" in said["broker"][0]


def test_an_empty_database(empty_database_url: str, own_mosquitto: MosquittoServer) -> None:
    status, said = doctor(database_url=empty_database_url, mqtt_url=own_mosquitto.url)
    assert status == 1
    assert said["migrations"][0].startswith("wrong")


def test_no_inventory_another_zone_and_a_stranger(
    database_url: str, database: psycopg.Connection, own_mosquitto: MosquittoServer
) -> None:
    status, said = doctor(database_url=database_url, mqtt_url=own_mosquitto.url)
    assert (status, said["inventory"]) == (1, ["wrong: no inventory is loaded"])
    found(database, bins(1))
    # One has sent, the other has only told about itself.
    database.execute("INSERT INTO device (address, state) VALUES ('stranger', 'unclaimed'), ('announced', 'unclaimed')")
    database.execute(
        "INSERT INTO device_status (device_id, last_received_at, last_event_at, message_count)"
        " SELECT device_id, now(), now(), 1 FROM device WHERE address = 'stranger'"
    )
    database.execute("INSERT INTO service_heartbeat VALUES ('ingest', 'w', now(), now() - interval '3 hours')")
    _, said = doctor(database_url=database_url, mqtt_url=own_mosquitto.url, time_zone="Europe/Berlin")
    assert said["inventory"][1] == "wrong: the inventory's time zone is Europe/Kyiv, MISTO_TIME_ZONE is Europe/Berlin"
    assert said["devices"] == ["warning: 1 devices send and belong to no point"]
    assert said["ingest"] == ["wrong: was last alive 3 hours ago"]


def test_a_broker_that_refuses(database_url: str, binaries: object, server_folder: Path) -> None:
    server = MosquittoServer(binaries, server_folder / "refusing", extra="allow_anonymous false")  # type: ignore[arg-type]
    server.start()
    try:
        _, said = doctor(database_url=database_url, mqtt_url=server.url)
    finally:
        server.stop()
    assert said["broker"][0].startswith("wrong")
    assert "refuses the login (Not authorized)" in said["broker"][0]
