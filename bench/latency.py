"""Latency: from the moment when a message is due at its publisher to the commit of its readings.

The load is open-loop: message n is due n / rate seconds after the first, and what waits at the publisher because the
broker or the line stands still counts from then (no coordinated omission). The moment of commit is PostgreSQL's own
(`track_commit_timestamp`) of the transaction that wrote the row. It takes it just before it flushes the log to disk:
the mean of these flushes is printed, and is to be added.
"""

from __future__ import annotations

import threading
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import Connection

from bench.ingest import DEVICES, devices
from bench.processes import Worker, ingest
from bench.results import show
from bench.servers import folder, mosquitto, postgres
from simulators.load import Load, LoadConfig
from store.connection import connect
from store.registry import sync_inventory

HALF_PER_S, IDLE_PER_S = 17_500, 5
_WINDOW = 32_767

#: One metric of three, so a row a message; the load measures each message a microsecond or more after the one before.
_COMMITTED = """
SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8
FROM readings WHERE metric_id = (SELECT metric_id FROM metric WHERE name = 'energy_kwh') AND time >= to_timestamp(%s)
ORDER BY time
"""
_FLUSHES = "SELECT sum(wal_sync)::float8, sum(wal_sync_time)::float8 FROM pg_stat_wal"


def publish(url: str, rate_per_s: float, count: int, told: Pipe) -> None:
    """A process: `count` messages at a rate; tells when the first was due (seconds since 1970)."""
    config = LoadConfig(url, DEVICES, count, rate_per_s, window=_WINDOW, catch_up_s=float("inf"))
    summary = Load(config, on_connected=lambda: told.send(time.time())).run(threading.Event())
    assert summary.acknowledged == count


def latencies_s(
    connection: Connection[Any], first_due_s: float, rate_per_s: float, count: int
) -> npt.NDArray[np.float64]:
    """Seconds from due to commit, message by message in order of publishing."""
    rows = connection.execute(_COMMITTED, [first_due_s]).fetchall()
    assert len(rows) == count, f"{len(rows)} of {count} messages are stored"
    due_s = first_due_s + np.arange(count) / rate_per_s
    return np.array(rows, np.float64)[:, 0] - due_s


def _measure(
    worker: Worker, connection: Connection[Any], url: str, rate_per_s: float, seconds: float
) -> npt.NDArray[np.float64]:
    count = round(rate_per_s * seconds)
    context = get_context("spawn")
    here, there = context.Pipe(duplex=False)
    before, _ = worker.stored()
    publisher = context.Process(target=publish, args=(url, rate_per_s, count, there))
    publisher.start()
    first_due_s = here.recv()
    publisher.join()
    while worker.stored()[0] - before < 3 * count:
        time.sleep(0.5)
    return latencies_s(connection, first_due_s, rate_per_s, count)


def run(quick: bool) -> None:
    """Print percentiles at half load and idle."""
    seconds = 10 if quick else 60
    settings = {"track_commit_timestamp": "on", "track_wal_io_timing": "on"}
    with (
        folder() as path,
        postgres(path, **settings) as database,
        mosquitto(path) as broker,
        connect(database.url, service="bench", autocommit=True) as connection,
    ):
        with connection.transaction():
            sync_inventory(connection, devices())
        with ingest(path, database.url, broker.url) as worker:
            _measure(worker, connection, broker.url, HALF_PER_S, 3)  # the first chunk, the processor's caches
            for name, rate_per_s, goals in (
                ("half load", HALF_PER_S, {50: 250, 99: 1_000, 99.9: None, 100: None}),
                ("idle", IDLE_PER_S, {50: None, 99: 400, 100: None}),
            ):
                count_before, ms_before = connection.execute(_FLUSHES).fetchone() or (0.0, 0.0)
                taken = 1_000 * _measure(worker, connection, broker.url, rate_per_s, seconds)
                what = f"latency, due to committed, {name} ({rate_per_s:,} messages/s)"
                for percentile, goal in goals.items():
                    text = f"{what}: p{percentile:g}" if percentile < 100 else f"{what}: longest"
                    show(text, float(np.percentile(taken, percentile)), "ms", goal)
                connection.execute("SELECT pg_stat_clear_snapshot()")
                count, ms = connection.execute(_FLUSHES).fetchone() or (0.0, 0.0)
                show("  to be added: a flush of the log, mean", (ms - ms_before) / (count - count_before), "ms")
