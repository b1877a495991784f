"""End to end: from a publisher through Mosquitto and ingest, one worker or more, to committed rows: QoS 1, fsync on."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
WORKERS = (1, 2, 3)


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


@contextmanager
def workers(path: Path, database_url: str, broker_url: str, count: int) -> Iterator[list[int]]:
    """Ingest processes, several of them in one shared subscription; yields the ports of their metrics."""
    ports = [free_port() for _ in range(count)]
    share = {"MISTO_MQTT_SHARE": "misto"} if count > 1 else {}
    with ExitStack() as stack:
        for number, port in enumerate(ports):
            settings = {
                "MISTO_DATABASE_URL": database_url, "MISTO_MQTT_URL": broker_url,
                "MISTO_INGEST_METRICS_PORT": str(port), "MISTO_MQTT_CLIENT_ID": f"bench-{number}",
            }  # fmt: skip
            log = stack.enter_context((path / f"ingest-{number}.log").open("w"))
            worker = subprocess.Popen(
                [Path(sys.executable).with_name("misto"), "ingest"], env=os.environ | settings | share, stderr=log
            )
            stack.callback(worker.wait)
            stack.callback(worker.terminate)
        for port in ports:
            _wait_well(port)
        yield ports


def _wait_well(port: int) -> None:
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2).close()
            return
        except OSError:
            time.sleep(0.1)


def messages_per_s(count: int, messages: int) -> float:
    """From the first message published to the last committed, with this many workers; median of three."""
    with folder() as path, postgres(path) as database, mosquitto(path) as broker:
        with connect(database.url, service="bench") as connection:
            sync_inventory(connection, devices())
        with workers(path, database.url, broker.url, count) as ports:

            def measure() -> float:
                context = get_context("spawn")
                ready, go = context.Event(), context.Event()
                publisher = context.Process(target=publish, args=(broker.url, messages, ready, go))
                publisher.start()
                ready.wait()
                before = sum(stored(port)[0] for port in ports)
                began = time.time()
                go.set()
                while True:
                    now = [stored(port) for port in ports]
                    if sum(count for count, _ in now) - before >= 3 * messages:
                        break
                    # Seldom: telling its metrics costs the worker time.
                    time.sleep(0.25)
                publisher.join()
                return messages / (max(at for _, at in now) - began)

            return of_three(measure)


def run(quick: bool) -> None:
    """Print messages and readings a second of one worker, and messages a second of several and of the best."""
    messages = 30_000 if quick else 200_000
    rates = {count: messages_per_s(count, messages) for count in WORKERS}
    show("end to end: publish to committed, QoS 1, one worker", rates[1], "messages/s", 35_000)
    show("end to end: the same in readings", 3 * rates[1], "readings/s", 105_000)
    for count in WORKERS[1:]:
        show(f"end to end: {count} workers of one shared subscription", rates[count], "messages/s")
    best = max(rates, key=lambda count: rates[count])
    show(f"end to end: the best arrangement, workers: {best}", rates[best], "messages/s", 45_000)
