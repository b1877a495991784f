"""The rules process on a real database: alerts from batches, each once, through kills."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import psycopg
import pytest

from store.registry import register_unclaimed
from store.service_state import beat
from store.writer import ReadingBatch, ReadingWriter
from tests.cities import bins, building, found
from tests.processes import Process, wait_for

FILL, TILTED = 30, 32
Connect = Callable[[], psycopg.Connection]


def write(writer: ReadingWriter, readings: list[tuple[float, int, int, float]]) -> None:
    """(POSIX seconds, point, metric, value)"""
    times, points, metrics, values = zip(*readings, strict=True)
    writer.write(
        ReadingBatch(
            (np.array(times) * 1e6).astype(np.int64), np.array(points, np.int32), np.array(metrics, np.int16),
            np.array(values, np.float64), np.zeros(len(times), np.int16), time.time(),
        )
    )  # fmt: skip


def rules(database_url: str, log: Path) -> Process:
    return Process("rules", "run", log=log, port_setting="rules_metrics_port", database_url=database_url)


@pytest.fixture
def writer(new_connection: Connect) -> ReadingWriter:
    return ReadingWriter(new_connection())


def test_an_alert_fires_is_explained_and_resolves(
    database_url: str, database: psycopg.Connection, writer: ReadingWriter, tmp_path: Path
) -> None:
    points = found(database, bins(2))
    start = time.time() - 4 * 3600
    series = [50, 85, 86, 87, 97, 98, 99, 3]
    with rules(database_url, tmp_path / "log") as process:
        process.wait_well()
        for index, value in enumerate(series):
            write(
                writer,
                [
                    (start + index * 1800, points["bin-0"], FILL, value),
                    (start + index * 1800, points["bin-1"], FILL, 20),
                ],
            )
        wait_for(
            lambda: database.execute("SELECT count(*) FROM alert_episode WHERE state = 'resolved'").fetchone() == (2,),
            f"two alerts resolved: {process.log.read_text()}",
        )
        assert process.stop() == 0
    rows = database.execute(
        "SELECT rule_id, code, severity, title_en, title_uk, sentence_en, sentence_uk, value FROM alert_list ORDER BY rule_id"
    ).fetchall()
    assert [row[:3] for row in rows] == [
        ("bin-full-soon", "bin-0", "info"),
        ("bin-nearly-full", "bin-0", "warning"),
        ("bin-overflowing", "bin-0", "critical"),
    ]
    assert rows[1][3] == "Stand: paper bin nearly full, 86 %"
    assert rows[1][4] == "Stand (укр): контейнер «папір» майже повний, 86 %"
    assert "above 80 % since" in rows[1][5]
    assert "понад 80 % від" in rows[1][6]
    moves = database.execute("SELECT from_state, to_state FROM alert_transition ORDER BY transition_id").fetchall()
    # What is forecast goes on until the emptying is confirmed.
    assert sorted(moves) == sorted([("pending", "firing")] * 3 + [("firing", "resolved")] * 2)


def test_the_clock_confirms_a_tipped_bin(
    database_url: str, database: psycopg.Connection, writer: ReadingWriter, tmp_path: Path
) -> None:
    points = found(database, bins(1))
    write(writer, [(time.time() - 1200, points["bin-0"], TILTED, 1)])
    with rules(database_url, tmp_path / "log") as process:
        wait_for(
            lambda: database.execute("SELECT rule_id FROM alert_episode").fetchall() == [("bin-tipped",)],
            f"the alert: {process.log.read_text()}",
        )


def test_silence_is_told_but_not_while_we_were_deaf(
    database_url: str, database: psycopg.Connection, new_connection: Connect, tmp_path: Path
) -> None:
    found(database, bins(1, "1s"))
    database.execute("UPDATE rule_version SET rule_id = rule_id")
    own = tmp_path / "rules"
    own.mkdir()
    (own / "quick.yaml").write_text(
        "version: 1\nrules:\n  - id: device-silent\n    title: {en: Silent, uk: Мовчить}\n    sentence: {en: S, uk: Р}\n"
        "    advice: {en: A, uk: П}\n    source: test\n    when: {absent: {after: 2s}}\n"
    )
    with Process(
        "rules", "run", log=tmp_path / "log", port_setting="rules_metrics_port",
        database_url=database_url, rules_dir=own,
    ) as process:  # fmt: skip
        process.wait_well()
        time.sleep(4)
        assert database.execute("SELECT count(*) FROM alert_episode").fetchone() == (0,), "no ingest, no silence"
        now = database.execute("SELECT now()").fetchone()
        assert now is not None
        beat(database, "ingest", "w", now[0], {})
        wait_for(
            lambda: database.execute("SELECT title_uk, state FROM alert_episode").fetchall() == [("Мовчить", "firing")],
            f"silence: {process.log.read_text()}",
        )
        writer = ReadingWriter(new_connection())
        (point,) = database.execute("SELECT point_id FROM point").fetchone() or (0,)
        write(writer, [(time.time(), point, FILL, 20)])
        wait_for(
            lambda: database.execute("SELECT state FROM alert_episode ORDER BY 1").fetchall()[-1] == ("resolved",),
            "it reports again",
        )


def test_a_removed_rule_closes_its_alerts(
    database_url: str, database: psycopg.Connection, writer: ReadingWriter, tmp_path: Path
) -> None:
    points = found(database, bins(1))
    own = tmp_path / "rules"
    own.mkdir()
    extra = own / "extra.yaml"
    extra.write_text(
        "version: 1\nrules:\n  - id: extra\n    title: {en: E, uk: Е}\n    sentence: {en: S, uk: Р}\n"
        "    advice: {en: A, uk: П}\n    source: test\n    when: {threshold: {metric: fill_level_pct, above: 5}}\n"
    )
    settings = {"database_url": database_url, "rules_dir": own, "port_setting": "rules_metrics_port"}
    write(writer, [(time.time() - 60, points["bin-0"], FILL, 10)])
    with Process("rules", "run", log=tmp_path / "a", **settings):  # type: ignore[arg-type]
        wait_for(lambda: database.execute("SELECT state FROM alert_episode").fetchall() == [("firing",)], "it fires")
        extra.unlink()
        with Process("rules", "apply", "--yes", log=tmp_path / "apply", **settings) as apply:  # type: ignore[arg-type]
            assert apply.wait(30) == 0, apply.log.read_text()
        assert "extra  gone         opens 0, closes 1, keeps 0" in apply.log.read_text()
        wait_for(
            lambda: database.execute("SELECT state FROM alert_episode").fetchall() == [("closed_rule_removed",)],
            "it is closed",
        )


def test_the_role_of_the_rules_may_do_all_they_do(
    database_url: str, database: psycopg.Connection, writer: ReadingWriter, tmp_path: Path
) -> None:
    database.execute("ALTER ROLE misto_rules PASSWORD 'rules-of-the-test'")
    parts = urlsplit(database_url)
    place = parts.netloc.rpartition("@")[2]
    url = urlunsplit(parts._replace(netloc=f"misto_rules:rules-of-the-test@{place}"))
    points = found(database, bins(1))
    now = time.time()
    with rules(url, tmp_path / "log") as process:
        process.wait_well()
        beat(database, "ingest", "w", datetime.now(UTC), {})
        write(
            writer, [(now - 7200 + index * 1800, points["bin-0"], FILL, value) for index, value in enumerate((85, 86))]
        )
        wait_for(lambda: database.execute("SELECT state FROM alert_episode").fetchall() == [("firing",)], "it fires")
        found(database, building())
        wait_for(lambda: database.execute("SELECT state FROM alert_episode").fetchall() == [("resolved",)], "it closes")
        found(database, bins(1))
        wait_for(lambda: database.execute("SELECT state FROM alert_episode").fetchall() == [("firing",)], "it is back")
        assert process.stop() == 0
        assert "permission denied" not in process.log.read_text()


def own_rule(above: float, clear: float) -> str:
    return (
        "version: 1\nrules:\n  - id: own\n    title: {en: E, uk: Е}\n    sentence: {en: S, uk: Р}\n"
        "    advice: {en: A, uk: П}\n    source: test\n    scope: {kind: [bin]}\n"
        f"    when: {{threshold: {{metric: fill_level_pct, above: {above}, clear_below: {clear}}}}}\n"
    )


def test_a_changed_rule_goes_on_with_its_open_alerts(
    database_url: str, database: psycopg.Connection, writer: ReadingWriter, tmp_path: Path
) -> None:
    points = found(database, bins(2))
    own = tmp_path / "rules"
    own.mkdir()
    settings = {"database_url": database_url, "rules_dir": own, "port_setting": "rules_metrics_port"}

    def alerts() -> list[tuple[object, ...]]:
        return database.execute(
            "SELECT code, state FROM alert_episode JOIN point USING (point_id) WHERE rule_id = 'own' ORDER BY episode_id"
        ).fetchall()

    now = time.time()
    (own / "own.yaml").write_text(own_rule(30, 20))
    write(writer, [(now - 3600, points["bin-0"], FILL, 40), (now - 3600, points["bin-1"], FILL, 60)])
    firing = [("bin-0", "firing"), ("bin-1", "firing")]
    with Process("rules", "run", log=tmp_path / "a", **settings):  # type: ignore[arg-type]
        wait_for(lambda: sorted(alerts()) == firing, "both fire")
        (own / "own.yaml").write_text(own_rule(50, 20))
        closed = [("bin-0", "resolved"), ("bin-1", "firing")]
        with Process("rules", "apply", log=tmp_path / "apply", **settings) as apply:  # type: ignore[arg-type]
            assert apply.wait(30) == 0, apply.log.read_text()
        assert "opens 0, closes 1, keeps 1" in apply.log.read_text()
        wait_for(lambda: sorted(alerts()) == closed, f"one goes on: {(tmp_path / 'a').read_text()}")
        write(writer, [(now - 60, points["bin-1"], FILL, 5)])
        wait_for(lambda: {state for _, state in alerts()} == {"resolved"}, "the one that went on is resolved")
    assert len(alerts()) == 2
    reasons = database.execute(
        "SELECT code, reason FROM alert_transition JOIN alert_episode USING (episode_id) JOIN point USING (point_id)"
        " WHERE rule_id = 'own' ORDER BY code, transition_id"
    ).fetchall()
    assert [reason for code, reason in reasons if code == "bin-1"] == [
        "confirmed by a reading", "the rule was changed and still holds", "the condition no longer holds",
    ]  # fmt: skip
    assert reasons[1] == ("bin-0", "the rule was changed and no longer holds")


def test_points_come_and_go_while_it_runs(
    database_url: str, database: psycopg.Connection, writer: ReadingWriter, tmp_path: Path
) -> None:
    points = found(database, bins(1))
    now = time.time()
    full = [(now - 7200 + index * 1800, FILL, 85.0 + index) for index in range(3)]
    write(writer, [(at, points["bin-0"], metric, value) for at, metric, value in full])

    def states() -> list[tuple[object, ...]]:
        return database.execute(
            "SELECT code, state FROM alert_episode JOIN point USING (point_id) WHERE rule_id = 'bin-nearly-full' ORDER BY 1"
        ).fetchall()

    with rules(database_url, tmp_path / "log") as process:
        wait_for(lambda: states() == [("bin-0", "firing")], f"the first bin: {process.log.read_text()}")
        # A device that was there before its point was: its readings move with its claim.
        stranger = register_unclaimed(database, "dev-1", profile=None, kind="bin", guess={})
        write(writer, [(at, stranger.assignments[0].point_id, metric, value) for at, metric, value in full])
        found(database, bins(2))
        wait_for(lambda: states() == [("bin-0", "firing"), ("bin-1", "firing")], "the claimed bin")
        found(database, building())
        wait_for(lambda: {state for _, state in states()} == {"resolved"}, "bins that are gone have no open alerts")
        found(database, bins(2))
        wait_for(lambda: {state for _, state in states()} == {"firing"}, "they are back, and full")
        assert len(states()) == 2
        assert process.stop() == 0
        assert "Traceback" not in process.log.read_text()


@pytest.mark.parametrize("seed", [1, 2])
def test_kills_in_the_middle_make_each_alert_once(
    database_url: str, database: psycopg.Connection, writer: ReadingWriter, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    count, rounds = 30, 6
    points = found(database, bins(count), building())
    start = time.time() - rounds * 5 * 1800 - 3600
    process = rules(database_url, tmp_path / "log")
    for index in range(rounds * 5):
        value = (50, 85, 86, 97, 5)[index % 5]
        write(writer, [(start + index * 1800, points[f"bin-{n}"], FILL, value) for n in range(count)])
        if index % 6 == 5:
            time.sleep(chance.uniform(0, 1.5))
            process.kill()
            process = rules(database_url, tmp_path / "log")
    expected = (count * rounds, count * rounds)
    counted = "SELECT count(*), count(DISTINCT (point_id, fired_at)) FROM alert_episode WHERE state = 'resolved'"
    with process:
        process.wait_well()  # it may have nothing left to do, and must have come so far as to be stopped
        wait_for(
            lambda: (database.execute(counted).fetchone() or ())[0] >= expected[0],
            f"all alerts, not {database.execute(counted).fetchone()}: {process.log.read_text()[-2000:]}",
        )
        time.sleep(1)
        assert process.stop() == 0
    assert database.execute(counted).fetchone() == expected
    assert database.execute("SELECT count(*) FROM alert_episode").fetchone() == (expected[0],)
    assert database.execute("SELECT count(*) FROM alert_transition").fetchone() == (2 * expected[0],)
    log = process.log.read_text()
    assert "Traceback" not in log
