"""Storing: rows a second through the writer, and through the keeper."""

from __future__ import annotations

import threading
import time

import numpy as np

from bench.results import of_three, show
from bench.servers import folder, postgres
from misto.keeper import Keeper, KeeperConfig
from store.connection import connect
from store.writer import ReadingBatch, ReadingWriter

POINTS, METRICS, ROWS = 1_000, 3, 12_000


def batch(number: int, start_us: int) -> ReadingBatch:
    """A batch of 4,000 messages with three metrics each."""
    index = np.arange(ROWS, dtype=np.int64)
    message = number * (ROWS // METRICS) + index // METRICS
    return ReadingBatch(
        start_us + (message // POINTS) * 60_000_000,
        (message % POINTS).astype(np.int32) + 1,
        (index % METRICS).astype(np.int16) * 3 + 1,
        index.astype(np.float64) + number,
        np.zeros(ROWS, np.int16),
        time.time(),
    )


def run(quick: bool) -> None:
    """Print rows a second."""
    batches = 20 if quick else 100
    with folder() as path, postgres(path) as server, connect(server.url, service="bench") as connection:
        writer = ReadingWriter(connection)
        number = 0
        start_us = round((time.time() - 30 * 86_400) * 1e6)

        def write() -> float:
            nonlocal number
            began = time.perf_counter()
            for _ in range(batches):
                writer.write(batch(number, start_us))
                number += 1
            return batches * ROWS / (time.perf_counter() - began)

        show("store: copy, dedupe, log; one connection, fsync on", of_three(write), "rows/s", 150_000)
        keeper = Keeper(KeeperConfig(server.url, 36_500, 7, 90), threading.Event())
        began = time.perf_counter()
        while keeper.derive(connection):
            pass
        show("keeper: newest, consumption", number * ROWS / (time.perf_counter() - began), "readings/s")
