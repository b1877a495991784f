"""Ingest's memory at its worst: the database is away, messages are as large as sensors never send them.

Each case in a new process of ingest: what it holds while the database is away (whatever is published), and its highest
while it decodes and writes them all. docs/operations.md has the bound that this checks.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Iterator

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from bench.ingest import devices
from bench.processes import ingest, resident_mb
from bench.servers import folder, mosquitto, postgres
from simulators.load.encode import address
from store.connection import connect
from store.registry import sync_inventory

_BASE_S = 1_790_000_000
_SMALLEST, _LARGEST = 64 * 1024, 256 * 1024


def _small(count: int) -> Iterator[tuple[str, bytes]]:
    """One reading each, nearly nothing but what a message costs by itself."""
    for number in range(count):
        yield f"misto/{address(1 + number % 1_000)}/up", b'{"time":%d,"power_w":1}' % (_BASE_S + number // 1_000)


def _dense(megabytes: int) -> Iterator[tuple[str, bytes]]:
    """As many readings as fit into messages of 64 to 256 KiB."""
    chance, at, left = random.Random(1), 0, megabytes * 1_000_000
    while left > 0:
        size = chance.randint(_SMALLEST, _LARGEST)
        one = len(b'{"time":1790000000,"power_w":1},')
        texts = [b'{"time":%d,"power_w":1}' % (_BASE_S + at + n) for n in range((size - 2) // one)]
        at += len(texts)
        left -= size
        yield f"misto/{address(1)}/up", b"[" + b",".join(texts) + b"]"


def _unknown(megabytes: int) -> Iterator[tuple[str, bytes]]:
    """JSON with many fields that nobody knows."""
    chance, left, number = random.Random(2), megabytes * 1_000_000, 0
    while left > 0:
        size = chance.randint(_SMALLEST, _LARGEST)
        left -= size
        number += 1
        fields = {f"field_{number}_{n}": n for n in range(size // 24)}
        yield f"misto/{address(1 + number % 1_000)}/up", json.dumps({"time": _BASE_S + number, **fields}).encode()


def _unreadable(megabytes: int) -> Iterator[tuple[str, bytes]]:
    """What goes to quarantine whole, up to the broker's largest packet."""
    for _ in range(megabytes):
        yield "cameras/gate", os.urandom(1_000_000)


def _publish(url: str, messages: Iterator[tuple[str, bytes]], qos: int) -> int:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    room, count = threading.Semaphore(200), 0
    client.on_publish = lambda *unused: room.release()
    client.connect("127.0.0.1", int(url.rsplit(":", 1)[1]))
    client.loop_start()
    for topic, payload in messages:
        room.acquire()
        client.publish(topic, payload, qos)
        count += 1
    for _ in range(200):
        room.acquire()
    client.disconnect()
    client.loop_stop()
    return count


def _one(what: str, messages: Iterator[tuple[str, bytes]], qos: int) -> None:
    """With QoS 0 also to ingest: the broker then sends whatever comes, without a window."""
    extra = "upgrade_outgoing_qos false" if qos == 0 else ""
    with folder() as path, postgres(path) as database, mosquitto(path, extra=extra) as broker:
        with connect(database.url, service="bench") as connection:
            sync_inventory(connection, devices())
        with ingest(path, database.url, broker.url) as worker:
            time.sleep(2)
            before, _ = resident_mb(worker.pid)
            database.stop()
            count = _publish(broker.url, messages, qos)
            time.sleep(5)
            held, _ = resident_mb(worker.pid)
            unacknowledged = worker.metrics()["misto_ingest_unacknowledged_messages"]
            database.start()
            while sum(v for name, v in worker.metrics().items() if "ingest_messages_total" in name) < count:
                time.sleep(0.5)
            _, highest = resident_mb(worker.pid)
    print(f"{what:<44} {count:>8,} {unacknowledged:>9,.0f} {before:>8,.0f} {held:>8,.0f} {highest:>9,.0f}", flush=True)


def run(quick: bool) -> None:
    """Print ingest's resident size, MB: before, while the database is away, and at its highest until all is written."""
    part = 4 if quick else 1
    print(f"{'ingest, MB resident':<44} {'messages':>8} {'held':>9} {'before':>8} {'away':>8} {'highest':>9}")
    _one("small, QoS 1", _small(60_000 // part), 1)
    _one("small, QoS 0", _small(60_000 // part), 0)
    _one("64-256 KB, 2,000-8,000 readings each", _dense(200 // part), 1)
    _one("64-256 KB, unknown fields", _unknown(400 // part), 1)
    _one("1 MB, unreadable", _unreadable(400 // part), 1)
