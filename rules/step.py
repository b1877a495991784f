"""The one function that decides: `step(rule, interval, state, input) -> (state, transitions)`.

Pure: no clock, no I/O. Live, catch-up after a restart, and tests all call it. Values are judged in the order of their
own time. A reading that arrives late is put in its place among the last `RING` readings, and what follows it is folded
again; so within these the result does not depend on the order of arrival, nor on how often the clock ticked meanwhile.
Transitions that this takes back or moves are told as such.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rules.judge import FIRING, INACTIVE, RECOVERING, Core, Judge, Reading, Transition
from rules.ladder import Ladder
from rules.model import Rule

__all__ = ["RING", "Core", "Entry", "KeyState", "Reading", "Seen", "Tick", "Transition", "initial", "step"]

#: Readings of a rule and point that a late one may be put among.
RING = 24

#: More readings than this do not hang together: they are cut to the last `RING`, but not at every one, for that would
#: touch them all.
_LONGEST = 2 * RING

#: Kinds of transitions that say how severe an alert is from then on.
_LEVELLED = ("fires", "raised", "lowered")

# Making a named tuple from a plain one without its Python constructor.
_make = tuple.__new__


class Tick(NamedTuple):
    """The clock. `blind_us`: since the point was last heard, time in which nothing could be received."""

    now_us: int
    blind_us: int = 0


class Seen(NamedTuple):
    """Something was received from the point's device."""

    received_us: int


class Entry(NamedTuple):
    """A reading that was judged, the state before it, and the transitions that it made. `earlier`: the reading before
    it; `length`: how many hang together."""

    reading: Reading
    before: Core
    made: tuple[Transition, ...]
    length: int
    earlier: Entry | None


class KeyState(NamedTuple):
    """All that is kept for a rule and point. `last`: the newest reading, with those before it. `now_us`: what the clock
    last decided by, if later than all readings."""

    core: Core
    last: Entry | None = None
    now_us: int = 0
    late_unjudged: int = 0

    @property
    def ring(self) -> list[Entry]:
        """The last `RING` readings, the oldest first."""
        entries: list[Entry] = []
        entry = self.last
        while entry is not None and len(entries) < RING:
            entries.append(entry)
            entry = entry.earlier
        entries.reverse()
        return entries


def linked(entries: Iterable[tuple[Reading, Core, tuple[Transition, ...]]]) -> Entry | None:
    """The newest of these entries (reading, state before it, what it made), which come the oldest first."""
    earlier: Entry | None = None
    for reading, before, made in entries:
        earlier = Entry(reading, before, made, 1 if earlier is None else earlier.length + 1, earlier)
    return earlier


def _cut(last: Entry) -> Entry:
    """The same without what is older than the last `RING` readings, of which one more is to come."""
    kept = []
    entry: Entry | None = last
    for _ in range(RING - 1):
        assert entry is not None
        kept.append(entry)
        entry = entry[4]
    earlier: Entry | None = None
    for length in range(1, RING):
        reading, before, made, _, _ = kept[-length]
        earlier = _make(Entry, (reading, before, made, length, earlier))
    assert earlier is not None
    return earlier


def initial(rule: Rule) -> KeyState:
    """State before anything is known."""
    return KeyState(rule.judge.initial())


def step(
    rule: Rule, interval_s: float, state: KeyState, item: Reading | Tick | Seen
) -> tuple[KeyState, tuple[Transition, ...]]:
    """Decide. `interval_s` is how often the point is expected to report."""
    if type(item) is Reading:
        core, last, now_us, late_unjudged = state
        length = 1
        if last is not None:
            newest = last[0]
            if now_us or item[0] < newest[0] or (item[0] == newest[0] and item[1] <= newest[1]):
                return _late(rule, interval_s, state, item)
            length += last[3]
            if length > _LONGEST:
                last, length = _cut(last), RING
        after, made = rule.judge.advance(interval_s, core, item)
        return _make(KeyState, (after, _make(Entry, (item, core, made, length, last)), now_us, late_unjudged)), made
    if rule.absent is not None:
        assert not isinstance(item, Reading)
        return _silence(rule, interval_s, state, item)
    if isinstance(item, Tick) and rule.judge.ticks:
        return _tick(rule, interval_s, state, item.now_us)
    return state, ()


