"""The rules for the board: in words, with their tests, and their truth at a point over time by the same `step`."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.rows import tuple_row

from catalogue.metrics import Quality, metrics_by_id
from dashboards.board.messages import Language
from dashboards.board.rulebook import RuleChanged, RuleCourse, RuleTold, SelfTest, Truth
from rules.applied import take
from rules.conditions.threshold import Threshold
from rules.engine import in_scope
from rules.explain import tree_of
from rules.loader import shipped_rules
from rules.model import Rule
from rules.selftest import Outcome, outcomes
from rules.sentences import rule_text
from rules.step import KeyState, Reading, Seen, Tick, Transition, initial, step
from rules.words import scope_text
from store import rules_applied
from store.alerts import PointInfo, history_of, load_points

_TRUTHS: dict[bool | None, Truth] = {True: "true", False: "false", None: "unknown"}


class _Ellipses(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "…"


class Rules:
    """The `dashboards.board.rulebook.RuleBook` of the database's rules."""

    def __init__(self, time_zone: str) -> None:
        self._time_zone = time_zone
        self._lock = threading.Lock()
        self._newest = -1
        self._rules: dict[str, Rule] = {}
        self._tests: dict[str, list[SelfTest]] = {}

    def rules(self, connection: Connection[Any], language: Language) -> list[RuleTold]:
        with _tuples(connection):
            rules = self._taken(connection)
            changed = _changes(connection)
            points = load_points(connection)
        return [_told(rules[rule_id], points, changed.get(rule_id), language) for rule_id in sorted(rules)]

    def tests(self, connection: Connection[Any], rule_id: str) -> list[SelfTest]:
        with _tuples(connection):
            rule = self._taken(connection)[rule_id]
        if rule_id not in self._tests:
            self._tests[rule_id] = [
                SelfTest(one.test.name, _happened(one), one.failures) for one in outcomes(rule)
            ]  # fmt: skip
        return self._tests[rule_id]

    def course(
        self, connection: Connection[Any], rule_id: str, point: str, start: datetime, stop: datetime
    ) -> RuleCourse | None:
        with _tuples(connection):
            rule = self._taken(connection).get(rule_id)
            its = next((each for each in load_points(connection) if each.code == point), None)
            if rule is None or its is None or not in_scope(rule.scope, its):
                return None
            rule, _ = rule.at(its.labels)
            since = start - timedelta(seconds=rule.memory_s(its.interval_s))
            stored = history_of(connection, its.point_id, since, stop)
        if rule.absent is not None:
            return _silence(rule, its, stored, start, stop)
        return _course(rule, its, stored, start, stop)

    def _taken(self, connection: Connection[Any]) -> dict[str, Rule]:
        newest = rules_applied.newest(connection)
        with self._lock:
            if newest != self._newest:
                self._rules = {rule.id: rule for rule in take(connection, shipped_rules, self._time_zone).rules}
                self._tests = {}
                self._newest = newest
            return self._rules


@contextmanager
def _tuples(connection: Connection[Any]) -> Iterator[None]:
    """Rows as the rules know them; the board's own are dictionaries."""
    kept = connection.row_factory
    connection.row_factory = tuple_row
    try:
        yield
    finally:
        connection.row_factory = kept


def _changes(connection: Connection[Any]) -> dict[str, RuleChanged]:
    """When each rule came into force as it is now."""
    changed: dict[str, RuleChanged] = {}
    known: dict[str, str] = {}
    version = 0
    for one in rules_applied.sets(connection):
        for rule_id, digest in one.rules.items():
            if known.get(rule_id) != digest:
                # Other rules under the same version of the city's own came with another Misto.
                author = one.author if one.version != version else ""
                changed[rule_id] = RuleChanged(one.since, author, one.version)
        known, version = dict(one.rules), one.version
    return changed


def _told(rule: Rule, points: Sequence[PointInfo], changed: RuleChanged | None, language: Language) -> RuleTold:
    def plain(template: str) -> str:
        return template.format_map(_Ellipses())

    watched = {
        point.code: _name(point, language)
        for point in sorted(points, key=lambda each: (_name(each, language), each.code))
        if in_scope(rule.scope, point)
    }
    return RuleTold(
        rule_id=rule.id,
        severity=rule.steps[-1].severity,
        title=plain(getattr(rule.title, language)),
        sentence=plain(getattr(rule.sentence, language)),
        advice=plain(getattr(rule.advice, language)),
        watches=scope_text(rule.scope, language),
        raised_when=rule_text(rule, language),
        source=rule.source,
        points=watched,
        changed=changed,
    )


