"""What a reading costs as the city and its history grow: from 100 to 1,000,000 points, from empty to a year."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import psycopg

from bench.servers import folder, postgres
from ingest.batch import decode_batch
from ingest.decoder import Decoder
from ingest.envelopes import all_envelopes
from ingest.message import Message
from ingest.profile import load_profiles
from ingest.registry import CachedRegistry
from misto.keeper import Keeper, KeeperConfig
from misto.service import tune_collector
from rules.loader import shipped_rules
from rules.service import RulesConfig, RulesService
from store.connection import connect
from store.reading_log import read_batches
from store.writer import ReadingBatch, ReadingWriter

ROWS, METRICS = 12_000, (1, 4, 9)
BATCHES = 40
DAY_US = 86_400_000_000


def run(quick: bool) -> None:
    """Print two tables: by points, and by how full the table is."""
    print(
        f"{'points':>9} {'decode':>9} {'store':>9} {'keeper':>9} {'rules':>9} "
        f"{'registry':>9} {'one new':>9} {'ingest':>8} {'rules take':>11} {'rules':>8}"
    )
    print(
        f"{'':>9} {'µs/msg':>9} {'µs/row':>9} {'µs/row':>9} {'µs/row':>9} "
        f"{'read, s':>9} {'device, s':>9} {'MB':>8} {'points, s':>11} {'MB':>8}"
    )
    for points in (100, 10_000, 100_000) if quick else (100, 10_000, 100_000, 1_000_000):
        _points(points)
    _year(12 if quick else 53)


def fill_city(url: str, points: int) -> None:
    """Electricity meters `meter-1` and so on, each at a point of one site."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO site (id, kind, name_en, name_uk, latitude, longitude)"
            " VALUES ('s', 'building', 'S', 'S', 48, 24)"
        )
        for statement in (
            "INSERT INTO point (code, site_id, kind, interval_s) SELECT 'p' || n, 's', 'electricity', 900",
            "INSERT INTO device (address, state) SELECT 'meter-' || n, 'claimed'",
        ):
            connection.execute(f"{statement} FROM generate_series(1, {points}) AS n")  # type: ignore[arg-type]
        connection.execute("INSERT INTO assignment (device_id, point_id) SELECT device_id, device_id FROM device")
        connection.execute("ANALYZE")


