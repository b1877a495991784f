"""Beginning anew: a rule is new or changed, or a point is new or has imported readings. Pure.

The readings of the rule's memory are folded anew, and the result is held against the alert that is open already: it
stays open if the rule still holds, is resolved if not, and none is raised twice. What a new rule would have raised and
resolved in the past is not told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rules.judge import FIRING, INACTIVE, RECOVERING, Core, Reading, Transition
from rules.model import Rule
from rules.step import KeyState, initial, linked, step

KEPT = "the rule was changed and still holds"
DROPPED = "the rule was changed and no longer holds"
IMPORTED = "imported readings: the condition does not hold"
ANOTHER = "imported readings: its severity is another"


class Open(NamedTuple):
    """The open alert of a rule and point, as it stands in the database. `level`: of its severity, None if the rule
    has no such level any more."""

    breached_us: int
    fired_us: int
    level: int | None = 0


def refold(
    rule: Rule, interval_s: float, readings: Iterable[Reading], opened: Open | None, *, imported: bool = False
) -> tuple[KeyState, tuple[Transition, ...]]:
    """State after these good readings, in order of time, and what has to be told; `imported`: some are late."""
    state = initial(rule)
    told: list[Transition] = []
    for reading in readings:
        state, made = step(rule, interval_s, state, reading)
        told += made
    return _reconcile(rule, state, told, opened, imported)


def relisten(
    rule: Rule, interval_s: float, last_us: int, now_us: int, opened: Open | None
) -> tuple[KeyState, tuple[Transition, ...]]:
    """State of an absent condition whose device was last heard at `last_us` (0: never), and what has to be told."""
    assert rule.absent is not None
    core = initial(rule).core._replace(last_us=last_us or (opened.breached_us if opened else 0))
    if opened is not None and now_us >= core.last_us + rule.absent.limit_us(interval_s):
        core = core._replace(phase=FIRING, breached_us=opened.breached_us)
    return _reconcile(rule, KeyState(core), [], opened)


def _reconcile(
    rule: Rule, state: KeyState, told: Sequence[Transition], opened: Open | None, imported: bool = False
) -> tuple[KeyState, tuple[Transition, ...]]:
    core = state.core
    fires = core.phase in (FIRING, RECOVERING)
    if opened is None:
        # Only the alert that is firing now.
        return state, tuple(made for made in told if fires and made.breached_us == core.breached_us)
    shown, limit = (None, None) if rule.absent is not None else rule.judge.shown(core)
    event_us = max(core.last_us, opened.fired_us)
    level = rule.judge.level(core)
    if fires:
        state = _renamed(state, core.breached_us, opened.breached_us)
        kind, reason = "kept", KEPT
        if imported:
            if level == opened.level:
                return state, ()
            kind, reason = ("lowered" if opened.level is not None and level < opened.level else "raised"), ANOTHER
        return state, (Transition(kind, opened.breached_us, event_us, reason, shown, limit, level),)
    reason = IMPORTED if imported else DROPPED
    return state, (Transition("resolves", opened.breached_us, event_us, reason, shown, limit, opened.level or 0),)


def _renamed(state: KeyState, old_us: int, new_us: int) -> KeyState:
    """The alert that folding found is the one that is open: it keeps its identity, the first breach."""

    def core_of(core: Core) -> Core:
        return core._replace(breached_us=new_us) if core.phase != INACTIVE and core.breached_us == old_us else core

    entries = [
        (
            entry.reading,
            core_of(entry.before),
            tuple(made._replace(breached_us=new_us) if made.breached_us == old_us else made for made in entry.made),
        )
        for entry in state.ring
    ]
    return state._replace(core=core_of(state.core), last=linked(entries))
