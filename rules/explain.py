"""A condition tree as it stood: each node's truth, and by which figures. Pure.

Works on the state that `step` leaves, so it says what the rule itself saw. A kind of condition that is not known here
is told by what every kind has: its truth, value and limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from catalogue.metrics import metrics
from rules.conditions import Condition, Node
from rules.conditions.base import State, Truth
from rules.conditions.jump import Jump
from rules.conditions.night import Night
from rules.conditions.stuck import Stuck
from rules.conditions.threshold import Threshold
from rules.guarded import Guarded
from rules.judge import FIRING, RECOVERING, Core, Judge
from rules.model import Rule
from rules.reason import Amount, At, Fact, For, Metrics, Reason
from rules.sentences import condition_text

# Of kinds that show something else than a value of their metric.
_UNITS = {"forecast": "h", "setback": "pct"}


@dataclass(frozen=True)
class NodeTold:
    """A node of the tree. `last_us`: the newest good reading that it judged, 0 if none. `short`: how much of its limit
    was missing, as a share of the limit; None where that means nothing."""

    kind: str
    condition: Node | Condition | Rule
    truth: Truth
    reason: Reason
    value: float | None
    limit: float | None
    metric_ids: frozenset[int]
    last_us: int
    children: tuple[NodeTold, ...] = ()
    short: float | None = None

    def leaves(self) -> Iterator[NodeTold]:
        """The single conditions beneath, itself if it is one."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves()

    def as_json(self) -> dict[str, Any]:
        """JSON values; `truth` is null for unknown."""
        return {
            "kind": self.kind,
            "condition": condition_text(self.condition, "en"),
            "truth": self.truth,
            "reason": self.reason.as_json(),
            "value": self.value,
            "limit": self.limit,
            "last_us": self.last_us or None,
            "children": [child.as_json() for child in self.children],
        }


def tree_of(rule: Rule, interval_s: float, core: Core) -> NodeTold:
    """The tree of a rule (no `absent`) in a state that `step` left; of several levels, with one child for each."""
    if rule.levels is not None:
        children = tuple(
            tree_of(one, interval_s, its) for one, its in zip(rule.by_level, core.condition[2], strict=True)
        )
        truths = [child.truth for child in children]
        truth = True if True in truths else None if None in truths else False
        reason = Reason("level" if truth else "parts_unknown" if truth is None else "no_level")
        shown, limit = rule.judge.shown(core)
        return NodeTold("levels", rule, truth, reason, shown, limit, rule.metric_ids, core.last_us, children)
    judge = rule.judge
    assert isinstance(judge, Judge)
    assert rule.when is not None
    firing = core.phase in (FIRING, RECOVERING)
    gap_us = judge.gap_us(interval_s)
    fresh_us = core.last_us - gap_us if judge.composed else 0
    if not isinstance(judge.watched, Guarded):
        return _node(rule.when, core.condition, core.last_us, firing, fresh_us, gap_us)
    inner, guard, guarded_us, _ = core.condition
    node = _node(rule.when, inner, core.last_us, firing, fresh_us, gap_us)
    if core.last_us and judge.watched.closed_at(core.last_us):
        return replace(node, truth=None, reason=Reason("closed", {"at": At(core.last_us)}), short=None)
    if rule.unless is None or not judge.watched.holds_back(core.condition, fresh_us):
        return node
    why = _node(rule.unless, guard, guarded_us, True, fresh_us, gap_us)
    return NodeTold(
        "unless", rule, None, Reason("held_back", {"why": why.reason}), node.value, node.limit, rule.metric_ids,
        core.last_us, (node, why),
    )  # fmt: skip


def _node(node: Node, state: State, last_us: int, firing: bool, fresh_us: int, gap_us: int) -> NodeTold:
    if node.single is not None:
        return _leaf(node.single, state, last_us, firing, fresh_us, gap_us)
    children = tuple(
        _node(child, its, its_last_us, firing, fresh_us, gap_us)
        for child, (its, its_last_us) in zip(node.parts, state, strict=True)
    )
    truth = node.truth(state, firing, fresh_us)
    kind = "all" if node.all else "any" if node.any else "at_least" if node.at_least else "not"
    if kind == "not":
        code = "negated"
    elif truth is None:
        code = "parts_unknown"
    else:
        code = kind if truth else f"not_{kind}"
    value, limit = node.shown(state)
    return NodeTold(kind, node, truth, Reason(code), value, limit, node.metric_ids(), last_us, children)


