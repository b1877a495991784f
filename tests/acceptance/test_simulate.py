"""`misto simulate` and `misto score` as a person runs them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from catalogue.faults import fault_kinds
from catalogue.inventory import read_inventory
from misto.runtime import MosquittoServer
from simulators.truth import TruthFile
from store.reading_log import lag
from store.registry import sync_inventory
from tests.processes import Process, environment, wait_for

MISTO = Path(sys.executable).with_name("misto")
TOWN = ["--buildings", "3", "--bins", "8"]
Connect = Callable[[], psycopg.Connection]


def misto(*arguments: object, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MISTO, *map(str, arguments)], env=environment(**settings), capture_output=True, text=True, timeout=240
    )


@pytest.fixture
def town(tmp_path: Path) -> Path:
    path = tmp_path / "city.yaml"
    made = misto("simulate", "city", *TOWN)
    assert made.returncode == 0, made.stderr
    path.write_text(made.stdout, encoding="utf-8")
    return path


SCENARIO = """\
version: 1
from: 2026-03-01T00:00:00+02:00
to: 2026-03-11T00:00:00+02:00
faults:
  - {kind: bin-fire, at: [2026-03-04T10:00:00+02:00], lasts: 2h, where: {point: [stand-00001-mixed]}}
  - {kind: bin-tipped, at: [2026-03-05T10:00:00+02:00], lasts: 5h, where: {point: [stand-00001-paper]}}
  - {kind: slow-leak, at: [2026-03-05T10:00:00+02:00], lasts: 5d, amount: 300, where: {site: [building-0001]}}
  - {kind: weak-line, at: [2026-03-06T10:00:00+02:00], lasts: 4h, where: {site: [building-0002]}}
  - {kind: garbage, at: [2026-03-06T10:00:00+02:00], lasts: 6h, amount: 0.5, where: {site: [building-0001]}}
  - {kind: duplicates, at: [2026-03-02T10:00:00+02:00], lasts: 3d, where: {kind: [bin]}}
  - {kind: out-of-order, at: [2026-03-06T00:00:00+02:00], lasts: 3d, where: {kind: [bin, electricity]}}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "scenario.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    return path


def test_faults_are_listed_with_what_a_person_would_notice() -> None:
    listed = misto("simulate", "faults")
    assert listed.returncode == 0
    for kind in fault_kinds().values():
        assert kind.id in listed.stdout
        assert kind.en in listed.stdout
    assert "Контейнер горить" in misto("simulate", "faults", "--language", "uk").stdout


def test_ten_days_over_mqtt_are_stored_judged_and_scored_as_without(
    database_url: str, database: psycopg.Connection, own_mosquitto: MosquittoServer,
    new_connection: Connect, town: Path, scenario: Path, tmp_path: Path,
) -> None:  # fmt: skip
    sync_inventory(database, read_inventory(town))
    database.commit()
    truth = tmp_path / "truth.jsonl"
    settings = {"database_url": database_url, "mqtt_url": own_mosquitto.url}
    with (
        Process("ingest", log=tmp_path / "ingest.log", port_setting="ingest_metrics_port", **settings) as ingest,
        Process(
            "rules",
            "run",
            log=tmp_path / "rules.log",
            port_setting="rules_metrics_port",
            judge_history=True,
            **settings,
        ) as rules,
    ):
        ingest.wait_well()
        rules.wait_well()
        sent = misto(
            "simulate", "run", "--city", town, "--scenario", scenario, "--from", "2026-03-01T00:00:00+02:00",
            "--to", "2026-03-11T00:00:00+02:00", "--speed", "max", "--truth", truth, simulator_metrics_port=0, **settings,
        )  # fmt: skip
        assert sent.returncode == 0, sent.stderr
        told = re.search(
            r"sent (\d+) messages .* (\d+) acknowledged by the broker; (\d+) unread\w+ and (\d+) copies", sent.stdout
        )
        assert told is not None, sent.stdout
        messages, acknowledged, garbage, copies = map(int, told.groups())
        assert messages == acknowledged > 10_000
        assert garbage > 5
        assert copies > 100

        def counted(statement: str) -> int:
            row = database.execute(statement).fetchone()
            database.rollback()
            assert row is not None
            return int(row[0])

        stored = "SELECT count(*) FROM (SELECT DISTINCT point_id, time FROM readings) AS message"
        wait_for(lambda: counted(stored) >= messages - garbage - copies, "everything is stored", 60)
        assert counted(stored) == messages - garbage - copies
        wait_for(lambda: counted("SELECT count(*) FROM quarantine") == garbage, "garbage is in quarantine")
        wait_for(lambda: lag(new_connection(), "rules").batches == 0, "everything is judged", 60)
        assert rules.stop() == 0
        assert ingest.stop() == 0
    online = misto("score", "--truth", truth, "--city", town, "--json", "-", **settings)
    assert online.returncode == 0, online.stderr
    offline = misto("score", "--scenario", scenario, "--city", town, "--json", "-", "--processes", "1")
    assert offline.returncode == 0, offline.stderr
    (one,), (other,) = (list(json.loads(text.stdout).values()) for text in (online, offline))
    for over_mqtt, straight in zip(one["rules"], other["rules"], strict=True):
        # Silence goes by reception, and ten days in seconds have none.
        if over_mqtt["rule"] != "device-silent":
            assert over_mqtt == straight
    found = {fault["kind"]: fault["recall"] for fault in one["faults"]}
    assert found["bin-fire"] == found["bin-tipped"] == found["slow-leak"] == found["weak-line"] == 1.0
    assert "slow-leak" in misto("score", "--truth", truth, "--city", town, **settings).stdout


