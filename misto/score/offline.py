"""Judging a simulated city without broker and database: each rule at each point through `rules.step`, on all cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
import numpy.typing as npt

from catalogue.inventory import Inventory
from catalogue.metrics import Quality, metrics
from misto.score.matching import Alert
from misto.score.skim import places
from misto.service import tune_collector
from rules.engine import in_scope
from rules.judge import INACTIVE, Judge
from rules.model import Rule
from rules.step import Reading, Seen, Tick, Transition, initial, step
from simulators.chance import Floats, Ints
from simulators.city import City, Meter
from simulators.history import stored
from simulators.scenario import Scenario
from simulators.truth import Truth, joined, of_meter
from store.alerts import PointInfo

_POINTS_A_TASK = 12

#: (points judged, points in all, readings so far)
Progress = Callable[[int, int, int], None]
Column = tuple[Floats, npt.NDArray[np.int16]]


@dataclass(frozen=True)
class Judged:
    """What came of a city: alerts, truth, the points of each rule, and how many readings there were."""

    alerts: list[Alert]
    truths: list[Truth]
    watched: dict[str, list[str]]
    readings: int
    judged: int


@dataclass(frozen=True)
class _Job:
    inventory: Inventory
    scenario: Scenario
    seed: int
    rules: Sequence[Rule]
    from_us: int
    to_us: int


_job: _Job
_city: City


def judge_city(
    inventory: Inventory,
    scenario: Scenario,
    seed: int,
    rules: Sequence[Rule],
    from_us: int,
    to_us: int,
    on_progress: Progress = lambda *unused: None,
    processes: int | None = None,
) -> Judged:
    """Simulate and judge a city from one moment to another."""  # fmt: skip
    job = _Job(inventory, scenario, seed, rules, from_us, to_us)
    count = len(City(inventory, Scenario(version=1), seed, from_us).meters)
    tasks = [range(start, min(start + _POINTS_A_TASK, count)) for start in range(0, count, _POINTS_A_TASK)]
    parts: list[Judged] = []
    done = readings = 0
    with ProcessPoolExecutor(processes or os.cpu_count() or 1, get_context("spawn"), _begin, (job,)) as pool:
        for future in as_completed([pool.submit(_judge, task) for task in tasks]):
            part = future.result()
            parts.append(part)
            done += _POINTS_A_TASK
            readings += part.readings
            on_progress(min(done, count), count, readings)
    watched: dict[str, list[str]] = {rule.id: [] for rule in rules}
    for part in parts:
        for rule, points in part.watched.items():
            watched[rule] += points
    alerts = sorted((alert for part in parts for alert in part.alerts), key=lambda a: (a.fired_us, a.rule, a.point))
    truths = joined(truth for part in parts for truth in part.truths)
    return Judged(alerts, truths, watched, readings, sum(part.judged for part in parts))


def _begin(job: _Job) -> None:
    """In a new process: the same city again."""
    global _job, _city
    _job = job
    _city = City(job.inventory, job.scenario, job.seed, job.to_us)
    tune_collector()


def _judge(places: Sequence[int]) -> Judged:
    alerts: list[Alert] = []
    truths: list[Truth] = []
    watched: dict[str, list[str]] = {}
    readings = judged = 0
    for place in places:
        meter = _city.meters[place]
        its_truths = list(of_meter(_city, meter, _job.from_us, _job.to_us))
        truths += its_truths
        sent, columns = stored(meter, _job.from_us, _job.to_us)
        readings += len(sent) * len(columns)
        point = point_info(meter)
        for rule in _job.rules:
            if in_scope(rule.scope, point):
                watched.setdefault(rule.id, []).append(meter.point.id)
                its, _ = rule.at(point.labels)
                made, count = transitions(its, meter.point.interval, sent.time_us, sent.sent_us, columns, _job.to_us)
                alerts += episodes(rule.id, meter.point.id, made)
                judged += count
    return Judged(alerts, truths, watched, readings, judged)


def transitions(
    rule: Rule, interval_s: float, time_us: Ints, sent_us: Ints, columns: dict[str, Column], to_us: int
) -> tuple[list[Transition], int]:
    """All that a rule decides at a point, in order of reception, and from how many readings."""
    state = initial(rule)
    told: list[Transition] = []
    if rule.absent is not None:
        # Only before and after a long silence can anything be decided.
        limit_us = rule.absent.limit_us(interval_s)
        heard = np.flatnonzero(np.diff(sent_us) >= limit_us)
        inputs: list[Seen | Tick] = [Seen(int(sent_us[0]))] if len(sent_us) else []
        for before in heard.tolist():
            after_us = int(sent_us[before + 1])
            inputs += [Seen(int(sent_us[before])), Tick(after_us), Seen(after_us)]
        if len(sent_us):
            inputs.append(Seen(int(sent_us[-1])))
        for item in [*inputs, Tick(to_us)]:
            state, made = step(rule, interval_s, state, item)
            told += made
        return told, len(sent_us)
    wanted = rule.metric_ids
    names = sorted((name for name in columns if metrics()[name].id in wanted), key=lambda name: metrics()[name].id)
    if not names:
        return [], 0
    good = [np.flatnonzero(columns[name][1] == Quality.GOOD) for name in names]
    place = np.concatenate(good)
    metric_ids = np.concatenate(
        [np.full(len(its), metrics()[name].id, np.int64) for name, its in zip(names, good, strict=True)]
    )
    values = np.concatenate([columns[name][0][its] for name, its in zip(names, good, strict=True)])
    order = np.lexsort((metric_ids, place))
    times = time_us[place[order]]
    make = tuple.__new__
    ordered = times, metric_ids[order], values[order]
    # Late readings are put in their place among those folded before, so where there are any, all are folded.
    skimmed = places(rule, interval_s, *ordered) if np.all(np.diff(times) >= 0) else None
    starts = [[0, 0]] if skimmed is None else skimmed.tolist()
    composed = isinstance(rule.judge, Judge) and rule.judge.composed
    by_metric = [np.flatnonzero(ordered[1] == number) for number in np.unique(ordered[1])] if composed else []
    row = at = 0
    while at < len(starts):
        first, matters = starts[at]
        # Of each metric the newest reading is told of, however old it is.
        for last in sorted(int(its[np.searchsorted(its, first) - 1]) for its in by_metric if its[0] < first):
            if last >= row:
                state, _ = step(rule, interval_s, state, make(Reading, next(_rows(ordered, last))))
        row = max(row, first)
        for plain in _rows(ordered, row):
            state, made = step(rule, interval_s, state, make(Reading, plain))
            if made:
                told += made
            row += 1
            if skimmed is not None and row > matters and state.core.phase is INACTIVE:
                break
        at = len(starts) if skimmed is None else int(np.searchsorted(skimmed[:, 1], row))
    if rule.judge.ticks:
        state, made = step(rule, interval_s, state, Tick(to_us))
        told += made
    return told, len(order)


def _rows(columns: tuple[Ints, Ints, Floats], start: int) -> Iterator[tuple[Any, ...]]:
    """Rows from one on; a few at first, for often no more are asked for."""
    size = 32
    while start < len(columns[0]):
        yield from zip(*(column[start : start + size].tolist() for column in columns), strict=True)
        start, size = start + size, min(2 * size, 65_536)


def episodes(rule_id: str, point: str, told: Sequence[Transition]) -> list[Alert]:
    """Alerts as transitions leave them: what was taken back is gone."""
    kept: dict[int, tuple[int, int | None]] = {}
    for item in told:
        match item.kind:
            case "fires" | "revised":
                kept[item.breached_us] = (item.event_us, kept.get(item.breached_us, (0, None))[1])
            case "resolves" if item.breached_us in kept:
                kept[item.breached_us] = (kept[item.breached_us][0], item.event_us)
            case "reopened" if item.breached_us in kept:
                kept[item.breached_us] = (kept[item.breached_us][0], None)
            case "retracted":
                kept.pop(item.breached_us, None)
    return [Alert(rule_id, point, breached, fired, resolved) for breached, (fired, resolved) in sorted(kept.items())]


def point_info(meter: Meter) -> PointInfo:
    """A point as the rules see it."""
    point, site = meter.point, meter.site
    name = point.name or site.name
    return PointInfo(
        point_id=0, code=point.id, kind=point.kind, interval_s=point.interval, fraction=point.fraction,
        labels={**site.labels, **point.labels}, name_en=name.en, name_uk=name.uk, site_id=site.id,
        site_name_en=site.name.en, site_name_uk=site.name.uk, address_en=None,
        address_uk=None, use=site.use, zone_id=site.zone,
        contractor_id=point.contractor, contractor_name_en=None, contractor_name_uk=None,
    )  # fmt: skip
