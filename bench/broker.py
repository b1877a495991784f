"""What a queue costs the broker: memory for each message, and how long it stands still while it saves the queue.

A session subscribes and goes away; messages of about 180 bytes are queued for it. Mosquitto saves all of them at once,
in its only thread (SIGUSR1 here; by itself every `autosave_interval`): meanwhile a publisher sends a message every
millisecond or so, and the longest that one waits for its acknowledgement is the pause.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from bench.ingest import DEVICES
from bench.processes import resident_mb
from bench.results import show
from bench.servers import folder, mosquitto
from simulators.load import Load, LoadConfig
from simulators.load.encode import Ring

_PROBE_S = 0.001


def _port(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


def _session(url: str) -> None:
    """Subscribe to everything, and go away."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="away", protocol=mqtt.MQTTv5)
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 3_600
    subscribed = threading.Event()
    connected = threading.Event()
    client.on_connect = lambda *unused: connected.set()
    client.on_subscribe = lambda *unused: subscribed.set()
    client.connect("127.0.0.1", _port(url), clean_start=True, properties=properties)
    client.loop_start()
    connected.wait(10)
    client.subscribe("misto/#", 1)
    subscribed.wait(10)
    client.disconnect()
    client.loop_stop()


def _longest_wait_s(url: str, save: Path, pid: int) -> float:
    """The longest that a message waits for its acknowledgement while the broker saves."""
    answered = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    client.on_publish = lambda *unused: answered.set()
    client.connect("127.0.0.1", _port(url))
    client.loop_start()
    waits: list[float] = []
    before = save.stat().st_mtime_ns if save.exists() else 0
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if len(waits) == 500:
            os.kill(pid, signal.SIGUSR1)
        began = time.monotonic()
        answered.clear()
        client.publish("probe", b"", 1)
        answered.wait(60)
        waits.append(time.monotonic() - began)
        if len(waits) > 500 and save.exists() and save.stat().st_mtime_ns != before:
            break
        time.sleep(_PROBE_S)
    client.disconnect()
    client.loop_stop()
    return max(waits[500:])


def run(quick: bool) -> None:
    """Print memory for each queued message and the pause of a save, by length of the queue."""
    payload = Ring(1, 1, version_5=True).packet_bytes
    print(f"packets of {payload} bytes, queued for a session that is away")
    with folder() as path, mosquitto(path, extra="autosave_interval 0\nmax_queued_messages 5000000") as broker:
        assert broker.pid is not None
        empty_mb, _ = resident_mb(broker.pid)
        _session(broker.url)
        queued = 0
        for count in (10_000, 100_000) if quick else (10_000, 100_000, 1_000_000, 4_000_000):
            Load(LoadConfig(broker.url, DEVICES, count - queued)).run(threading.Event())
            queued = count
            held_mb, _ = resident_mb(broker.pid)
            show(f"broker: {count:,} messages queued, memory", held_mb - empty_mb, "MB")
            show("broker:   of it for each message", (held_mb - empty_mb) * 1e6 / count, "bytes")
            save = path / "mosquitto" / "mosquitto.db"
            pause_s = _longest_wait_s(broker.url, save, broker.pid)
            show("broker:   stands still while it saves them", 1_000 * pause_s, "ms")
            show("broker:   file", save.stat().st_size / 1e6, "MB")
