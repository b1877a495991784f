"""Who of several workers judges which points: shares, and which set of rules is in force. No I/O.

The points are spread over partitions. A worker holds some of them and knows the token of each; whenever a partition
changes hands its token is raised, so that the writes of a former holder are refused. Every worker looks at the same
table and plans for itself alone; two that plan the same are told apart by the token, which only one of them finds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

from rules.model import Rule
from store.reading_log import Position

#: How long a worker that gives no sign keeps its partitions. One whose connection has ended loses them at once.
LEASE_S = 6.0


class Worker(NamedTuple):
    """A worker that lives."""

    worker_id: int
    rules_hash: str
    started_at: datetime


class Partition(NamedTuple):
    """A share of the points. `holder` may have died; `position`: how far of the reading log it is judged."""

    number: int
    holder: int | None
    token: int
    position: Position


@dataclass(frozen=True)
class View:
    """What the table says at one moment. `rule_sets`: (hash, since) of those that were ever in force, newest first."""

    workers: Sequence[Worker]
    partitions: Sequence[Partition]
    rule_sets: Sequence[tuple[str, datetime]]


class Plan(NamedTuple):
    """What a worker should give back and take, if nothing has changed meanwhile."""

    release: list[Partition]
    take: list[Partition]


Standing = Literal["works", "leads", "waits"]


def hash_of(rules: Iterable[Rule], version: int = 0) -> str:
    """The hash of a set of rules: of what they decide, not of their texts, and of the version that was applied."""
    text = " ".join([str(version), *sorted(f"{rule.id}:{rule.hash}" for rule in rules)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def standing(view: View, me: Worker) -> Standing:
    """Whether this worker's rules are in force (works), have to be put in force (leads), or are older (waits).

    A set that was never in force is newer than all others. One that was comes back only with a worker that was started
    after the newer one came into force, and once no worker with the newer one lives: so the restart of a worker that
    still has the old files does not undo an upgrade, and going back to old files on purpose works.
    """
    known = dict(view.rule_sets)
    if me.rules_hash not in known:
        return "leads"
    newest, since = view.rule_sets[0]
    if me.rules_hash == newest:
        return "works"
    if me.started_at > since and all(worker.rules_hash != newest for worker in view.workers):
        return "leads"
    return "waits"


def plan(view: View, me: Worker) -> Plan:
    """Give back what is above a fair share, take what nobody holds up to it.

    The shares of all workers whose rules are in force add up to all partitions, and differ by one at the most.
    """
    mine = [partition for partition in view.partitions if partition.holder == me.worker_id]
    if standing(view, me) != "works":
        return Plan(mine, [])
    peers = sorted({me.worker_id} | {one.worker_id for one in view.workers if one.rules_hash == me.rules_hash})
    each, rest = divmod(len(view.partitions), len(peers))
    share = each + (peers.index(me.worker_id) < rest)
    if len(mine) >= share:
        return Plan(mine[share:], [])
    alive = {worker.worker_id for worker in view.workers}
    free = [partition for partition in view.partitions if partition.holder not in alive]
    return Plan([], free[: share - len(mine)])


def groups(held: Mapping[int, Partition]) -> list[tuple[Position, list[Partition]]]:
    """Partitions that stand at the same place of the log, the hindmost first."""
    at: dict[Position, list[Partition]] = {}
    for partition in held.values():
        at.setdefault(partition.position, []).append(partition)
    return sorted(at.items())
