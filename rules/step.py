"""The one function that decides: `step(rule, interval, state, input) -> (state, transitions)`.

Pure: no clock, no I/O. Live, catch-up after a restart, and tests all call it. Values are judged in the order of their
own time. A reading that arrives late is put in its place among the last `RING` readings, and what follows it is folded
again; so within these the result does not depend on the order of arrival, nor on how often the clock ticked meanwhile.
Transitions that this takes back or moves are told as such.
"""

from __future__ import annotations

from typing import NamedTuple

from rules.conditions.base import State
from rules.model import Rule

#: Readings of a rule and point that a late one may be put among.
RING = 24


#: Where an alert stands.
INACTIVE, PENDING, FIRING, RECOVERING = "inactive", "pending", "firing", "recovering"

# Making a named tuple from a plain one without its Python constructor: this is the innermost loop of everything.
_make = tuple.__new__


class Reading(NamedTuple):
    """A good reading. Suspect and estimated ones are unknown: they are not given to `step`."""

    time_us: int
    metric_id: int
    value: float


class Tick(NamedTuple):
    """The clock. `blind_us`: since the point was last heard, time in which nothing could be received."""

    now_us: int
    blind_us: int = 0


class Seen(NamedTuple):
    """Something was received from the point's device."""

    received_us: int


class Transition(NamedTuple):
    """What changed. `kind`: fires, resolves; by late data also retracted (it never was), reopened (it goes on) and
    revised (it fired at another time)."""

    kind: str
    breached_us: int
    event_us: int
    reason: str
    value: float | None
    limit: float | None


class Core(NamedTuple):
    """The state proper, after one reading."""

    phase: str
    condition: State
    last_us: int  # of the last reading
    since_us: int  # of the first true reading in a row
    false_since_us: int  # recovering: of the first false one
    breached_us: int  # identity of the open episode


class Entry(NamedTuple):
    """A reading in the ring, the state before it, and the transitions that it made."""

    reading: Reading
    before: Core
    made: tuple[Transition, ...]


class KeyState(NamedTuple):
    """All that is kept for a rule and point. `now_us`: what the clock last decided by, if later than all readings."""

    core: Core
    ring: tuple[Entry, ...] = ()
    now_us: int = 0
    late_unjudged: int = 0


def initial(rule: Rule) -> KeyState:
    """State before anything is known."""
    condition = () if rule.when.absent is not None else rule.when.initial()
    return KeyState(Core(INACTIVE, condition, 0, 0, 0, 0))


def step(
    rule: Rule, interval_s: float, state: KeyState, item: Reading | Tick | Seen
) -> tuple[KeyState, tuple[Transition, ...]]:
    """Decide. `interval_s` is how often the point is expected to report."""
    if type(item) is Reading:
        core, ring, now_us, late_unjudged = state
        if not ring or (item[:2] > ring[-1][0][:2] and not now_us):
            after, made = _advance(rule, interval_s, core, item)
            entry = _make(Entry, (item, core, made))
            kept = ring[-RING + 1 :] if len(ring) >= RING else ring
            return _make(KeyState, (after, (*kept, entry), now_us, late_unjudged)), made
        return _late(rule, interval_s, state, item)
    if rule.when.absent is not None:
        assert not isinstance(item, Reading)
        return _silence(rule, interval_s, state, item)
    if isinstance(item, Tick) and rule.by_clock:
        return _tick(rule, interval_s, state, item.now_us)
    return state, ()


def _late(rule: Rule, interval_s: float, state: KeyState, reading: Reading) -> tuple[KeyState, tuple[Transition, ...]]:
    """Put a reading in its place and fold again what follows it, and what the clock decided without knowing it."""
    ring = state.ring
    place = reading[:2]
    if place < ring[0].reading[:2] and len(ring) >= RING:
        return state._replace(late_unjudged=state.late_unjudged + 1), ()
    index = next((i for i, entry in enumerate(ring) if entry.reading[:2] >= place), len(ring))
    if index < len(ring) and ring[index].reading[:2] == place:
        return state, ()
    begin = max(index - 1, 0) if rule.by_clock else index
    core = ring[begin].before
    entries = list(ring[:begin])
    before, after = ring[begin:index], ring[index:]
    for again in (*(entry.reading for entry in before), reading, *(entry.reading for entry in after)):
        advanced, made = _advance(rule, interval_s, core, again)
        entries.append(Entry(again, core, made))
        core = advanced
    old = [transition for entry in ring[begin:] for transition in entry.made]
    new = [transition for entry in entries[begin:] for transition in entry.made]
    new_state = KeyState(core, tuple(entries[-RING:]), 0, state.late_unjudged)
    if state.now_us > core.last_us:
        new_state, ticked = _tick(rule, interval_s, new_state, state.now_us)
        new += ticked
    return new_state, _difference(old, new)


