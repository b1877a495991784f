"""What an explanation of an alert, or of one that is not there, asks of the database. Reads only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from store.queries import sql


def episode(connection: Connection[Any], episode_id: int) -> DictRow | None:
    """An alert with its texts, its evidence, its rule's definition as it was, and the point's code and interval."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(sql("explain.episode"), {"episode_id": episode_id}).fetchone()


def transitions(connection: Connection[Any], episode_id: int) -> list[DictRow]:
    """Every transition of an alert as it was written, oldest first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(sql("explain.transitions"), {"episode_id": episode_id}).fetchall()


def acknowledgements(connection: Connection[Any], episode_id: int) -> list[DictRow]:
    """Who took an alert over, oldest first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(sql("explain.acknowledgements"), {"episode_id": episode_id}).fetchall()


def received(
    connection: Connection[Any], point_id: int, since: datetime, from_us: int, to_us: int
) -> dict[tuple[int, int], datetime]:
    """(time in microseconds, metric_id) → when it was received, for what the log still has of a point's readings."""
    parameters = {"point_id": point_id, "since": since, "from_us": from_us, "to_us": to_us}
    return {(row[0], row[1]): row[2] for row in connection.execute(sql("explain.received"), parameters)}


def heard_before(connection: Connection[Any], point_id: int, moment: datetime) -> datetime | None:
    """When anything of a point was last received before a moment, by the log; None if the log has nothing of it."""
    row = connection.execute(sql("explain.heard_before"), {"point_id": point_id, "moment": moment}).fetchone()
    return row[0] if row else None


def newest(
    connection: Connection[Any], point_id: int, moment: datetime
) -> list[tuple[int, int | None, float | None, int | None, int]]:
    """Of each metric that a point ever sent: (metric_id, time of its newest reading before the moment, value, quality,
    time of its first reading); times in microseconds."""
    return connection.execute(sql("explain.newest"), {"point_id": point_id, "moment": moment}).fetchall()


def episodes_of(
    connection: Connection[Any], rule_id: str, point_id: int, since: datetime, until: datetime
) -> list[tuple[int, datetime, datetime, datetime | None]]:
    """(number, breached, fired, resolved) of the alerts of a rule and point that were open at some time between."""
    parameters = {"rule_id": rule_id, "point_id": point_id, "since": since, "until": until}
    return connection.execute(sql("explain.episodes_of"), parameters).fetchall()


def kept_since(connection: Connection[Any], rule_hash: str) -> datetime | None:
    """When this version of a rule was first in force, None if it never was."""
    row = connection.execute(sql("explain.in_force"), {"rule_hash": rule_hash}).fetchone()
    return row[1] if row else None


def late_unjudged(connection: Connection[Any], rule_id: str, point_id: int) -> int:
    """How many readings came too late for the rule at this point."""
    row = connection.execute(sql("explain.late_unjudged"), {"rule_id": rule_id, "point_id": point_id}).fetchone()
    return row[0] if row else 0
