"""Back-pressure: the database is away while messages go on coming, and comes back.

Twice: the server stopped, and the table locked by another session (its statements hang, its connections live). What
ingest and the broker hold is shown over time; then the backlog drains while live messages, one for each 15 minutes of
a million points, queue behind it. In the end every message that the broker acknowledged must be stored once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from psycopg import Connection

from bench.ingest import DEVICES, devices
from bench.latency import latencies_s
from bench.processes import Worker, ingest, process, resident_mb
from bench.results import show
from bench.servers import folder, mosquitto, postgres
from misto.runtime import MosquittoServer, PostgresServer
from simulators.load import Load, LoadConfig
from store.connection import connect
from store.reading_log import lag
from store.registry import sync_inventory

LIVE_PER_S = 1_111
#: An hour of a million points at 15 minutes.
FULL, QUICK = 4_000_000, 60_000
QUICK_PER_S = 6_000
_AFTER_S = 10.0

_ACCOUNT = """
SELECT (SELECT count(*) FROM readings), (SELECT sum(reading_count)::bigint FROM reading_log),
    (SELECT count(*) FROM quarantine)
"""


def publish(url: str, rate_per_s: float, count: int | None, told: Pipe) -> None:
    """A process: load until `count` or until it is told to end; tells when the first was due and what was acknowledged.

    In between it answers every question with how many the broker has acknowledged.
    """
    stop = threading.Event()
    config = LoadConfig(url, DEVICES, count, rate_per_s, window=20_000, catch_up_s=float("inf"), settle_s=60)
    load = Load(config, on_connected=lambda: told.send(time.time()))
    worker = threading.Thread(target=load.run, args=[stop])
    worker.start()
    while told.recv() != "end":
        told.send((load.summary.acknowledged, worker.is_alive()))
    stop.set()
    worker.join()
    told.send((load.summary.acknowledged, False))


@dataclass
class _Publisher:
    pipe: Pipe
    first_due_s: float

    def acknowledged(self, question: str = "?") -> tuple[int, bool]:
        """How many the broker has taken, and whether it goes on."""
        self.pipe.send(question)
        answer: tuple[int, bool] = self.pipe.recv()
        return answer


@contextmanager
def _publisher(url: str, rate_per_s: float, count: int | None) -> Iterator[_Publisher]:
    context = get_context("spawn")
    here, there = context.Pipe()
    running = context.Process(target=publish, args=(url, rate_per_s, count, there), daemon=True)
    running.start()
    yield _Publisher(here, here.recv())
    running.join()


class _Sys:
    """What the broker tells of itself under `$SYS`."""

    def __init__(self, url: str) -> None:
        self.values: dict[str, int] = {}
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", int(url.rsplit(":", 1)[1]))
        self._client.subscribe("$SYS/broker/store/messages/#")
        self._client.subscribe("$SYS/broker/publish/messages/dropped")
        self._client.loop_start()

    def _on_message(self, client: mqtt.Client, data: Any, message: mqtt.MQTTMessage) -> None:
        self.values["/".join(message.topic.split("/")[-2:])] = int(message.payload)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@dataclass
class _Watch:
    """Prints a line now and then."""

    worker: Worker
    broker: MosquittoServer
    sys: _Sys
    every_s: float
    began: float = 0.0
    _next: float = 0.0

    def head(self) -> None:
        self.began, self._next = time.monotonic(), 0.0
        print(f"{'s':>6} {'published':>11} {'stored':>11} {'unacked':>8} {'ingest MB':>10} {'broker MB':>10} "
              f"{'broker holds':>12} {'rules behind':>13}")  # fmt: skip

    def line(self, published: int, behind: str = "") -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self.every_s
        pid = self.broker.pid
        assert pid is not None
        now, holds = self.worker.metrics(), self.sys.values.get("messages/count", 0)
        stored = now.get("misto_ingest_readings_total/stored", 0) / 3
        print(f"{time.monotonic() - self.began:6.0f} {published:11,} {stored:11,.0f} "
              f"{now['misto_ingest_unacknowledged_messages']:8,.0f} {resident_mb(self.worker.pid)[0]:10,.0f} "
              f"{resident_mb(pid)[0]:10,.0f} {holds:12,} {behind:>13}", flush=True)  # fmt: skip


@contextmanager
def _stopped(database: PostgresServer) -> Iterator[None]:
    database.stop()
    try:
        yield
    finally:
        database.start()


@contextmanager
def _locked(database: PostgresServer) -> Iterator[None]:
    with connect(database.url, service="bench") as connection:
        connection.execute("LOCK TABLE readings IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


def _behind(connection: Connection[Any]) -> str:
    behind = lag(connection, "rules")
    return f"{behind.batches} b {behind.age_s:.0f} s" if behind.batches else "0"


def _one(name: str, away: Callable[[PostgresServer], Any], count: int, rate_per_s: float, every_s: float) -> None:
    at = f"{rate_per_s:,.0f} messages/s" if rate_per_s else "as fast as the broker takes them"
    print(f"\nthe database {name}, {count:,} messages, {at}; then {LIVE_PER_S:,}/s live:")
    with ExitStack() as stack:
        path = stack.enter_context(folder())
        database = stack.enter_context(postgres(path, track_commit_timestamp="on"))
        broker = stack.enter_context(mosquitto(path, extra="sys_interval 1\nmax_queued_messages 5000000"))
        with connect(database.url, service="bench") as connection:
            sync_inventory(connection, devices())
        rules = {"MISTO_DATABASE_URL": database.url}
        stack.enter_context(process(path, ["rules", "run"], "MISTO_RULES_METRICS_PORT", rules))
        worker = stack.enter_context(ingest(path, database.url, broker.url))
        sys = _Sys(broker.url)
        stack.callback(sys.close)
        watch = _Watch(worker, broker, sys, every_s)
        watch.head()
        watch.line(0)
        with away(database), _publisher(broker.url, rate_per_s, count) as backlog:
            began, going = time.monotonic(), True
            while going:
                time.sleep(0.2)
                published, going = backlog.acknowledged()
                watch.line(published)
            took_s = time.monotonic() - began
            time.sleep(2.5)  # the broker tells of itself once a second
            watch.line(published)
            backlog.acknowledged("end")
        assert published == count
        with connect(database.url, service="bench", autocommit=True) as connection:
            _drain(watch, connection, count)
        assert broker.pid is not None
        show("published at", count / took_s, "messages/s")
        show("ingest's memory at its highest", resident_mb(worker.pid)[1], "MB")
        show("broker's memory at its highest", resident_mb(broker.pid)[1], "MB")


def _drain(watch: _Watch, connection: Connection[Any], count: int) -> None:
    print("  the database is back")
    back = time.monotonic()
    drained_s = ended_s = 0.0
    with _publisher(watch.broker.url, LIVE_PER_S, None) as live:
        while not drained_s or time.monotonic() - back < drained_s + _AFTER_S:
            time.sleep(0.2)
            watch.line(count + live.acknowledged()[0], _behind(connection))
            if not drained_s and watch.worker.stored()[0] >= 3 * count:
                drained_s = time.monotonic() - back
        live_count, _ = live.acknowledged("end")
    while watch.worker.stored()[0] < 3 * (count + live_count):
        time.sleep(0.2)
    while lag(connection, "rules").batches:
        time.sleep(0.2)
    ended_s = time.monotonic() - back
    show("backlog drained after the database's return", drained_s, "s")
    show("drained at", count / drained_s, "messages/s")
    show("rules through with all of it after the return", ended_s, "s")
    taken = latencies_s(connection, live.first_due_s, LIVE_PER_S, live_count)
    for percentile in (50, 99, 100):
        show(f"latency of live messages: p{percentile}", 1_000 * float(np.percentile(taken, percentile)), "ms")
    print("  live messages due so many seconds after the return waited, s:")
    tenth = max(1, live_count // 10)
    starts = range(0, live_count, tenth)
    print("  due    " + " ".join(f"{start / LIVE_PER_S:7.0f}" for start in starts))
    print("  waited " + " ".join(f"{np.median(taken[start : start + 200]):7.1f}" for start in starts))
    row = connection.execute(_ACCOUNT).fetchone()
    assert row is not None
    published = count + live_count
    dropped = watch.sys.values.get("messages/dropped", 0)
    print(f"  published {published:,}; readings {row[0]:,}, in the log {row[1]:,}, quarantine {row[2]}, "
          f"dropped by the broker {dropped}")  # fmt: skip
    assert row == (3 * published, 3 * published, 0), "messages are lost or doubled"


def run(quick: bool) -> None:
    """Print what is held, how it drains, and whether all is there."""
    count, rate_per_s, every_s = (QUICK, QUICK_PER_S, 2.0) if quick else (FULL, 0, 10.0)
    _one("is stopped", _stopped, count, rate_per_s, every_s)
    _one("is locked", _locked, count // (1 if quick else 8), rate_per_s, every_s)
