"""What services leave about themselves: heartbeats, outages of ingest, the status of devices."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg import Connection

from store.queries import sql


def beat(connection: Connection[Any], service: str, worker: str, started_at: datetime, info: Mapping[str, Any]) -> None:
    """Say that this worker is alive and does its work."""
    connection.execute(
        sql("service_state.beat"),
        {"service": service, "worker": worker, "started_at": started_at, "info": json.dumps(info)},
    )


def last_beat(connection: Connection[Any], service: str) -> datetime | None:
    """When any worker of this service was last alive."""
    row = connection.execute(sql("service_state.last_beat"), {"service": service}).fetchone()
    return row[0] if row is not None else None


def record_outage(connection: Connection[Any], down_at: datetime, up_at: datetime) -> None:
    """Say that nothing could be received from `down_at` until `up_at`."""
    connection.execute(sql("service_state.record_outage"), {"down_at": down_at, "up_at": up_at})


def write_device_status(connection: Connection[Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows with device_id, received_at, event_at, messages, envelope, unknown_fields."""
    with connection.cursor() as cursor:
        cursor.executemany(sql("service_state.device_status"), rows)