def _advance(rule: Rule, interval_s: float, core: Core, reading: Reading) -> tuple[Core, tuple[Transition, ...]]:
    """The next state in order of event time."""
    phase, condition, last_us, since_us, false_since_us, breached_us = core
    time_us, metric_id, value = reading
    made: tuple[Transition, ...] = ()
    if phase is PENDING:
        if rule.by_clock:
            # The clock had already decided before this reading, however seldom it ticks.
            core, made = _fire_by_clock(rule, interval_s, core, time_us)
            phase, condition, last_us, since_us, false_since_us, breached_us = core
        if phase is PENDING and time_us - last_us > rule.max_gap_us(interval_s):
            since_us = time_us
    watched = rule.watched
    condition = watched.fold(condition, time_us, metric_id, value)
    fresh_us = time_us - rule.max_gap_us(interval_s) if rule.composed else 0
    truth = watched.truth(condition, phase is FIRING or phase is RECOVERING, fresh_us)
    if truth:
        if phase is INACTIVE:
            phase, since_us = PENDING, time_us
        if phase is PENDING and time_us - since_us >= rule.for_us:
            phase, breached_us = FIRING, since_us
            shown, limit = watched.shown(condition)
            made += (Transition("fires", breached_us, time_us, "confirmed by a reading", shown, limit),)
        elif phase is RECOVERING:
            phase = FIRING
    elif truth is not None and phase is not INACTIVE:
        if phase is PENDING:
            phase = INACTIVE
        else:
            if phase is FIRING:
                phase, false_since_us = RECOVERING, time_us
            if time_us - false_since_us >= rule.keep_us:
                phase = INACTIVE
                shown, limit = watched.shown(condition)
                made += (Transition("resolves", breached_us, time_us, "the condition no longer holds", shown, limit),)
    return _make(Core, (phase, condition, time_us, since_us, false_since_us, breached_us)), made


def _fire_by_clock(rule: Rule, interval_s: float, core: Core, now_us: int) -> tuple[Core, tuple[Transition, ...]]:
    """A pending alert whose time has come while its evidence was still fresh fires at that time, not at the tick's."""
    due_us = core.since_us + rule.for_us
    if core.phase != PENDING or now_us < due_us or due_us - core.last_us > rule.max_gap_us(interval_s):
        return core, ()
    shown, limit = rule.watched.shown(core.condition)
    fired = Transition("fires", core.since_us, due_us, "held for its time by the clock", shown, limit)
    return core._replace(phase=FIRING, breached_us=core.since_us), (fired,)


def _tick(rule: Rule, interval_s: float, state: KeyState, now_us: int) -> tuple[KeyState, tuple[Transition, ...]]:
    now_us = max(now_us, state.now_us)
    core, made = _fire_by_clock(rule, interval_s, state.core, now_us)
    ring = state.ring
    if made and ring:
        last = ring[-1]
        ring = (*ring[:-1], last._replace(made=last.made + made))
    return KeyState(core, ring, now_us, state.late_unjudged), made


def _silence(
    rule: Rule, interval_s: float, state: KeyState, item: Tick | Seen
) -> tuple[KeyState, tuple[Transition, ...]]:
    core = state.core
    assert rule.when.absent is not None
    if isinstance(item, Seen):
        if item.received_us <= core.last_us:
            return state, ()
        made: tuple[Transition, ...] = ()
        if core.phase == FIRING:
            hours = (item.received_us - core.last_us) / 3.6e9
            made = (Transition("resolves", core.breached_us, item.received_us, "it reports again", hours, None),)
        return KeyState(core._replace(phase=INACTIVE, last_us=item.received_us)), made
    if core.last_us == 0:
        # Never heard: the silence counts from when we began to listen.
        return KeyState(core._replace(last_us=item.now_us)), ()
    limit_us = rule.when.absent.limit_us(interval_s)
    due_us = core.last_us + limit_us + item.blind_us
    if core.phase == FIRING or item.now_us < due_us:
        return state, ()
    hours = (item.now_us - core.last_us) / 3.6e9
    fired = Transition("fires", core.last_us, due_us, "nothing received", hours, limit_us / 3.6e9)
    return KeyState(core._replace(phase=FIRING, breached_us=core.last_us)), (fired,)


def _difference(old: list[Transition], new: list[Transition]) -> tuple[Transition, ...]:
    """What to tell after folding again: new transitions, and those taken back."""
    was_fired = {transition.breached_us for transition in old if transition.kind == "fires"}
    told = [
        transition._replace(kind="revised", reason="late data: it held from another time on")
        if transition.kind == "fires" and transition.breached_us in was_fired
        else transition
        for transition in new
        if transition not in old
    ]
    fired = {transition.breached_us for transition in new if transition.kind == "fires"}
    resolved = {transition.breached_us for transition in new if transition.kind == "resolves"}
    for transition in old:
        if transition in new:
            continue
        breached_us = transition.breached_us
        if transition.kind == "fires" and breached_us not in fired:
            told.append(transition._replace(kind="retracted", reason="late data: the condition did not hold so long"))
        elif transition.kind == "resolves" and breached_us not in resolved | (was_fired - fired):
            told.append(transition._replace(kind="reopened", reason="late data: the condition still held"))
    # What is taken back goes first: only one episode of a rule and point can be open.
    order = {"retracted": 0, "revised": 1, "reopened": 2, "fires": 3, "resolves": 4}
    told.sort(key=lambda transition: (transition.kind != "retracted", transition.event_us, order[transition.kind]))
    return tuple(told)
