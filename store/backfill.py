"""Writing history: blocks of a file, its position in the same transaction, and afterwards a word to the reading log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row

from catalogue.geometry import BinGeometry
from store.errors import StoreError
from store.queries import sql
from store.registry import geometry_of
from store.writer import ReadingBatch, packed


@dataclass
class Import:
    """One go through a file. `position`: records done; `reject_bytes`: length of the reject file then."""

    import_id: int
    file: str
    started_at: datetime
    updated_at: datetime
    position: int
    stored: int
    duplicates: int
    rejected: int
    reject_bytes: int


class HistoryWriter:
    """Writes the blocks of one file over a connection of its own (not in autocommit mode)."""

    def __init__(self, connection: Connection[Any], file: str, digest: bytes) -> None:
        """Take up the import that this file was left at, or begin one.

        Raises `StoreError` if another process is at it.
        """
        self._connection = connection
        connection.execute(sql("backfill.create_staging"))
        connection.execute(sql("backfill.no_decompression_limit"))
        if connection.execute(sql("backfill.lock"), {"digest": digest}).fetchone() != (True,):
            raise StoreError(f"{file} is being imported by another process; wait for it, or stop it")
        row = connection.execute(sql("backfill.unfinished"), {"digest": digest}).fetchone()
        self.taken_up = row is not None
        if row is None:
            row = connection.execute(sql("backfill.begin"), {"file": file, "digest": digest}).fetchone()
        assert row is not None
        self.state = Import(*row)
        connection.commit()

    def write(self, batch: ReadingBatch, *, position: int, rejected: int, reject_bytes: int) -> tuple[int, int]:
        """Store a block and that the file is done until `position`; returns (new, already there).

        `rejected` records of the block are in the reject file, which is `reject_bytes` long now.
        """
        stored, first_at, last_at = 0, None, None
        with self._connection.transaction(), self._connection.cursor() as cursor:
            if len(batch):
                with cursor.copy(sql("writer.copy_staging")) as copy:
                    copy.write(packed(batch))
                cursor.execute(sql("backfill.insert_new"), {"import_id": self.state.import_id})
                row = cursor.fetchone()
                assert row is not None
                stored, first_at, last_at = row
            cursor.execute(
                sql("backfill.advance"),
                {
                    "import_id": self.state.import_id,
                    "position": position,
                    "stored": stored,
                    "duplicates": len(batch) - stored,
                    "rejected": rejected,
                    "reject_bytes": reject_bytes,
                    "first_at": first_at,
                    "last_at": last_at,
                },
            )
        state = self.state
        state.position, state.reject_bytes = position, reject_bytes
        state.stored += stored
        state.duplicates += len(batch) - stored
        state.rejected += rejected
        return stored, len(batch) - stored

    def tell_log(self, *, finished: bool) -> None:
        """Let the readers of the log know what was new; with `finished` the file is done."""
        with self._connection.transaction():
            self._connection.execute(sql("backfill.tell_log"), {"import_id": self.state.import_id})
            if finished:
                self._connection.execute(sql("backfill.finish"), {"import_id": self.state.import_id})


def tell_abandoned(connection: Connection[Any]) -> int:
    """Tell the log what killed imports have brought; returns how many there were."""
    told = 0
    with connection.transaction():
        for import_id, digest in connection.execute(sql("backfill.abandoned")).fetchall():
            if connection.execute(sql("backfill.lock_abandoned"), {"digest": digest}).fetchone() == (True,):
                connection.execute(sql("backfill.tell_log"), {"import_id": import_id})
                told += 1
    return told


def imports(connection: Connection[Any], most: int) -> list[Mapping[str, Any]]:
    """The newest imports, newest first."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return list(cursor.execute(sql("backfill.list"), {"most": most}))


def points_by_code(connection: Connection[Any]) -> dict[str, tuple[int, BinGeometry | None]]:
    """Every point of a site: its number, and its geometry if it is a bin whose geometry is known."""
    return {
        row["code"]: (row["point_id"], geometry_of(row))
        for row in connection.cursor(row_factory=dict_row).execute(sql("backfill.points"))
    }
