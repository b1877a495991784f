"""What the rules keep: their states, episodes and transitions. All calls belong into the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from psycopg import Connection
from psycopg.rows import dict_row
from pydantic_core import to_json

from store.queries import sql


@dataclass(frozen=True)
class PointInfo:
    """A point as the rules and their sentences see it."""

    point_id: int
    code: str
    kind: str
    interval_s: float
    fraction: str | None
    labels: Mapping[str, str]
    name_en: str
    name_uk: str
    site_id: str
    site_name_en: str
    site_name_uk: str
    address_en: str | None
    address_uk: str | None
    use: str | None
    zone_id: str | None
    contractor_id: str | None
    contractor_name_en: str | None
    contractor_name_uk: str | None


def load_points(connection: Connection[Any]) -> list[PointInfo]:
    """Every point that belongs to a site and is not retired."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return [PointInfo(**row) for row in cursor.execute(sql("alerts.points"))]


def load_partitions(connection: Connection[Any], partitions: Iterable[int]) -> dict[int, list[PointInfo]]:
    """Those of `load_points` that are in these partitions, by partition."""
    points: dict[int, list[PointInfo]] = {partition: [] for partition in partitions}
    with connection.cursor(row_factory=dict_row) as cursor:
        for row in cursor.execute(sql("alerts.points_of_partitions"), {"partitions": list(points)}):
            points[row.pop("partition")].append(PointInfo(**row))
    return points


def last_received(connection: Connection[Any]) -> dict[int, datetime]:
    """When each point's device was last heard."""
    return dict(connection.execute(sql("alerts.last_received")).fetchall())


def save_rule(connection: Connection[Any], rule_id: str, rule_hash: str, definition: Mapping[str, Any]) -> None:
    """Keep a version of a rule, so that an alert can be explained by the rule as it was."""
    connection.execute(
        sql("alerts.save_rule"), {"rule_id": rule_id, "rule_hash": rule_hash, "definition": json.dumps(definition)}
    )


def load_states(
    connection: Connection[Any], partitions: Iterable[int]
) -> dict[tuple[str, int], tuple[str, dict[str, Any]]]:
    """(rule_id, point_id) → (rule_hash, state) of everything kept for the points of these partitions."""
    rows = connection.execute(sql("alerts.load_states"), {"partitions": list(partitions)})
    return {(row[0], row[1]): (row[2], row[3]) for row in rows}


def save_states(connection: Connection[Any], states: Iterable[tuple[str, int, str, Mapping[str, Any]]]) -> None:
    """Write changed states."""
    rows = list(states)
    if rows:
        connection.execute(
            sql("alerts.save_states"),
            {
                "rule_ids": [row[0] for row in rows],
                "point_ids": [row[1] for row in rows],
                "rule_hashes": [row[2] for row in rows],
                # Six times as fast as the standard library's, and it is much of what the rules do.
                "states": [to_json(row[3], inf_nan_mode="constants").decode() for row in rows],
            },
        )


def drop_states(connection: Connection[Any], rule_ids_in_force: Sequence[str]) -> int:
    """Forget rules that are no longer in force, and close their open alerts. Returns how many were open."""
    connection.execute(sql("alerts.drop_states"), {"rule_ids": list(rule_ids_in_force)})
    return connection.execute(sql("alerts.close_removed"), {"rule_ids": list(rule_ids_in_force)}).rowcount


def drop_unwatched(connection: Connection[Any], partitions: Iterable[int], watched: Iterable[tuple[str, int]]) -> int:
    """Forget the states of all (rule_id, point_id) of these partitions but those that are watched, and close their
    alerts. Returns how many were open."""
    pairs = list(watched)
    parameters = {
        "partitions": list(partitions),
        "rule_ids": [pair[0] for pair in pairs],
        "point_ids": [pair[1] for pair in pairs],
    }
    connection.execute(sql("alerts.drop_unwatched_states"), parameters)
    return connection.execute(sql("alerts.close_unwatched"), parameters).rowcount


def open_episodes(connection: Connection[Any]) -> dict[tuple[str, int], tuple[datetime, datetime, str]]:
    """(rule_id, point_id) → (breached_at, fired_at, severity) of every alert that is firing."""
    return {(row[0], row[1]): (row[2], row[3], row[4]) for row in connection.execute(sql("alerts.open_episodes"))}


