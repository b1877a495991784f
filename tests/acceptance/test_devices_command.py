"""`misto devices` and `misto inventory` as people run them, and devices claimed while ingest runs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import psycopg
import pytest

from store.registry import register_unclaimed
from tests.processes import Process, Publisher, environment, wait_for

Database = psycopg.Connection[Any]

CITY = """\
version: 1
city: {name: {en: Town, uk: Місто}, time_zone: Europe/Kyiv, latitude: 48.9, longitude: 24.7}
zones: [{id: centre, name: {en: Centre, uk: Центр}}]
contractors: [{id: clean, name: {en: Clean, uk: Чисто}, phone: "+380 342"}]
tariffs: [{kind: water, price: 32.5, valid_from: 2026-01-01}]
"""
SITES = """\
sites:
  - id: school
    kind: building
    use: school
    name: {en: School, uk: Школа}
    zone: centre
    latitude: 48.9
    longitude: 24.7
    labels: {owner: city}
    points:
      - {id: school-electricity, kind: electricity, register_digits: 6, devices: [{address: meter-1}]}
      - {id: school-water, kind: water}
  - id: yard
    kind: stand
    name: {en: Yard, uk: Двір}
    latitude: 48.9
    longitude: 24.7
"""


@pytest.fixture
def city(tmp_path: Path) -> Path:
    file = tmp_path / "city.yaml"
    file.write_text(CITY + SITES, encoding="utf-8")
    return file


def misto(database_url: str, *arguments: object, status: int = 0) -> list[str]:
    """Run a command; returns what it printed."""
    done = subprocess.run(
        [Path(sys.executable).with_name("misto"), *map(str, arguments)],
        env=environment(database_url=database_url), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return (done.stdout + done.stderr).splitlines()


def test_a_device_from_the_first_message_to_its_release(
    city: Path, tmp_path: Path, database_url: str, database: Database
) -> None:
    said = misto(database_url, "inventory", "load", city)
    assert "added    point      school-water: at the site school" in said
    register_unclaimed(
        database, "24e12471", profile=None, kind="weather",
        guess={"envelope": "tasmota", "metrics": ["water_m3"], "names": ["WM-1"], "kind": "water", "name": "cellar\x1b"},
    )  # fmt: skip
    listed = misto(database_url, "devices", "list", "--unclaimed")
    assert listed == [
        "24e12471  unclaimed: seems water; model WM-1; name cellar�; not heard yet",
        "1 devices, 1 unclaimed",
    ]
    (told,) = json.loads("\n".join(misto(database_url, "devices", "list", "--unclaimed", "--json")))
    assert told["seems"] == {
        "kind": "water", "profile": None, "format": "tasmota", "model_names": ["WM-1"], "metrics": ["water_m3"],
        "told": {"kind": "water", "name": "cellar\x1b"},
    }  # fmt: skip

    said = misto(database_url, "devices", "claim", "24E1 2471", "--point", "school-water")
    assert said[0] == "24e12471 is at the point school-water; 0 of its readings moved there"
    said = misto(
        database_url, "devices", "claim", "dev-9", "--site", "yard", "--kind", "bin", "--fraction", "glass",
        "--empty-mm", 1500, "--contractor", "clean", "--interval", "30m", "--from", "2026-03-01 12:00",
    )  # fmt: skip
    assert said[:2] == [
        "dev-9 is at the point yard-glass; 0 of its readings moved there",
        "it has not been heard yet: is the address right?",
    ]
    said = misto(
        database_url, "devices", "swap", "school-electricity", "meter-2", "--at", "2026-03-01T12:00",
        "--register-end", 48213.7, "--register-start", 0.3,
    )  # fmt: skip
    assert said[0].startswith("school-electricity: meter-1 until 2026-03-01T12:00:00+02:00, then meter-2; 0 of")
    assert "  at yard-glass since 2026-03-01T12:00:00+02:00 – by hand" in misto(
        database_url, "devices", "show", "dev-9"
    )
    shown = json.loads("\n".join(misto(database_url, "devices", "show", "meter-1", "--json")))
    assert (shown["state"], shown["history"][0]["register_end"]) == ("retired", 48213.7)

    # The file does not know it, and it stays; the export does.
    kept = [line for line in misto(database_url, "inventory", "load", city) if line.startswith("by hand")]
    assert sorted(line.split()[3].strip(":") for line in kept) == [
        "24e12471", "dev-9", "meter-1", "meter-2", "yard-glass",
    ]  # fmt: skip
    export = tmp_path / "export.yaml"
    misto(database_url, "inventory", "export", export)
    assert "right; 2 sites, 3 points" in misto(database_url, "inventory", "check", export)[0]
    assert "changes: nothing differs" in misto(database_url, "inventory", "load", export)
    assert misto(database_url, "inventory", "export") == export.read_text(encoding="utf-8").splitlines()
    assert misto(database_url, "inventory", "load", export)[-1] == "changes: nothing differs"

    assert misto(database_url, "devices", "release", "dev-9")[0] == "dev-9 is no longer at yard-glass"
    assert misto(database_url, "devices", "list", "--unclaimed")[0].startswith("dev-9  unclaimed: seems bin")


def test_what_is_refused_is_a_sentence(city: Path, tmp_path: Path, database_url: str) -> None:
    assert misto(database_url, "inventory", "export", status=1) == [
        "misto: the database has no city yet; `misto inventory load` brings one"
    ]
    table = tmp_path / "points.csv"
    table.write_text("site;latitude\na;1\n")
    assert "the database has no city yet" in misto(database_url, "inventory", "load", table, status=1)[0]
    misto(database_url, "inventory", "load", city)
    for arguments, sentence in (
        (["claim", "x"], "give either --point POINT_ID or --site SITE"),
        (["claim", "x", "--point", "a", "--site", "b"], "give either"),
        (["claim", "x", "--point", "school-water", "--kind", "gas"], "what describes a new point goes with --site"),
        (["claim", "x", "--point", "none"], "there is no point none"),
        (["claim", "x", "--point", "school-electricity"], "the device meter-1 is at the point school-electricity already"),
        (["claim", "meter-1", "--point", "school-water"], "the device meter-1 is at the point school-electricity"),
        (["claim", "x", "--site", "none", "--kind", "gas"], "there is no site none"),
        (["claim", "x", "--site", "yard"], "--kind must be one of electricity, heat"),
        (["claim", "x", "--site", "yard", "--kind", "bin"], "a bin needs its --fraction"),
        (["claim", "x", "--site", "yard", "--kind", "gas", "--id", "school-water"], "there is a point school-water already"),
        (["claim", "x", "--site", "yard", "--kind", "gas", "--contractor", "me"], "there is no contractor 'me'"),
        (["claim", "x", "--site", "yard", "--kind", "gas", "--interval", "9"], "--interval must be a number with a unit"),
        (["claim", "x", "--point", "school-water", "--from", "soon"], "'soon' is no time"),
        (["claim", "x", "--point", "school-water", "--from", "2999-01-01"], "is in the future"),
        (["swap", "school-water", "x"], "no device is at the point school-water; use `misto devices claim`"),
        (["swap", "none", "x"], "there is no point none"),
        (["release", "x"], "there is no device x"),
        (["show", "x"], "there is no device x"),
    ):  # fmt: skip
        (said,) = misto(database_url, "devices", *arguments, status=1)
        assert said.startswith("misto: ")
        assert sentence in said
    assert misto(database_url, "devices", "list") == [
        "meter-1  at school-electricity; not heard yet",
        "1 devices, 0 unclaimed",
    ]


def test_a_dry_run_and_a_table(city: Path, tmp_path: Path, database_url: str, database: Database) -> None:
    said = misto(database_url, "inventory", "load", city, "--dry-run")
    assert said[-1].startswith("nothing was changed; a load would bring: ")
    assert database.execute("SELECT count(*) FROM city").fetchone() == (0,)
    misto(database_url, "inventory", "load", city)

    head = tmp_path / "head.yaml"
    head.write_text(CITY, encoding="utf-8")
    table = tmp_path / "points.csv"
    table.write_bytes(
        b"\xef\xbb\xbf"
        + (
            "site;site_name_en;site_name_uk;use;zone;latitude;longitude;site_label:owner;point;kind;register_digits;device\r\n"
            "school;School;Школа;school;centre;48,9;24,7;city;school-electricity;electricity;6;meter-2\r\n"
            "school;;;;;;;;school-gas;gas;;gas-1\r\n"
        ).encode()
    )
    expected = [
        "added    point      school-gas: at the site school",
        "retired  site       yard",
        "retired  point      school-water",
        "swapped  point      school-electricity: meter-1 → meter-2, since ",
        "added    device     gas-1 at school-gas: since ever",
    ]

    def shortened(lines: list[str]) -> list[str]:
        return sorted(
            re.sub(r"since \d.*", "since ", line)
            for line in lines
            if line.split()[0] in ("added", "retired", "swapped")
        )

    together = misto(database_url, "inventory", "load", head, "--points", table, "--dry-run")
    alone = misto(database_url, "inventory", "load", table, "--dry-run")
    assert shortened(together) == shortened(alone) == sorted(expected)
    assert "right" in misto(database_url, "inventory", "check", table)[0]
    assert "right" in misto(database_url, "inventory", "check", head, "--points", table)[0]
    assert shortened(misto(database_url, "inventory", "load", table)) == sorted(expected)
    assert misto(database_url, "inventory", "load", table)[-1] == "changes: nothing differs"
    table.write_text("site;latitude;kind\na;x;gas\n")
    said = misto(database_url, "inventory", "load", head, "--points", table, status=1)
    assert f"{table}:2: column B (latitude): Input should be a valid number" in " ".join(said)
    assert "is a table itself" in misto(database_url, "inventory", "load", table, "--points", table, status=1)[0]


def test_a_device_is_claimed_while_it_sends(
    city: Path, tmp_path: Path, database_url: str, database: Database, mqtt_url: str
) -> None:
    misto(database_url, "inventory", "load", city)
    root = f"t{uuid.uuid4().hex[:8]}"
    with (
        Process(
            "ingest", log=tmp_path / "ingest.log", port_setting="ingest_metrics_port", database_url=database_url,
            mqtt_url=mqtt_url, mqtt_topics=f"misto/{root}/up,tele/{root}/#", mqtt_client_id=root,
        ) as ingest,
        Publisher(mqtt_url) as publisher,
    ):  # fmt: skip
        ingest.wait_well()
        announcement = {"Info1": {"Module": "Sonoff POW", "Version": "14.1.0", "FallbackTopic": "x", "GroupTopic": "y"}}
        publisher.send(f"tele/{root}/INFO1", json.dumps(announcement))
        start = time.time()
        sent = 0

        def send(count: int) -> None:
            nonlocal sent
            for _ in range(count):
                reading = {"time": start - 1000 + sent, "water_m3": 5 + sent / 100}
                publisher.send(f"misto/{root}/up", json.dumps(reading))
                sent += 1
            publisher.settle()

        def stored(code: str) -> int:
            row = database.execute(
                "SELECT count(*) FROM readings JOIN point USING (point_id) WHERE code = %s", [code]
            ).fetchone()
            assert row is not None
            return int(row[0])

        send(50)
        wait_for(lambda: stored(f"unclaimed:{root}") == 50, "the readings are kept")

        def told() -> bool:
            row = database.execute("SELECT guess FROM device WHERE address = %s", [root]).fetchone()
            return row is not None and row[0].get("envelope") == "plain_json" and "model" in row[0]

        wait_for(told, f"what the device told is written: {ingest.log.read_text()}", 20)
        misto(database_url, "devices", "claim", root, "--point", "school-water")
        send(50)
        wait_for(lambda: stored("school-water") + stored(f"unclaimed:{root}") == 100, "all readings are kept")
        wait_for(lambda: stored("school-water") == 100, "all readings are at the point", 90)
        assert database.execute("SELECT count(*) FROM quarantine").fetchone() == (0,)
        assert ingest.stop() == 0
