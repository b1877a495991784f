"""What rules would have told of stored history: judged by the same `step`, on all cores. Nothing is written.

A point is judged whole by one process: its readings come from the database as binary arrays, and each rule folds them
in order of time. Silence is judged by the readings' own times: when they were received is not kept.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from psycopg import Connection

from catalogue.metrics import Quality, metrics_by_id
from misto.score.offline import Column, transitions
from misto.service import tune_collector
from rules.engine import in_scope
from rules.model import Rule
from rules.step import Transition
from store.alerts import PointInfo, readings_table
from store.connection import connect

_POINTS_A_TASK = 12

#: (points judged, points in all, readings so far)
Progress = Callable[[int, int, int], None]


class Told(NamedTuple):
    """An alert as it would have been; `resolved_us` is None if it would still stand."""

    rule_id: str
    point: PointInfo
    fired: Transition
    resolved_us: int | None


@dataclass(frozen=True)
class _Job:
    url: str
    sets: Mapping[str, Sequence[Rule]]
    from_us: int
    to_us: int


@dataclass(frozen=True)
class Judged:
    """The alerts of each set of rules, and from how many readings."""

    told: Mapping[str, Sequence[Told]]
    readings: int


_job: _Job
_connection: Connection[Any]


def backtest(
    url: str,
    points: Sequence[PointInfo],
    sets: Mapping[str, Sequence[Rule]],
    from_us: int,
    to_us: int,
    on_progress: Progress = lambda *unused: None,
    processes: int | None = None,
) -> Judged:
    """Alerts that each set of rules would have fired between two moments (microseconds).

    A rule that is in several sets and the same in them is judged once.
    """
    watched = [point for point in points if any(in_scope(rule.scope, point) for its in sets.values() for rule in its)]
    tasks = [watched[start : start + _POINTS_A_TASK] for start in range(0, len(watched), _POINTS_A_TASK)]
    told: dict[str, list[Told]] = {name: [] for name in sets}
    job = _Job(url, sets, from_us, to_us)
    count = min(processes or os.cpu_count() or 1, max(1, len(tasks)))
    readings = done = 0
    with ProcessPoolExecutor(count, get_context("spawn"), _begin, (job,)) as pool:
        futures = {pool.submit(_judge, task): len(task) for task in tasks}
        for future in as_completed(futures):
            part = future.result()
            for name, its in part.told.items():
                told[name] += its
            readings += part.readings
            done += futures[future]
            on_progress(done, len(watched), readings)
    for its in told.values():
        its.sort(key=lambda one: (one.fired.event_us, one.rule_id, one.point.code))
    return Judged(told, readings)


def _begin(job: _Job) -> None:
    """In a new process: a connection of its own."""
    global _job, _connection
    _job = job
    _connection = connect(job.url, service="backtest", autocommit=True)
    tune_collector()


def _judge(points: Sequence[PointInfo]) -> Judged:
    told: dict[str, list[Told]] = {name: [] for name in _job.sets}
    readings = 0
    for point in points:
        its = {
            rule.hash: rule.at(point.labels)[0]
            for rules in _job.sets.values()
            for rule in rules
            if in_scope(rule.scope, point)
        }
        memory = timedelta(seconds=max(rule.memory_s(point.interval_s) for rule in its.values()))
        wanted = frozenset().union(*(rule.metric_ids for rule in its.values()))
        every = any(rule.absent is not None for rule in its.values())
        table = readings_table(
            _connection, point.point_id, None if every else sorted(wanted), _at(_job.from_us) - memory, _at(_job.to_us)
        )
        readings += len(table)
        times, columns = _columns(table)
        made = {
            key: list(_alerts(rule, point, times, columns))
            for key, rule in its.items()
        }  # fmt: skip
        for name, rules in _job.sets.items():
            for rule in rules:
                told[name] += made.get(rule.hash, ())
    return Judged(told, readings)


def _columns(table: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], dict[str, Column]]:
    """Readings as a table over all times; what a time does not have is suspect in it."""
    times, place = np.unique(table["time_us"], return_inverse=True)
    columns: dict[str, Column] = {}
    for number in np.unique(table["metric_id"]).tolist():
        if number not in metrics_by_id():
            continue
        its = table["metric_id"] == number
        values, qualities = np.zeros(len(times)), np.full(len(times), int(Quality.SUSPECT), np.int16)
        values[place[its]], qualities[place[its]] = table["value"][its], table["quality"][its]
        columns[metrics_by_id()[number].name] = (values, qualities)
    return times, columns


def _alerts(rule: Rule, point: PointInfo, times: npt.NDArray[np.int64], columns: dict[str, Column]) -> Iterator[Told]:
    """Readings come in order here, so nothing is ever taken back: what fires resolves, or stands at the end."""
    made, _ = transitions(rule, point.interval_s, times, times, columns, _job.to_us)
    fired: Transition | None = None
    for transition in made:
        if transition.kind == "fires":
            fired = transition
        elif transition.kind == "resolves" and fired is not None:
            if fired.event_us >= _job.from_us:
                yield Told(rule.id, point, fired, transition.event_us)
            fired = None
    if fired is not None and fired.event_us >= _job.from_us:
        yield Told(rule.id, point, fired, None)


def _at(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
