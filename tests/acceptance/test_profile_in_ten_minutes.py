"""The way from an unreadable message to a profile, word for word as docs/profiles.md tells it, beside the real services."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import psycopg

from misto.runtime import MosquittoServer
from tests.processes import Process, Publisher, environment, wait_for

PAGE = Path(__file__).parents[2] / "docs" / "profiles.md"
TOPIC = "application/1/device/24e124713d00aa11/event/up"


def steps() -> list[str]:
    """The commands of each step."""
    page = PAGE.read_text(encoding="utf-8")
    section = page.split("## From an unreadable message to a profile in ten minutes")[1].split("\n## ")[0]
    return [dedent(block) for block in re.findall(r"^ *```sh\n(.*?)^ *```", section, re.DOTALL | re.MULTILINE)]


def odd(hour: int, energy_kwh: float, power_kw: float) -> str:
    info = {"devEui": "24e124713d00aa11", "deviceProfileName": "Odd 1"}
    fields = {"total_energy": energy_kwh, "odd_power": power_kw, "battery": 87, "serial": "A8 1234 5678"}
    return json.dumps({"deviceInfo": info, "time": f"2026-03-02T{hour:02}:20:00Z", "fPort": 5, "object": fields})


def test_word_for_word(
    own_mosquitto: MosquittoServer, database: psycopg.Connection[Any], database_url: str, tmp_path: Path
) -> None:
    def ingest(**settings: object) -> Process:
        return Process(
            "ingest", log=tmp_path / "log", port_setting="ingest_metrics_port",
            database_url=database_url, mqtt_url=own_mosquitto.url, **settings,
        )  # fmt: skip

    def run(step: str) -> str:
        """The step's commands in the user's shell; `export` holds for the steps after it."""
        script = (
            f"set -e\n[ ! -e settings ] || . ./settings\n{step}\nexport -p | grep MISTO_PROFILES_DIR > settings || true"
        )
        search = {"PATH": f"{Path(sys.executable).parent}:{environment()['PATH']}"}
        done = subprocess.run(
            ["/bin/sh", "-c", script], cwd=tmp_path, env=environment(database_url=database_url) | search,
            capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{step}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def count(query: str) -> int:
        row = database.execute(query).fetchone()  # type: ignore[arg-type]
        return int(row[0]) if row is not None else 0

    with ingest() as process, Publisher(own_mosquitto.url) as publisher:
        process.wait_well()
        for number, (energy_kwh, power_kw) in enumerate([(1041.6, 0.52), (1042.1, 0.49), (1042.7, 0.61)]):
            publisher.send(TOPIC, odd(number + 8, energy_kwh, power_kw))
            publisher.settle()
            wait_for(lambda: count("SELECT count(*) FROM quarantine") == number + 1, process.log.read_text())  # noqa: B023
        publisher.settle()
        assert process.stop() == 0

    show, save, decode, new, test, place, replay = steps()
    said = run(show)
    assert "3 messages in quarantine" in said
    assert "misto profile new" in said
    run(save)
    said = run(decode)
    assert "problem     unknown_profile: no profile knows this model (Odd 1)" in said
    assert f"misto profile new FILE --topic '{TOPIC}'" in said
    said = run(new)
    assert "odd-1.yaml: 3 fields mapped, 1 left for you to look at" in said
    drafted = (tmp_path / "odd-1.yaml").read_text(encoding="utf-8")
    assert "24e124713d00aa11" not in drafted
    assert "1234" not in drafted
    assert run(test).endswith("odd-1.yaml: odd-1: well, 1 example\n")
    said = run(place)
    assert "odd_power" in said
    assert "→ power_w 520" in said
    with ingest(profiles_dir=tmp_path / "profiles") as process, Publisher(own_mosquitto.url) as publisher:
        process.wait_well()
        assert run(replay).startswith("3 messages read and removed from quarantine: 6 readings stored, 3 were there")
        publisher.send(TOPIC, odd(11, 1043, 0.5))
        publisher.settle()
        wait_for(lambda: count("SELECT count(*) FROM readings") == 12, process.log.read_text())
        assert process.stop() == 0
    assert count("SELECT count(*) FROM quarantine") == 0
    powers = database.execute(
        "SELECT r.time, r.value FROM readings AS r JOIN metric AS m USING (metric_id) WHERE m.name = 'power_w' ORDER BY 1"
    ).fetchall()
    assert [(moment.hour, value) for moment, value in powers] == [(8, 520), (9, 490), (10, 610), (11, 500)]
