"""What the rules would have told of stored history: judged by the same `step`, nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
from psycopg import Connection

from catalogue.metrics import Quality, metrics_by_id
from misto.score.offline import Column, transitions
from rules.engine import in_scope
from rules.model import Rule
from rules.step import Transition
from store.alerts import PointInfo, history_of, load_points


class Told(NamedTuple):
    """An alert as it would have been: moments in microseconds; `resolved_us` is None if it would still stand."""

    rule: Rule
    point: PointInfo
    fired: Transition
    resolved_us: int | None


def backtest(
    connection: Connection[Any], rules: Sequence[Rule], points: Sequence[str], from_us: int, to_us: int
) -> Iterator[Told]:
    """Alerts that would have fired between two moments, point by point; `points` are codes, none are all.

    Silence is judged by the readings' own times: when they were received is not kept.
    """
    for point in load_points(connection):
        if points and point.code not in points:
            continue
        its = [rule.at(point.labels)[0] for rule in rules if in_scope(rule.scope, point)]
        if not its:
            continue
        memory = timedelta(seconds=max(rule.memory_s(point.interval_s) for rule in its))
        since, until = _at(from_us) - memory, _at(to_us)
        times, columns = _columns(history_of(connection, point.point_id, since, until))
        for rule in its:
            made, _ = transitions(rule, point.interval_s, times, times, columns, to_us)
            for told in _alerts(rule, point, made):
                if from_us <= told.fired.event_us < to_us:
                    yield told


def _columns(rows: Sequence[tuple[int, int, float, int]]) -> tuple[np.ndarray, dict[str, Column]]:
    """Readings (time, metric, value, quality) as a table over all times; what a time does not have is suspect in it."""
    if not rows:
        return np.empty(0, np.int64), {}
    at, metric, value, quality = (np.array(column) for column in zip(*rows, strict=True))
    times = np.unique(at)
    columns: dict[str, Column] = {}
    for number in np.unique(metric).tolist():
        its = metric == number
        place = np.searchsorted(times, at[its])
        values, qualities = np.zeros(len(times)), np.full(len(times), int(Quality.SUSPECT), np.int16)
        values[place], qualities[place] = value[its], quality[its]
        columns[metrics_by_id()[number].name] = (values, qualities)
    return times, columns


def _alerts(rule: Rule, point: PointInfo, made: Sequence[Transition]) -> Iterator[Told]:
    """Readings come in order here, so nothing is ever taken back: what fires resolves, or stands at the end."""
    fired: Transition | None = None
    for transition in made:
        if transition.kind == "fires":
            fired = transition
        elif transition.kind == "resolves" and fired is not None:
            yield Told(rule, point, fired, transition.event_us)
            fired = None
    if fired is not None:
        yield Told(rule, point, fired, None)


def _at(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
