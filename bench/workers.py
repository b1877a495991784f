"""The rules as processes: readings a second from the log to saved states, by one worker and by several; hand-over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from psycopg import Connection

from bench.results import show
from bench.servers import folder, postgres
from misto.runtime.process import free_port
from simulators.generate import CitySize, generate_inventory
from store.connection import connect
from store.reading_log import lag
from store.registry import sync_inventory
from store.rules_leases import worker_list

FILL = 30
BINS, BATCH = 10_000, 4_000

_STAGE = """
CREATE TABLE bench_log AS SELECT received_at, reading_count, times_us, point_ids, metric_ids, "values", qualities
FROM reading_log WITH NO DATA
"""
_ADD = "INSERT INTO bench_log VALUES (now(), %s, %s, %s, %s, %s, %s)"
_GO = """
INSERT INTO reading_log (received_at, reading_count, times_us, point_ids, metric_ids, "values", qualities)
SELECT * FROM bench_log
"""
_ONE = f"{_GO} LIMIT 1"


@contextmanager
def _worker(url: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MISTO_")}
    environment |= {"MISTO_DATABASE_URL": url, "MISTO_RULES_METRICS_PORT": str(free_port())}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("misto"), "rules", "run"],
            env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait()


def _stage(connection: Connection[Any], points: list[int], rounds: int) -> int:
    """Bins that fill and are emptied, half an hour apart, in batches; returns how many readings."""
    connection.execute(_STAGE)
    chance = np.random.default_rng(1)
    start_us = round((time.time() - rounds * 1800) * 1e6)
    ids = np.tile(np.array(points), rounds)
    at = start_us + np.repeat(np.arange(rounds, dtype=np.int64), len(points)) * 1_800_000_000
    # One bin in fifty is emptied too late.
    full = np.where(ids % 50 == 0, 98, 75)
    values = (np.repeat(np.arange(rounds), len(points)) * 0.7 + ids * 7) % full + chance.random(len(ids))
    for begin in range(0, len(ids), BATCH):
        here = slice(begin, begin + BATCH)
        count = len(ids[here])
        columns = (at[here].tolist(), ids[here].tolist(), [FILL] * count, values[here].tolist(), [0] * count)
        connection.execute(_ADD, (count, *columns))
    connection.commit()
    return len(ids)


def _judged(connection: Connection[Any]) -> float:
    """Seconds until everything in the log is judged."""
    began = time.perf_counter()
    while lag(connection, "rules").batches:
        connection.commit()
        time.sleep(0.05)
    connection.commit()
    return time.perf_counter() - began


def _shared(connection: Connection[Any], workers: int) -> None:
    """Wait until so many workers hold about the same."""
    while sorted(one.partitions for one in worker_list(connection) if one.alive)[:1] != [64 // workers]:
        connection.commit()
        time.sleep(0.1)
    connection.commit()


def run(quick: bool) -> None:
    """Print readings a second with one, two and three workers, and how long a batch waits when one of two ends."""
    for workers in (1, 2, 3):
        with folder() as path, postgres(path) as server, connect(server.url, service="bench") as connection:
            sync_inventory(connection, generate_inventory(CitySize(buildings=0, bins=BINS, interval="30m")))
            connection.commit()
            points = [row[0] for row in connection.execute("SELECT point_id FROM point ORDER BY 1")]
            count = _stage(connection, points, 20 if quick else 120)
            with ExitStack() as stack:
                processes = [stack.enter_context(_worker(server.url, path / f"{n}.log")) for n in range(workers)]
                _shared(connection, workers)
                time.sleep(10)  # they load what they have taken
                connection.execute(_GO)
                connection.commit()
                rate = count / _judged(connection)
                show(f"rules: shipped rules over {BINS:,} bins, saved; {workers} workers", rate, "readings/s", 100_000)
                if workers == 2:
                    for what, number in (("is stopped", signal.SIGTERM), ("is killed", signal.SIGKILL),
                                         ("sleeps", signal.SIGSTOP)):  # fmt: skip
                        processes[-1].send_signal(number)
                        connection.execute(_ONE)
                        connection.commit()
                        waited_ms = 1000 * _judged(connection)
                        show(f"rules: a batch waits when one of two {what}, at the most", waited_ms, "ms")
                        processes.append(stack.enter_context(_worker(server.url, path / "more.log")))
                        _shared(connection, 2)
                        time.sleep(5)
