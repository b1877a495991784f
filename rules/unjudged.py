"""What is stored but still waits in the log to be judged.

A rule that begins at a point with what is stored must leave that out: the log brings it, and what comes of it is told.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from psycopg import Connection

from rules.leases import Partition, groups
from rules.step import Reading
from store.reading_log import read_after

# The log is gone through in steps of so many batches.
_BATCHES = 50


@dataclass(frozen=True)
class Unjudged:
    """Of one place in the log: all readings from `since_us` on, and the late ones (point, time, metric) before it."""

    since_us: int | None = None
    late: set[tuple[int, int, int]] = field(default_factory=set)

    def has(self, point_id: int, reading: Reading) -> bool:
        """Whether the log is still to bring this reading."""
        if self.since_us is None:
            return False
        return reading.time_us >= self.since_us or (point_id, reading.time_us, reading.metric_id) in self.late


def unjudged(
    connection: Connection[Any], held: Mapping[int, Partition], point_ids: Collection[int]
) -> dict[int, Unjudged]:
    """What waits for these points, by partition.

    Whatever bears a time after the reception of the first waiting batch waits too; of what is earlier, each reading is
    looked up. What an import brought is judged in another way, as a whole.
    """
    wanted = np.array(sorted(point_ids), np.int32)
    found: dict[int, Unjudged] = {}
    for position, partitions in groups(held):
        since_us: int | None = None
        late: set[tuple[int, int, int]] = set()
        while batches := read_after(connection, position, _BATCHES):
            position = batches[-1].position
            for batch in batches:
                if batch.origin == "import":
                    continue
                if since_us is None:
                    since_us = round(batch.received_at.timestamp() * 1e6)
                its = (batch.times_us < since_us) & np.isin(batch.point_ids, wanted)
                columns = (batch.point_ids[its], batch.times_us[its], batch.metric_ids[its])
                late.update(zip(*(column.tolist() for column in columns), strict=True))
        found |= {one.number: Unjudged(since_us, late) for one in partitions}
    connection.commit()
    return found
