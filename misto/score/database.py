"""Alerts and watched points as the database has them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection

from misto.score.matching import Alert
from rules.engine import in_scope
from rules.model import Rule
from store.alerts import load_points
from store.queries import sql


def alerts_in(connection: Connection[Any], from_us: int, to_us: int) -> list[Alert]:
    """Alerts that were firing at some time between two moments; what late data took back is not among them."""
    begin, end = (datetime.fromtimestamp(at_us / 1e6, UTC) for at_us in (from_us, to_us))
    rows = connection.execute(sql("score.alerts"), {"begin": begin, "end": end})
    return [
        Alert(rule, point, _us(breached), _us(fired), None if resolved is None else _us(resolved))
        for rule, point, breached, fired, resolved in rows
    ]


def watched_in(connection: Connection[Any], rules: Sequence[Rule]) -> dict[str, list[str]]:
    """The points of each rule."""
    points = load_points(connection)
    return {rule.id: [point.code for point in points if in_scope(rule.scope, point)] for rule in rules}


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)
