"""The load generator, without ingest: what it encodes, and what it gets acknowledged by Mosquitto, on one core."""

from __future__ import annotations

import threading
import time

from bench.results import of_three, show
from bench.servers import folder, mosquitto
from simulators.load import Load, LoadConfig
from simulators.load.encode import Ring

DEVICES, ROWS, PIECE = 1_000, 16_000, 2_000


def encoded(count: int) -> float:
    """Messages encoded a second."""
    ring = Ring(DEVICES, ROWS, version_5=True)
    start_us = time.time_ns() // 1000
    began = time.perf_counter()
    for number in range(0, count, PIECE):
        ring.write(number, PIECE, start_us + number)
    return count / (time.perf_counter() - began)


def run(quick: bool) -> None:
    """Print messages a second."""
    count = 100_000 if quick else 500_000
    show("load generator: encoding ahead", of_three(lambda: encoded(count)), "messages/s")
    with folder() as path, mosquitto(path) as broker:

        def published() -> float:
            summary = Load(LoadConfig(broker.url, DEVICES, count)).run(threading.Event())
            assert summary.acknowledged == count
            return summary.rate_per_s

        rate = of_three(published)
    show("load generator: publish to acknowledged, Mosquitto", rate, "messages/s", 100_000)
