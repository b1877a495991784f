"""A condition under a guard (`unless`) and within hours (`active`): both make it unknown, not false.

A guard that is not known guards nothing: its metric never came, or not for longer than the rule's `max_gap`. An alert
too many is better than none. A reading of the guard's alone says nothing of the condition, so it confirms nothing.
"""

from __future__ import annotations

from rules.calendars import Hours
from rules.conditions.base import Fold, State, Truth


class Guarded:
    """A `Fold` around another. With `closes` everything ends when the hours do."""

    def __init__(self, inner: Fold, guard: Fold | None, hours: Hours | None, closes: bool) -> None:
        self._inner = inner
        self._guard = guard
        self._hours = hours
        self.closes = closes and hours is not None
        self._watching = inner.metric_ids()
        self._guarding = guard.metric_ids() if guard is not None else frozenset[int]()

    @property
    def memory_s(self) -> float:
        """See `Fold`. An alert of Friday may be held until Monday."""
        guard_s = self._guard.memory_s if self._guard is not None else 0.0
        return max(self._inner.memory_s, guard_s) + (4 * 86400 if self._hours is not None else 0)

    def metric_ids(self) -> frozenset[int]:
        return self._watching | self._guarding

    # the condition's state, the guard's, the guard's last reading, whether the last reading said anything
    def initial(self) -> State:
        return (self._inner.initial(), self._guard.initial() if self._guard is not None else (), 0, False)

    def fold(self, state: State, time_us: int, metric_id: int, value: float) -> State:
        inner, guard, guarded_us, _ = state
        says = metric_id in self._watching
        if says:
            inner = self._inner.fold(inner, time_us, metric_id, value)
        if metric_id in self._guarding:
            assert self._guard is not None
            guard, guarded_us = self._guard.fold(guard, time_us, metric_id, value), time_us
        return (inner, guard, guarded_us, says and (self._hours is None or self._hours.open_at(time_us)))

    def truth(self, state: State, firing: bool = False, fresh_us: int = 0) -> Truth:
        inner, _, _, says = state
        if not says or self.holds_back(state, fresh_us):
            return None
        return self._inner.truth(inner, firing, fresh_us)

    def shown(self, state: State) -> tuple[float | None, float | None]:
        return self._inner.shown(state[0])

    def heard_us(self, state: State) -> int:
        """When its guard was last heard, 0 if never."""
        heard_us: int = state[2]
        return heard_us

    def unknown_at(self, state: State, time_us: int, fresh_us: int) -> bool:
        """Whether at this moment, after the last reading, nothing may begin."""
        return self.closed_at(time_us) or self.holds_back(state, fresh_us)

    def closed_at(self, time_us: int) -> bool:
        """Whether this moment lies outside its hours."""
        return self._hours is not None and not self._hours.open_at(time_us)

    def ends_us(self, time_us: int) -> int | None:
        """When the hours that are open at this moment end."""
        assert self._hours is not None
        return self._hours.ends_us(time_us)

    def holds_back(self, state: State, fresh_us: int) -> bool:
        """Whether its guard holds."""
        _, guard, guarded_us, _ = state
        if self._guard is None or guarded_us == 0 or guarded_us < fresh_us:
            return False
        return self._guard.truth(guard, True, fresh_us) is True
