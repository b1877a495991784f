"""One level of a rule, reading by reading and by the clock. Pure.

`advance` is the innermost loop of everything. Unknown is as good as no reading: it neither starts an alert, nor
confirms one, nor ends one.
"""

from __future__ import annotations

from typing import NamedTuple

from rules.conditions.base import Fold, State
from rules.guarded import Guarded

#: Where an alert stands.
INACTIVE, PENDING, FIRING, RECOVERING = "inactive", "pending", "firing", "recovering"

CLEARED = "the condition no longer holds"
CLOSED = "outside its hours"

# Making a named tuple from a plain one without its Python constructor.
_make = tuple.__new__


class Reading(NamedTuple):
    """A good reading. Suspect and estimated ones are unknown: they are not given to `step`."""

    time_us: int
    metric_id: int
    value: float


class Transition(NamedTuple):
    """What changed. `kind`: fires, resolves, and between them raised and lowered, for the severity; by late data also
    retracted (it never was), reopened (it goes on) and revised (it fired at another time). `level`: the place of the
    severity among the rule's levels, from this on; of resolves, up to this."""

    kind: str
    breached_us: int
    event_us: int
    reason: str
    value: float | None
    limit: float | None
    level: int = 0


class Core(NamedTuple):
    """The state proper, after one reading. Of a rule of several levels, `condition` holds theirs (rules.ladder)."""

    phase: str
    condition: State
    last_us: int  # of the last reading; while pending, of the last one that was not unknown
    since_us: int  # of the first true reading in a row
    false_since_us: int  # recovering: of the first false one
    breached_us: int  # identity of the open episode


Advanced = tuple[Core, tuple[Transition, ...]]


class Judge:
    """A condition with its times, in microseconds. `max_gap_us` None is three intervals of the point."""

    def __init__(
        self, watched: Fold, composed: bool, for_us: int, keep_us: int, by_clock: bool, max_gap_us: int | None
    ) -> None:
        self.watched = watched
        #: Of several conditions, whose metrics may come at different times.
        self.composed = composed
        self.for_us = for_us
        self._keep_us = keep_us
        self.by_clock = by_clock
        self._max_gap_us = max_gap_us
        self._guarded = watched if isinstance(watched, Guarded) else None
        #: Whether anything can happen without a reading.
        self.ticks = by_clock or (self._guarded is not None and self._guarded.closes)

    def initial(self) -> Core:
        """State before anything is known."""
        return Core(INACTIVE, self.watched.initial(), 0, 0, 0, 0)

    def level(self, core: Core) -> int:
        """Which level holds."""
        return 0

    def shown(self, core: Core) -> tuple[float | None, float | None]:
        """(value, limit) for the sentence."""
        return self.watched.shown(core.condition)

    def gap_us(self, interval_s: float) -> int:
        """A longer gap between readings makes a pending alert begin anew, and an older part of a condition unknown."""
        return round(3e6 * interval_s) if self._max_gap_us is None else self._max_gap_us

    def advance(self, interval_s: float, core: Core, reading: Reading) -> Advanced:
        """The next state in order of event time."""
        made: tuple[Transition, ...] = ()
        time_us, metric_id, value = reading
        if self.ticks and core[0] is not INACTIVE:
            # The clock had already decided before this reading, however seldom it ticks.
            core, made = self.clock(interval_s, core, time_us)
        phase, condition, last_us, since_us, false_since_us, breached_us = core
        watched = self.watched
        condition = watched.fold(condition, time_us, metric_id, value)
        fresh_us = time_us - self.gap_us(interval_s) if self.composed else 0
        if phase is INACTIVE:
            truth = watched.truth(condition, False, fresh_us)
            if not truth:
                return _make(Core, (INACTIVE, condition, time_us, since_us, false_since_us, breached_us)), made
        else:
            truth = watched.truth(condition, phase is not PENDING, fresh_us)
        if truth:
            if phase is INACTIVE:
                phase, since_us = PENDING, time_us
            elif phase is RECOVERING:
                phase = FIRING
            if phase is PENDING:
                if time_us - last_us > self.gap_us(interval_s):
                    since_us = time_us
                if time_us - since_us >= self.for_us:
                    phase, breached_us = FIRING, since_us
                    shown, limit = watched.shown(condition)
                    fired = Transition("fires", breached_us, time_us, "confirmed by a reading", shown, limit)
                    made = (*made, fired)
        elif truth is None:
            if phase is PENDING:
                return _make(Core, (phase, condition, last_us, since_us, false_since_us, breached_us)), made
        elif phase is PENDING:
            phase = INACTIVE
        else:
            if phase is FIRING:
                phase, false_since_us = RECOVERING, time_us
            if time_us - false_since_us >= self._keep_us:
                phase = INACTIVE
                shown, limit = watched.shown(condition)
                made = (*made, Transition("resolves", breached_us, time_us, CLEARED, shown, limit))
        return _make(Core, (phase, condition, time_us, since_us, false_since_us, breached_us)), made

    def next_us(self, interval_s: float, core: Core) -> int | None:
        """When the clock has something to decide next, if no reading comes before."""
        times = (self._due_us(interval_s, core), self._ends_us(core))
        return min((time_us for time_us in times if time_us is not None), default=None)

    def _due_us(self, interval_s: float, core: Core) -> int | None:
        """When the clock lets a pending alert fire: its time has come while its evidence was still fresh."""
        if not self.by_clock or core.phase != PENDING:
            return None
        due_us, gap_us = core.since_us + self.for_us, self.gap_us(interval_s)
        if self._guarded is not None:
            # What a guard held back cannot be due before that guard was last heard.
            due_us = max(due_us, self._guarded.heard_us(core.condition))
        if due_us - core.last_us > gap_us:
            return None
        if self._guarded is not None and self._guarded.unknown_at(core.condition, due_us, due_us - gap_us):
            return None
        return due_us

    def _ends_us(self, core: Core) -> int | None:
        """When its hours end, with which all that is not inactive ends."""
        if self._guarded is None or not self._guarded.closes or core.phase == INACTIVE:
            return None
        return self._guarded.ends_us(core.since_us if core.phase == PENDING else core.last_us)

    def clock(self, interval_s: float, core: Core, now_us: int) -> Advanced:
        """What the clock has decided until now: at the times it was due, not at that of the tick."""
        made: tuple[Transition, ...] = ()
        ends_us = self._ends_us(core)
        due_us = self._due_us(interval_s, core)
        if due_us is not None and due_us <= now_us and (ends_us is None or due_us < ends_us):
            shown, limit = self.shown(core)
            made = (Transition("fires", core.since_us, due_us, "held for its time by the clock", shown, limit),)
            core = core._replace(phase=FIRING, breached_us=core.since_us)
        if ends_us is not None and ends_us <= now_us:
            if core.phase != PENDING:
                shown, limit = self.shown(core)
                made = (*made, Transition("resolves", core.breached_us, ends_us, CLOSED, shown, limit))
            core = core._replace(phase=INACTIVE)
        return core, made