def readings_of(
    connection: Connection[Any], point_ids: Sequence[int], metric_ids: Iterable[int], since: datetime
) -> Iterator[tuple[int, int, int, float]]:
    """(point_id, time in microseconds, metric_id, value) of the good stored readings, by point and time."""
    yield from connection.execute(
        sql("alerts.readings_of"), {"point_ids": list(point_ids), "metric_ids": list(metric_ids), "since": since}
    )


def history_of(
    connection: Connection[Any], point_id: int, since: datetime, until: datetime
) -> list[tuple[int, int, float, int]]:
    """(time in microseconds, metric_id, value, quality) of all stored readings of a point between two moments."""
    parameters = {"point_id": point_id, "since": since, "until": until}
    return connection.execute(sql("alerts.history_of"), parameters).fetchall()


#: Readings of a point: microseconds since 1970, and what was read.
_TABLE = np.dtype([("time_us", "i8"), ("metric_id", "i2"), ("value", "f8"), ("quality", "i2")])
#: PostgreSQL's binary arrays: of one dimension and without NULL a header of so many bytes, then length and value of
#: each element.
_ARRAY_HEADER = 20
_EPOCH_US = 946_684_800_000_000


def readings_table(
    connection: Connection[Any], point_id: int, metric_ids: Sequence[int] | None, since: datetime, until: datetime
) -> npt.NDArray[Any]:
    """Stored readings of a point between two moments as an array with time_us, metric_id, value, quality; of these
    metrics, or of all; metric by metric. Each metric comes as one row: a message a reading, as in COPY, costs more."""
    parameters = {"point_id": point_id, "metric_ids": metric_ids, "since": since, "until": until}
    tables = []
    with connection.cursor(binary=True) as cursor:
        its = cursor.execute(sql("alerts.readings_table"), parameters).pgresult
        assert its is not None
        for row in range(its.ntuples):
            metric, times, values, qualities = (its.get_value(row, column) for column in range(4))
            assert metric is not None
            elements = _elements(times, ">i8")
            table = np.empty(len(elements), _TABLE)
            table["time_us"] = elements
            table["time_us"] += _EPOCH_US
            table["metric_id"] = int.from_bytes(metric, "big", signed=True)
            table["value"], table["quality"] = _elements(values, ">f8"), _elements(qualities, ">i2")
            tables.append(table)
    return np.concatenate(tables) if tables else np.empty(0, _TABLE)


def _elements(array: bytes | None, kind: str) -> npt.NDArray[Any]:
    assert array is not None
    elements: npt.NDArray[Any] = np.frombuffer(array, [("length", ">i4"), ("value", kind)], offset=_ARRAY_HEADER)[
        "value"
    ]
    return elements


@dataclass(frozen=True)
class Change:
    """A transition to be written, with the texts that were made for it. `reopen_within_s` below 0: never."""

    kind: str
    rule_id: str
    rule_hash: str
    point_id: int
    severity: str
    breached_at: datetime
    event_at: datetime
    reason: str
    value: float | None
    texts: Mapping[str, str]
    evidence: Mapping[str, Any]
    reopen_within_s: float = -1.0


def write_change(connection: Connection[Any], change: Change) -> None:
    """Write one transition; a repeated one changes nothing."""
    parameters = {
        "rule_id": change.rule_id,
        "rule_hash": change.rule_hash,
        "point_id": change.point_id,
        "severity": change.severity,
        "breached_at": change.breached_at,
        "event_at": change.event_at,
        "reason": change.reason,
        "value": change.value,
        "reopen_within_s": change.reopen_within_s,
        "evidence": json.dumps(change.evidence),
        **change.texts,
    }
    statement = "moved" if change.kind in ("raised", "lowered") else change.kind
    connection.execute(sql(f"alerts.{statement}"), parameters)


def outages(connection: Connection[Any], since: datetime) -> list[tuple[datetime, datetime]]:
    """Times after `since` in which ingest could not receive."""
    return connection.execute(sql("alerts.outages"), {"since": since}).fetchall()


def open_alerts(connection: Connection[Any]) -> int:
    """How many alerts are firing."""
    row = connection.execute(sql("alerts.count_open")).fetchone()
    return row[0] if row else 0


def fired_since(connection: Connection[Any], days: int) -> dict[str, int]:
    """How often each rule has fired in the last days, by its id; those that have not are not there."""
    return dict(connection.execute(sql("alerts.fired_since"), {"days": days}).fetchall())
