"""The table by which several rules workers share the points: who lives, who holds what, and the fence.

A partition belongs to whoever knows its token. Every write for a partition is in a transaction that calls `fence` or
`move` first: it locks the partition's row, so that nobody takes it until the end, and fails if somebody has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from store.queries import sql
from store.reading_log import Position

#: Number and token of a partition.
Held = tuple[int, int]


class Fenced(Exception):
    """Another worker has taken a partition meanwhile: what was worked out for it must not be written."""


def register(
    connection: Connection[Any], name: str, rules_hash: str, lease_s: float, started_at: datetime | None
) -> tuple[int, datetime]:
    """Begin a worker's life on this connection; returns its id and when its process was started, by the database's
    clock (`started_at`, if it is known from before)."""
    connection.execute(sql("rules_leases.session_limit"), {"lease_s": lease_s})
    connection.execute(sql("rules_leases.forget_old"))
    parameters = {"name": name, "rules_hash": rules_hash, "lease_s": lease_s, "started_at": started_at}
    row = connection.execute(sql("rules_leases.register"), parameters).fetchone()
    assert row is not None
    return row[0], row[1]


def renew(connection: Connection[Any], worker_id: int, lease_s: float) -> bool:
    """Give a sign of life; False if the worker was taken for dead meanwhile and has to begin anew."""
    parameters = {"worker_id": worker_id, "lease_s": lease_s}
    return connection.execute(sql("rules_leases.renew"), parameters).rowcount == 1


def bury(connection: Connection[Any], lease_s: float) -> None:
    """Forget the workers that died and hold nothing any more, and end transactions that they keep open for longer than
    a lease."""
    connection.execute(sql("rules_leases.end_sessions"), {"lease_s": lease_s})
    connection.execute(sql("rules_leases.bury"))


def leave(connection: Connection[Any], worker_id: int) -> None:
    """End a worker's life; what it holds is free."""
    connection.execute(sql("rules_leases.leave"), {"worker_id": worker_id})


def workers(connection: Connection[Any]) -> list[tuple[int, str, datetime]]:
    """(worker_id, rules_hash, started_at) of those that live."""
    return connection.execute(sql("rules_leases.workers")).fetchall()


def partitions(connection: Connection[Any]) -> list[tuple[int, int | None, int, Position]]:
    """(number, holder, token, position) of all."""
    return [
        (row[0], row[1], row[2], Position(row[3], row[4])) for row in connection.execute(sql("rules_leases.partitions"))
    ]


def rule_sets(connection: Connection[Any]) -> list[tuple[str, datetime]]:
    """(hash, since) of the sets of rules that were in force, newest first."""
    return connection.execute(sql("rules_leases.rule_sets")).fetchall()


def change_hands(
    connection: Connection[Any], holder: int | None, held: Sequence[Held]
) -> list[tuple[int, int | None, int, Position]]:
    """Give partitions to `holder` (None: to nobody), those whose token is still this and that nobody writes just now.
    Returns them as `partitions` does, with their new tokens."""
    rows = connection.execute(sql("rules_leases.change_hands"), {"holder": holder, **_columns(held)})
    return [(row[0], row[1], row[2], Position(row[3], row[4])) for row in rows]


def fence(connection: Connection[Any], held: Sequence[Held]) -> None:
    """Keep these partitions until the transaction's end. Raises `Fenced` if one of them is no longer held."""
    if connection.execute(sql("rules_leases.fence"), _columns(held)).rowcount != len(held):
        raise Fenced


def move(connection: Connection[Any], held: Sequence[Held], position: Position) -> None:
    """`fence`, and the place in the reading log up to which these partitions are judged."""
    if connection.execute(sql("rules_leases.advance"), _columns(held) | position._asdict()).rowcount != len(held):
        raise Fenced


def lock_rule_set(connection: Connection[Any]) -> None:
    """Let nobody else put rules in force until the transaction's end."""
    connection.execute(sql("rules_leases.lock_rule_set"))


def put_in_force(connection: Connection[Any], rules_hash: str) -> None:
    """Make a set of rules the one in force, and free all partitions of those who judge by another."""
    connection.execute(sql("rules_leases.put_in_force"), {"rules_hash": rules_hash})
    connection.execute(sql("rules_leases.free_all"))


@dataclass(frozen=True)
class WorkerState:
    """A worker as a person sees it. `in_force`: its rules are."""

    name: str
    alive: bool
    in_force: bool
    partitions: int


def worker_list(connection: Connection[Any]) -> list[WorkerState]:
    """All workers that have not been forgotten."""
    return [WorkerState(*row) for row in connection.execute(sql("rules_leases.worker_list"))]


def unheld(connection: Connection[Any]) -> int:
    """How many partitions no living worker holds."""
    row = connection.execute(sql("rules_leases.unheld")).fetchone()
    return row[0] if row else 0


def _columns(held: Sequence[Held]) -> dict[str, list[int]]:
    return {"partitions": [number for number, _ in held], "tokens": [token for _, token in held]}
