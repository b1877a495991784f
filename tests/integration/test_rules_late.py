"""Whatever the order in which readings arrive, the alerts in the database end up the same, and none stops the rules."""

from __future__ import annotations

import random
import time
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from catalogue.yamlfile import parse_yaml
from rules.engine import Engine
from rules.loader import load_documents, shipped_rules
from rules.record import change_of
from rules.step import RING
from store import alerts
from store.reading_log import BEGINNING, read_after
from store.writer import ReadingWriter
from tests.cities import bins, found
from tests.straight import Stream

BINS, ROUNDS = 40, RING
_LEVELS = """\
version: 1
rules:
  - id: bin-fuller-and-fuller
    title: {en: "{value} %", uk: "{value} %"}
    sentence: {en: S, uk: Р}
    advice: {en: A, uk: П}
    source: here
    levels:
      - {severity: info, when: {threshold: {metric: fill_level_pct, above: 30, clear_below: 20}}, for: 1h}
      - {severity: warning, when: {threshold: {metric: fill_level_pct, above: 60, clear_below: 40}}}
      - {severity: critical, when: {threshold: {metric: fill_level_pct, above: 85, clear_below: 70}}, for: 30m}
    keep_firing_for: 30m
"""
# What late data took back is told, but was no alert.
_EPISODES = """
SELECT rule_id, code, state, severity, breached_at, fired_at, resolved_at FROM alert_episode AS e JOIN point USING (point_id)
WHERE (SELECT reason FROM alert_transition AS t WHERE t.episode_id = e.episode_id
       ORDER BY transition_id DESC LIMIT 1) NOT LIKE 'late data: the condition did not hold%%'
ORDER BY rule_id, code, breached_at
"""


def judged(database: psycopg.Connection[Any], stream: Stream, order: list[int]) -> list[tuple[Any, ...]]:
    """Write the stream's rounds in this order, judge them, and return the alerts."""
    engine = Engine([*shipped_rules(), *load_documents([parse_yaml(_LEVELS, "levels.yaml")])])
    engine.set_points(alerts.load_points(database), {})
    database.execute("DELETE FROM readings; TRUNCATE reading_log, alert_episode CASCADE")
    with psycopg.connect(database.info.dsn, password=database.info.password, options="-c TimeZone=UTC") as connection:
        writer = ReadingWriter(connection)
        for number in order:
            stream.write(writer, number)
    for batch in read_after(database, BEGINNING, 1_000_000):
        with database.transaction():
            for one in engine.fold(batch)[0]:
                alerts.write_change(database, change_of(one, ZoneInfo("Europe/Kyiv")))
    return database.execute(_EPISODES).fetchall()


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_arrival_gives_the_same_alerts(database: psycopg.Connection[Any], seed: int) -> None:
    chance = random.Random(seed)
    points = found(database, bins(BINS))
    stream = Stream([points[f"bin-{n}"] for n in range(BINS)], ROUNDS, seed=seed)
    # Stream's own lateness is taken out: each round holds its own half-hour's readings.
    rows = sorted(row for one in stream.rounds for row in one)
    begin = rows[0][0]
    stream.rounds = [[row for row in rows if row[0] == begin + number * 1800] for number in range(ROUNDS)]
    in_order = judged(database, stream, list(range(ROUNDS)))
    assert len(in_order) > BINS
    assert {row[3] for row in in_order if row[0] == "bin-fuller-and-fuller"} == {"info", "warning", "critical"}
    assert time.time() > rows[-1][0]
    for _ in range(4):
        order = list(range(ROUNDS))
        if chance.random() < 0.5:
            chance.shuffle(order)
        else:
            # Two workers, each with its own queue: one is far behind.
            far = chance.randint(3, ROUNDS - 1)
            order.sort(key=lambda number, far=far: number + (far if number % 2 else 0))
        assert judged(database, stream, order) == in_order
