"""End to end: from a publisher through Mosquitto and one ingest worker to committed rows, QoS 1, fsync on."""

from __future__ import annotations

import threading
import time
from multiprocessing import get_context
from multiprocessing.synchronize import Event

from bench.processes import ingest
from bench.results import of_three, show
from bench.servers import folder, mosquitto, postgres
from catalogue.inventory import Inventory
from simulators.load import Load, LoadConfig
from simulators.load.encode import address
from store.connection import connect
from store.registry import sync_inventory

DEVICES = 1_000


def devices() -> Inventory:
    """A thousand meters that speak plain JSON."""
    text = {"en": "Bench", "uk": "Стенд"}
    points = [
        {"id": address(n), "kind": "electricity", "devices": [{"address": address(n)}]} for n in range(1, DEVICES + 1)
    ]
    return Inventory.model_validate(
        {
            "version": 1,
            "city": {"name": text, "latitude": 48.9, "longitude": 24.7},
            "sites": [
                {"id": "bench", "kind": "building", "name": text, "latitude": 48.9, "longitude": 24.7, "points": points}
            ],
        }
    )


def publish(url: str, count: int, ready: Event, go: Event) -> None:
    """A process: connect, say so, and at `go` send everything as fast as the broker acknowledges."""

    def on_connected() -> None:
        ready.set()
        go.wait()

    summary = Load(LoadConfig(url, DEVICES, count), on_connected=on_connected).run(threading.Event())
    assert summary.acknowledged == count


def run(quick: bool) -> None:
    """Print messages and readings a second."""
    count = 30_000 if quick else 200_000
    with folder() as path, postgres(path) as database, mosquitto(path) as broker:
        with connect(database.url, service="bench") as connection:
            sync_inventory(connection, devices())
        with ingest(path, database.url, broker.url) as worker:

            def measure() -> float:
                context = get_context("spawn")
                ready, go = context.Event(), context.Event()
                publisher = context.Process(target=publish, args=(broker.url, count, ready, go))
                publisher.start()
                ready.wait()
                before, _ = worker.stored()
                began = time.time()
                go.set()
                # Seldom: telling its metrics costs the worker time.
                while (now := worker.stored())[0] - before < 3 * count:
                    time.sleep(0.25)
                publisher.join()
                return count / (now[1] - began)

            rate = of_three(measure)
    show("end to end: publish to committed, QoS 1, one worker", rate, "messages/s", 35_000)
    show("end to end: the same in readings", 3 * rate, "readings/s", 105_000)
