"""End to end: from a publisher through Mosquitto and one ingest worker to committed rows, QoS 1, fsync on."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from multiprocessing import get_context
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from bench.results import of_three, show
from bench.servers import folder, mosquitto, postgres
from catalogue.inventory import Inventory
from misto.runtime.process import free_port
from store.connection import connect
from store.registry import sync_inventory

DEVICES, WINDOW, PIECE = 1_000, 8_000, 1_000


def devices() -> Inventory:
    """A thousand meters that speak plain JSON."""
    text = {"en": "Bench", "uk": "Стенд"}
    points = [
        {"id": f"meter-{n:04d}", "kind": "electricity", "devices": [{"address": f"meter-{n:04d}"}]}
        for n in range(DEVICES)
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


def packets(first: int, count: int) -> list[bytes]:
    """PUBLISH packets (MQTT 3.1.1, QoS 1) without their packet ids, encoded ahead."""
    start = time.time() - 86_400
    result = []
    for number in range(first, first + count):
        device = f"meter-{number % DEVICES:04d}"
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(start + number // DEVICES))
        payload = json.dumps(
            {"device": device, "time": f"{at}.000Z", "energy_kwh": 48213.71 + number, "power_w": 5240.25,
             "voltage_v": 229.4, "quality": "good"}
        ).encode()  # fmt: skip
        topic = f"misto/{device}/up".encode()
        body = struct.pack("!H", len(topic)) + topic + struct.pack("!H", number % 65_000 + 1) + payload
        result.append(b"\x32" + _length(len(body)) + body)
    return result


def _length(value: int) -> bytes:
    out = bytearray()
    while True:
        value, rest = divmod(value, 128)
        out.append(rest | (0x80 if value else 0))
        if not value:
            return bytes(out)


def publish(port: int, first: int, count: int, ready: object, go: object) -> None:
    """A process: send everything as fast as the broker acknowledges."""
    ready_messages = packets(first, count)
    line = socket.create_connection(("127.0.0.1", port))
    name = f"bench-{first}".encode()
    variable = b"\x00\x04MQTT\x04\x02\x00\x3c" + struct.pack("!H", len(name)) + name
    line.sendall(b"\x10" + _length(len(variable)) + variable)
    assert line.recv(4)[3] == 0
    ready.set()  # type: ignore[attr-defined]
    go.wait()  # type: ignore[attr-defined]
    acknowledged = 0
    for start in range(0, count, PIECE):
        line.sendall(b"".join(ready_messages[start : start + PIECE]))
        while start + PIECE - acknowledged > WINDOW:
            acknowledged += len(line.recv(65_536)) // 4
    while acknowledged < count:
        acknowledged += len(line.recv(65_536)) // 4
    line.close()


def stored(port: int) -> float:
    """Readings that ingest says are committed."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        for family in text_string_to_metric_families(answer.read().decode()):
            for sample in family.samples:
                if sample.name == "misto_ingest_readings_total" and sample.labels["outcome"] == "stored":
                    return sample.value
    return 0.0


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
            first = 0

            def measure() -> float:
                nonlocal first
                context = get_context("spawn")
                ready, go = context.Event(), context.Event()
                publisher = context.Process(target=publish, args=(broker.port, first, count, ready, go))
                publisher.start()
                ready.wait()
                before = stored(port)
                began = time.perf_counter()
                go.set()
                while stored(port) - before < 3 * count:
                    time.sleep(0.02)
                took = time.perf_counter() - began
                publisher.join()
                first += count
                return count / took

            rate = of_three(measure)
        finally:
            worker.terminate()
            worker.wait()
    show("end to end: publish to committed, QoS 1, one worker", rate, "messages/s", 35_000)
    show("end to end: the same in readings", 3 * rate, "readings/s", 105_000)
