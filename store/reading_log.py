"""Reading the log of what was new, batch by batch, in an order that skips nothing (docs/decisions/001)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from psycopg import Connection
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import Format
from psycopg.rows import tuple_row

from store.queries import sql


class Position(NamedTuple):
    """A place in the log: behind the batch of this transaction and number."""

    xid: int
    seq: int


#: Before the first batch.
BEGINNING = Position(0, 0)


@dataclass(frozen=True)
class LogBatch:
    """What one committed batch brought, ordered by time. `times_us` is microseconds since 1970, UTC.

    A batch of the origin `import` has of each series only the first, the last and the newest reading: whatever lies
    between them may be new. `reading_count` is how many readings really were new.
    """

    xid: int
    seq: int
    received_at: datetime
    times_us: npt.NDArray[np.int64]
    point_ids: npt.NDArray[np.int32]
    metric_ids: npt.NDArray[np.int16]
    values: npt.NDArray[np.float64]
    qualities: npt.NDArray[np.int16]
    origin: Literal["live", "import"] = "live"
    reading_count: int = 0

    def __len__(self) -> int:
        return len(self.times_us)

    @property
    def position(self) -> Position:
        """The place behind this batch."""
        return Position(self.xid, self.seq)

    def of_points(self, wanted: npt.NDArray[np.bool_]) -> LogBatch:
        """The readings of some points. `wanted` goes by point id; its last entry holds for all ids beyond."""
        here = wanted[np.minimum(self.point_ids, len(wanted) - 1)]
        return replace(
            self, times_us=self.times_us[here], point_ids=self.point_ids[here], metric_ids=self.metric_ids[here],
            values=self.values[here], qualities=self.qualities[here],
        )  # fmt: skip


def read_after(
    connection: Connection[Any],
    position: Position,
    limit: int,
    until: Position | None = None,
    most_readings: int | None = None,
) -> list[LogBatch]:
    """The next batches after `position`, at most `limit`, and none after `until`.

    With `most_readings` none after those that together have so many live readings.
    """
    until_xid, until_seq = until if until is not None else (None, None)
    parameters = {"limit": limit, "most": most_readings, "until_xid": until_xid, "until_seq": until_seq}
    return _batches(connection, "reading_log.read", position, parameters)


def committed_after(connection: Connection[Any], position: Position, limit: int) -> list[LogBatch]:
    """As `read_after`, but also what is not shown to readers yet, for the place before it may still be filled."""
    return _batches(connection, "reading_log.committed", position, {"limit": limit})


def settled_position(connection: Connection[Any]) -> Position:
    """The place before which nothing will be added any more."""
    row = connection.cursor(row_factory=tuple_row).execute(sql("reading_log.settled")).fetchone()
    assert row is not None
    return Position(row[0] - 1, 2**62)


def _batches(connection: Connection[Any], query: str, position: Position, parameters: dict[str, Any]) -> list[LogBatch]:
    with connection.cursor(binary=True) as cursor:
        for oid, code in _ARRAYS.items():
            cursor.adapters.register_loader(oid, _array_loader(code))
        cursor.execute(sql(query), parameters | {"xid": position.xid, "seq": position.seq})
        return [LogBatch(*row) for row in cursor.fetchall()]


def read_batches(connection: Connection[Any], reader: str, limit: int) -> list[LogBatch]:
    """The next batches after `reader`'s cursor, at most `limit`. The cursor stays where it is."""
    return read_after(connection, position_of(connection, reader), limit)


def advance(connection: Connection[Any], reader: str, batch: LogBatch) -> None:
    """Move `reader`'s cursor behind `batch`: in the transaction of what was derived from it."""
    connection.execute(sql("reading_log.advance"), {"reader": reader, "xid": batch.xid, "seq": batch.seq})


def position_of(connection: Connection[Any], reader: str) -> Position:
    """How far `reader` has read; that of the rules is their slowest partition's."""
    row = connection.cursor(row_factory=tuple_row).execute(sql("reading_log.position"), {"reader": reader}).fetchone()
    return Position(*row) if row is not None else BEGINNING


@dataclass(frozen=True)
class LogLag:
    """How far a reader is behind: batches, and seconds since the oldest of them was received."""

    batches: int
    age_s: float


def lag(connection: Connection[Any], reader: str) -> LogLag:
    """How far `reader` is behind."""
    return lag_after(connection, position_of(connection, reader))


def lag_after(connection: Connection[Any], position: Position) -> LogLag:
    """How far a reader at `position` is behind."""
    row = connection.cursor(row_factory=tuple_row).execute(sql("reading_log.lag"), position._asdict()).fetchone()
    assert row is not None
    return LogLag(row[0], row[1])


# Array types of PostgreSQL (catalogue pg_type) and the numpy code of their elements, big-endian on the wire.
_ARRAYS = {1005: ">i2", 1007: ">i4", 1016: ">i8", 1022: ">f8"}

#: Bytes of a one-dimensional binary array before its elements: dimensions, flags, element type, length, lower bound.
_ARRAY_HEADER = 20


def _array_loader(code: str) -> type[Loader]:
    element = np.dtype([("length", ">i4"), ("value", code)])
    native = np.dtype(code).newbyteorder("=")

    class ArrayLoader(Loader):
        """A one-dimensional array without nulls into numpy, without a Python object for each element."""

        format = Format.BINARY

        def load(self, data: Buffer) -> npt.NDArray[Any]:
            return np.frombuffer(data, element, offset=_ARRAY_HEADER)["value"].astype(native)

    return ArrayLoader
