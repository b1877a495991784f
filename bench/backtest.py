"""`misto rules backtest` over a year: every eleventh point of the benchmark city, its whole year in the database.

The points are judged each for itself, so the whole city takes as many times longer as it has points more. All shipped
rules judge them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from multiprocessing import get_context
from typing import Any

import numpy as np

from bench.city import SCENARIO
from bench.results import of_three, show
from bench.servers import folder, postgres
from catalogue.metrics import metrics
from misto.backtest import backtest
from rules.loader import shipped_rules
from simulators.calendar import DAY_US
from simulators.city import City
from simulators.history import stored
from simulators.scenario import read_scenario
from store.alerts import load_points
from store.connection import connect
from store.registry import sync_inventory
from store.writer import ReadingBatch, packed

#: Prime to the three meters of a building, so that all kinds are among them.
EVERY, EVERY_QUICK = 11, 101
DAYS = 365
GOAL_S = 300


def run(quick: bool) -> None:
    """Print the time for the points taken, and for the whole city by it."""
    scenario, inventory = read_scenario(SCENARIO)
    assert inventory is not None
    assert scenario.begin is not None
    from_us = round(scenario.begin.timestamp() * 1e6)
    to_us = from_us + DAYS * DAY_US
    meters = City(inventory, scenario, until_us=to_us).meters
    taken = range(0, len(meters), EVERY_QUICK if quick else EVERY)
    codes = {meters[place].point.id for place in taken}
    with folder() as path, postgres(path) as server, connect(server.url, service="bench", autocommit=True) as its:
        sync_inventory(its, inventory)
        points = load_points(its)
        ids = {point.code: point.point_id for point in points}
        cores = os.cpu_count() or 1
        parts = [(server.url, ids, taken[first::cores], from_us, to_us) for first in range(cores)]
        began = time.perf_counter()
        with get_context("spawn").Pool(cores) as pool:
            rows = sum(pool.starmap(_load, parts))
        its.execute("VACUUM ANALYZE readings")
        show("backtest: readings put into the database", rows, "readings")
        show("backtest: simulating and storing them", time.perf_counter() - began, "s")
        chosen = [point for point in points if point.code in codes]
        rules = shipped_rules()

        def measure() -> float:
            began = time.perf_counter()
            judged = backtest(server.url, chosen, {"now": rules}, from_us, to_us)
            seconds = time.perf_counter() - began
            print(
                f"    {judged.readings:,} readings of {len(chosen)} points, {len(rules)} rules, "
                f"{len(judged.told['now']):,} alerts: {seconds:.1f} s; load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
            return seconds

        seconds = of_three(measure)
        show(f"backtest: a year of {len(chosen)} of {len(points)} points", seconds, "s")
        show("backtest: a year of all of them, by that", seconds * len(points) / len(chosen), "s", GOAL_S)


def _load(url: str, ids: dict[str, int], places: Sequence[int], from_us: int, to_us: int) -> int:
    """Store the readings of some meters as ingest would have, and say how many."""
    scenario, inventory = read_scenario(SCENARIO)
    assert inventory is not None
    city = City(inventory, scenario, until_us=to_us)
    rows = 0
    with connect(url, service="bench", autocommit=True) as connection:
        for place in places:
            meter = city.meters[place]
            sent, columns = stored(meter, from_us, to_us)
            for name, (values, qualities) in columns.items():
                # The first of those with the same time is kept.
                times, first = np.unique(sent.time_us, return_index=True)
                rows += len(times)
                _copy(connection, times, ids[meter.point.id], metrics()[name].id, values[first], qualities[first])
    return rows


def _copy(connection: Any, times: Any, point_id: int, metric_id: int, values: Any, qualities: Any) -> None:
    count = len(times)
    batch = ReadingBatch(
        times, np.full(count, point_id, np.int32), np.full(count, metric_id, np.int16), values, qualities, 0.0
    )
    command = "COPY readings (time, point_id, metric_id, value, quality) FROM STDIN (FORMAT BINARY)"
    with connection.cursor() as cursor, cursor.copy(command) as copy:
        copy.write(packed(batch))
