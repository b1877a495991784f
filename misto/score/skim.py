"""Which readings can make an inactive rule begin to hold: the others need not be folded one by one. Pure.

In a year hardly any reading matters to most rules, and numpy finds those that do a hundred times as fast as `step`
says no to the rest. The result is the same as of folding all of them (tests/unit/test_skim.py): what is passed over
leaves an inactive rule inactive, and before each reading that matters those are folded that its condition still
looks back on, and of each metric the newest.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from catalogue.metrics import metrics
from rules.conditions import Condition, Node
from rules.conditions.jump import Jump
from rules.conditions.threshold import Threshold
from rules.guarded import Guarded
from rules.judge import Judge
from rules.model import Rule
from simulators.chance import Floats, Ints

#: A jump looks back on at most so many readings (`rules.conditions.jump`).
_WINDOW = 65


def places(
    rule: Rule, interval_s: float, times: Ints, metric_ids: Ints, values: Floats
) -> npt.NDArray[np.int64] | None:
    """Where in a series an inactive rule must be folded from, and what matters: rows of (first, place), by place.

    None for rules that have to see everything: those of other conditions, of several levels, with guards or hours, and
    with `not`.
    """
    judge = rule.judge
    if not isinstance(judge, Judge) or isinstance(judge.watched, Guarded) or rule.when is None:
        return None
    leaves = _leaves(rule.when)
    if leaves is None:
        return None
    matters = np.zeros(len(times), bool)
    for leaf in leaves:
        its = np.flatnonzero(metric_ids == metrics()[leaf.metric].id)
        if len(its):
            matters[its] |= _threshold(leaf, values[its]) if isinstance(leaf, Threshold) else _jump(leaf, values[its])
    found = np.flatnonzero(matters)
    if isinstance(judge.watched, Threshold):
        return np.stack([found, found], axis=1)
    back_us = max(judge.gap_us(interval_s) if judge.composed else 0, round(rule.when.memory_s * 1e6))
    return np.stack([np.searchsorted(times, times[found] - back_us), found], axis=1)


def _leaves(node: Node) -> list[Threshold | Jump] | None:
    single: Condition | None = node.single
    if single is not None:
        # Not a subclass, nor a kind that is not known here.
        return [single] if isinstance(single, Threshold | Jump) else None
    if node.negated is not None:
        return None
    leaves: list[Threshold | Jump] = []
    for child in node.parts:
        its = _leaves(child)
        if its is None:
            return None
        leaves += its
    return leaves


def _threshold(its: Threshold, values: Floats) -> npt.NDArray[np.bool_]:
    """Beyond the limit, or where it is cleared again: the hysteresis is part of the state."""
    sign, limit, clear = its.signed
    signed = sign * values
    beyond = signed > limit
    # The last reading that was beyond the limit (1) or cleared (-1) decides; between them it stays as it was.
    decided = np.where(beyond, 1, np.where(signed <= clear, -1, 0))
    last = np.maximum.accumulate(np.where(decided != 0, np.arange(len(values)), -1))
    held = (last >= 0) & (decided[np.maximum(last, 0)] == 1)
    changed = np.diff(held, prepend=False)
    matters: npt.NDArray[np.bool_] = beyond | changed
    return matters


def _jump(its: Jump, values: Floats) -> npt.NDArray[np.bool_]:
    """More than what any reading of the longest window may differ by; not all of these are within its time."""
    sign = 1.0 if its.up_by is not None else -1.0
    by = its.up_by if its.up_by is not None else its.down_by
    assert by is not None
    signed = sign * values
    padded = np.concatenate([np.full(_WINDOW - 1, np.inf), signed])
    lowest = _rolling_min(padded, _WINDOW)
    # A little less, for sums of floating point differ by the order in which they are made.
    matters: npt.NDArray[np.bool_] = signed - lowest >= by * (1 - 1e-9)
    return matters


def _rolling_min(values: Floats, width: int) -> Floats:
    """The least of each `width` values, by doubling."""
    out, reach = values, 1
    while reach < width:
        more = min(reach, width - reach)
        out = np.minimum(out[:-more], out[more:])
        reach += more
    return out
