"""A change of rules before it is made: what is changed, and what it would open and close by the stored readings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from psycopg import Connection

from rules.anew import begin_anew
from rules.applied import digests
from rules.engine import Decided, Engine
from rules.model import Rule
from store import alerts
from store.service_state import last_beat

Kind = Literal["new", "changed", "texts", "gone"]

_ALIVE = timedelta(seconds=30)
_OUTAGES_BACK = timedelta(days=14)


@dataclass(frozen=True)
class RuleChange:
    """What happens to a rule. `texts`: only what it says is changed, not what it decides. `opens`, `closes`: alerts at
    once; `keeps`: open alerts that go on under the changed rule."""

    rule_id: str
    kind: Kind
    opens: int = 0
    closes: int = 0
    keeps: int = 0


def changed_rules(before: Iterable[Rule], after: Iterable[Rule]) -> dict[str, Kind]:
    """Which rules are changed, by id, and how; those that stay as they are not there."""
    old, new = {rule.id: rule for rule in before}, {rule.id: rule for rule in after}
    told, tells = digests(old.values()), digests(new.values())
    kinds: dict[str, Kind] = {}
    for rule_id in sorted(old.keys() | new.keys()):
        if rule_id not in old:
            kinds[rule_id] = "new"
        elif rule_id not in new:
            kinds[rule_id] = "gone"
        elif old[rule_id].hash != new[rule_id].hash:
            kinds[rule_id] = "changed"
        elif told[rule_id] != tells[rule_id]:
            kinds[rule_id] = "texts"
    return kinds


def preview(connection: Connection[Any], before: Sequence[Rule], after: Sequence[Rule]) -> list[RuleChange]:
    """What the workers would do on taking `after`: the same readings through the same code. Writes nothing."""
    kinds = changed_rules(before, after)
    judged = [rule for rule in after if kinds.get(rule.id) in ("new", "changed")]
    engine = Engine(judged)
    points = alerts.load_points(connection)
    machines = engine.set_points(points, {})
    counts: Counter[tuple[str, str]] = Counter()
    for decided in begin_anew(connection, engine, machines, {point.point_id for point in points}, None):
        counts.update(_kinds(decided))
    now = datetime.now(UTC)
    heard = last_beat(connection, "ingest")
    outages = [(_us(down), _us(up)) for down, up in alerts.outages(connection, now - _OUTAGES_BACK)]
    counts.update(_kinds(engine.tick(_us(now), outages, heard is None or now - heard > _ALIVE)))
    for rule_id, point_id in alerts.open_episodes(connection):
        watched = (rule_id, point_id) in engine.machines
        if kinds.get(rule_id) == "gone" or (kinds.get(rule_id) == "changed" and not watched):
            counts[rule_id, "resolves"] += 1
    return [
        RuleChange(rule_id, kind, counts[rule_id, "fires"], counts[rule_id, "resolves"], counts[rule_id, "kept"])
        for rule_id, kind in kinds.items()
    ]


def _kinds(decided: Iterable[Decided]) -> Iterable[tuple[str, str]]:
    return [(one.rule.id, one.transition.kind) for one in decided]


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)
