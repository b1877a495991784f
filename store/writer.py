"""Writing readings: one transaction a batch, duplicates dropped by key, what was new into the reading log."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import Connection

from store.errors import is_about_data
from store.queries import sql
from store.text import storable

_EPOCH_2000_US = 946_684_800_000_000

# A detail tells names of fields, which are input.
_LONGEST_DETAIL = 1_000

# PostgreSQL's binary COPY: per row a field count, per field a length and the value, all big-endian
# (PostgreSQL documentation, "COPY", file formats). A structured array packs a whole batch at once.
_ROW = np.dtype(
    [
        ("fields", ">i2"),
        ("time_length", ">i4"), ("time", ">i8"),
        ("point_length", ">i4"), ("point", ">i4"),
        ("metric_length", ">i4"), ("metric", ">i2"),
        ("value_length", ">i4"), ("value", ">f8"),
        ("quality_length", ">i4"), ("quality", ">i2"),
    ]
)  # fmt: skip
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TRAILER = b"\xff\xff"


@dataclass(slots=True)
class Source:
    """The message that readings came from."""

    topic: str
    payload: bytes
    received_at: float  # POSIX seconds


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message, or a part of one, that goes to quarantine."""

    source: Source
    reason: str
    detail: str
    device_address: str | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """First time of reception of a message without a time of its own (see table `delivery`)."""

    packet_id: int
    digest: bytes
    received_at: float


@dataclass
class ReadingBatch:
    """Readings as parallel arrays; `time_us` is microseconds since 1970, UTC.

    `source` gives for each reading its place in `sources`; both may be empty for history that no message brought.
    """

    time_us: npt.NDArray[np.int64]
    point_id: npt.NDArray[np.int32]
    metric_id: npt.NDArray[np.int16]
    value: npt.NDArray[np.float64]
    quality: npt.NDArray[np.int16]
    received_at: float
    source: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    sources: Sequence[Source] = ()
    unreadable: Sequence[Unreadable] = ()
    deliveries: Sequence[Delivery] = ()

    def __len__(self) -> int:
        return len(self.time_us)

    def part(self, start: int, stop: int) -> ReadingBatch:
        """Readings from `start` until before `stop`, without what belongs to the batch as a whole."""
        here = slice(start, stop)
        return ReadingBatch(
            self.time_us[here], self.point_id[here], self.metric_id[here], self.value[here], self.quality[here],
            self.received_at, self.source[here], self.sources,
        )  # fmt: skip


@dataclass
class WriteResult:
    """What became of a batch: readings stored and already there, messages put into quarantine."""

    stored: int = 0
    duplicates: int = 0
    quarantined: int = 0

    def __iadd__(self, other: WriteResult) -> WriteResult:
        self.stored += other.stored
        self.duplicates += other.duplicates
        self.quarantined += other.quarantined
        return self


class ReadingWriter:
    """Writes batches over one connection of its own (not in autocommit mode)."""

    def __init__(self, connection: Connection[Any], client_id: str = "") -> None:
        self._connection = connection
        self._client_id = client_id
        connection.execute(sql("writer.create_staging"))
        connection.commit()

    def write(self, batch: ReadingBatch) -> WriteResult:
        """Store a batch, or raise psycopg.Error and store nothing new: whoever calls tries the same batch again.

        A reading that the database refuses for what it is goes to quarantine with its message, the others are stored.
        """
        try:
            return self._write_once(batch)
        except psycopg.Error as error:
            if not is_about_data(error) or not batch.sources:
                raise
            return self._write_parts(batch, error)

    def _write_parts(self, batch: ReadingBatch, error: psycopg.Error) -> WriteResult:
        result = WriteResult()
        if len(batch) == 0:
            raise error
        if len(batch) == 1:
            detail = f"the database refuses it: {error.diag.message_primary or error}"
            refused = Unreadable(batch.sources[batch.source[0]], "unstorable", detail)
            nothing = batch.part(0, 0)
            nothing.unreadable, nothing.deliveries = [*batch.unreadable, refused], batch.deliveries
            return self._write_once(nothing)
        middle = len(batch) // 2
        for part in (batch.part(0, middle), batch.part(middle, len(batch))):
            result += self.write(part)
        if batch.unreadable or batch.deliveries:
            rest = batch.part(0, 0)
            rest.unreadable, rest.deliveries = batch.unreadable, batch.deliveries
            result += self._write_once(rest)
        return result

    def _write_once(self, batch: ReadingBatch) -> WriteResult:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            stored = 0
            if len(batch):
                with cursor.copy(sql("writer.copy_staging")) as copy:
                    copy.write(packed(batch))
                received_at = datetime.fromtimestamp(batch.received_at, UTC)
                cursor.execute(sql("writer.insert_new"), {"received_at": received_at})
                row = cursor.fetchone()
                stored = row[0] if row is not None else 0
            quarantined = 0
            if batch.unreadable:
                cursor.executemany(sql("writer.quarantine"), [_quarantine_row(entry) for entry in batch.unreadable])
                quarantined = len(batch.unreadable)
            if batch.deliveries:
                newest = {delivery.packet_id: delivery for delivery in batch.deliveries}.values()
                cursor.execute(
                    sql("writer.deliveries"),
                    {
                        "client_id": self._client_id,
                        "packet_ids": [delivery.packet_id for delivery in newest],
                        "digests": [delivery.digest for delivery in newest],
                        "received": [datetime.fromtimestamp(delivery.received_at, UTC) for delivery in newest],
                    },
                )
        return WriteResult(stored, len(batch) - stored, quarantined)


def load_deliveries(connection: Connection[Any], client_id: str) -> dict[int, tuple[bytes, float]]:
    """Packet id → digest and first time of reception, of this session's messages without a time of their own."""
    rows = connection.execute(sql("writer.load_deliveries"), {"client_id": client_id}).fetchall()
    return {packet_id: (bytes(digest), received_at) for packet_id, digest, received_at in rows}


def packed(batch: ReadingBatch) -> bytes:
    """The readings as PostgreSQL's binary COPY takes them."""
    rows = np.empty(len(batch), _ROW)
    rows["fields"] = 5
    rows["time_length"], rows["time"] = 8, batch.time_us - _EPOCH_2000_US
    rows["point_length"], rows["point"] = 4, batch.point_id
    rows["metric_length"], rows["metric"] = 2, batch.metric_id
    rows["value_length"], rows["value"] = 8, batch.value
    rows["quality_length"], rows["quality"] = 2, batch.quality
    return _COPY_HEADER + rows.tobytes() + _COPY_TRAILER


def _quarantine_row(entry: Unreadable) -> dict[str, Any]:
    source = entry.source
    return {
        "received_at": datetime.fromtimestamp(source.received_at, UTC),
        "topic": storable(source.topic),
        "payload": source.payload,
        "reason": entry.reason,
        "detail": storable(entry.detail, _LONGEST_DETAIL),
        "device_address": storable(entry.device_address) if entry.device_address is not None else None,
        "digest": hashlib.blake2b(
            b"\0".join([source.topic.encode(), source.payload, entry.reason.encode()]), digest_size=16
        ).digest(),
    }


def forget_deliveries(connection: Connection[Any], client_id: str) -> None:
    """Of a session that the broker has forgotten: nothing of it is delivered again."""
    connection.execute(sql("writer.forget_deliveries"), {"client_id": client_id})