def _leaf(its: Condition, state: State, last_us: int, firing: bool, fresh_us: int, gap_us: int) -> NodeTold:
    kind = type(its).__module__.rpartition(".")[2]
    ids = its.metric_ids()
    named = Metrics([its.metric]) if hasattr(its, "metric") else Metrics(sorted(ids))
    if not last_us:
        return NodeTold(kind, its, None, Reason("never", {"metric": named}), None, None, ids, 0)
    value, limit = its.shown(state)
    truth = its.truth(state, firing, fresh_us)
    if last_us < fresh_us:
        reason = Reason("old", {"metric": named, "at": At(last_us), "gap": For(gap_us / 1e6)})
        return NodeTold(kind, its, None, reason, value, limit, ids, last_us)
    short: float | None = None
    match its:
        case Threshold():
            reason, short = _threshold(its, truth, state)
        case Jump():
            reason, short = _jump(its, truth, state)
        case Stuck():
            reason, short = _stuck(its, truth, state, last_us)
        case Night():
            reason, short = _night(its, truth, state)
        case _:
            code = "holds" if truth else "unknown" if truth is None else "does_not_hold"
            unit = _UNITS.get(kind, metrics()[its.metric].unit)
            reason = Reason(code, {"value": Amount(value, unit), "limit": Amount(limit, unit)})
    return NodeTold(kind, its, truth, reason, value, limit, ids, last_us, (), short)


def _threshold(its: Threshold, truth: Truth, state: State) -> tuple[Reason, float | None]:
    value, unit = state[2], metrics()[its.metric].unit
    limit = its.above if its.above is not None else its.below
    assert limit is not None
    clear = its.clear_below if its.above is not None else its.clear_above
    facts: dict[str, Fact] = {
        "metric": Metrics([its.metric]),
        "value": Amount(value, unit),
        "limit": Amount(limit, unit),
    }
    if state[0]:
        return Reason("beyond", facts), None
    if truth:
        return Reason("held", facts | {"clear": Amount(clear, unit)}), None
    missing = abs(limit - value)
    if not missing:
        return Reason("at_limit", facts), 0.0
    return Reason("within", facts | {"short": Amount(missing, unit)}), missing / (abs(limit) or 1.0)


def _jump(its: Jump, truth: Truth, state: State) -> tuple[Reason, float | None]:
    unit = metrics()[its.metric].unit
    facts: dict[str, Fact] = {"metric": Metrics([its.metric]), "within": For(its.within)}
    if truth is None:
        return Reason("jump_alone", facts), None
    *before, (_, value) = state[2]
    limit = its.up_by if its.up_by is not None else its.down_by
    assert limit is not None
    others = [entry[1] for entry in before]
    moved = value - (min(others) if its.up_by is not None else max(others))
    facts |= {"moved": Amount(moved, unit), "limit": Amount(limit, unit)}
    if truth:
        return Reason("jumped", facts), None
    return Reason("no_jump", facts), 1 - max(0.0, moved if its.up_by is not None else -moved) / limit


def _stuck(its: Stuck, truth: Truth, state: State, last_us: int) -> tuple[Reason, float | None]:
    since_us, count, value = state[2:5]
    unit = metrics()[its.metric].unit
    facts: dict[str, Fact] = {"metric": Metrics([its.metric]), "value": Amount(value, unit), "since": At(since_us)}
    if truth:
        return Reason("stuck", facts), None
    if truth is None or count < its.min_points:
        return Reason("stuck_few", facts | {"count": count, "needed": its.min_points}), None
    held_s = (last_us - since_us) / 1e6
    if held_s < its.over:
        return Reason("stuck_short", facts | {"held": For(held_s), "over": For(its.over)}), 1 - held_s / its.over
    return Reason("stuck_rests", facts), None


def _night(its: Night, truth: Truth, state: State) -> tuple[Reason, float | None]:
    _, rate, limit, _, _, quiet, breached = state
    unit = f"{metrics()[its.metric].unit}/h"
    facts: dict[str, Fact] = {
        "metric": Metrics([its.metric]),
        "value": Amount(rate, unit),
        "limit": Amount(limit, unit),
    }
    if rate is None:
        return Reason("night_none", {"metric": facts["metric"], "coverage": round(100 * its.coverage)}), None
    if limit is None:
        return Reason("night_learns", {"metric": facts["metric"], "quiet": len(quiet)}), None
    if truth:
        return Reason("night_high", facts), None
    if breached:
        return Reason("night_row", facts | {"breached": breached, "needed": its.raise_after}), 0.0
    return Reason("night_quiet", facts), max(0.0, (limit - rate) / limit) if limit else None


def blame(node: NodeTold) -> NodeTold:
    """The single condition for which a tree is not true: the nearest to its limit of an `any` and of levels, the first
    that fails of an `all`; the whole where a guard holds it back."""
    if not node.children:
        return node
    if node.kind == "unless":
        return node
    if node.kind == "not":
        return blame(node.children[0])
    wanted = [child for child in node.children if child.truth is node.truth] or list(node.children)
    heard = [child for child in wanted if child.last_us] or wanted
    if node.kind in ("any", "at_least", "levels"):
        return blame(min(heard, key=lambda child: _shortest(child)))
    return blame(heard[0])


def _shortest(node: NodeTold) -> float:
    return min((leaf.short for leaf in node.leaves() if leaf.short is not None), default=float("inf"))
