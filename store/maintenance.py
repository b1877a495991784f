"""Retention, the same on both editions of TimescaleDB."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from store import quarantine
from store.queries import sql


def drop_old(connection: Connection[Any], *, readings_days: int, log_days: int, quarantine_days: int) -> dict[str, int]:
    """Drop what is older than its time; returns how much: chunks of readings, batches, quarantined messages.

    The reading log is kept as far as its slowest reader, whatever its age.
    """
    dropped = {}
    for name, parameters in (
        ("readings_chunks", {"days": readings_days}),
        ("log_batches", {"days": log_days}),
        ("outages", {"days": readings_days}),
    ):
        dropped[name] = connection.execute(sql(f"maintenance.drop_{name}"), parameters).rowcount
    dropped["quarantined_messages"] = quarantine.remove_old(connection, quarantine_days)
    return dropped
