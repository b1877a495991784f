"""Messages that could not be read: counted, looked at, loaded to be replayed, removed. Rows are dictionaries."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, LiteralString

from psycopg import Connection
from psycopg.rows import DictRow, dict_row

from catalogue.inventory import normal_address
from store.queries import sql
from store.text import storable

Row = DictRow

#: Why an entry has left: it was read, it is no reading, somebody dropped it, its time is over, there was no room.
Cause = Literal["replayed", "no_reading", "by_hand", "too_old", "too_much"]
CAUSES: tuple[Cause, ...] = ("replayed", "no_reading", "by_hand", "too_old", "too_much")

#: Entries of each reason that the board counts and shows samples of.
COUNTED_AT_MOST = 2_000

_LONGEST_DETAIL = 1_000
_REMOVED_AT_ONCE = 5_000
_NO_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class Selection:
    """Which entries are meant; None means all. `source` is a device's address, or a topic where none is known.

    `until_id` leaves out what comes in later.
    """

    until_id: int
    ids: tuple[int, ...] | None = None
    reason: str | None = None
    source: str | None = None
    since: datetime | None = None

    def parameters(self) -> dict[str, Any]:
        """For `quarantine.chosen`."""
        return {
            "until_id": self.until_id,
            "ids": list(self.ids) if self.ids is not None else None,
            "reason": self.reason,
            "source": storable(self.source) if self.source is not None else None,
            "address": normal_address(storable(self.source)) if self.source is not None else None,
            "since": self.since,
        }


@dataclass(frozen=True, slots=True)
class Key:
    """Where an entry stands in the order of reception (microseconds since 1970), and its payload's size."""

    received_us: int
    entry_id: int
    payload_bytes: int


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry with everything that its message had."""

    entry_id: int
    received_us: int
    topic: str
    payload: bytes
    retained: bool
    reason: str
    device_address: str | None


def _sql(name: str) -> LiteralString:
    statement = sql(f"quarantine.{name}")
    for part in ("chosen", "newest"):
        statement = statement.replace("{" + part + "}", sql(f"quarantine.{part}"))
    return statement


def _rows(connection: Connection[Any], name: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_sql(name), parameters).fetchall()


def _row(connection: Connection[Any], name: str, parameters: Mapping[str, Any] | None = None) -> Row:
    return _rows(connection, name, parameters)[0]


def newest_id(connection: Connection[Any]) -> int:
    """The number of the newest entry; 0 if there is none."""
    return int(_row(connection, "newest_id")["newest_id"])


def total(connection: Connection[Any], chosen: Selection) -> Row:
    """messages, bytes, oldest_at, sources (groups of `counts`)."""
    return _row(connection, "total", chosen.parameters())


def counts(connection: Connection[Any], chosen: Selection, limit: int = _NO_LIMIT) -> list[Row]:
    """By reason and source, most first: reason, source, by_topic, messages, bytes, oldest_at, newest_at."""
    return _rows(connection, "counts", chosen.parameters() | {"limit": limit})


def samples(connection: Connection[Any], chosen: Selection, limit: int) -> list[Row]:
    """The newest entries without their payloads."""
    return _rows(connection, "samples", chosen.parameters() | {"limit": limit})


def entry(connection: Connection[Any], entry_id: int) -> Row | None:
    """An entry without its payload, or None."""
    return next(iter(_rows(connection, "entry", {"id": entry_id})), None)


def payloads(connection: Connection[Any], ids: Sequence[int], longest: int = _NO_LIMIT) -> dict[int, bytes]:
    """The first `longest` bytes of these payloads; nothing where this database role may not read them."""
    if not ids or not _row(connection, "may_read_payloads")["may"]:
        return {}
    found = _rows(connection, "payloads", {"ids": list(ids), "longest": longest})
    return {row["quarantine_id"]: bytes(row["payload"]) for row in found}


def keys(connection: Connection[Any], chosen: Selection, after: Key | None, limit: int) -> list[Key]:
    """The next entries after one, by their time of reception."""
    behind = {"after_us": after.received_us if after else -(10**15), "after_id": after.entry_id if after else 0}
    found = _rows(connection, "keys", chosen.parameters() | behind | {"limit": limit})
    return [Key(row["received_us"], row["quarantine_id"], row["payload_bytes"]) for row in found]


def load(connection: Connection[Any], ids: Sequence[int]) -> list[Entry]:
    """Those of these entries that are still there, by their time of reception."""
    return [
        Entry(
            row["quarantine_id"], row["received_us"], row["topic"], bytes(row["payload"]), row["retained"],
            row["reason"], row["device_address"],
        )
        for row in _rows(connection, "load", {"ids": list(ids)})
    ]  # fmt: skip


def lock(connection: Connection[Any], ids: Sequence[int]) -> set[int]:
    """Keep others from these entries until the transaction ends; returns which are still there."""
    return {row["quarantine_id"] for row in _rows(connection, "lock", {"ids": list(ids)})}


def begin_replay(connection: Connection[Any]) -> bool:
    """Be the only one who replays, as long as the connection stands. False if another one does."""
    connection.execute(_sql("lasting_is_late"))
    return bool(_row(connection, "one_replay")["free"])


def digest(topic: str, payload: bytes, reason: str) -> bytes:
    """What makes the same message with the same reason one entry, as `store.writer` makes it."""
    return hashlib.blake2b(b"\0".join([topic.encode(), payload, reason.encode()]), digest_size=16).digest()


def refused_detail(connection: Connection[Any], its: Entry) -> str | None:
    """What the writer has just written about a message that the database refuses, in an entry beside this one."""
    its_digest = digest(its.topic, its.payload, "unstorable")
    found = _rows(connection, "twin", {"id": its.entry_id, "digest": its_digest})
    return found[0]["detail"] if found else None


def reword(connection: Connection[Any], its: Entry, reason: str, detail: str, device_address: str | None) -> None:
    """Give an entry its new reason. Of two entries of the same message and reason the older one stays."""
    its_digest = digest(its.topic, its.payload, reason)
    for twin in _rows(connection, "twin", {"id": its.entry_id, "digest": its_digest}):
        if twin["quarantine_id"] < its.entry_id:
            connection.execute(_sql("merge"), {"id": its.entry_id})
            return
        connection.execute(_sql("merge"), {"id": twin["quarantine_id"]})
    connection.execute(
        _sql("reword"),
        {
            "id": its.entry_id,
            "reason": reason,
            "detail": storable(detail, _LONGEST_DETAIL),
            "device_address": storable(device_address) if device_address is not None else None,
            "digest": its_digest,
        },
    )


def remove(connection: Connection[Any], ids: Sequence[int], cause: Cause) -> int:
    """Remove entries and count them in `quarantine_gone`; returns how many there were."""
    if not ids:
        return 0
    return int(_row(connection, "remove", {"ids": list(ids), "cause": cause})["messages"])


def drop(connection: Connection[Any], chosen: Selection) -> int:
    """Drop entries by hand, in transactions of a few thousand; returns how many."""
    dropped = after_id = 0
    while True:
        with connection.transaction():
            parameters = chosen.parameters() | {"after_id": after_id, "limit": _REMOVED_AT_ONCE}
            ids = [row["quarantine_id"] for row in _rows(connection, "chosen_ids", parameters)]
            dropped += remove(connection, ids, "by_hand")
        if not ids:
            return dropped
        after_id = ids[-1]


def remove_old(connection: Connection[Any], days: int) -> int:
    """Remove what has been kept for its days; returns how many."""
    return int(_row(connection, "remove_old", {"days": days})["messages"])


def sizes(connection: Connection[Any]) -> dict[str, tuple[int, int]]:
    """Reason → messages and bytes."""
    return {row["reason"]: (row["messages"], row["bytes"]) for row in _rows(connection, "sizes")}


def shrink(connection: Connection[Any], most_bytes: int) -> int:
    """Remove entries until the others take `most_bytes` at the most; returns how many.

    The oldest of the largest groups of reason and source go, so that one source pushes out nobody else's. In
    transactions of a few thousand: the readers of the reading log wait for each.
    """
    surplus = array("q")
    with connection.transaction(), connection.cursor("surplus") as cursor:
        cursor.itersize = _REMOVED_AT_ONCE
        cursor.execute(_sql("surplus"), {"most_bytes": most_bytes})
        surplus.extend(int(row[0]) for row in cursor)
    removed = 0
    for start in range(0, len(surplus), _REMOVED_AT_ONCE):
        with connection.transaction():
            removed += remove(connection, surplus[start : start + _REMOVED_AT_ONCE].tolist(), "too_much")
    return removed


def gone(connection: Connection[Any]) -> list[Row]:
    """What has left the quarantine: reason, cause, messages, last_at."""
    return _rows(connection, "gone")


def by_reason(connection: Connection[Any], hours: int) -> list[Row]:
    """For the board: per reason how many of the last hours (`COUNTED_AT_MOST` at the most), and the newest one."""
    return _rows(connection, "by_reason", {"hours": hours, "at_most": COUNTED_AT_MOST})


def by_source(connection: Connection[Any], hours: int, limit: int) -> list[Row]:
    """For the board: reason, source, by_topic, messages, in_hour, in_day, newest_at; `limit` of each reason."""
    return _rows(connection, "by_source", {"hours": hours, "at_most": COUNTED_AT_MOST, "limit": limit})


def newest_samples(
    connection: Connection[Any], hours: int, reason: str | None, source: str | None, limit: int
) -> list[Row]:
    """For the board: the newest of those that `by_source` counts, without their payloads."""
    parameters = {"hours": hours, "at_most": COUNTED_AT_MOST, "reason": reason, "source": source, "limit": limit}
    return _rows(connection, "newest_samples", parameters)
