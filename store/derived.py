"""Reading what the keeper derives from, and writing what it derived. All inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import Connection

from store.queries import sql

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Affected:
    """New readings of a series: from the first to the last of them, in microseconds."""

    point_id: int
    metric_id: int
    first_us: int
    last_us: int


@dataclass(frozen=True)
class Series:
    """Good readings of a point and metric in order of time, around what was affected.

    `from_us`/`to_us`: hours that the affected readings can have changed.
    """

    point_id: int
    metric_id: int
    from_us: int
    to_us: int
    times_us: Ints
    values: Floats


def _at(us: float) -> datetime:
    return datetime.fromtimestamp(us / 1e6, UTC)


def hold_registry(connection: Connection[Any]) -> None:
    """Wait until nobody is changing which device is where, and let nobody until the transaction ends.

    Without, a swap that does not see a new reading yet, and whose own end the reading's consumption does not see, would
    never be counted.
    """
    connection.execute(sql("derived.hold_registry"))


def write_latest(connection: Connection[Any], rows: Sequence[tuple[int, int, int, float, int, datetime]]) -> None:
    """Newest readings: (point_id, metric_id, time_us, value, quality, received_at); older ones change nothing."""
    points, metric_ids, times, values, qualities, received = zip(*rows, strict=True)
    connection.execute(
        sql("derived.write_latest"),
        {
            "points": list(points),
            "metrics": list(metric_ids),
            "times": [_at(time_us) for time_us in times],
            "values": list(values),
            "qualities": list(qualities),
            "received": list(received),
        },
    )


def series_around(connection: Connection[Any], affected: Sequence[Affected], reach: int) -> list[Series]:
    """For each affected series the hours up to `reach` readings away, and the readings that these hours depend on."""
    rows = connection.execute(
        sql("derived.series_around"),
        {
            "points": [one.point_id for one in affected],
            "metrics": [one.metric_id for one in affected],
            "firsts": [_at(one.first_us) for one in affected],
            "lasts": [_at(one.last_us) for one in affected],
            "reach": reach,
        },
    ).fetchall()
    return [
        Series(point_id, metric_id, from_us, to_us, np.array(times, np.int64), np.array(values, np.float64))
        for point_id, metric_id, from_us, to_us, times, values in rows
    ]


@dataclass(frozen=True)
class MeterInfo:
    """What consumption must know of a point: (start of assignment in µs, register at start, register at end)."""

    interval_s: float
    register_digits: int | None
    assignments: tuple[tuple[int, float | None, float | None], ...]


def meters(connection: Connection[Any], points: Sequence[int]) -> dict[int, MeterInfo]:
    """These points with their assignments in order of time."""
    found: dict[int, MeterInfo] = {}
    for point_id, interval_s, digits, starts, first, last in connection.execute(
        sql("derived.meters"), {"points": list(points)}
    ):
        found[point_id] = MeterInfo(interval_s, digits, tuple(zip(starts, first, last, strict=True)))
    return found


@dataclass(frozen=True)
class Amounts:
    """The consumption of the hours in a series' range."""

    series: Series
    bucket_us: Ints
    amount: Floats
    estimated: npt.NDArray[np.bool_]


def write_consumption(connection: Connection[Any], changed: Sequence[Amounts]) -> None:
    """Replace the consumption of the hours in the range of each series. A series may be there more than once."""
    # Where ranges of a series overlap, the hours in common are the same.
    hours = {
        (its.series.point_id, its.series.metric_id, bucket_us): (amount, estimated)
        for its in changed
        for bucket_us, amount, estimated in zip(
            its.bucket_us.tolist(), its.amount.tolist(), its.estimated.tolist(), strict=True
        )
    }
    connection.execute(
        sql("derived.write_consumption"),
        {
            "points": [its.series.point_id for its in changed],
            "metrics": [its.series.metric_id for its in changed],
            "froms": [_at(its.series.from_us) for its in changed],
            "tos": [_at(its.series.to_us) for its in changed],
            "hour_points": [key[0] for key in hours],
            "hour_metrics": [key[1] for key in hours],
            "buckets": [key[2] // 1_000_000 for key in hours],
            "amounts": [value[0] for value in hours.values()],
            "qualities": [int(value[1]) for value in hours.values()],
        },
    )


def fill_readings(
    connection: Connection[Any], point_id: int, metric_id: int, first_us: int, last_us: int | None, before: int
) -> tuple[Ints, Floats]:
    """Good fill levels from `before` readings before `first_us` until two after `last_us` (None: to the end)."""
    rows = connection.execute(
        sql("derived.fill_readings"),
        {
            "point_id": point_id,
            "metric_id": metric_id,
            "first": _at(first_us),
            "last": _at(last_us) if last_us is not None else None,
            "before": before,
        },
    ).fetchone()
    assert rows is not None
    return np.array(rows[0], np.int64), np.array(rows[1], np.float64)


def write_collections(
    connection: Connection[Any], point_id: int, from_us: int, to_us: int, found: Sequence[tuple[int, float, float]]
) -> None:
    """Replace the collections after `from_us` until before `to_us` by (time_us, before, after)."""
    connection.execute(
        sql("derived.write_collections"),
        {
            "point_id": point_id,
            "from": _at(from_us),
            "to": _at(to_us),
            "times": [_at(time_us) for time_us, _, _ in found],
            "before": [before for _, before, _ in found],
            "after": [after for _, _, after in found],
        },
    )


def past_collections(connection: Connection[Any], point_id: int, most: int) -> list[tuple[int, float, float]]:
    """The last collections of a bin, oldest first: (time_us, before, after)."""
    return connection.execute(sql("derived.past_collections"), {"point_id": point_id, "most": most}).fetchall()


def write_forecast(
    connection: Connection[Any],
    point_id: int,
    rate: float | None,
    full_us: int | None,
    early_us: int | None,
    late_us: int | None,
) -> None:
    """Keep a bin's forecast."""
    connection.execute(
        sql("derived.write_forecast"),
        {
            "point_id": point_id,
            "rate": rate,
            "full": _at(full_us) if full_us is not None else None,
            "early": _at(early_us) if early_us is not None else None,
            "late": _at(late_us) if late_us is not None else None,
        },
    )
