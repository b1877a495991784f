"""Both editions of TimescaleDB give the same answers (MISTO_TEST_COMMUNITY_URL names a server of the Community one)."""

from __future__ import annotations

import random
import threading
import time

import numpy as np
import psycopg
import pytest

from misto.keeper import Keeper, KeeperConfig
from store.connection import connect
from store.migrate import edition_of
from store.writer import ReadingBatch, ReadingWriter
from tests.cities import building, found

HOURS = 24 * 50


def fill(url: str) -> None:
    """Fifty days of a meter, old to new, then late readings into the oldest of them."""
    with connect(url, service="test") as connection:
        points = found(connection, building())
        connection.commit()
        writer = ReadingWriter(connection)
        chance = random.Random(1)
        start = time.time() // 3600 * 3600 - HOURS * 3600
        rows = [
            (start + hour * 3600 + minute * 60, points["school-electricity"], metric, value)
            for hour in range(HOURS)
            for minute in (7, 37)
            for metric, value in ((1, hour * 2.0 + minute / 30), (4, chance.uniform(0, 5000)))
        ]
        late = [row for row in rows if row[0] < start + 5 * 86_400 and chance.random() < 0.2]
        for some in ([row for row in rows if row not in late], late):
            at, ids, metrics, values = zip(*some, strict=True)
            writer.write(
                ReadingBatch(
                    (np.array(at) * 1e6).astype(np.int64), np.array(ids, np.int32), np.array(metrics, np.int16),
                    np.array(values, np.float64), np.zeros(len(at), np.int16), time.time(),
                )
            )  # fmt: skip
            if edition_of(connection) == "community":
                connection.rollback()
                refresh_and_compress(url)
        keeper = Keeper(KeeperConfig(url, 36500, 7, 90), threading.Event())
        while keeper.derive(connection):
            pass


def refresh_and_compress(url: str) -> None:
    """What the policies do in the background."""
    with psycopg.connect(url, autocommit=True) as connection:
        for view in ("readings_hourly", "readings_daily"):
            connection.execute(f"CALL refresh_continuous_aggregate('{view}', NULL, now() - interval '2 days')")  # type: ignore[arg-type]
        connection.execute(
            "SELECT compress_chunk(c, true) FROM show_chunks('readings', older_than => interval '20 days') c"
        )


QUERIES = [
    "SELECT * FROM readings_hourly ORDER BY bucket, point_id, metric_id",
    "SELECT * FROM readings_daily ORDER BY bucket, point_id, metric_id",
    "SELECT * FROM consumption_hourly ORDER BY bucket, point_id, metric_id",
    "SELECT * FROM consumption_daily ORDER BY day, point_id, metric_id",
    "SELECT count(*), sum(value) FROM readings",
]


@pytest.fixture(scope="module")
def both(request: pytest.FixtureRequest) -> None:
    request.getfixturevalue("community_url")


def test_both_editions_give_the_same(both: None, database_url: str, community_database_url: str) -> None:
    answers = []
    for url in (database_url, community_database_url):
        fill(url)
        with psycopg.connect(url, options="-c TimeZone=UTC") as connection:
            answers.append([connection.execute(query).fetchall() for query in QUERIES])  # type: ignore[arg-type]
    for query, apache, community in zip(QUERIES, *answers, strict=True):
        assert len(apache) == len(community), query
        for one, other in zip(apache, community, strict=True):
            assert one == pytest.approx(other) if "count" in query else list(one)[:3] == list(other)[:3], query
            assert [value for value in one if isinstance(value, float)] == pytest.approx(
                [value for value in other if isinstance(value, float)]
            ), query


def test_community_has_policies_and_columnstore(community_database_url: str) -> None:
    with psycopg.connect(community_database_url) as connection:
        jobs = connection.execute("SELECT proc_name FROM timescaledb_information.jobs ORDER BY 1").fetchall()
        named = [job[0] for job in jobs]
        assert named.count("policy_refresh_continuous_aggregate") == 2
        assert any("compression" in name or "columnstore" in name for name in named)


def test_a_limit_in_time_leaves_chunks_out(database_url: str) -> None:
    """A view over readings with a limit on its bucket reads only the chunks of that time."""
    fill(database_url)
    with psycopg.connect(database_url) as connection:
        if edition_of(connection) != "apache":
            pytest.skip("views are the Apache edition's")
        query = "EXPLAIN SELECT * FROM readings_hourly WHERE bucket >= now() - interval '2 days'"
        everything = "EXPLAIN SELECT * FROM readings_hourly"
        limited, whole = (
            sum("_hyper" in row[0] for row in connection.execute(text).fetchall())  # type: ignore[arg-type]
            for text in (query, everything)
        )
        assert limited < whole / 2
