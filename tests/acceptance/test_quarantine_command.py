"""`misto quarantine` as a person uses it, beside the real services."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from misto.runtime import MosquittoServer
from tests.processes import Process, Publisher, environment, wait_for

Database = psycopg.Connection[Any]

PROFILE = """
version: 1
id: odd-meter
maker: Odd
model: Odd 1
kind: electricity
documentation: none
envelopes: [lorawan]
recognise: {names: [Odd 1]}
fields:
  odd_power: {metric: power_w, unit: kW}
examples:
  - topic: application/1/device/00a1/event/up
    payload: {deviceInfo: {devEui: 00a1, deviceProfileName: Odd 1}, object: {odd_power: 0.5}}
    readings: {power_w: 500}
"""


class Command:
    """Runs `misto quarantine …`."""

    def __init__(self, **settings: object) -> None:
        self._settings = settings

    def __call__(self, *arguments: str, answer: str = "", status: int = 0, **settings: object) -> str:
        done = subprocess.run(
            [Path(sys.executable).with_name("misto"), "quarantine", *arguments],
            env=environment(**(self._settings | settings)) | {"COLUMNS": "120"}, input=answer.encode(),
            capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        self.errors = done.stderr.decode()
        assert done.returncode == status, f"{done.stdout.decode()}\n{self.errors}"
        assert "Traceback" not in self.errors
        return done.stdout.decode(errors="replace")


@pytest.fixture
def quarantine(database_url: str) -> Command:
    return Command(database_url=database_url)


@pytest.fixture
def ingest(own_mosquitto: MosquittoServer, database_url: str, tmp_path: Path) -> Iterator[Process]:
    with Process(
        "ingest", log=tmp_path / "log", port_setting="ingest_metrics_port",
        database_url=database_url, mqtt_url=own_mosquitto.url,
    ) as process:  # fmt: skip
        process.wait_well()
        yield process
        assert process.stop() == 0, process.log.read_text()


def one(database: Database, query: str) -> Any:
    row = database.execute(query).fetchone()  # type: ignore[arg-type]
    return None if row is None else row[0]


def begun(database: Database, before: int) -> bool:
    """Whether some hundreds have left the quarantine since there were so many."""
    return bool(one(database, "SELECT count(*) FROM quarantine") < before - 300)


def odd(address: str, power_kw: float) -> str:
    return json.dumps(
        {
            "deviceInfo": {"devEui": address, "deviceProfileName": "Odd 1", "tags": {"appKey": "00112233aabb"}},
            "object": {"odd_power": power_kw},
        }
    )


def test_from_the_broker_to_readings(
    ingest: Process, own_mosquitto: MosquittoServer, database: Database, quarantine: Command, tmp_path: Path
) -> None:
    assert quarantine("list") == "nothing in quarantine\n"
    with Publisher(own_mosquitto.url) as publisher:
        for number in range(3):
            publisher.send("application/1/device/00a1/event/up", odd("00a1", number / 2))
        publisher.send("application/1/device/00a2/event/up", odd("00a2", 9))
        publisher.send("misto/c1/up", "hel\x1blo")
        publisher.send("misto/c2/up", '{"power_w": "much", "voltage_v": 230}')
        publisher.send("misto/c3/up", b"\xff\xfe\x00\x01")
        publisher.settle()
    wait_for(lambda: one(database, "SELECT count(*) FROM quarantine") == 7, ingest.log.read_text())
    when = database.execute(
        "SELECT received_at FROM quarantine WHERE reason = 'unknown_profile' AND topic LIKE '%00a1%' ORDER BY 1"
    ).fetchall()

    listed = quarantine("list")
    assert re.search(r"^7 messages in quarantine, 0\.\d of 1,024 MB, the oldest of 20", listed)
    rows = [line.split() for line in listed.splitlines()[2:7]]
    assert [(row[0], row[3], row[4]) for row in rows] == [
        ("3", "unknown_profile", "00a1"), ("1", "bad_value", "c2"), ("1", "not_json", "not"), ("1", "not_json", "not"),
        ("1", "unknown_profile", "00a2"),
    ]  # fmt: skip
    assert "ff fe 00 01" in listed
    assert "00112233aabb" not in listed
    assert "\x1b" not in listed
    assert len(re.findall(r"^#", quarantine("list", "--limit", "2"), re.MULTILINE)) == 2
    assert len(re.findall(r"^#", quarantine("list", "--device", "00A1"), re.MULTILINE)) == 3
    assert quarantine("list", "--since", "2099-01-01") == "nothing in quarantine fits\n"
    assert quarantine("list", "--since", "1h", "--reason", "not_json").startswith("2 messages")
    quarantine("list", "--since", "yesterday", status=1)
    assert "expected for example 24h" in quarantine.errors

    number = str(one(database, "SELECT min(quarantine_id) FROM quarantine WHERE reason = 'unknown_profile'"))
    shown = quarantine("show", number)
    for words in (
        "topic:      application/1/device/00a1/event/up", "device:     00a1",
        "reason:     unknown_profile: The format is known, but no profile", "detail:     no profile knows this model",
        "what to do: Write a profile for this model", "bytes; secrets are hidden", '"odd_power": 0.0', '"appKey": "***"',
    ):  # fmt: skip
        assert words in shown, words
    assert json.loads(quarantine("show", number, "--raw")) == json.loads(odd("00a1", 0))
    quarantine("show", "99999", status=1)
    assert quarantine.errors == "misto: there is no message 99999 in quarantine\n"

    quarantine("replay", status=1)
    assert "say which" in quarantine.errors
    said = quarantine("replay", "--all")
    assert "7 messages still cannot be read:\n         4  unknown_profile\n" in said
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "odd-meter.yaml").write_text(PROFILE, encoding="utf-8")
    said = quarantine("replay", "--reason", "unknown_profile", "--device", "00a1", profiles_dir=tmp_path / "own")
    assert said == "3 messages read and removed from quarantine: 3 readings stored, 0 were there already\n"
    stored = database.execute(
        "SELECT r.time, r.value FROM readings AS r JOIN metric AS m USING (metric_id) WHERE m.name = 'power_w' ORDER BY 1"
    ).fetchall()
    assert stored == [(moment[0], number * 500) for number, moment in enumerate(when)]
    assert quarantine("replay", number).startswith("1 of these numbers are not in quarantine, or no longer\nnothing")
    assert quarantine("replay", "--all", profiles_dir=tmp_path / "own").startswith("1 message read")
    assert one(database, "SELECT count(*) FROM readings") == 5

    assert "drop 1 message for good? [y/N]" in quarantine("drop", "--reason", "bad_value", answer="n\n", status=1)
    assert one(database, "SELECT count(*) FROM quarantine") == 3
    assert quarantine("drop", "--reason", "bad_value", answer="y\n").endswith("dropped 1 message\n")
    assert quarantine("drop", "--all", "--yes") == "dropped 2 messages\n"
    quarantine("drop", "--all", "7", "--yes", status=1)
    assert database.execute("SELECT reason, cause, messages FROM quarantine_gone ORDER BY 1, 2").fetchall() == [
        ("bad_value", "by_hand", 1), ("not_json", "by_hand", 2), ("unknown_profile", "replayed", 4),
    ]  # fmt: skip


def test_a_replay_that_is_killed_beside_a_running_ingest(
    ingest: Process, own_mosquitto: MosquittoServer, database: Database, database_url: str, quarantine: Command,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Killed again and again; at the end every reading is there once, and each message in one place."""
    count = 6000
    database.execute(
        "INSERT INTO quarantine (received_at, topic, payload, reason, detail, digest)"
        " SELECT now() - n * interval '6 s', 'misto/k' || n %% 20 || '/up',"
        "   convert_to('{\"power_w\": ' || n || '}', 'UTF8'), 'not_json', '', n::text::bytea"
        " FROM generate_series(1, %s) AS n",
        [count],
    )
    live = 0
    with Publisher(own_mosquitto.url) as publisher:
        for attempt in range(3):
            before = one(database, "SELECT count(*) FROM quarantine")
            with Process(
                "quarantine", "replay", "--all", log=tmp_path / "replay", database_url=database_url
            ) as process:
                for _ in range(100):
                    publisher.send(f"misto/k{live % 20}/up", json.dumps({"power_w": 1_000_000 + live}))
                    live += 1
                publisher.send("misto/k1/up", "rubbish")
                wait_for(partial(begun, database, before), "the replay has begun")
                process.kill()
            left, stored, logged = database.execute(
                "SELECT (SELECT count(*) FROM quarantine WHERE payload <> 'rubbish'),"
                " (SELECT count(*) FROM readings WHERE value < 1000000),"
                " (SELECT messages FROM quarantine_gone WHERE cause = 'replayed')"
            ).fetchone() or (0, 0, 0)
            assert 0 < left < count, f"attempt {attempt} was too slow or too quick"
            assert left + stored == count
            assert stored == logged
        publisher.settle()
    said = quarantine("replay", "--all")
    assert "3 messages still cannot be read:\n         3  not_json\n" in said
    wait_for(lambda: one(database, "SELECT count(*) FROM readings") == count + live, ingest.log.read_text())
    assert one(database, "SELECT count(DISTINCT value) FROM readings") == count + live
    assert one(database, "SELECT sum(reading_count) FROM reading_log") == count + live
    assert one(database, "SELECT count(*) FROM quarantine") == 3