def _name(point: PointInfo, language: Language) -> str:
    name, site = (
        (point.name_uk, point.site_name_uk) if language == "uk" else (point.name_en, point.site_name_en)
    )  # fmt: skip
    return site if name == site or not name else f"{site}, {name}"


def _happened(one: Outcome) -> str:
    return " → ".join(f"{its.phase} {(its.time_us - one.start_us) / 6e7:g}m" for its in one.happened)


def _course(
    rule: Rule, point: PointInfo, stored: Sequence[tuple[int, int, float, int]], start: datetime, stop: datetime
) -> RuleCourse | None:
    ids = rule.metric_ids
    readings = [Reading(*row[:3]) for row in stored if row[1] in ids and row[3] == Quality.GOOD]
    if not readings:
        return None
    gap_us, stop_us = rule.judge.gap_us(point.interval_s), _us(stop)
    state = initial(rule)
    told: list[Transition] = []
    spans: list[tuple[Truth, int, int]] = []
    counts: dict[int, int] = defaultdict(int)
    for reading, following in zip(readings, [*readings[1:], None], strict=True):
        state, made = step(rule, point.interval_s, state, reading)
        told += made
        counts[reading.metric_id] += 1
        until_us = following.time_us if following else stop_us
        fresh_until_us = min(until_us, reading.time_us + gap_us)
        spans.append((_TRUTHS[tree_of(rule, point.interval_s, state.core).truth], reading.time_us, fresh_until_us))
        spans.append(("unknown", fresh_until_us, until_us))
    state, made = step(rule, point.interval_s, state, Tick(stop_us))
    told += made
    drawn = max(counts, key=lambda each: (counts[each], -each))
    single = rule.steps[0].when.single
    limit = (single.above if single.above is not None else single.below) if isinstance(single, Threshold) else None
    return _made(drawn, limit, [("unknown", _us(start), readings[0].time_us), *spans], told, start, stop)


def _silence(
    rule: Rule, point: PointInfo, stored: Sequence[tuple[int, int, float, int]], start: datetime, stop: datetime
) -> RuleCourse | None:
    """By the readings' own times: when they were received is not kept for long."""
    if not stored:
        return None
    times, stop_us = sorted({row[0] for row in stored}), _us(stop)
    state = KeyState(initial(rule).core)
    told: list[Transition] = []
    for time_us in times:
        for item in (Tick(time_us), Seen(time_us)) if state.core.last_us else (Seen(time_us),):
            state, made = step(rule, point.interval_s, state, item)
            told += made
    state, made = step(rule, point.interval_s, state, Tick(stop_us))
    told += made
    spans: list[tuple[Truth, int, int]] = [("unknown", _us(start), times[0])]
    at_us = times[0]
    for one in told:
        spans.append(("false" if one.kind == "fires" else "true", at_us, one.event_us))
        at_us = one.event_us
    spans.append(("true" if told and told[-1].kind == "fires" else "false", at_us, stop_us))
    counts: dict[int, int] = defaultdict(int)
    for row in stored:
        counts[row[1]] += 1
    return _made(max(counts, key=lambda each: (counts[each], -each)), None, spans, told, start, stop)


def _made(
    metric_id: int, limit: float | None, spans: Sequence[tuple[Truth, int, int]], told: Sequence[Transition],
    start: datetime, stop: datetime,
) -> RuleCourse:  # fmt: skip
    """Within the time that is drawn, neighbours of the same truth as one."""
    start_us, stop_us = _us(start), _us(stop)
    joined: list[tuple[Truth, int, int]] = []
    for truth, begin_us, end_us in spans:
        begin_us, end_us = max(begin_us, start_us), min(end_us, stop_us)
        if begin_us >= end_us:
            continue
        if joined and joined[-1][0] == truth and joined[-1][2] == begin_us:
            joined[-1] = (truth, joined[-1][1], end_us)
        else:
            joined.append((truth, begin_us, end_us))
    alerts: list[tuple[datetime, datetime | None]] = []
    fired: datetime | None = None
    for one in told:
        if one.kind == "fires":
            fired = _at(one.event_us)
        elif one.kind == "resolves" and fired is not None:
            if _at(one.event_us) > start:
                alerts.append((fired, _at(one.event_us)))
            fired = None
    if fired is not None:
        alerts.append((fired, None))
    moments = [(truth, _at(begin_us), _at(end_us)) for truth, begin_us, end_us in joined]
    return RuleCourse(metrics_by_id()[metric_id].name, limit, moments, alerts)


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)


def _at(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1e6, UTC)
