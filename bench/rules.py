"""Judging: readings a second on one core with five rules a point."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime

import numpy as np

from bench.results import of_three, show
from catalogue.yamlfile import parse_yaml
from misto.service import tune_collector
from rules.engine import Engine
from rules.loader import load_documents
from rules.model import Rule
from store.alerts import PointInfo
from store.reading_log import LogBatch

FILL = 30
POINTS = 2_000


def five_rules() -> list[Rule]:
    """Five rules that watch the same metric."""
    conditions = [
        "{threshold: {metric: fill_level_pct, above: 80, clear_below: 65}}",
        "{threshold: {metric: fill_level_pct, above: 95, clear_below: 80}}",
        "{threshold: {metric: fill_level_pct, below: 5}}",
        "{jump: {metric: fill_level_pct, down_by: 40, within: 1h}}",
        "{stuck: {metric: fill_level_pct, over: 2d, tolerance: 0.5}}",
    ]
    text = "version: 1\nrules:\n" + "".join(
        f"  - {{id: rule-{number}, title: {{en: T, uk: Т}}, sentence: {{en: S, uk: Р}}, advice: {{en: A, uk: П}},"
        f" source: bench, when: {condition}, for: 30m}}\n"
        for number, condition in enumerate(conditions)
    )
    return load_documents([parse_yaml(text, "bench")])


def readings(rounds: int, late: float) -> LogBatch:
    """Bins that fill and are emptied; a share arrives up to two rounds late."""
    chance = random.Random(1)
    rows = [
        (number * 1800.0, point, (number * 7 + point) % 100 + chance.random(), chance.random() < late)
        for number in range(rounds)
        for point in range(POINTS)
    ]
    rows.sort(key=lambda row: row[0] + (chance.uniform(1800, 4000) if row[3] else 0))
    at, points, values, _ = zip(*rows, strict=True)
    count = len(rows)
    return LogBatch(
        1, 1, datetime.now(UTC), (1.77e15 + np.array(at) * 1e6).astype(np.int64), np.array(points, np.int32),
        np.full(count, FILL, np.int16), np.array(values), np.zeros(count, np.int16),
    )  # fmt: skip


def run(quick: bool) -> None:
    """Print readings a second, in order and with late ones."""
    place = (None,) * 7
    for title, late in (("rules: five a point, in order", 0.0), ("rules: five a point, 5 % late", 0.05)):
        batch = readings(10 if quick else 40, late)

        def measure(batch: LogBatch = batch) -> float:
            engine = Engine(five_rules())
            engine.set_points(
                [
                    PointInfo(n, f"p{n}", "bin", 1800, "paper", {}, "P", "П", "s", "S", "С", *place)
                    for n in range(POINTS)
                ],
                {},
            )
            tune_collector()  # as the process does
            began = time.perf_counter()
            engine.fold(batch)
            return len(batch) / (time.perf_counter() - began)

        show(title, of_three(measure), "readings/s", 100_000)