def test_the_keeper_keeps_it_within_its_size_and_tells_prometheus(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    database.execute(
        "INSERT INTO quarantine (received_at, topic, payload, reason, detail, device_address, digest)"
        " SELECT now() - n * interval '1 min', 't', convert_to(repeat('x', 1000), 'UTF8'), 'not_json', '',"
        "   CASE WHEN n > 2990 THEN 'calm' ELSE 'mad' END, n::text::bytea FROM generate_series(1, 3000) AS n"
    )
    with Process(
        "keeper", log=tmp_path / "keeper", port_setting="keeper_metrics_port", database_url=database_url,
        quarantine_mb=1,
    ) as keeper:  # fmt: skip
        keeper.wait_well()
        wait_for(lambda: one(database, "SELECT sum(bytes) <= 1048576 FROM quarantine_entry"), keeper.log.read_text())
        wait_for(lambda: "MISTO_QUARANTINE_MB (1)" in keeper.log.read_text(), "it is logged")
        left = one(database, "SELECT count(*) FROM quarantine")
        with urllib.request.urlopen(f"http://127.0.0.1:{keeper.port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        assert f'misto_keeper_quarantine_messages{{reason="not_json"}} {left}.0' in text
        assert f'misto_keeper_quarantine_removed_total{{cause="too_much",reason="not_json"}} {3000 - left}.0' in text
        assert f'misto_keeper_dropped_total{{what="surplus_quarantined_messages"}} {3000 - left}.0' in text
        assert one(database, "SELECT count(*) FROM quarantine WHERE device_address = 'calm'") == 10
        assert keeper.stop() == 0


def test_what_the_database_refuses_is_a_sentence(database: Database, database_url: str, quarantine: Command) -> None:
    database.execute("ALTER ROLE misto_read PASSWORD 'for-this-test'")
    url = re.sub(r"//[^@]*@", "//misto_read:for-this-test@", database_url)
    for arguments in (("list",), ("drop", "--all", "--yes"), ("show", "1")):
        quarantine(*arguments, database_url=url, status=21)
        assert quarantine.errors.startswith("misto: the role misto_read may not read Misto's tables in 127.0.0.1")
    quarantine("list", database_url="postgresql://me@127.0.0.1:1/x", status=10)
    assert "cannot be reached" in quarantine.errors