def batch(number: int, points: int, start_us: int) -> ReadingBatch:
    """A batch of 4,000 messages with three metrics each, from one point after the other."""
    index = np.arange(ROWS, dtype=np.int64)
    message = number * (ROWS // len(METRICS)) + index // len(METRICS)
    return ReadingBatch(
        start_us + (message // points) * 60_000_000,
        (message % points).astype(np.int32) + 1,
        np.array(METRICS, np.int16)[index % len(METRICS)],
        (message // points).astype(np.float64) + 1,
        np.zeros(ROWS, np.int16),
        time.time(),
    )


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def apart(work: Callable[..., dict[str, float]], *arguments: object) -> dict[str, float]:
    """The figures of a function in a process of its own: memory is not given back."""
    context = get_context("spawn")
    mine, its = context.Pipe(duplex=False)
    process = context.Process(target=_apart, args=(its, work, arguments))
    process.start()
    its.close()
    found: dict[str, float] = mine.recv()
    process.join()
    return found


def _apart(pipe: Any, work: Callable[..., dict[str, float]], arguments: tuple[object, ...]) -> None:
    pipe.send(work(*arguments))


def _memory_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _ingest(url: str, points: int) -> dict[str, float]:
    before = _memory_mb()
    registry = CachedRegistry(lambda: connect(url, service="bench"))
    with connect(url, service="bench", autocommit=True) as connection:
        read_s = timed(lambda: registry.reload(connection))
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("INSERT INTO device (address, state) VALUES ('new', 'claimed')")
            other.execute("INSERT INTO assignment (device_id, point_id) SELECT max(device_id), 1 FROM device")
        one_s = timed(lambda: registry.reload(connection))
        assert registry.device("new") is not None
    held = _memory_mb() - before
    tune_collector()
    chance = random.Random(1)
    decoder = Decoder(all_envelopes(ZoneInfo("Europe/Kyiv")), load_profiles(), registry)
    now = time.time_ns() // 1000
    messages = [
        Message(
            f"misto/meter-{number}/up",
            json.dumps({"energy_kwh": 48213.71, "power_w": 5240.25, "voltage_v": 229.4}).encode(),
            now, 1,
        )
        for number in (chance.randrange(1, points + 1) for _ in range(40_000))
    ]  # fmt: skip
    decode_batch(messages[:100], decoder, {})
    took = timed(lambda: decode_batch(messages, decoder, {}))
    decode_us = took / len(messages) * 1e6
    return {"read_s": read_s, "one_s": one_s, "decode_us": decode_us, "mb": held}


def _rules(url: str) -> dict[str, float]:
    before = _memory_mb()
    service = RulesService(RulesConfig(url, shipped_rules, "Europe/Kyiv"), threading.Event())
    engine = service._engine
    with connect(url, service="bench") as connection:
        take_s = timed(lambda: service._take_points(connection))
        tune_collector()
        batches = read_batches(connection, "nobody", BATCHES)
        # The first readings of each point make its state.
        for one in batches[: BATCHES // 2]:
            engine.fold(one)
        late = batches[BATCHES // 2 :]
        took = timed(lambda: [engine.fold(one) for one in late])
    return {"take_s": take_s, "fold_us": took / sum(len(one) for one in late) * 1e6, "mb": _memory_mb() - before}


def _points(points: int) -> None:
    with folder() as path, postgres(path) as server:
        fill_city(server.url, points)
        with connect(server.url, service="bench") as connection:
            writer = ReadingWriter(connection)
            start_us = time.time_ns() // 1000 - DAY_US
            writer.write(batch(0, points, start_us - DAY_US))
            stored = timed(lambda: [writer.write(batch(number, points, start_us)) for number in range(BATCHES)])
            keeper = Keeper(KeeperConfig(server.url, 36_500, 7, 90), threading.Event())

            def derive() -> None:
                while keeper.derive(connection):
                    pass

            derived = timed(derive)
            connection.rollback()
        ingest = apart(_ingest, server.url, points)
        rules = apart(_rules, server.url)
        rows = BATCHES * ROWS
        print(
            f"{points:>9,} {ingest['decode_us']:>9.1f} {stored / rows * 1e6:>9.1f} {derived / rows * 1e6:>9.1f} "
            f"{rules['fold_us']:>9.1f} {ingest['read_s']:>9.2f} {ingest['one_s']:>9.2f} {ingest['mb']:>8.0f} "
            f"{rules['take_s']:>11.1f} {rules['mb']:>8.0f}",
            flush=True,
        )


def _year(weeks: int) -> None:
    """A hundred points that report three metrics each quarter of an hour: a batch is four tenths of a day."""
    per_week = 7 * 96 * 100 * len(METRICS) // ROWS
    print(
        f"\n{'weeks':>6} {'rows, M':>9} {'store, µs/row':>14} {'first of a chunk, ms':>21} {'next, ms':>9} "
        f"{'keeper, µs/row':>15}"
    )
    with folder() as path, postgres(path) as server, connect(server.url, service="bench") as connection:
        fill_city(server.url, 100)
        writer = ReadingWriter(connection)
        keeper = Keeper(KeeperConfig(server.url, 36_500, 7, 90), threading.Event())
        monday_us = (time.time_ns() // 1000 // (7 * DAY_US) - weeks) * 7 * DAY_US
        total = 0
        for week in range(weeks):
            costs = []
            for number in range(per_week):
                one = batch(number, 100, 0)
                one.time_us = monday_us + week * 7 * DAY_US + one.time_us * 15
                one.value = one.value + week * 1000
                costs.append(timed(lambda one=one: writer.write(one)) * 1e3)  # type: ignore[misc]
            total += per_week * ROWS
            derived = timed(lambda: [None for _ in iter(lambda: keeper.derive(connection), 0)])
            if week in (0, 1, 3, 12, 25, 51, weeks - 1):
                later = sorted(costs[1:])
                cost = sum(later) / len(later) / ROWS * 1e3
                print(
                    f"{week + 1:>6} {total / 1e6:>9.1f} {cost:>14.1f} {costs[0]:>21.0f} "
                    f"{later[len(later) // 2]:>9.0f} {derived / per_week / ROWS * 1e6:>15.1f}",
                    flush=True,
                )
        connection.rollback()
        (size,) = connection.execute("SELECT hypertable_size('readings')").fetchone() or (0,)
        print(f"disk: {size / total:.0f} bytes a reading with its index")
