"""What the outbox holds and what is to be decided of it. All calls belong into one transaction of the caller's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from psycopg import Connection
from psycopg.rows import class_row

from store.queries import sql


@dataclass(frozen=True)
class Silence:
    """What is not told of; an empty part fits everything."""

    silence_id: int
    rules: Sequence[str] = ()
    points: Sequence[str] = ()
    sites: Sequence[str] = ()
    zones: Sequence[str] = ()
    kinds: Sequence[str] = ()
    contractors: Sequence[str] = ()
    severities: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


class Marked(NamedTuple):
    """A mark that an alert has: which silence, or which alert."""

    cause: int | None


@dataclass(frozen=True)
class Episode:
    """An alert as far as telling goes. `told`: whoever was told last thinks that it is open; since `released_at`, by
    the row `opened_by`. `steps`: of the escalations that followed from that row."""

    episode_id: int
    rule_id: str
    point_id: int
    state: str
    severity: str
    point: str
    kind: str
    site: str | None
    zone: str | None
    contractor: str | None
    labels: Mapping[str, str]
    acked: bool = False
    acked_until: datetime | None = None
    told: bool = False
    ever_told: bool = False
    opened_by: int | None = None
    released_at: datetime | None = None
    last_released_at: datetime | None = None
    steps: Sequence[int] = ()
    silenced: bool = False
    silenced_by: int | None = None
    inhibited: bool = False
    inhibited_by: int | None = None
    flapping: bool = False

    @property
    def key(self) -> tuple[str, int]:
        """Rule and point."""
        return self.rule_id, self.point_id

    @property
    def marks(self) -> dict[str, Marked]:
        """The marks that it has, by kind."""
        found: dict[str, Marked] = {}
        if self.silenced:
            found["silenced"] = Marked(self.silenced_by)
        if self.inhibited:
            found["inhibited"] = Marked(self.inhibited_by)
        if self.flapping:
            found["flapping"] = Marked(None)
        return found


class Due(NamedTuple):
    """A row of the outbox that nobody has decided."""

    outbox_id: int
    episode_id: int
    kind: str


class Verdict(NamedTuple):
    """Released if `because` is None, else withheld; `cause`: the silence or the alert."""

    outbox_id: int
    because: str | None
    cause: int | None


class Mark(NamedTuple):
    """A mark that begins or ends."""

    episode_id: int
    kind: str
    begun: bool
    cause: int | None


class NewRow(NamedTuple):
    """What is to be told besides the transitions; released at once."""

    episode_id: int
    kind: str
    severity: str
    reason: str
    recipient: str | None = None
    escalates: int | None = None
    step: int | None = None


@dataclass
class Plan:
    """What is to be written."""

    verdicts: list[Verdict] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    rows: list[NewRow] = field(default_factory=list)
    ended_acks: list[int] = field(default_factory=list)


def lock(connection: Connection[Any]) -> datetime | None:
    """Be the only one to decide until the transaction's end; returns the database's time. None if another decides."""
    row = connection.execute(sql("telling.lock")).fetchone()
    return row[1] if row is not None and row[0] else None


def active_silences(connection: Connection[Any]) -> list[Silence]:
    """Silences that hold now, oldest first."""
    with connection.cursor(row_factory=class_row(Silence)) as cursor:
        return cursor.execute(sql("telling.silences")).fetchall()


def due_rows(connection: Connection[Any], limit: int) -> list[Due]:
    """Undecided rows of the outbox, oldest first."""
    return [Due(*row) for row in connection.execute(sql("telling.due"), {"limit": limit})]


def episodes(connection: Connection[Any], due: Sequence[Due]) -> list[Episode]:
    """Alerts that are open, flapping, or have something to be told."""
    parameters = {"episode_ids": list({row.episode_id for row in due})}
    with connection.cursor(row_factory=class_row(Episode)) as cursor:
        return cursor.execute(sql("telling.episodes"), parameters).fetchall()


def flips(connection: Connection[Any], windows_s: Mapping[str, float]) -> dict[tuple[str, int], list[datetime]]:
    """(rule_id, point_id) → when its alerts fired and ended, within so many seconds by rule."""
    if not windows_s:
        return {}
    parameters = {"rule_ids": list(windows_s), "windows_s": list(windows_s.values())}
    return {(row[0], row[1]): row[2] for row in connection.execute(sql("telling.flips"), parameters)}


def write(connection: Connection[Any], plan: Plan) -> None:
    """Write a plan."""
    with connection.cursor() as cursor:
        if plan.verdicts:
            cursor.executemany(sql("telling.decide"), [verdict._asdict() for verdict in plan.verdicts])
        if plan.marks:
            cursor.executemany(sql("telling.mark"), [mark._asdict() for mark in plan.marks])
        if plan.rows:
            cursor.executemany(sql("telling.add"), [row._asdict() for row in plan.rows])
        if plan.ended_acks:
            cursor.execute(sql("telling.end_acks"), {"episode_ids": plan.ended_acks})
