"""A backtest in figures: how often, how long, how many messages to whom, and against the rules as they were. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from misto.backtest import Told

#: An alert that comes again this soon after it was resolved has flapped.
FLAP_US = 6 * 3_600_000_000
_DAY_US = 86_400_000_000


@dataclass(frozen=True)
class RuleFigures:
    """What a rule would have told. `hours`: in which it was firing, over all points. `flaps`: alerts that came within
    six hours of the last one's end at the same point."""

    rule: str
    episodes: int
    points: int
    hours: float
    flaps: int


@dataclass(frozen=True)
class Pair:
    """An alert of the one set of rules and the alert of the other that it overlaps; None where there is none."""

    now: Told | None
    before: Told | None


@dataclass(frozen=True)
class Difference:
    """Against the rules as they were: alerts only now, only before, changed (another begin or end), and the same."""

    only_now: Sequence[Pair]
    only_before: Sequence[Pair]
    changed: Sequence[Pair]
    same: int


def figures(rule_ids: Sequence[str], told: Sequence[Told], to_us: int) -> list[RuleFigures]:
    """A line for each rule, also for those that told nothing."""
    by_rule: dict[str, list[Told]] = {rule_id: [] for rule_id in rule_ids}
    for one in told:
        by_rule.setdefault(one.rule_id, []).append(one)
    lines = []
    for rule_id, its in by_rule.items():
        ended: dict[int, int] = {}
        flaps = us = 0
        for one in its:
            point = one.point.point_id
            flaps += point in ended and one.fired.event_us - ended[point] <= FLAP_US
            end_us = to_us if one.resolved_us is None else one.resolved_us
            ended[point] = end_us
            us += max(0, end_us - one.fired.event_us)
        lines.append(RuleFigures(rule_id, len(its), len({one.point.point_id for one in its}), us / 3.6e9, flaps))
    return lines


def person_of(told: Told) -> str:
    """Who would be told: the contractor of the point, else whoever looks after the site."""
    point = told.point
    return f"contractor {point.contractor_id}" if point.contractor_id else f"site {point.site_id}"


def messages_per_day(told: Sequence[Told], from_us: int, to_us: int) -> dict[str, float]:
    """Alerts that each would be told of a day, most first."""
    days = max((to_us - from_us) / _DAY_US, 1.0)
    counts = Counter(person_of(one) for one in told)
    return {who: count / days for who, count in counts.most_common()}


def difference(now: Sequence[Told], before: Sequence[Told], to_us: int) -> Difference:
    """Pair the alerts of two sets of rules, by rule and point, that overlap in time."""
    left: dict[tuple[str, int], list[Told]] = defaultdict(list)
    for one in before:
        left[one.rule_id, one.point.point_id].append(one)
    only_now, changed = [], []
    same = 0
    for one in now:
        others = left[one.rule_id, one.point.point_id]
        match = next((other for other in others if _overlap(one, other, to_us)), None)
        if match is None:
            only_now.append(Pair(one, None))
            continue
        others.remove(match)
        if (one.fired.event_us, one.resolved_us) == (match.fired.event_us, match.resolved_us):
            same += 1
        else:
            changed.append(Pair(one, match))
    only_before = [Pair(None, other) for others in left.values() for other in others]
    only_before.sort(key=lambda pair: pair.before.fired.event_us if pair.before else 0)
    return Difference(only_now, only_before, changed, same)


def _overlap(one: Told, other: Told, to_us: int) -> bool:
    ends = (to_us if each.resolved_us is None else each.resolved_us for each in (one, other))
    one_end, other_end = ends
    return one.fired.breached_us <= other_end and other.fired.breached_us <= one_end


def as_json(told: Told) -> dict[str, Any]:
    """An alert; times in microseconds since 1970."""
    return {
        "rule": told.rule_id,
        "point": told.point.code,
        "person": person_of(told),
        "breached_us": told.fired.breached_us,
        "fired_us": told.fired.event_us,
        "resolved_us": told.resolved_us,
        "value": told.fired.value,
        "limit": told.fired.limit,
    }


def report(
    lines: Sequence[RuleFigures],
    messages: Mapping[str, float],
    told: Sequence[Told],
    against: Difference | None,
) -> dict[str, Any]:
    """Everything for programs."""
    content: dict[str, Any] = {
        "rules": [asdict(line) for line in lines],
        "messages_per_day": dict(messages),
        "alerts": [as_json(one) for one in told],
    }
    if against is not None:
        content["against"] = {
            "only_now": [as_json(pair.now) for pair in against.only_now if pair.now],
            "only_before": [as_json(pair.before) for pair in against.only_before if pair.before],
            "changed": [
                {"now": as_json(pair.now), "before": as_json(pair.before)}
                for pair in against.changed
                if pair.now and pair.before
            ],
            "same": against.same,
        }
    return content
