"""A rule's state as JSON and back. The states inside the ring are not kept: they follow from the first one."""

from __future__ import annotations

import sys
from typing import Any

from rules.judge import Core, Reading, Transition
from rules.ladder import Ladder
from rules.model import Rule
from rules.step import KeyState, linked


def dump(state: KeyState) -> dict[str, Any]:
    """JSON values for `rule_state.state`."""
    ring = state.ring
    first = ring[0].before if ring else state.core
    return {
        "core": list(state.core),
        "first": list(first),
        "ring": [[*entry.reading, [list(made) for made in entry.made]] for entry in ring],
        "now_us": state.now_us,
        "late_unjudged": state.late_unjudged,
    }


def load(rule: Rule, interval_s: float, value: dict[str, Any]) -> KeyState:
    """The state that `dump` wrote."""
    levels = isinstance(rule.judge, Ladder)
    core = _core(value["first"], levels)
    entries = []
    for time_us, metric_id, number, made in value["ring"]:
        reading = Reading(time_us, metric_id, number)
        entries.append((reading, core, tuple(Transition(*item) for item in made)))
        core, _ = rule.judge.advance(interval_s, core, reading)
    return KeyState(_core(value["core"], levels), linked(entries), value["now_us"], value["late_unjudged"])


def _core(value: list[Any], levels: bool) -> Core:
    phase, condition, *times = value
    if levels:
        level, ended_us, cores = condition
        condition = (level, ended_us, [_core(each, False) for each in cores])
    # Phases are compared by identity.
    return Core(sys.intern(phase), _tuples(condition), *times)


def _tuples(value: Any) -> Any:
    if isinstance(value, Core):
        return value
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value
