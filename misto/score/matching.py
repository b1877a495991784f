"""Alerts against truth. Pure.

An alert is *true* if it lasted at some time between a fault's beginning and `TAIL_US` after its end, at a point of the
fault, and its rule detects that kind of fault or may tell of it; else *false*. A fault is *found* by a rule that
detects its kind if one of its alerts is true for it; the delay counts from when the fault could be noticed. Faults that
nobody could notice, and those at points that no such rule watches, are not asked for (docs/rule-quality.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rules.model import Rule
from simulators.truth import Truth

#: After the end of a fault its alert may still come: nights are judged in the morning, silence by the interval.
TAIL_US = 24 * 3_600_000_000
_HOUR_US = 3_600_000_000
_MONTH_DAYS = 365.25 / 12


@dataclass(frozen=True)
class Alert:
    """An alert of a rule at a point. Event times; `resolved_us` is None while it is open."""

    rule: str
    point: str
    breached_us: int
    fired_us: int
    resolved_us: int | None


@dataclass(frozen=True)
class Found:
    """How many faults were there and found, and after how many hours: median and 95th percentile."""

    faults: int
    found: int
    delay_median_h: float | None
    delay_p95_h: float | None

    @property
    def recall(self) -> float | None:
        """Share of the faults that was found."""
        return self.found / self.faults if self.faults else None


@dataclass(frozen=True)
class RuleScore:
    """A rule: its alerts, and what it found of each kind of fault that it detects. `points` it watches."""

    rule: str
    points: int
    days: float
    true: int
    false: int
    found: Found
    by_kind: Mapping[str, Found]

    @property
    def precision(self) -> float | None:
        """Share of the alerts that was true."""
        return self.true / (self.true + self.false) if self.true + self.false else None

    @property
    def false_per_point_month(self) -> float:
        """False alerts per watched point and month."""
        return self.false / self.points / self.days * _MONTH_DAYS if self.points else 0.0


@dataclass(frozen=True)
class FaultScore:
    """A kind of fault: how many there were, could be noticed, were at watched points, and were found by any rule."""

    kind: str
    all: int
    noticeable: int
    rules: tuple[str, ...]
    found: Found


@dataclass(frozen=True)
class Score:
    """Everything. `messages_per_day`: alerts a day that each person would be told of."""

    days: float
    points: int
    alerts: int
    rules: list[RuleScore]
    faults: list[FaultScore]
    messages_per_day: Mapping[str, float]


def score(
    rules: Sequence[Rule],
    watched: Mapping[str, Iterable[str]],
    alerts: Sequence[Alert],
    truths: Sequence[Truth],
    people: Mapping[str, str],
    persons: Mapping[str, float],
    from_us: int,
    to_us: int,
) -> Score:
    """Score. `watched`: the points of each rule; `people`: who is told of a point's alerts; `persons`: how many such
    persons there are."""
    days = (to_us - from_us) / (24 * _HOUR_US)
    points_of = {rule: frozenset(points) for rule, points in watched.items()}
    at_point: dict[tuple[str, str], list[tuple[int, Truth]]] = {}
    for number, truth in enumerate(truths):
        for point in truth.points:
            at_point.setdefault((truth.kind, point), []).append((number, truth))
    by_rule: dict[str, list[Alert]] = {}
    for alert in alerts:
        by_rule.setdefault(alert.rule, []).append(alert)
    found_by_any: dict[tuple[int, str], float] = {}
    rule_scores = []
    for rule in rules:
        true = false = 0
        found: dict[tuple[int, str], float] = {}
        for alert in by_rule.get(rule.id, ()):
            its = [
                item
                for kind in (*rule.detects, *rule.may_tell)
                for item in at_point.get((kind, alert.point), ())
                if _fits(alert, item[1], to_us)
            ]
            true, false = true + bool(its), false + (not its)
            for number, truth in its:
                if truth.kind in rule.detects and truth.noticeable_us is not None:
                    delay_h = max(0.0, (alert.fired_us - truth.noticeable_us) / _HOUR_US)
                    key = (number, alert.point)
                    found[key] = min(found.get(key, delay_h), delay_h)
        for key, delay_h in found.items():
            found_by_any[key] = min(found_by_any.get(key, delay_h), delay_h)
        its_points = points_of.get(rule.id, frozenset())
        by_kind = {kind: _found(_asked(truths, kind, its_points), found) for kind in dict.fromkeys(rule.detects)}
        asked = [key for kind in by_kind for key in _asked(truths, kind, its_points)]
        rule_scores.append(RuleScore(rule.id, len(its_points), days, true, false, _found(asked, found), by_kind))
    return Score(
        days,
        len(set().union(*points_of.values())) if points_of else 0,
        len(alerts),
        rule_scores,
        _by_fault(rules, points_of, truths, found_by_any),
        _messages(alerts, people, persons, days),
    )


def _by_fault(
    rules: Sequence[Rule],
    points_of: Mapping[str, frozenset[str]],
    truths: Sequence[Truth],
    found: Mapping[tuple[int, str], float],
) -> list[FaultScore]:
    scores = []
    for kind in sorted({truth.kind for truth in truths}):
        its = [truth for truth in truths if truth.kind == kind]
        detecting = [rule.id for rule in rules if kind in rule.detects]
        points = frozenset().union(*(points_of.get(rule, frozenset()) for rule in detecting))
        noticeable = sum(truth.noticeable_us is not None for truth in its)
        scores.append(
            FaultScore(kind, len(its), noticeable, tuple(detecting), _found(_asked(truths, kind, points), found))
        )
    return scores


def _fits(alert: Alert, truth: Truth, to_us: int) -> bool:
    resolved_us = to_us if alert.resolved_us is None else alert.resolved_us
    from_us = truth.from_us
    if truth.kind == "clock-off":
        # By the device's own time, which the alert goes by, it may have begun hours earlier.
        from_us -= round(abs(truth.amount) * _HOUR_US)
    return (
        alert.breached_us <= truth.to_us + TAIL_US
        and resolved_us >= from_us
        and alert.fired_us <= truth.to_us + TAIL_US
    )


def _asked(truths: Sequence[Truth], kind: str, points: frozenset[str]) -> list[tuple[int, str]]:
    """Faults of a kind that could be noticed at these points: (number, point)."""
    return [
        (number, point)
        for number, truth in enumerate(truths)
        if truth.kind == kind and truth.noticeable_us is not None
        for point in truth.points
        if point in points
    ]


def _found(asked: Sequence[tuple[int, str]], found: Mapping[tuple[int, str], float]) -> Found:
    delays = [found[key] for key in asked if key in found]
    median, p95 = np.percentile(delays, [50, 95]) if delays else (None, None)
    return Found(
        len(asked), len(delays), None if median is None else float(median), None if p95 is None else float(p95)
    )


def _messages(
    alerts: Sequence[Alert], people: Mapping[str, str], persons: Mapping[str, float], days: float
) -> dict[str, float]:
    counts = dict.fromkeys(persons, 0)
    for alert in alerts:
        who = people.get(alert.point)
        if who is not None:
            counts[who] = counts.get(who, 0) + 1
    return {who: count / persons.get(who, 1) / days for who, count in sorted(counts.items())}
