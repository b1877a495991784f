"""What the keeper derives, on a real database: right in any order of arrival, and once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import psycopg
import pytest

from insights.consumption import Swap, hourly
from misto.keeper import Keeper, KeeperConfig
from store import devices
from store.maintenance import drop_old
from store.reading_log import lag
from store.registry import register_unclaimed, sync_inventory
from store.writer import ReadingBatch, ReadingWriter
from tests.cities import bins, building, found, inventory

Connect = Callable[[], psycopg.Connection]
ENERGY, FILL = 1, 30
T0_S = 1_772_402_400


@pytest.fixture
def keeper(database_url: str) -> Keeper:
    return Keeper(KeeperConfig(database_url, 36500, 7, 90), threading.Event())


def batch(rows: list[tuple[float, int, int, float]], quality: int = 0) -> ReadingBatch:
    at, points, metrics, values = zip(*rows, strict=True)
    return ReadingBatch(
        (np.array(at) * 1e6).astype(np.int64), np.array(points, np.int32), np.array(metrics, np.int16),
        np.array(values, np.float64), np.full(len(at), quality, np.int16), time.time(),
    )  # fmt: skip


def derive_all(keeper: Keeper, connection: psycopg.Connection) -> None:
    while keeper.derive(connection):
        pass


@pytest.mark.parametrize("seed", range(6))
def test_consumption_is_right_in_any_order(
    keeper: Keeper, database: psycopg.Connection, new_connection: Connect, seed: int
) -> None:
    chance = random.Random(seed)
    points = found(database, building())
    point = points["school-electricity"]
    register, rows = 500.0, []
    for index in range(200):
        if chance.random() < 0.9:
            rows.append((T0_S + index * 900 + chance.randrange(0, 300), point, ENERGY, round(register, 3)))
        register += chance.uniform(0, 3)
        if index == 120:
            register = 0.2
    arriving = rows[:]
    # Most in order, some late, some much later.
    arriving.sort(key=lambda row: row[0] + chance.choice([0, 0, 0, 4000, 90_000]))
    writer, connection = ReadingWriter(new_connection()), new_connection()
    while arriving:
        count = chance.randrange(1, 40)
        some, arriving = arriving[:count], arriving[count:]
        writer.write(batch(some))
        if chance.random() < 0.7:
            derive_all(keeper, connection)
    derive_all(keeper, connection)
    rows.sort()
    expected = hourly(np.array([int(row[0] * 1e6) for row in rows]), np.array([row[3] for row in rows]))
    stored = database.execute(
        "SELECT extract(epoch FROM bucket)::bigint * 1000000, amount FROM consumption_hourly ORDER BY bucket"
    ).fetchall()
    assert [bucket for bucket, _ in stored] == expected.bucket_us.tolist()
    assert [amount for _, amount in stored] == pytest.approx(expected.amount.tolist(), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_a_history_with_everything_is_right_in_any_order(
    keeper: Keeper, database: psycopg.Connection, new_connection: Connect, seed: int
) -> None:
    """Rollover, reset, swap, corrupt, estimated and suspect registers, gaps, repeats; late, and split anyhow."""
    chance = random.Random(seed)
    swap_s = T0_S + 400 * 900 + 450
    swap = datetime.fromtimestamp(swap_s, UTC).isoformat()
    placed = [
        {"address": "old", "valid_to": swap, "register_end": 250},
        {"address": "new", "valid_from": swap, "register_start": 7},
    ]
    point = found(database, building("school", electricity={"devices": placed, "register_digits": 5}))[
        "school-electricity"
    ]
    register, truth, good, others, skip = 99_900.0, 0.0, [], [], 0
    for index in range(600):
        at = T0_S + index * 900 + chance.randrange(0, 300)
        shown = register
        match index:
            case 50 | 300:
                shown = 3.0 if index == 50 else 5e6
            case 200:
                skip = 30  # a gap
        if chance.random() < 0.1:
            others.append((at + 301, point, ENERGY, shown + chance.uniform(-5e4, 5e4), chance.choice([1, 2])))
        if (skip := skip - 1) < 0:
            good.append((at, point, ENERGY, shown, 0))
        if index == 400:
            truth += 250 - register
            register = 7.0
        step = chance.choice([0, 0.25, 1])
        truth += step
        register = (register + step) % 100_000
        if index == 500:
            truth -= step
            register = 0.0  # a reset loses what was not told
    truth -= step
    arriving = [*good, *others, *chance.sample(good, 60)]
    arriving.sort(key=lambda row: row[0] + chance.choice([0, 0, 0, 4000, 90_000, 10**6]))
    writer, connection = ReadingWriter(new_connection()), new_connection()
    while arriving:
        count = chance.choice([1, 2, 7, 40])
        some, arriving = arriving[:count], arriving[count:]
        for quality in {row[4] for row in some}:
            writer.write(batch([row[:4] for row in some if row[4] == quality], quality))
        if chance.random() < 0.8:
            derive_all(keeper, connection)
    derive_all(keeper, connection)
    expected = hourly(
        np.array([int(row[0] * 1e6) for row in good]), np.array([row[3] for row in good]),
        digits=5, swaps=[Swap(int(swap_s * 1e6), 250, 7)],
    )  # fmt: skip
    stored = database.execute(
        "SELECT extract(epoch FROM bucket)::bigint * 1000000, amount, quality FROM consumption_hourly ORDER BY bucket"
    ).fetchall()
    assert [bucket for bucket, *_ in stored] == expected.bucket_us.tolist()
    assert [amount for _, amount, _ in stored] == pytest.approx(expected.amount.tolist(), abs=1e-6)
    assert [bool(quality) for *_, quality in stored] == expected.estimated.tolist()
    assert sum(amount for _, amount, _ in stored) == pytest.approx(truth)


def test_suspect_readings_are_newest_but_consume_nothing(
    keeper: Keeper, database: psycopg.Connection, new_connection: Connect
) -> None:
    point = found(database, building())["school-electricity"]
    writer = ReadingWriter(new_connection())
    writer.write(batch([(T0_S, point, ENERGY, 10), (T0_S + 3600, point, ENERGY, 12)]))
    writer.write(batch([(T0_S + 1800, point, ENERGY, 999), (T0_S + 5400, point, ENERGY, 1)], quality=2))
    derive_all(keeper, new_connection())
    assert database.execute("SELECT sum(amount) FROM consumption_hourly").fetchone() == (2,)
    assert database.execute("SELECT value, quality FROM point_latest").fetchall() == [(1, 2)]


def test_a_swapped_meter_from_the_inventory(
    keeper: Keeper, database: psycopg.Connection, new_connection: Connect
) -> None:
    swap = "2026-03-02T02:00:00+02:00"
    placed = [
        {"address": "old", "valid_to": swap, "register_end": 105},
        {"address": "new", "valid_from": swap, "register_start": 3},
    ]
    point = found(database, building("school", electricity={"devices": placed}))["school-electricity"]
    rows = [(T0_S, point, ENERGY, 100.0), (T0_S + 3600, point, ENERGY, 104.0)]
    rows += [(T0_S + 3 * 3600, point, ENERGY, 5.0), (T0_S + 4 * 3600, point, ENERGY, 6.0)]
    ReadingWriter(new_connection()).write(batch(rows))
    derive_all(keeper, new_connection())
    # 4 until the last old reading, 1 to its end, 2 from the new one's start, 1 after.
    assert database.execute("SELECT sum(amount) FROM consumption_hourly").fetchone() == (8,)


def test_a_swap_counts_from_the_moment_that_it_is_committed(
    keeper: Keeper, database: psycopg.Connection, new_connection: Connect
) -> None:
    """The keeper knew the point before the swap; nothing but the database may tell it what is there now."""
    point = found(database, building())["school-electricity"]
    writer, connection, now = ReadingWriter(new_connection()), new_connection(), time.time() // 3600 * 3600
    writer.write(batch([(now - 7200, point, ENERGY, 100.0), (now - 5400, point, ENERGY, 104.0)]))
    derive_all(keeper, connection)
    devices.swap(
        database,
        "school-electricity",
        "new",
        at=datetime.fromtimestamp(now - 4000, UTC),
        register_end=105,
        register_start=90,
    )
    writer.write(batch([(now - 3600, point, ENERGY, 92.0), (now - 1800, point, ENERGY, 95.0)]))
    derive_all(keeper, connection)
    assert database.execute("SELECT sum(amount) FROM consumption_hourly").fetchone() == (4 + 1 + 2 + 3,)


def test_a_swap_that_does_not_see_a_reading_is_seen_by_its_consumption(
    keeper: Keeper, database: psycopg.Connection, new_connection: Connect
) -> None:
    """A reading is written first and committed while a swap, which does not see it, is still on its way."""
    point = found(database, building())["school-electricity"]
    now = time.time() // 3600 * 3600
    ReadingWriter(new_connection()).write(batch([(now - 7200, point, ENERGY, 100.0)]))
    derive_all(keeper, new_connection())
    early, late, deriving = new_connection(), new_connection(), new_connection()
    writer = ReadingWriter(early)
    early.execute("SELECT pg_current_xact_id()")
    late.execute("SELECT now()")  # its transaction goes on after the swap
    at = datetime.fromtimestamp(now - 4000, UTC)
    devices.swap(late, "school-electricity", "new", at=at, register_end=105, register_start=90)
    writer.write(batch([(now - 3600, point, ENERGY, 92.0)]))
    early.commit()
    deriver = threading.Thread(target=derive_all, args=(keeper, deriving))
    deriver.start()
    deriver.join(1)  # it may wait for the swap, or not
    late.commit()
    deriver.join(30)
    derive_all(keeper, deriving)
    assert database.execute("SELECT sum(amount) FROM consumption_hourly").fetchone() == (5 + 2,)


@pytest.mark.parametrize("change", ["moved", "registers", "dropped"])
def test_a_swap_that_is_mended_in_the_inventory_is_counted_anew(
    keeper: Keeper, database: psycopg.Connection, new_connection: Connect, change: str
) -> None:
    def load(swap_hour: int, end: float, start: float) -> int:
        swap = datetime.fromtimestamp(T0_S + swap_hour * 3600 - 60, UTC).isoformat()
        placed = [
            {"address": "old", "valid_to": swap, "register_end": end},
            {"address": "new", "valid_from": swap, "register_start": start},
        ]
        if change == "dropped" and swap_hour == 9:
            placed = [{"address": "old", "valid_to": "2100-01-01T00:00:00+00:00"}]
        return found(database, building("school", electricity={"devices": placed}))["school-electricity"]

    point = load(3, 105, 2)
    shown = [100, 101, 104, 4, 5, 6, 7, 8]
    ReadingWriter(new_connection()).write(
        batch([(T0_S + hour * 3600, point, ENERGY, value) for hour, value in enumerate(shown)])
    )
    connection = new_connection()
    derive_all(keeper, connection)
    total = "SELECT sum(amount) FROM consumption_hourly"
    assert database.execute(total).fetchone() == (4 + 1 + 2 + 4,)
    if change == "registers":
        load(3, 110, 1)
        expected = 4 + 6 + 3 + 4
    elif change == "moved":
        load(5, 5, 5.5)  # the fall at hour 3 is a reset now
        expected = 4 + 4 + 1 + 0.5 + 2
    else:
        load(9, 0, 0)
        expected = 4 + 4 + 4
    derive_all(keeper, connection)
    assert database.execute(total).fetchone() == (expected,)


def test_collections_and_daily_consumption_in_local_days(
    keeper: Keeper, database: psycopg.Connection, new_connection: Connect
) -> None:
    points = found(database, bins(1), building())
    writer, connection = ReadingWriter(new_connection()), new_connection()
    levels = [60, 70, 80, 5, 7, 12, 20, 30]
    for index, level in enumerate(levels):
        writer.write(batch([(T0_S + index * 3600, points["bin-0"], FILL, level)]))
        derive_all(keeper, connection)
    events = database.execute("SELECT time, fill_before_pct, fill_after_pct FROM collection").fetchall()
    assert [(event[0].timestamp(), *event[1:]) for event in events] == [(T0_S + 3 * 3600, 80, 5)]
    # T0 is midnight in Kyiv, 22:00 in UTC.
    energy = points["school-electricity"]
    writer.write(batch([(T0_S + hour * 3600, energy, ENERGY, hour) for hour in range(-2, 25)]))
    derive_all(keeper, connection)
    days = database.execute("SELECT day::text, amount FROM consumption_daily ORDER BY day").fetchall()
    assert days == [("2026-03-01", 2), ("2026-03-02", 24)]


def test_a_claimed_device_brings_its_readings_along(
    keeper: Keeper, database: psycopg.Connection, new_connection: Connect
) -> None:
    found(database, building("other"))
    device = register_unclaimed(database, "school-electricity-meter", profile=None, kind="electricity", guess={})
    again = register_unclaimed(database, "school-electricity-meter", profile=None, kind="electricity", guess={})
    assert again.device_id == device.device_id
    placeholder = device.assignments[0].point_id
    ReadingWriter(new_connection()).write(batch([(T0_S + hour * 3600, placeholder, ENERGY, hour) for hour in range(5)]))
    connection = new_connection()
    derive_all(keeper, connection)
    sync_inventory(database, inventory(building("other"), building("school")))
    derive_all(keeper, connection)
    assert database.execute(
        "SELECT code, sum(amount) FROM consumption_hourly JOIN point USING (point_id) GROUP BY code"
    ).fetchall() == [("school-electricity", 4)]
    assert database.execute("SELECT state FROM device WHERE address = 'school-electricity-meter'").fetchone() == (
        "claimed",
    )


def test_the_same_inventory_again_changes_nothing(database: psycopg.Connection) -> None:
    def snapshot() -> list[object]:
        tables = ("site", "point", "device", "assignment", "tariff", "zone", "contractor", "city")
        return [database.execute(f"SELECT t::text FROM {table} AS t ORDER BY 1").fetchall() for table in tables]  # type: ignore[arg-type]

    found(database, bins(3), building())
    before = snapshot()
    found(database, bins(3), building())
    assert snapshot() == before


def test_what_the_inventory_drops_is_retired_and_its_assignment_ends(database: psycopg.Connection) -> None:
    found(database, bins(2), building())
    found(database, bins(1))
    retired = database.execute("SELECT code FROM point WHERE retired ORDER BY 1").fetchall()
    assert retired == [("bin-1",), ("school-electricity",), ("school-water",)]
    open_ones = database.execute("SELECT count(*) FROM assignment WHERE valid_to = 'infinity'").fetchone()
    assert open_ones == (1,)
    states = dict(database.execute("SELECT address, state FROM device").fetchall())
    assert (states["dev-0"], states["dev-1"]) == ("claimed", "retired")


def test_retention_keeps_what_a_reader_still_needs(
    keeper: Keeper, database: psycopg.Connection, new_connection: Connect
) -> None:
    point = found(database, building())["school-electricity"]
    writer, connection = ReadingWriter(new_connection()), new_connection()
    writer.write(batch([(T0_S, point, ENERGY, 1)]))
    database.execute("UPDATE reading_log SET received_at = now() - interval '30 days'")
    days = {"readings_days": 36500, "log_days": 7, "quarantine_days": 90}
    assert drop_old(database, **days)["log_batches"] == 0, "no reader has seen it"
    derive_all(keeper, connection)
    connection.commit()
    assert lag(database, "keeper").batches == 0
    assert drop_old(database, **days)["log_batches"] == 1
    assert drop_old(database, **(days | {"readings_days": 1}))["readings_chunks"] == 1
    assert database.execute("SELECT count(*) FROM readings").fetchone() == (0,)


@pytest.mark.parametrize("view", ["readings_hourly", "readings_daily"])
def test_rollups(view: str, database: psycopg.Connection, new_connection: Connect) -> None:
    ReadingWriter(new_connection()).write(batch([(T0_S + i * 600, 1, 4, v) for i, v in enumerate([5, 1, 3])]))
    row = database.execute(
        f"SELECT reading_count, value_avg, value_min, value_max, value_first, value_last FROM {view}"  # type: ignore[arg-type]
    ).fetchall()
    assert row == [(3, 3, 1, 5, 5, 3)]


def test_a_backlog_and_what_is_new_come_together(
    keeper: Keeper, database: psycopg.Connection, new_connection: Connect
) -> None:
    """What lies far apart is derived from apart, and comes to the same as all at once."""
    point = found(database, building())["school-electricity"]
    writer, connection = ReadingWriter(new_connection()), new_connection()
    rows = [(T0_S + index * 3600 * 5, point, ENERGY, float(index * index)) for index in range(200)]
    for some in (rows[100:110], rows[:3] + rows[190:], rows[3:100:2] + rows[110:190], rows[4:100:2]):
        writer.write(batch(some))
        derive_all(keeper, connection)
    expected = hourly(
        np.array([int(row[0] * 1e6) for row in rows]), np.array([row[3] for row in rows]), long_gap_us=3_600_000_000
    )
    stored = database.execute(
        "SELECT extract(epoch FROM bucket)::bigint * 1000000, amount, quality FROM consumption_hourly ORDER BY bucket"
    ).fetchall()
    assert [bucket for bucket, _, _ in stored] == expected.bucket_us.tolist()
    assert [amount for _, amount, _ in stored] == pytest.approx(expected.amount.tolist(), abs=1e-6)
    assert [quality == 1 for _, _, quality in stored] == expected.estimated.tolist()