def _late(rule: Rule, interval_s: float, state: KeyState, reading: Reading) -> tuple[KeyState, tuple[Transition, ...]]:
    """Put a reading in its place and fold again what follows it, and what the clock decided without knowing it."""
    place = reading[:2]
    judge = rule.judge
    again: list[Entry] = []
    entry = state.last
    while entry is not None and entry[0][:2] > place:
        again.append(entry)
        if len(again) == RING:
            return state._replace(late_unjudged=state.late_unjudged + 1), ()
        entry = entry.earlier
    if entry is not None and entry[0][:2] == place:
        return state, ()
    readings = [reading, *(one.reading for one in reversed(again))]
    if judge.ticks and entry is not None:
        # What the clock decided after the reading before.
        again.append(entry)
        readings.insert(0, entry.reading)
        entry = entry.earlier
    began = core = again[-1].before
    new: list[Transition] = []
    for one in readings:
        before = core
        core, made = judge.advance(interval_s, before, one)
        entry = Entry(one, before, made, 1 if entry is None else entry.length + 1, entry)
        new += made
    old = [transition for each in reversed(again) for transition in each.made]
    new_state = KeyState(core, entry, 0, state.late_unjudged)
    if state.now_us > core.last_us:
        new_state, ticked = _tick(rule, interval_s, new_state, state.now_us)
        new += ticked
    return new_state, () if old == new else _difference(judge, began, old, new)


def _tick(rule: Rule, interval_s: float, state: KeyState, now_us: int) -> tuple[KeyState, tuple[Transition, ...]]:
    now_us = max(now_us, state.now_us)
    core, made = rule.judge.clock(interval_s, state.core, now_us)
    last = state.last
    if made and last is not None:
        last = last._replace(made=last.made + made)
    return KeyState(core, last, now_us, state.late_unjudged), made


def _silence(
    rule: Rule, interval_s: float, state: KeyState, item: Tick | Seen
) -> tuple[KeyState, tuple[Transition, ...]]:
    core = state.core
    assert rule.absent is not None
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
    limit_us = rule.absent.limit_us(interval_s)
    due_us = core.last_us + limit_us + item.blind_us
    if core.phase == FIRING or item.now_us < due_us:
        return state, ()
    hours = (item.now_us - core.last_us) / 3.6e9
    fired = Transition("fires", core.last_us, due_us, "nothing received", hours, limit_us / 3.6e9)
    return KeyState(core._replace(phase=FIRING, breached_us=core.last_us)), (fired,)


def _difference(
    judge: Judge | Ladder, began: Core, old: list[Transition], new: list[Transition]
) -> tuple[Transition, ...]:
    """What to tell after folding again from `began` on: new transitions, and those taken back."""
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
    order = {"retracted": 0, "revised": 1, "reopened": 2, "fires": 3, "raised": 4, "lowered": 4, "resolves": 5}
    told.sort(key=lambda transition: (transition.kind != "retracted", transition.event_us, order[transition.kind]))
    return (*told, *_corrected(judge, began, old, new, told))


def _corrected(
    judge: Judge | Ladder, began: Core, old: list[Transition], new: list[Transition], told: list[Transition]
) -> list[Transition]:
    """For each alert whose severity `told` would leave wrong, the right one."""
    right: dict[int, Transition] = {}
    if began.phase == FIRING or began.phase == RECOVERING:
        shown, limit = judge.shown(began)
        place = (began.breached_us, began.last_us, "", shown, limit, judge.level(began))
        right[began.breached_us] = Transition("raised", *place)
    left = {breached_us: transition.level for breached_us, transition in right.items()}
    left |= {transition.breached_us: transition.level for transition in (*old, *told) if transition.kind in _LEVELLED}
    right |= {transition.breached_us: transition for transition in new if transition.kind in _LEVELLED}
    return [
        transition._replace(
            kind="raised" if transition.level > left[breached_us] else "lowered",
            reason="late data: its severity is another",
        )
        for breached_us, transition in right.items()
        if transition.level != left[breached_us]
    ]
