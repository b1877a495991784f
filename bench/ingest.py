"""End to end: from a publisher through Mosquitto and one ingest worker to committed rows, QoS 1, fsync on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import urllib.request
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from bench.results import of_three, show
from bench.servers import folder, mosquitto, postgres
from catalogue.inventory import Inventory
from misto.runtime.process import free_port
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


def stored(port: int) -> tuple[float, float]:
    """Readings that ingest says are committed, and when it committed the last ones (seconds since 1970)."""
    count = last = 0.0
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        for family in text_string_to_metric_families(answer.read().decode()):
            for sample in family.samples:
                if sample.name == "misto_ingest_readings_total" and sample.labels["outcome"] == "stored":
                    count = sample.value
                elif sample.name == "misto_ingest_last_reading_timestamp_seconds":
                    last = sample.value
    return count, last


def run(quick: bool) -> None:
    """Print messages and readings a second."""
    count = 30_000 if quick else 200_000
    with folder() as path, postgres(path) as database, mosquitto(path) as broker:
        with connect(database.url, service="bench") as connection:
            sync_inventory(connection, devices())
        port = free_port()
        settings = {
            "MISTO_DATABASE_URL": database.url, "MISTO_MQTT_URL": broker.url, "MISTO_INGEST_METRICS_PORT": str(port),
        }  # fmt: skip
        with (path / "ingest.log").open("w") as log:
            worker = subprocess.Popen(
                [Path(sys.executable).with_name("misto"), "ingest"], env=os.environ | settings, stderr=log
            )
        try:
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2).close()
                    break
                except OSError:
                    time.sleep(0.1)

            def measure() -> float:
                context = get_context("spawn")
                ready, go = context.Event(), context.Event()
                publisher = context.Process(target=publish, args=(broker.url, count, ready, go))
                publisher.start()
                ready.wait()
                before, _ = stored(port)
                began = time.time()
                go.set()
                # Seldom: telling its metrics costs the worker time.
                while (now := stored(port))[0] - before < 3 * count:
                    time.sleep(0.25)
                publisher.join()
                return count / (now[1] - began)

            rate = of_three(measure)
        finally:
            worker.terminate()
            worker.wait()
    show("end to end: publish to committed, QoS 1, one worker", rate, "messages/s", 35_000)
    show("end to end: the same in readings", 3 * rate, "readings/s", 105_000)
