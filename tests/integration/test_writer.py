"""Batches into a real TimescaleDB, and the log that they leave."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import psycopg
import pytest

from store.reading_log import BEGINNING, advance, lag, read_after, read_batches
from store.writer import Delivery, ReadingBatch, ReadingWriter, Source, Unreadable, load_deliveries

T0_US = 1_770_000_000_000_000


def batch(times: list[int], values: list[float] | None = None, point: int = 1, sources: int = 0) -> ReadingBatch:
    count = len(times)
    return ReadingBatch(
        np.array([T0_US + t * 1_000_000 for t in times], np.int64),
        np.full(count, point, np.int32),
        np.full(count, 4, np.int16),
        np.array(values or [float(t) for t in times], np.float64),
        np.zeros(count, np.int16),
        time.time(),
        np.arange(count, dtype=np.int32) if sources else np.empty(0, np.int32),
        [Source(f"t/{i}", b"payload", 1.77e9) for i in range(sources)],
    )


Connect = Callable[[], psycopg.Connection]


@pytest.fixture
def writer(new_connection: Connect) -> ReadingWriter:
    return ReadingWriter(new_connection(), "client")


def test_a_batch_is_stored_once_and_logged(writer: ReadingWriter, database: psycopg.Connection) -> None:
    assert writer.write(batch([3, 1, 2])).stored == 3
    again = writer.write(batch([1, 2, 3, 4, 4]))
    assert (again.stored, again.duplicates) == (1, 4)
    assert writer.write(batch([1])).stored == 0
    first, second = read_batches(database, "reader", 10)
    assert first.times_us.tolist() == [T0_US + t * 1_000_000 for t in (1, 2, 3)]
    assert first.values.tolist() == [1, 2, 3]
    assert (first.point_ids.tolist(), first.metric_ids.tolist(), first.qualities.tolist()) == (
        [1] * 3,
        [4] * 3,
        [0] * 3,
    )
    assert second.values.tolist() == [4]
    stored = database.execute("SELECT extract(epoch FROM time)::bigint, value FROM readings ORDER BY time").fetchall()
    assert stored == [(T0_US // 1_000_000 + t, t) for t in (1, 2, 3, 4)]


def test_times_keep_their_microseconds(writer: ReadingWriter, database: psycopg.Connection) -> None:
    one = batch([0])
    one.time_us = np.array([T0_US + 123_457], np.int64)
    writer.write(one)
    assert read_batches(database, "reader", 1)[0].times_us.tolist() == [T0_US + 123_457]


def test_the_cursor_moves_only_when_told(writer: ReadingWriter, database: psycopg.Connection) -> None:
    for t in range(3):
        writer.write(batch([t]))
    assert lag(database, "reader").batches == 3
    first = read_batches(database, "reader", 2)
    assert [b.values.tolist() for b in first] == [[0], [1]]
    assert [b.seq for b in read_batches(database, "reader", 2)] == [b.seq for b in first]
    advance(database, "reader", first[-1])
    assert [b.values.tolist() for b in read_batches(database, "reader", 2)] == [[2]]


def test_reading_on_ends_at_a_number_of_readings(writer: ReadingWriter, database: psycopg.Connection) -> None:
    for t in range(0, 12, 3):
        writer.write(batch([t, t + 1, t + 2]))
    database.execute("UPDATE reading_log SET origin = 'import' WHERE seq = (SELECT min(seq) FROM reading_log)")

    def read(most: int | None) -> list[int]:
        return [int(one.values[0]) for one in read_after(database, BEGINNING, 10, None, most)]

    assert read(None) == [0, 3, 6, 9]
    assert [read(most) for most in (1, 3, 4, 6, 7)] == [[0, 3], [0, 3], [0, 3, 6], [0, 3, 6], [0, 3, 6, 9]]


def test_a_slow_commit_is_never_skipped(new_connection: Connect, database: psycopg.Connection) -> None:
    """The slow transaction takes its place in the log before, and commits after, what others have written."""
    slow = new_connection()
    slow.execute("SELECT pg_current_xact_id()")
    early = new_connection()
    early.execute("SELECT pg_current_xact_id()")
    insert = (
        "INSERT INTO reading_log (received_at, reading_count, times_us, point_ids, metric_ids, values, qualities)"
        " VALUES (now(), 1, ARRAY[1], ARRAY[1], ARRAY[1], ARRAY[%s::float8], ARRAY[0])"
    )
    slow.execute(insert, [1.0])
    early.execute(insert, [2.0])
    early.commit()
    assert read_batches(database, "reader", 10) == []
    slow.commit()
    seen = [batch.values.tolist() for batch in read_batches(database, "reader", 10)]
    assert sorted(seen) == [[1.0], [2.0]]


def test_older_transactions_with_later_numbers_do_not_hide_others(
    new_connection: Connect, database: psycopg.Connection
) -> None:
    older = new_connection()
    older.execute("SELECT pg_current_xact_id()")
    newer = new_connection()
    insert = (
        "INSERT INTO reading_log (received_at, reading_count, times_us, point_ids, metric_ids, values, qualities)"
        " VALUES (now(), 1, ARRAY[1], ARRAY[1], ARRAY[1], ARRAY[%s::float8], ARRAY[0])"
    )
    newer.execute(insert, [1.0])  # the lower number, in the later transaction
    older.execute(insert, [2.0])
    older.commit()
    seen = read_batches(database, "reader", 10)
    assert [batch.values.tolist() for batch in seen] == [[2.0]]
    advance(database, "reader", seen[-1])
    newer.commit()
    assert [batch.values.tolist() for batch in read_batches(database, "reader", 10)] == [[1.0]]


def test_unreadable_messages_are_kept_once(writer: ReadingWriter, database: psycopg.Connection) -> None:
    entry = Unreadable(Source("a\0b", b"\xff\x00", 1.77e9), "not_json", "no JSON at all", "dev")
    for _ in range(2):
        both = batch([1])
        both.unreadable = [entry]
        writer.write(both)
    rows = database.execute("SELECT topic, payload, reason, detail, device_address FROM quarantine").fetchall()
    assert rows == [("a\N{REPLACEMENT CHARACTER}b", b"\xff\x00", "not_json", "no JSON at all", "dev")]


def test_deliveries_are_remembered(writer: ReadingWriter, database: psycopg.Connection) -> None:
    one = batch([1])
    one.deliveries = [Delivery(7, b"old", 1.0), Delivery(7, b"new", 2.5), Delivery(8, b"x", 3.0)]
    writer.write(one)
    assert load_deliveries(database, "client") == {7: (b"new", 2.5), 8: (b"x", 3.0)}
    assert load_deliveries(database, "other") == {}


def test_what_the_database_refuses_for_good_goes_to_quarantine_alone(
    writer: ReadingWriter, database: psycopg.Connection
) -> None:
    database.execute("ALTER TABLE readings ADD CONSTRAINT poison CHECK (value <> 5 AND value <> 6)")
    poisoned = batch(list(range(10)), sources=10)
    poisoned.unreadable = [Unreadable(Source("other", b"", 1.0), "empty", "nothing in it")]
    result = writer.write(poisoned)
    assert (result.stored, result.quarantined) == (8, 3)
    topics = database.execute("SELECT topic FROM quarantine WHERE reason = 'unstorable' ORDER BY 1").fetchall()
    assert topics == [("t/5",), ("t/6",)]
    logged = sorted(value for b in read_batches(database, "r", 100) for value in b.values.tolist())
    assert logged == [0, 1, 2, 3, 4, 7, 8, 9]


def test_a_temporary_error_leaves_nothing_and_can_be_tried_again(
    new_connection: Connect, database: psycopg.Connection
) -> None:
    connection = new_connection()
    writer = ReadingWriter(connection)
    database.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
    with pytest.raises(psycopg.OperationalError):
        writer.write(batch([1, 2], sources=2))
    assert database.execute("SELECT count(*) FROM readings").fetchone() == (0,)
    assert ReadingWriter(new_connection()).write(batch([1, 2])).stored == 2
