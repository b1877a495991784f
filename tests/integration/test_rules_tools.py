"""Explaining, previewing and backtesting rules with the real database."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from misto.rules_whynot import answer
from rules.loader import shipped_rules
from store.alerts import load_points
from store.writer import ReadingBatch, ReadingWriter
from tests.cities import bins, found
from tests.processes import Process, environment, wait_for

FILL = 30
Connect = Callable[[], psycopg.Connection[Any]]


def misto(*arguments: str, url: str, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("misto"), *arguments],
        env=environment(database_url=url, **settings),
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def told(*arguments: str, url: str, status: int = 0, **settings: object) -> str:
    done = misto(*arguments, url=url, **settings)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def write(new_connection: Connect, point: int, start: float, values: list[float], quality: int = 0) -> None:
    """A fill level every half hour from `start` (POSIX seconds) on."""
    count = len(values)
    ReadingWriter(new_connection()).write(
        ReadingBatch(
            ((start + 1800 * np.arange(count)) * 1e6).astype(np.int64), np.full(count, point, np.int32),
            np.full(count, FILL, np.int16), np.array(values, np.float64), np.full(count, quality, np.int16), time.time(),
        )
    )  # fmt: skip


def judge(url: str, database: psycopg.Connection[Any], log: Path, **settings: object) -> None:
    """Let the rules judge all that is in the log."""
    with Process("rules", "run", log=log, port_setting="rules_metrics_port", database_url=url, **settings) as process:
        process.wait_well()
        wait_for(
            lambda: database.execute(
                "SELECT NOT EXISTS (SELECT FROM reading_log AS l WHERE (l.xid, l.seq) > "
                "(SELECT xid, seq FROM log_position WHERE reader = 'rules'))"
            ).fetchone() == (True,),
            f"all judged: {log.read_text()}",
        )  # fmt: skip
        assert process.stop() == 0


def test_an_alert_is_explained_as_it_was_decided_and_by_the_readings(
    database_url: str, database: psycopg.Connection[Any], new_connection: Connect, tmp_path: Path
) -> None:
    points = found(database, bins(1))
    write(new_connection, points["bin-0"], time.time() - 4 * 3600, [50, 85, 86, 87, 3])
    judge(database_url, database, tmp_path / "log")
    (number,) = database.execute("SELECT episode_id FROM alert_episode").fetchone() or (0,)
    database.execute("INSERT INTO alert_ack (episode_id, acked_by, note) VALUES (%s, 'Olena', 'on it')", [number])
    text = told("rules", "explain", str(number), url=database_url)
    first, *rest = text.splitlines()
    assert first.startswith("Stand: paper bin nearly full, 86 %. The paper bin at Stand has been above 80 % since")
    assert "It was firing from" in first
    assert "Acknowledged by Olena" in first
    assert any("pending → firing (warning): confirmed by a reading; value 86, limit 80" in line for line in rest)
    assert any("firing → resolved" in line for line in rest)
    assert any("true     threshold: fill level above 80 % (cleared below 65 %)" in line for line in rest)
    assert any("fill level 86 %, beyond the limit of 80 %" in line for line in rest)
    assert not any("note:" in line for line in rest)
    uk = told("rules", "explain", str(number), "--language", "uk", url=database_url).splitlines()[0]
    assert "майже повний, 86 %" in uk
    assert "Взято до роботи: Olena" in uk
    content = json.loads(told("rules", "explain", str(number), "--json", url=database_url))
    assert content["tree"]["truth"] is True
    assert [row["to_state"] for row in content["transitions"]] == ["firing", "resolved"]
    assert [one["value"] for one in content["readings"]] == [50, 85, 86]
    assert all(one["received_at"] for one in content["readings"])
    assert content["rule"]["definition"]["id"] == "bin-nearly-full"


def test_what_the_table_says_now_is_told_apart_from_what_was_decided(
    database_url: str, database: psycopg.Connection[Any], new_connection: Connect, tmp_path: Path
) -> None:
    points = found(database, bins(1))
    write(new_connection, points["bin-0"], time.time() - 4 * 3600, [50, 85, 86, 87])
    judge(database_url, database, tmp_path / "log")
    database.execute("UPDATE readings SET value = 20 WHERE value = 85")
    text = told("rules", "explain", "1", url=database_url)
    assert "confirmed by a reading; value 86, limit 80" in text, "evidence stays as it was kept"
    assert "note: by the readings in the table as they are now it would not be firing then" in text
    database.execute("DELETE FROM readings")
    assert "no longer stored" in told("rules", "explain", "1", url=database_url)
    assert "there is no alert 99" in told("rules", "explain", "99", url=database_url, status=1)


def test_why_not_goes_through_the_real_tables(
    database_url: str, database: psycopg.Connection[Any], new_connection: Connect, tmp_path: Path
) -> None:
    points = found(database, bins(4))
    start = time.time() - 5 * 3600
    write(new_connection, points["bin-0"], start, [50, 60, 79, 74, 70, 70, 70, 70, 70, 70])
    write(new_connection, points["bin-1"], start, [90] * 10, quality=2)
    write(new_connection, points["bin-3"], start, [90] * 10)
    ask = ("rules", "why-not", "bin-nearly-full")
    near = told(*ask, "bin-0", url=database_url)
    assert "the limit was not reached: fill level was 70 %, 10 % short of the limit of 80 %" in near
    assert "In the day before: the nearest came at" in near
    assert "fill level was 79 %, 1 % short" in near
    assert "  STOPPED  the condition holds: no" in near
    assert "межі не досягнуто" in told(*ask, "bin-0", "--language", "uk", url=database_url)
    content = json.loads(told(*ask, "bin-1", "--json", url=database_url))
    assert (content["stopped_at"], content["reason"]["count"]) == ("quality", 10)
    assert "there is no reading of this point" in told(*ask, "bin-2", url=database_url)
    unjudged = told(*ask, "bin-3", url=database_url)
    assert "no alert was written: the rule is not in force; no rules process is alive" in unjudged
    judge(database_url, database, tmp_path / "log")
    assert "yes: it does fire: since" in told(*ask, "bin-3", url=database_url)
    assert "late_start" in told(*ask, "bin-3", "--at", "2d", "--json", url=database_url)
    assert "no point 'bin-o' in use at a site; did you mean bin-3" in told(*ask, "bin-o", url=database_url, status=1)
    assert "did you mean bin-tipped" in told("rules", "why-not", "bin-tiped", "bin-0", url=database_url, status=1)
    moment = datetime.fromtimestamp(time.time() + 9999, UTC).isoformat()
    assert "is in the future" in told(*ask, "bin-0", "--at", moment, url=database_url, status=1)


def test_the_rules_role_may_explain(database_url: str, database: psycopg.Connection[Any]) -> None:
    found(database, bins(1))
    with psycopg.connect(database_url) as connection:
        connection.execute("SET ROLE misto_rules")
        (point,) = load_points(connection)
        for rule in shipped_rules():
            assert not answer(connection, rule, point, datetime.now(UTC)).fires


LOWER = (
    "version: 1\nrules:\n  - id: bin-nearly-full\n    title: {en: Full, uk: Повний}\n    sentence: {en: S, uk: Р}\n"
    "    advice: {en: A, uk: П}\n    source: test\n    scope: {kind: [bin]}\n"
    "    when: {threshold: {metric: fill_level_pct, above: 60, clear_below: 50}}\n    for: 30m\n"
)


def test_a_backtest_counts_and_compares(
    database_url: str, database: psycopg.Connection[Any], new_connection: Connect, tmp_path: Path
) -> None:
    points = found(database, bins(3))
    start = time.time() - 9 * 3600
    write(new_connection, points["bin-0"], start, [50, 85, 86, 3, 3, 85, 86, 3, 50, 50])
    write(new_connection, points["bin-1"], start, [70, 70, 70, 70, 3])
    write(new_connection, points["bin-2"], start, [50, 70, 70, 85, 86, 3])
    own = tmp_path / "own"
    own.mkdir()
    (own / "own.yaml").write_text(LOWER)
    command = ("rules", "backtest", "bin-nearly-full", "--from", "1d")
    plain = told(*command, "--each", url=database_url)
    assert "3 alerts would have fired" in plain
    (line,) = [line for line in plain.splitlines() if line.startswith("bin-nearly-full")]
    assert line.split() == ["bin-nearly-full", "3", "2", "1.5", "1"], "alerts, points, hours, flaps"
    assert "contractor clean: 3.00 alerts a day" in plain
    assert sum("paper bin nearly full, 86 %" in line for line in plain.splitlines()) == 3
    compared = told(*command, "--rules", str(own), "--against", str(Path("rules/packs/waste.yaml")), url=database_url)
    assert "against: 1 only now, 0 only before, 1 changed, 2 the same" in compared
    assert any(line.startswith("  only now") and "bin-1: Full" in line for line in compared.splitlines())
    assert any(
        line.startswith("  changed") and "bin-2: Full" in line and "(was " in line for line in compared.splitlines()
    )
    content = json.loads(told(*command, "--rules", str(own), "--against", "rules/packs", "--json", url=database_url))
    assert [len(content["against"][name]) for name in ("only_now", "only_before", "changed")] == [1, 0, 1]
    told(*command, "--budget", "3", url=database_url)
    too_many = told(*command, "--budget", "2.5", url=database_url, status=1)
    assert "contractor clean would be told of 3.00 alerts a day, more than 2.5" in too_many
    assert "no rule 'bin-ful'" in told("rules", "backtest", "bin-ful", "--from", "1d", url=database_url, status=1)
    assert database.execute("SELECT count(*) FROM alert_episode").fetchone() == (0,)


def test_a_backtest_against_a_commit(
    database_url: str, database: psycopg.Connection[Any], new_connection: Connect, tmp_path: Path
) -> None:
    points = found(database, bins(1))
    write(new_connection, points["bin-0"], time.time() - 5 * 3600, [50, 70, 70, 70, 3])
    own = tmp_path / "own"
    own.mkdir()

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", str(own), *identity, *arguments], check=True, capture_output=True, timeout=30)

    git("init")
    (own / "own.yaml").write_text(LOWER.replace("above: 60", "above: 75"))
    git("add", ".")
    git("commit", "-m", "one")
    (own / "own.yaml").write_text(LOWER)
    command = ("rules", "backtest", "bin-nearly-full", "--from", "1d", "--against")
    for settings in ({}, {"rules_dir": own}):
        more = () if settings else ("--rules", str(own))
        compared = told(*command, "HEAD", *more, url=database_url, **settings)
        assert "against: 1 only now, 0 only before, 0 changed, 0 the same" in compared
    for wrong in ("HEAD~7", "--upload-pack=x"):
        text = told(*command[:-1], f"--against={wrong}", "--rules", str(own), url=database_url, status=1)
        assert "is no file, no folder, and no commit" in text
