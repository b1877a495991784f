"""`misto import` on a real database: exactly once through kills, derived like live data, no alerts about the past."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from misto.keeper import Keeper, KeeperConfig
from rules.loader import shipped_rules
from rules.service import RulesConfig, RulesService
from store.connection import connect
from store.rollups import is_due, refresh_noted
from store.writer import ReadingBatch, ReadingWriter
from tests.cities import bins, building, found
from tests.processes import Process, Publisher, environment, wait_for

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("MISTO_SHARED_DATA", ROOT.parent / "shared" / "data"))

Connect = Callable[[], psycopg.Connection[Any]]
MISTO = Path(sys.executable).with_name("misto")
ENERGY, POWER, FILL = 1, 4, 30
QUARTER = timedelta(minutes=15)


def run(*arguments: object, url: str, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MISTO, *map(str, arguments)], env=environment(database_url=url, **settings), capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def at(days_ago: float) -> datetime:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return now - timedelta(days=days_ago)


#: (time, device, metric, value)
Row = tuple[datetime, str, str, float]


def meters(days_ago: float, days: float, devices: int = 2) -> list[Row]:
    """Registers of meters that count, reset, and leave gaps, every quarter of an hour."""
    chance = random.Random(7)
    names = ["school-electricity-meter", "school-water-meter"][:devices]
    rows: list[Row] = []
    for number, name in enumerate(names):
        register = 100.0
        for step in range(round(days * 96)):
            register = 0.5 if chance.random() < 0.001 else register + chance.uniform(0, 2)
            if chance.random() < 0.9:
                moment = at(days_ago) + step * QUARTER + timedelta(seconds=chance.randrange(300))
                rows.append((moment, name, "energy_kwh" if number == 0 else "water_m3", round(register, 3)))
                if number == 0:
                    rows.append((moment, name, "power_w", round(chance.uniform(0, 5000), 1)))
    return rows


def write(path: Path, rows: list[Row]) -> Path:
    with path.open("w", encoding="utf-8") as file:
        file.write("time,device,metric,value\n")
        file.writelines(f"{moment.isoformat()},{name},{metric},{value}\n" for moment, name, metric, value in rows)
    return path


def store_live(connection: psycopg.Connection[Any], points: dict[str, int], rows: list[Row]) -> None:
    numbers = {"energy_kwh": ENERGY, "power_w": POWER, "water_m3": 25, "fill_level_pct": FILL}
    point = {"school-electricity-meter": "school-electricity", "school-water-meter": "school-water", "dev-0": "bin-0"}
    ReadingWriter(connection).write(
        ReadingBatch(
            np.array([round(row[0].timestamp() * 1e6) for row in rows], np.int64),
            np.array([points[point[row[1]]] for row in rows], np.int32),
            np.array([numbers[row[2]] for row in rows], np.int16),
            np.array([row[3] for row in rows]),
            np.zeros(len(rows), np.int16),
            time.time(),
        )
    )


def derive(url: str) -> None:
    keeper = Keeper(KeeperConfig(url, 36_500, 7, 90), threading.Event())
    with connect(url, service="test") as connection:
        while keeper.derive(connection):
            pass
        due = is_due(connection)
    if due:
        with connect(url, service="test", autocommit=True) as connection:
            while is_due(connection):
                refresh_noted(connection)


def judge(url: str, log: Path) -> None:
    """Let the rules read the log to its end."""
    with Process("rules", "run", log=log, port_setting="rules_metrics_port", database_url=url) as process:
        with connect(url, service="test", autocommit=True) as connection:

            def done() -> bool:
                row = connection.execute(
                    "SELECT count(*) FROM reading_log WHERE (xid, seq) > (SELECT xid, seq FROM log_position WHERE reader = 'rules')"
                ).fetchone()
                cursor = connection.execute("SELECT 1 FROM log_position WHERE reader = 'rules'").fetchone()
                return row == (0,) and cursor is not None

            wait_for(done, f"the rules have judged everything: {log.read_text()[-2000:]}", 60)
        assert process.stop() == 0
        assert "Traceback" not in log.read_text()


DERIVED = [
    "SELECT code, bucket, metric_id, round(amount::numeric, 6), quality FROM consumption_hourly JOIN point USING (point_id) ORDER BY 1, 2, 3",
    "SELECT code, day, metric_id, round(amount::numeric, 6) FROM consumption_daily JOIN point USING (point_id) ORDER BY 1, 2, 3",
    "SELECT code, bucket, metric_id, reading_count, value_first, value_last FROM readings_hourly JOIN point USING (point_id) ORDER BY 1, 2, 3",
    "SELECT code, bucket, metric_id, reading_count, value_min, value_max FROM readings_daily JOIN point USING (point_id) ORDER BY 1, 2, 3",
    "SELECT code, metric_id, time, value FROM point_latest JOIN point USING (point_id) ORDER BY 1, 2",
    "SELECT code, c.time, fill_before_pct, fill_after_pct FROM collection AS c JOIN point USING (point_id) ORDER BY 1, 2",
]


def derived(url: str) -> list[list[tuple[Any, ...]]]:
    with psycopg.connect(url, options="-c TimeZone=UTC") as connection:
        return [connection.execute(query).fetchall() for query in DERIVED]  # type: ignore[arg-type]


def count(connection: psycopg.Connection[Any]) -> int:
    return (connection.execute("SELECT count(*) FROM readings").fetchone() or (0,))[0]


def test_a_second_run_stores_nothing_and_says_so(
    database_url: str, database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    found(database, building())
    rows = meters(200, 60)
    file = write(tmp_path / "history.csv", rows)
    first = run("import", file, url=database_url)
    assert first.returncode == 0, first.stderr
    assert f"{len(rows):,} readings stored, 0 were there already, 0 rejected" in first.stdout
    assert count(database) == len(rows)
    log = database.execute("SELECT count(*) FROM reading_log").fetchone()
    again = run("import", file, url=database_url)
    assert f"0 readings stored, {len(rows):,} were there already, 0 rejected" in again.stdout
    assert "nothing was new" in again.stdout
    assert count(database) == len(rows)
    assert database.execute("SELECT count(*) FROM reading_log").fetchone() == log
    listed = run("import", "list", url=database_url).stdout.splitlines()
    assert [line.split()[:2] for line in listed] == [["#2", "finished"], ["#1", "finished"]]
    assert not (tmp_path / "history.csv.rejected.csv").exists()


def test_what_is_wrong_stands_in_the_reject_file_and_a_dry_run_stores_nothing(
    database_url: str, database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    found(database, building())
    rows = meters(20, 1)
    file = write(tmp_path / "history.csv", rows)
    moment = at(19).isoformat()
    with file.open("a") as out:
        out.write(f"{moment},nobody,power_w,1\nyesterday,school-water-meter,water_m3,1\n{moment},nobody,power_w,2\n")
    last = len(rows) + 1
    dry = run("import", file, "--dry-run", url=database_url)
    assert dry.returncode == 1
    assert f"2 × there is no device 'nobody' in the inventory: line {last + 1}, {last + 3}" in dry.stderr
    assert (
        f"1 × the time is none; expected for example 2026-11-23T10:15:00Z (such as 'yesterday'): line {last + 2}"
        in dry.stderr
    )
    assert f"{len(rows) + 3:,} records, {len(rows):,} readings of 2 points, energy_kwh, power_w, water_m3" in dry.stdout
    assert count(database) == 0
    assert database.execute("SELECT count(*) FROM import").fetchone() == (0,)

    stopped = run("import", file, url=database_url)
    assert stopped.returncode == 1
    assert (
        "names that are not known; its first 0 records are stored, and started again it goes on from there"
        in stopped.stderr
    )
    assert f"2 × there is no device 'nobody' in the inventory: line {last + 1}, {last + 3}" in stopped.stderr
    assert "Traceback" not in stopped.stderr

    skipped = run("import", file, "--on-unknown", "skip", url=database_url)
    assert skipped.returncode == 0, skipped.stderr
    assert f"{len(rows):,} readings stored, 0 were there already, 3 rejected" in skipped.stdout
    rejected = tmp_path / "history.csv.rejected.csv"
    assert rejected.read_text().splitlines() == [
        "time,device,metric,value,line,reason",
        f"{moment},nobody,power_w,1,{last + 1},there is no device 'nobody' in the inventory",
        f"yesterday,school-water-meter,water_m3,1,{last + 2},the time is none; expected for example 2026-11-23T10:15:00Z",
        f"{moment},nobody,power_w,2,{last + 3},there is no device 'nobody' in the inventory",
    ]

    claimed = run("import", rejected, "--on-unknown", "unclaimed", url=database_url)
    # Both have one time: the second is no other reading.
    assert "1 readings stored, 1 were there already, 1 rejected" in claimed.stdout, claimed.stderr
    assert database.execute("SELECT address FROM device WHERE state = 'unclaimed'").fetchall() == [("nobody",)]


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_any_moment_it_goes_on_and_misses_nothing(
    database_url: str, database: psycopg.Connection[Any], tmp_path: Path, seed: int
) -> None:
    found(database, building())
    chance = random.Random(seed)
    rows = meters(500, 450)
    rows.sort(key=lambda row: row[0]) if seed % 2 else None
    file = write(tmp_path / "history.csv", rows)
    bad = sorted(chance.sample(range(len(rows)), 40))
    lines = file.read_text().splitlines(keepends=True)
    for number in bad:
        lines[number + 1] = lines[number + 1].replace("20", "x", 1)
    file.write_text("".join(lines))

    def begin() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [MISTO, "import", file, "--rate", "20000"], env=environment(database_url=database_url),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def position() -> int:
        (at_most,) = database.execute("SELECT coalesce(max(position), 0) FROM import").fetchone() or (0,)
        return int(at_most)

    def is_past(reached: int) -> Callable[[], bool]:
        return lambda: position() > reached

    for to_be_waited_for in (True, False, True, False, True):
        process = begin()
        if to_be_waited_for:
            # Not before it has committed something: on a slow machine all would be killed at their start.
            wait_for(is_past(position()), "the import goes on")
        time.sleep(chance.uniform(0, 0.2 if to_be_waited_for else 2))
        process.kill()
        process.communicate()
    process = begin()
    _, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert "going on after" in told
    stored = [row for number, row in enumerate(rows) if number not in bad]
    assert count(database) == len(stored)
    # If it was killed after its last commit, another one has gone through the file and found nothing new.
    first = database.execute("SELECT position, stored, duplicates, rejected FROM import ORDER BY import_id").fetchone()
    assert first == (len(rows), len(stored), 0, len(bad))
    assert database.execute("SELECT sum(stored) FROM import").fetchone() == (len(stored),)
    rejected = (tmp_path / "history.csv.rejected.csv").read_text().splitlines()[1:]
    assert [int(line.split(",")[4]) for line in rejected][: len(bad)] == [number + 2 for number in bad]
    logged = database.execute("SELECT sum(reading_count) FROM reading_log").fetchone()
    assert logged == (len(stored),)


def test_derived_like_the_same_data_live(
    database_url: str, admin_url: str, template_database: str, tmp_path: Path
) -> None:
    """With fresh readings there before, during and after; also where an earlier import was killed and left."""
    from tests.conftest import _database

    rows = meters(120, 119)
    bin_rows: list[Row] = [
        (at(100) + hour * timedelta(hours=1), "dev-0", "fill_level_pct", 5 + 9 * (hour % 10)) for hour in range(900)
    ]
    recent, past = [row for row in rows if row[0] > at(3)], [row for row in rows if row[0] <= at(3)]
    answers = []
    for other in _database(admin_url, template_database):
        with connect(other, service="test") as connection:
            points = found(connection, bins(1), building())
            connection.commit()
            for some in (past, bin_rows, recent):
                store_live(connection, points, some)
        derive(other)
        answers.append(derived(other))
    with connect(database_url, service="test") as connection:
        points = found(connection, bins(1), building())
        connection.commit()
        store_live(connection, points, recent[: len(recent) // 2])
        derive(database_url)
        file = write(tmp_path / "history.csv", past + bin_rows)
        assert run("import", file, url=database_url).returncode == 0
        store_live(connection, points, recent[len(recent) // 2 :])
    derive(database_url)
    answers.append(derived(database_url))
    for query, live, imported in zip(DERIVED, *answers, strict=True):
        assert len(live) > 0, query
        assert imported == live, query


def test_what_a_killed_import_brought_is_derived_too(
    database_url: str, database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    found(database, building())
    file = write(tmp_path / "history.csv", meters(300, 280))
    process = subprocess.Popen(
        [MISTO, "import", file, "--rate", "20000"], env=environment(database_url=database_url),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(lambda: count(database) > 0, "something is stored")
    process.kill()
    process.wait()
    assert database.execute("SELECT count(*) FROM reading_log").fetchone() == (0,)
    database.execute("UPDATE import SET updated_at = now() - interval '2 minutes'")
    with Process(
        "keeper", log=tmp_path / "log", port_setting="keeper_metrics_port", database_url=database_url
    ) as keeper:
        wait_for(
            lambda: (database.execute("SELECT count(*) FROM consumption_hourly").fetchone() or (0,))[0] > 100,
            f"consumption: {keeper.log.read_text()}",
        )
        assert keeper.stop() == 0


def fill(days_ago: float, hours: int, level: Callable[[int], float]) -> list[Row]:
    return [(at(days_ago) + hour * timedelta(hours=1), "dev-0", "fill_level_pct", level(hour)) for hour in range(hours)]


def alerts(connection: psycopg.Connection[Any]) -> list[tuple[str, str]]:
    return connection.execute("SELECT rule_id, state FROM alert_episode ORDER BY rule_id, fired_at").fetchall()


@pytest.mark.parametrize("running", ["before", "meanwhile"])
def test_history_raises_no_alerts(
    database_url: str, database: psycopg.Connection[Any], tmp_path: Path, running: str
) -> None:
    """Whether the rules had never run, or knew the point with few readings or none."""
    found(database, bins(1), building())
    if running == "before":
        judge_nothing(database_url, tmp_path)
    full = write(tmp_path / "history.csv", fill(90, 24 * 60, lambda hour: 99 if hour % 100 > 50 else 10))
    assert run("import", full, url=database_url).returncode == 0
    judge(database_url, tmp_path / "rules.log")
    assert alerts(database) == []
    assert database.execute("SELECT count(*) FROM alert_transition").fetchone() == (0,)

    told = run("rules", "backtest", "bin-overflowing", "--from", "95d", "--each", url=database_url)
    assert told.returncode == 0, told.stderr
    fired = [line for line in told.stdout.splitlines() if "bin-overflowing" in line and "bin-0:" in line]
    assert len(fired) == 14
    assert "14 alerts would have fired" in told.stdout
    assert alerts(database) == []
    part = run(
        "rules",
        "backtest",
        "bin-overflowing",
        "--from",
        "95d",
        "--to",
        "80d",
        "--each",
        "--point",
        "bin-0",
        url=database_url,
    )
    assert len([line for line in part.stdout.splitlines() if "bin-0:" in line]) == 2


def judge_nothing(url: str, tmp_path: Path) -> None:
    with Process(
        "rules", "run", log=tmp_path / "empty.log", port_setting="rules_metrics_port", database_url=url
    ) as process:
        process.wait_well()
        assert process.stop() == 0


def test_what_is_fresh_in_an_import_counts(
    database_url: str, database: psycopg.Connection[Any], tmp_path: Path
) -> None:
    """A bin that is full now fires once; what was and went by in between is not told; a late end resolves."""
    found(database, bins(1, "1h"))
    day = 24
    judge_nothing(database_url, tmp_path)

    def level(hour: int) -> float:
        return 99 if hour > 27 * day - 6 or hour % 100 > 50 else 10

    rows = fill(27, 27 * day + 1, level)
    assert run("import", write(tmp_path / "history.csv", rows), url=database_url).returncode == 0
    judge(database_url, tmp_path / "rules.log")
    assert alerts(database) == [
        ("bin-full-soon", "firing"),
        ("bin-nearly-full", "firing"),
        ("bin-overflowing", "firing"),
    ]
    # The same again, and older still: nothing moves.
    older = write(tmp_path / "older.csv", [*rows, *fill(60, 24 * 30, lambda hour: 99.0)])
    assert run("import", older, url=database_url).returncode == 0
    judge(database_url, tmp_path / "rules.log")
    assert alerts(database) == [
        ("bin-full-soon", "firing"),
        ("bin-nearly-full", "firing"),
        ("bin-overflowing", "firing"),
    ]
    assert database.execute("SELECT count(*) FROM alert_transition").fetchone() == (3,)
    # Readings of the last minutes say that it was emptied.
    emptied = [
        (datetime.now(UTC) - timedelta(seconds=60 - number), "dev-0", "fill_level_pct", 3.0) for number in range(3)
    ]
    assert run("import", write(tmp_path / "emptied.csv", emptied), url=database_url).returncode == 0
    judge(database_url, tmp_path / "rules.log")
    assert alerts(database) == [
        ("bin-full-soon", "resolved"),
        ("bin-nearly-full", "resolved"),
        ("bin-overflowing", "resolved"),
    ]


@pytest.mark.parametrize(("judged", "expected"), [(False, 0), (True, 6)])
def test_a_past_that_comes_by_mqtt_is_history_too(
    database_url: str, database: psycopg.Connection[Any], new_connection: Connect, judged: bool, expected: int
) -> None:
    points = found(database, bins(1))
    connection = new_connection()
    store_live(connection, points, fill(90, 24 * 25 + 5, lambda hour: 99 if hour % 100 > 50 else 10))
    stop = threading.Event()
    rules = [rule for rule in shipped_rules() if rule.id == "bin-overflowing"]
    service = RulesService(RulesConfig(database_url, lambda local: rules, "Europe/Kyiv", judge_history=judged), stop)
    thread = threading.Thread(target=service.run)
    thread.start()
    wait_for(
        lambda: database.execute("SELECT 1 FROM log_position WHERE reader = 'rules'").fetchone() is not None,
        "it has judged",
    )
    # What is fresh is judged all the same.
    store_live(connection, points, fill(0.25, 6, lambda hour: 99.0))
    wait_for(lambda: len([state for _, state in alerts(database) if state == "firing"]) == 1, "the fresh one fires")
    stop.set()
    thread.join()
    assert len(alerts(database)) == expected + 1


def test_live_ingest_goes_on_beside_it(
    database_url: str, database: psycopg.Connection[Any], mqtt_url: str, tmp_path: Path
) -> None:
    found(database, bins(1), building())
    file = write(tmp_path / "history.csv", meters(500, 450))
    topic = f"misto-{os.getpid()}-{random.randrange(10**9)}"
    with (
        Process(
            "ingest", log=tmp_path / "ingest.log", port_setting="ingest_metrics_port", database_url=database_url,
            mqtt_url=mqtt_url, mqtt_client_id=topic, mqtt_topics="misto/dev-0/up",
        ) as ingest,
        Publisher(mqtt_url) as publisher,
    ):  # fmt: skip
        ingest.wait_well()
        importing = subprocess.Popen(
            [MISTO, "import", file], env=environment(database_url=database_url),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        sent = 0
        while importing.poll() is None or sent < 200:
            moment = (datetime.now(UTC) - timedelta(hours=1, microseconds=sent)).isoformat()
            publisher.send("misto/dev-0/up", json.dumps({"time": moment, "fill_level_pct": sent % 100}))
            sent += 1
            time.sleep(0.005)
        assert importing.communicate()[1] is not None
        assert importing.returncode == 0
        publisher.settle()
        query = "SELECT count(*) FROM readings WHERE metric_id = 30"
        wait_for(lambda: database.execute(query).fetchone() == (sent,), f"all {sent} live readings")
        assert ingest.stop() == 0
    assert "Traceback" not in (tmp_path / "ingest.log").read_text()


def test_one_import_of_a_file_at_a_time(database_url: str, database: psycopg.Connection[Any], tmp_path: Path) -> None:
    found(database, building())
    file = write(tmp_path / "history.csv", meters(300, 280))
    first = subprocess.Popen(
        [MISTO, "import", file, "--rate", "20000"], env=environment(database_url=database_url),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(lambda: count(database) > 0, "something is stored")
    second = run("import", file, url=database_url)
    assert second.returncode == 1
    assert "is being imported by another process; wait for it, or stop it" in second.stderr
    first.terminate()
    first.wait()
    third = run("import", file, url=database_url)
    assert "going on after" in third.stderr
    assert count(database) == len(meters(300, 280))


@pytest.mark.parametrize(
    ("mapping", "file", "readings"),
    [
        ("wyndham", "wyndham_smart_bins/Data_Australian.csv", None),
        ("nmecr-school", "nmecr_school/school_eload.csv", 8748),
        ("opengrid-gas", "opengrid_be/gas_2016_hour.csv.gz", None),
    ],
)
def test_recorded_data_through_mappings(
    database_url: str, database: psycopg.Connection[Any], tmp_path: Path, mapping: str, file: str, readings: int | None
) -> None:
    path = DATA / file
    if not path.is_file():
        pytest.skip(f"{path} is not there; MISTO_SHARED_DATA names the folder of recorded data")
    inventory = tmp_path / "city.yaml"
    assert (
        run(
            "simulate", "replay", path, "--mapping", mapping, "--write-inventory", inventory, url=database_url
        ).returncode
        == 0
    )
    assert run("inventory", "load", inventory, url=database_url).returncode == 0
    options = ("import", path, "--mapping", mapping, "--rejects", tmp_path / "rejected.csv")
    first = run(*options, url=database_url, readings_days=36_500)
    assert first.returncode == 0, first.stderr
    stored = count(database)
    assert stored > 5000
    assert readings is None or stored >= readings
    again = run(*options, url=database_url, readings_days=36_500)
    assert "nothing was new" in again.stdout
    assert count(database) == stored
    # Without more patience it is too old to be kept, and nothing of it is lost.
    short = run(*options, url=database_url, readings_days=30)
    assert "0 readings stored" in short.stdout
    assert "than the 30 days ago that readings are kept (MISTO_READINGS_DAYS)" in short.stderr.replace(
        "more", ""
    ).replace("  ", " ")


def test_into_compressed_chunks_and_rollups_of_the_community_edition(
    community_database_url: str, tmp_path: Path
) -> None:
    url = community_database_url
    rows = meters(90, 80)
    with psycopg.connect(url, autocommit=True) as database:
        points = found(database, bins(1), building())
    with connect(url, service="test") as connection:
        store_live(connection, points, rows[::3])
    with psycopg.connect(url, autocommit=True) as database:
        for view in ("readings_hourly", "readings_daily"):
            database.execute(f"CALL refresh_continuous_aggregate('{view}', NULL, now() - interval '2 days')")  # type: ignore[arg-type]
        database.execute(
            "SELECT compress_chunk(c, true) FROM show_chunks('readings', older_than => interval '20 days') c"
        )
        done = run("import", write(tmp_path / "history.csv", rows), url=url)
        assert done.returncode == 0, done.stderr
        assert f"{len(rows) - len(rows[::3]):,} readings stored, {len(rows[::3]):,} were there already" in done.stdout
        derive(url)
        raw = "SELECT time_bucket('{0}', time) AS b, point_id, metric_id, count(*), min(value) FROM readings GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        rolled = "SELECT bucket, point_id, metric_id, reading_count, value_min FROM {0} ORDER BY 1, 2, 3"
        for view, width in (("readings_hourly", "1 hour"), ("readings_daily", "1 day")):
            expected = database.execute(raw.format(width)).fetchall()  # type: ignore[arg-type]
            assert database.execute(rolled.format(view)).fetchall() == expected  # type: ignore[arg-type]
        assert database.execute("SELECT count(*) FROM rollup_due").fetchone() == (0,)
