"""End to end: from a publisher through Mosquitto and ingest, one worker or more, to committed rows: QoS 1, fsync on."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
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


def messages_per_s(count: int, messages: int) -> float:
    """From the first message published to the last committed, with this many workers; median of three."""
    share = {"MISTO_MQTT_SHARE": "misto"} if count > 1 else {}
    with ExitStack() as stack:
        path = stack.enter_context(folder())
        database, broker = stack.enter_context(postgres(path)), stack.enter_context(mosquitto(path))
        with connect(database.url, service="bench") as connection:
            sync_inventory(connection, devices())
        workers = [
            stack.enter_context(ingest(path, database.url, broker.url, MISTO_MQTT_CLIENT_ID=f"bench-{number}", **share))
            for number in range(count)
        ]

        def measure() -> float:
            context = get_context("spawn")
            ready, go = context.Event(), context.Event()
            publisher = context.Process(target=publish, args=(broker.url, messages, ready, go))
            publisher.start()
            ready.wait()
            before = sum(worker.stored()[0] for worker in workers)
            began = time.time()
            go.set()
            while True:
                now = [worker.stored() for worker in workers]
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