def test_the_truth_of_a_time_is_written_without_a_broker(town: Path, scenario: Path, tmp_path: Path) -> None:
    written = misto("simulate", "truth", tmp_path / "truth.jsonl", "--city", town, "--scenario", scenario)
    assert written.returncode == 0, written.stderr
    kinds = {fault.kind for fault in TruthFile.read(tmp_path / "truth.jsonl").faults}
    assert kinds >= {"bin-fire", "bin-tipped", "slow-leak", "weak-line", "garbage"}


def test_it_is_paused_and_goes_on(own_mosquitto: MosquittoServer, town: Path, tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"

    def now() -> dict[str, object]:
        content: dict[str, object] = json.loads(summary.read_text()) if summary.exists() else {}
        return content

    with Process(
        "simulate", "run", "--city", str(town), "--from", "2d", "--speed", "3600", "--summary", str(summary),
        log=tmp_path / "log", port_setting="simulator_metrics_port", mqtt_url=own_mosquitto.url,
        database_url="postgresql://nobody@127.0.0.1:1/none",
    ) as process:  # fmt: skip
        process.wait_well()
        wait_for(lambda: bool(now().get("acknowledged")), "something is sent")
        os.kill(process._process.pid, signal.SIGUSR1)
        wait_for(lambda: now().get("paused") is True, "it says that it is paused")
        stands = now()["sent"]
        wait_for(lambda: now().get("paused") is True, "still", 1)
        assert now()["sent"] == stands
        os.kill(process._process.pid, signal.SIGUSR1)
        wait_for(lambda: int(str(now().get("sent"))) > int(str(stands)), "it goes on")
        assert process.stop() == 0
    assert "acknowledged by the broker" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["simulate", "run", "--speed", "fast"], "--speed fast is no speed; give a number from 1 on such as 720, or max"),
        (["simulate", "run", "--from", "yesterday"], "'yesterday' is no moment; give 2026-11-23T06:00:00Z or a duration"),
        (["simulate", "run", "--from", "2020-01-01T00:00:00Z"], "the simulation begins at 2025-01-01; 2020-01-01 lies before"),
        (["simulate", "run", "--from", "1h", "--to", "2h"], "--to lies before --from; there is nothing to play"),
        (["simulate", "run", "--scenario", "no.yaml"], "no.yaml: cannot be read: No such file or directory"),
        (["simulate", "truth", "out"], "say from when on: --from 30d, or `from:` in the scenario"),
        (["simulate", "city", "--buildings", "1", "--bins", "1", "--interval", "soon"], "--interval soon: must be a number"),
        (["score"], "give either --scenario FILE (simulated here) or --truth FILE (alerts of the database)"),
        (["score", "--truth", "no.jsonl"], "no.jsonl cannot be read"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = misto(*arguments, database_url="postgresql://nobody@127.0.0.1:1/none")
    assert done.returncode == 1
    assert done.stderr.startswith("misto: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_scenario_without_its_time_cannot_be_scored(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("version: 1\n")
    done = misto("score", "--scenario", path)
    assert done.returncode == 1
    assert "to be scored it needs from and to, for example from: 2025-09-01T00:00:00+03:00" in done.stderr
