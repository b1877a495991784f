"""Rollups of times long past. The policies of the Community edition go a month back; what comes later is noted here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Connection

from store.migrate import edition_of
from store.queries import sql

#: The policies of migration 0007 start 31 days back and run at least every hour.
_POLICY_REACH = timedelta(days=30)
_AT_ONCE = timedelta(days=28)


def note_old(connection: Connection[Any], first_us: int, last_us: int) -> None:
    """Readings between two moments (µs) are new; note those that no policy comes by any more."""
    until_us = round((datetime.now(UTC) - _POLICY_REACH).timestamp() * 1e6)
    if first_us < until_us:
        parameters = {"first_at": _at(first_us), "last_at": _at(min(last_us, until_us))}
        connection.execute(sql("backfill.rollup_note"), parameters)


def is_due(connection: Connection[Any]) -> bool:
    """Whether anything is noted."""
    with connection.transaction():
        return connection.execute(sql("backfill.rollup_due")).fetchone() is not None


def refresh_noted(connection: Connection[Any]) -> None:
    """Bring the rollups of the oldest four weeks that are noted up to date. `connection` is in autocommit mode."""
    row = connection.execute(sql("backfill.rollup_due")).fetchone()
    if row is None:
        return
    first_at, last_at, noted = row
    done_at = last_at
    if edition_of(connection) == "community":
        # Whole days, the unit of the coarser of the two.
        window = {"first_at": first_at.replace(hour=0, minute=0, second=0, microsecond=0)}
        window["last_at"] = window["first_at"] + _AT_ONCE
        connection.execute(sql("backfill.rollup_refresh_hourly"), window)
        connection.execute(sql("backfill.rollup_refresh_daily"), window)
        done_at = window["last_at"]
    with connection.transaction():
        connection.execute(sql("backfill.rollup_done"), {"rows": noted})
        if done_at < last_at:
            connection.execute(sql("backfill.rollup_note"), {"first_at": done_at, "last_at": last_at})


def _at(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
