"""Silences: what is not told of, from when to when, by whom and why. They are only added to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, get_args

from psycopg import Connection
from psycopg.rows import dict_row

from catalogue.inventory import PointKind
from store.errors import StoreError
from store.queries import sql

Row = dict[str, Any]

KINDS: tuple[str, ...] = get_args(PointKind)
SEVERITIES = ("info", "warning", "critical")

LONGEST = timedelta(days=366)
_LIMIT = 200
_OVER_DAYS = 30


class SilenceRefused(StoreError):
    """What was asked for cannot be done. `why` is a key of a closed list, `name` what is unknown."""

    def __init__(self, why: str, sentence: str, name: str = "") -> None:
        super().__init__(sentence)
        self.why = why
        self.name = name


@dataclass(frozen=True)
class NewSilence:
    """A silence to be added. All given parts must fit an alert; of the values of a part one."""

    ends_at: datetime
    author: str
    reason: str
    begins_at: datetime | None = None
    rules: list[str] = field(default_factory=list)
    points: list[str] = field(default_factory=list)
    sites: list[str] = field(default_factory=list)
    zones: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    contractors: list[str] = field(default_factory=list)
    severities: list[str] = field(default_factory=list)
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def matches_everything(self) -> bool:
        """True if no part is given."""
        parts = (self.rules, self.points, self.sites, self.zones, self.kinds, self.contractors, self.severities)
        return not any(parts) and not self.labels


def parse_labels(texts: list[str]) -> dict[str, str]:
    """`name=value` each. Raises `SilenceRefused`."""
    labels = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not (sign and name.strip() and value.strip()):
            raise SilenceRefused("label", f"the label {text!r} is not written as name=value", text)
        labels[name.strip()] = value.strip()
    return labels


def add(connection: Connection[Any], new: NewSilence, now: datetime) -> int:
    """Add a silence; returns its number. Raises `SilenceRefused`."""
    begins_at = new.begins_at or now
    if new.matches_everything:
        raise SilenceRefused("everything", "a silence must say what it is for: a rule, a point, a site, …")
    if not new.author or not new.reason:
        raise SilenceRefused("incomplete", "a silence needs an author and a reason")
    if new.ends_at <= max(begins_at, now):
        raise SilenceRefused("times", "a silence must end after it begins, and not in the past")
    if new.ends_at - begins_at > LONGEST:
        raise SilenceRefused("long", f"a silence may last {LONGEST.days} days at the most")
    for part, names, known in (("kind", new.kinds, KINDS), ("severity", new.severities, SEVERITIES)):
        for name in names:
            if name not in known:
                raise SilenceRefused("unknown", f"there is no {part} {name!r}; there are {', '.join(known)}", name)
    values = asdict(new) | {"labels": json.dumps(dict(new.labels))}
    with connection.cursor(row_factory=dict_row) as cursor:
        for row in cursor.execute(sql("silences.unknown"), values):
            part, name = row.values()
            raise SilenceRefused("unknown", f"there is no {part} {name!r}", str(name))
        made = cursor.execute(sql("silences.add"), values).fetchone()
    assert made is not None
    return int(made["silence_id"])


def end(connection: Connection[Any], silence_id: int, ended_by: str) -> bool:
    """End a silence now; False if there is none or it is over already."""
    parameters = {"silence_id": silence_id, "ended_by": ended_by}
    return connection.execute(sql("silences.end"), parameters).rowcount == 1


def silences(connection: Connection[Any]) -> list[Row]:
    """Active ones, coming ones, and those that ended in the last 30 days: the columns of `silence_list`."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(sql("silences.list"), {"limit": _LIMIT, "over_days": _OVER_DAYS}).fetchall()


def count_active(connection: Connection[Any]) -> int:
    """How many hold now."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(sql("silences.count_active")).fetchone()
    return int(row["active"]) if row else 0


def known_rules(connection: Connection[Any]) -> list[str]:
    """Ids of the rules that are or were in force."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return [row["rule_id"] for row in cursor.execute(sql("silences.rules"))]
