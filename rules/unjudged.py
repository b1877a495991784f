"""What is stored but still waits in the log to be judged.

A rule that begins at a point with what is stored must leave that out: the log brings it, and what comes of it is told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
from psycopg import Connection

from rules.leases import Partition
from rules.step import Reading
from store.reading_log import Position, committed_after, settled_position

# The log is gone through in steps of so many batches.
_BATCHES = 50


class Unjudged:
    """What waits for some points that stand at one place in the log.

    Whatever bears a time after the reception of the first waiting batch waits too; of what is earlier, each reading is
    known. What an import brought is judged in another way, as a whole.
    """

    def __init__(self, position: Position, point_ids: Collection[int]) -> None:
        self._from = position
        self._wanted = np.array(sorted(point_ids), np.int32)
        self._seen: set[Position] = set()
        self._since_us: int | None = None
        self._late: set[tuple[int, int, int]] = set()

    def look(self, connection: Connection[Any]) -> None:
        """Take in what has come since: after the stored readings were read, so that nothing of them is missed."""
        settled = settled_position(connection)
        position = self._from
        while batches := committed_after(connection, position, _BATCHES):
            position = batches[-1].position
            for batch in batches:
                if batch.origin == "import" or batch.position in self._seen:
                    continue
                self._seen.add(batch.position)
                if self._since_us is None:
                    self._since_us = round(batch.received_at.timestamp() * 1e6)
                its = (batch.times_us < self._since_us) & np.isin(batch.point_ids, self._wanted)
                columns = (batch.point_ids[its], batch.times_us[its], batch.metric_ids[its])
                self._late.update(zip(*(column.tolist() for column in columns), strict=True))
        self._from = max(self._from, settled)
        self._seen = {place for place in self._seen if place > self._from}

    def has(self, point_id: int, reading: Reading) -> bool:
        """Whether the log is still to bring this reading."""
        if self._since_us is None:
            return False
        return reading.time_us >= self._since_us or (point_id, reading.time_us, reading.metric_id) in self._late


class Waiting:
    """What waits for points of several partitions."""

    def __init__(self, partitions: Iterable[tuple[Partition, Collection[int]]]) -> None:
        theirs: dict[Position, set[int]] = {}
        for partition, point_ids in partitions:
            theirs.setdefault(partition.position, set()).update(point_ids)
        self._by_point: dict[int, Unjudged] = {}
        self._places = []
        for position, its in theirs.items():
            place = Unjudged(position, its)
            self._places.append(place)
            self._by_point |= dict.fromkeys(its, place)

    def look(self, connection: Connection[Any]) -> None:
        """See `Unjudged`."""
        for place in self._places:
            place.look(connection)

    def has(self, point_id: int, reading: Reading) -> bool:
        """Whether the log is still to bring this reading."""
        place = self._by_point.get(point_id)
        return place is not None and place.has(point_id, reading)
