"""Rules that begin anew get to know what is stored already: which readings matter, and what is open. I/O around
`rules.refold`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Connection

from rules.engine import Decided, Engine, Machine
from rules.model import Rule
from rules.refold import Open, refold, relisten
from rules.step import Reading
from rules.unjudged import Waiting
from store import alerts

_POINTS_AT_ONCE = 200


def begin_anew(
    connection: Connection[Any],
    engine: Engine,
    machines: Sequence[Machine],
    begun: Collection[int],
    waiting: Waiting | None,
    *,
    imported: bool = False,
) -> Iterator[list[Decided]]:
    """Let new and changed rules, and rules at new or imported points, know what is stored; what came of it, some
    points at a time. `begun`: points of which something has been judged before; of others all that is stored is still
    in the log. `waiting`: of these points, what the log is still to bring."""
    if not machines:
        return
    opened = alerts.open_episodes(connection)
    heard = alerts.last_received(connection)
    connection.commit()
    now = datetime.now(UTC)
    by_rule: dict[str, list[Machine]] = {}
    for machine in machines:
        by_rule.setdefault(machine.rule.id, []).append(machine)
    for rule_id, its in by_rule.items():
        for start in range(0, len(its), _POINTS_AT_ONCE):
            chunk = its[start : start + _POINTS_AT_ONCE]
            readings = _stored(connection, [one for one in chunk if one.point.point_id in begun], now, waiting)
            decided: list[Decided] = []
            for machine in chunk:
                rule = machine.rule
                point_id, interval_s = machine.point.point_id, machine.point.interval_s
                its_open = _open(rule, opened.get((rule_id, point_id)))
                if rule.absent is not None:
                    last_us = _us(heard[point_id]) if point_id in heard else 0
                    state, made = relisten(rule, interval_s, last_us, _us(now), its_open)
                else:
                    state, made = refold(rule, interval_s, readings.get(point_id, ()), its_open, imported=imported)
                if state != machine.state:
                    engine.replace_state(machine, state)
                decided += [Decided(rule, machine.point, transition) for transition in made]
            yield decided


def _stored(
    connection: Connection[Any], machines: Sequence[Machine], now: datetime, waiting: Waiting | None
) -> dict[int, list[Reading]]:
    """Good readings within the memory of the rule of these machines that the log is not still to bring, by point and
    time."""
    metric_ids = machines[0].rule.metric_ids if machines else frozenset[int]()
    if not metric_ids:
        return {}
    memory_s = max(machine.rule.memory_s(machine.point.interval_s) for machine in machines)
    readings: dict[int, list[Reading]] = {}
    point_ids = [machine.point.point_id for machine in machines]
    since = now - timedelta(seconds=memory_s)
    stored = list(alerts.readings_of(connection, point_ids, metric_ids, since))
    if waiting is not None:
        waiting.look(connection)
    for point_id, time_us, metric_id, value in stored:
        reading = Reading(time_us, metric_id, value)
        if waiting is None or not waiting.has(point_id, reading):
            readings.setdefault(point_id, []).append(reading)
    connection.commit()
    return readings


def _open(rule: Rule, episode: tuple[datetime, datetime, str] | None) -> Open | None:
    if episode is None:
        return None
    breached_at, fired_at, severity = episode
    levels = [place for place, level in enumerate(rule.steps) if level.severity == severity]
    return Open(_us(breached_at), _us(fired_at), levels[0] if levels else None)


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)
