"""Simulated history straight into the database, through the same writer as ingest."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from psycopg import Connection

from simulators.city import City
from simulators.errors import SimulatorError
from simulators.history import history
from store.queries import sql
from store.writer import ReadingBatch, ReadingWriter

#: (moment reached in µs, readings written so far)
Progress = Callable[[int, int], None]


def demo_city_file() -> Path:
    """The inventory of the demo city."""
    return Path(str(files("simulators").joinpath("demo-city.yaml")))


def demo_scenario_file() -> Path:
    """What goes wrong in the demo city."""
    return Path(str(files("simulators").joinpath("demo-scenario.yaml")))


def last_stored(connection: Connection[Any]) -> datetime | None:
    """Time of the newest reading of any placed point."""
    row = connection.execute(sql("history.last_stored")).fetchone()
    return row[0] if row is not None else None


def fill_history(
    connection: Connection[Any], city: City, from_us: int, to_us: int, on_progress: Progress, stop: threading.Event
) -> int:
    """Write the city's readings from `from_us` until before `to_us`; returns how many were new.

    Raises `SimulatorError` if the city in the database is another one.
    """
    ids = dict(connection.execute(sql("history.point_ids")).fetchall())
    connection.commit()
    missing = [meter.point.id for meter in city.meters if meter.point.id not in ids]
    if missing:
        raise SimulatorError(
            f"the database does not know the point {missing[0]!r}; run `misto inventory load` with this city first"
        )
    point_of = np.array([ids[meter.point.id] for meter in city.meters], np.int32)
    writer = ReadingWriter(connection)
    stored = 0
    for reached_us, chunk in history(city, from_us, to_us):
        # As if it had been received then: the rules judge it as they would have.
        batch = ReadingBatch(
            chunk.time_us, point_of[chunk.meter], chunk.metric_id, chunk.value, chunk.quality, reached_us / 1e6
        )
        stored += writer.write(batch).stored
        on_progress(reached_us, stored)
        if stop.is_set():
            break
    return stored
