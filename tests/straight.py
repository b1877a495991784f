"""What the rules must come to: one engine, straight over the reading log, without workers, leases and restarts."""

from __future__ import annotations

import random
import time
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import psycopg

from rules.engine import Engine
from rules.loader import shipped_rules
from rules.record import change_of
from store import alerts
from store.reading_log import BEGINNING, read_after
from store.writer import ReadingBatch, ReadingWriter
from tests.cities import found

FILL = 30
_ALERTS = """
SELECT e.rule_id, e.point_id, e.breached_at, e.state, e.fired_at, e.resolved_at, e.title_en, e.sentence_uk,
       (SELECT array_agg(ARRAY[t.from_state, t.to_state, t.event_at::text, t.reason] ORDER BY t.transition_id)
        FROM alert_transition AS t WHERE t.episode_id = e.episode_id)
FROM alert_episode AS e ORDER BY 1, 2, 3
"""


class Stream:
    """Half-hourly readings of bins that fill and are emptied, one in ten of them late; the same for the same seed."""

    def __init__(self, point_ids: list[int], rounds: int, seed: int) -> None:
        chance = random.Random(seed)
        start = round(time.time()) - rounds * 1800
        rows = []
        for point in point_ids:
            level = chance.uniform(0, 90)
            for number in range(rounds):
                level = chance.uniform(0, 30) if level > 97 or chance.random() < 0.05 else level + chance.uniform(0, 12)
                arrives = number + (chance.randint(1, 4) if chance.random() < 0.1 else 0)
                rows.append((arrives, start + number * 1800, point, level))
        rows.sort()
        self.rounds: list[list[tuple[float, int, float]]] = [[] for _ in range(rounds + 5)]
        for arrives, at, point, level in rows:
            self.rounds[arrives].append((at, point, level))

    def write(self, writer: ReadingWriter, number: int) -> None:
        """What arrives in a round, as one batch."""
        if not self.rounds[number]:
            return
        times, points, values = zip(*self.rounds[number], strict=True)
        writer.write(
            ReadingBatch(
                (np.array(times) * 1e6).astype(np.int64), np.array(points, np.int32),
                np.full(len(times), FILL, np.int16), np.array(values), np.zeros(len(times), np.int16), time.time(),
            )
        )  # fmt: skip


def straight(
    log: psycopg.Connection[Any], reference: psycopg.Connection[Any], *sites: dict[str, Any]
) -> list[tuple[Any, ...]]:
    """The alerts that the log of one database must make, worked out in another with the same sites."""
    found(reference, *sites)
    engine = Engine(shipped_rules())
    engine.set_points(alerts.load_points(reference), {})
    for batch in read_after(log, BEGINNING, 1_000_000):
        decided, _ = engine.fold(batch)
        for one in decided:
            alerts.write_change(reference, change_of(one, ZoneInfo("Europe/Kyiv")))
    return alerts_in(reference)


def alerts_in(database: psycopg.Connection[Any]) -> list[tuple[Any, ...]]:
    """Every alert with all its transitions."""
    return database.execute(_ALERTS).fetchall()
