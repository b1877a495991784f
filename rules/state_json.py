"""A rule's state as JSON and back. The states inside the ring are not kept: they follow from the first one."""

from __future__ import annotations

import sys
from typing import Any

from rules.model import Rule
from rules.step import Core, Entry, KeyState, Reading, Transition, step


def dump(state: KeyState) -> dict[str, Any]:
    """JSON values for `rule_state.state`."""
    first = state.ring[0].before if state.ring else state.core
    return {
        "core": list(state.core),
        "first": list(first),
        "ring": [[*entry.reading, [list(made) for made in entry.made]] for entry in state.ring],
        "now_us": state.now_us,
        "late_unjudged": state.late_unjudged,
    }


def load(rule: Rule, interval_s: float, value: dict[str, Any]) -> KeyState:
    """The state that `dump` wrote."""
    folded = KeyState(_core(value["first"]))
    entries = []
    for time_us, metric_id, number, made in value["ring"]:
        reading = Reading(time_us, metric_id, number)
        entries.append(Entry(reading, folded.core, tuple(Transition(*item) for item in made)))
        after, _ = step(rule, interval_s, KeyState(folded.core), reading)
        folded = KeyState(after.core)
    return KeyState(_core(value["core"]), tuple(entries), value["now_us"], value["late_unjudged"])


def _core(value: list[Any]) -> Core:
    phase, condition, *times = value
    # `step` compares phases by identity.
    return Core(sys.intern(phase), _tuples(condition), *times)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
