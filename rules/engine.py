"""All rules over all points, in memory: which state a reading touches, and what came of it. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from catalogue.metrics import Quality
from rules import state_json
from rules.model import Rule
from rules.scope import Choice, Scope
from rules.step import KeyState, Reading, Seen, Tick, Transition, initial, step
from store.alerts import PointInfo
from store.reading_log import LogBatch

Key = tuple[str, int]

#: The least that `Rule.memory_s` gives.
_LEAST_MEMORY_US = 2 * 86_400_000_000


@dataclass(slots=True)
class Machine:
    """A rule at a point."""

    rule: Rule
    point: PointInfo
    state: KeyState
    changed: bool = False
    late_counted: int = 0
    memory_us: int = 0
    interval_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.interval_s = self.point.interval_s


@dataclass(frozen=True)
class Decided:
    """A transition, and which rule at which point made it."""

    rule: Rule
    point: PointInfo
    transition: Transition


class Engine:
    """Machines for every rule and point in its scope; `take_changed` gives the states to be saved.

    What was older than a rule's memory when it was received is history: it is not judged, unless `judge_history`.
    `late_unjudged` counts readings that came too late for a rule, `history` those that are history for every rule.
    """

    def __init__(self, rules: Sequence[Rule], *, judge_history: bool = False) -> None:
        self.rules = {rule.id: rule for rule in rules}
        #: One for all machines that know nothing yet: there may be millions.
        self._initial = {rule.hash: initial(rule) for rule in rules}
        self.history = 0
        self._judge_history = judge_history
        self._imported: dict[Key, Machine] = {}
        self.machines: dict[Key, Machine] = {}
        self.late_unjudged = 0
        self._changed: list[Machine] = []
        self._by_reading: dict[tuple[int, int], list[Machine]] = {}
        self._by_point: dict[int, list[Machine]] = {}
        self._by_clock: list[Machine] = []
        self._silence: list[Machine] = []
        watched = {metric_id for rule in rules for metric_id in rule.metric_ids}
        self._watched = np.array(sorted(watched), np.int16)
        self._by_label = {rule.id for rule in rules if rule.labels_wanted}
        self._wrong_labels: list[str] = []
        self._points: dict[int, PointInfo] = {}
        #: Pairs of rule and point that the last `set_points` no longer watches.
        self.lost: set[Key] = set()

    def set_points(self, points: Iterable[PointInfo], saved: Mapping[Key, tuple[str, dict[str, Any]]]) -> list[Machine]:
        """Take over the city's points. Known machines keep their state; new ones take the saved state if the rule is
        still the same. Returns those that begin anew. Points that have not changed cost nothing."""
        wanted = {point.point_id: point for point in points}
        old: dict[Key, Machine] = {}
        for point_id, known in list(self._points.items()):
            if wanted.get(point_id) != known:
                old |= self._remove(point_id)
        anew: list[Machine] = []
        for point_id, point in wanted.items():
            if self._points.get(point_id) is None:
                anew += self._add(point, old, saved)
        self.lost = {key for key in old if key not in self.machines}
        self._points = wanted
        if old:
            self._by_clock = [machine for machine in self._by_clock if self._has(machine)]
            self._silence = [machine for machine in self._silence if self._has(machine)]
            self._imported = {key: self.machines[key] for key in self._imported if key in self.machines}
        return anew

    def _has(self, machine: Machine) -> bool:
        return self.machines.get((machine.rule.id, machine.point.point_id)) is machine

    def _remove(self, point_id: int) -> dict[Key, Machine]:
        """Forget a point; returns its machines."""
        del self._points[point_id]
        gone = {
            (rule_id, point_id): self.machines.pop((rule_id, point_id))
            for rule_id in self.rules
            if (rule_id, point_id) in self.machines
        }
        for metric_id in self._watched.tolist():
            self._by_reading.pop((point_id, metric_id), None)
        self._by_point.pop(point_id, None)
        return gone

    def _add(
        self, point: PointInfo, old: Mapping[Key, Machine], saved: Mapping[Key, tuple[str, dict[str, Any]]]
    ) -> list[Machine]:
        """Machines for a point; returns those that begin anew."""
        anew: list[Machine] = []
        for whole in self.rules.values():
            if not in_scope(whole.scope, point):
                continue
            rule, wrong = whole.at(point.labels) if whole.id in self._by_label else (whole, "")
            if wrong:
                self._wrong_labels.append(f"rule {rule.id} at the point {point.code}: {wrong}")
            key = (rule.id, point.point_id)
            if key in old and old[key].rule.hash == rule.hash:
                machine = Machine(rule, point, old[key].state)
            elif key in saved and saved[key][0] == rule.hash:
                machine = Machine(rule, point, state_json.load(rule, point.interval_s, saved[key][1]))
            else:
                if rule.hash not in self._initial:
                    self._initial[rule.hash] = initial(rule)
                machine = Machine(rule, point, self._initial[rule.hash])
                anew.append(machine)
            machine.late_counted = machine.state.late_unjudged
            machine.memory_us = round(rule.memory_s(point.interval_s) * 1e6)
            self.machines[key] = machine
            if rule.absent is not None:
                self._silence.append(machine)
                self._by_point.setdefault(point.point_id, []).append(machine)
                continue
            if rule.judge.ticks:
                self._by_clock.append(machine)
            for metric_id in rule.metric_ids:
                self._by_reading.setdefault((point.point_id, metric_id), []).append(machine)
        return anew

    def take_wrong_labels(self) -> list[str]:
        """Sentences about labels that do not fit the rules that want their numbers, once."""
        told, self._wrong_labels = self._wrong_labels, []
        return told

    def replace_state(self, machine: Machine, state: KeyState) -> None:
        """Give a machine a state that was worked out elsewhere."""
        machine.state = state
        self._mark(machine)

    def fold(self, batch: LogBatch) -> tuple[list[Decided], int]:
        """Judge a batch of the log; returns what was decided and how many readings were judged."""
        decided: list[Decided] = []
        received_us = round(batch.received_at.timestamp() * 1e6)
        if batch.origin == "import":
            self._notice(batch, received_us)
            return decided, 0
        if self._silence:
            for point_id in np.unique(batch.point_ids).tolist():
                for machine in self._by_point.get(point_id, ()):
                    self._give(machine, Seen(received_us), decided)
        wanted = np.isin(batch.metric_ids, self._watched) & (batch.qualities == Quality.GOOD)
        columns = (batch.times_us, batch.point_ids, batch.metric_ids, batch.values)
        by_reading, changed = self._by_reading, self._changed
        # Most batches are of now: their readings need no second look.
        old = not self._judge_history and len(batch) and int(batch.times_us.min()) < received_us - _LEAST_MEMORY_US
        judged = 0
        make = tuple.__new__
        for time_us, point_id, metric_id, value in zip(*(column[wanted].tolist() for column in columns), strict=True):
            machines = by_reading.get((point_id, metric_id))
            if machines is None:
                continue
            if old:
                machines = [machine for machine in machines if time_us >= received_us - machine.memory_us]
                if not machines:
                    self.history += 1
                    continue
            judged += 1
            reading = make(Reading, (time_us, metric_id, value))
            for machine in machines:
                machine.state, made = step(machine.rule, machine.interval_s, machine.state, reading)
                if not machine.changed:
                    machine.changed = True
                    changed.append(machine)
                if made:
                    decided.extend(Decided(machine.rule, machine.point, transition) for transition in made)
        return decided, judged

    def _notice(self, batch: LogBatch, received_us: int) -> None:
        """An import is not judged one by one: what it brought within a rule's memory is looked at as a whole."""
        wanted = np.isin(batch.metric_ids, self._watched) & (batch.qualities == Quality.GOOD)
        columns = (batch.times_us, batch.point_ids, batch.metric_ids)
        newest: dict[tuple[int, int], int] = {}
        for time_us, point_id, metric_id in zip(*(column[wanted].tolist() for column in columns), strict=True):
            newest[point_id, metric_id] = max(time_us, newest.get((point_id, metric_id), time_us))
        for place, time_us in newest.items():
            for machine in self._by_reading.get(place, ()):
                if time_us >= received_us - machine.memory_us:
                    self._imported[machine.rule.id, machine.point.point_id] = machine
        self.history += batch.reading_count

    def take_imported(self) -> list[Machine]:
        """Machines for which an import brought something that may matter now, once: they begin anew."""
        machines, self._imported = list(self._imported.values()), {}
        return machines

    def tick(self, now_us: int, outages: Sequence[tuple[int, int]], blind: bool) -> list[Decided]:
        """Let the clock decide. `now_us` must not be later than what of the log has been judged. `outages` are
        (down, up) in microseconds; while `blind`, silence is unknown."""
        decided: list[Decided] = []
        for machine in self._by_clock:
            due_us = machine.rule.judge.next_us(machine.point.interval_s, machine.state.core)
            if due_us is not None and due_us <= now_us:
                self._give(machine, Tick(now_us), decided)
        if not blind:
            for machine in self._silence:
                last_us = machine.state.core.last_us
                missed = sum(max(0, up - max(down, last_us)) for down, up in outages)
                # After an outage a device has one more interval to be heard.
                grace = round(machine.point.interval_s * 1e6) if missed else 0
                self._give(machine, Tick(now_us, missed + grace), decided)
        return decided

    def take_changed(self) -> list[tuple[str, int, str, dict[str, Any]]]:
        """Rows for `store.alerts.save_states`, once."""
        rows = []
        for machine in self._changed:
            machine.changed = False
            self.late_unjudged += machine.state.late_unjudged - machine.late_counted
            machine.late_counted = machine.state.late_unjudged
            if self.machines.get((machine.rule.id, machine.point.point_id)) is machine:
                rows.append(
                    (machine.rule.id, machine.point.point_id, machine.rule.hash, state_json.dump(machine.state))
                )
        self._changed = []
        return rows

    def _give(self, machine: Machine, item: Reading | Tick | Seen, decided: list[Decided]) -> None:
        state, made = step(machine.rule, machine.point.interval_s, machine.state, item)
        if state is not machine.state:
            machine.state = state
            self._mark(machine)
        if made:
            decided.extend(Decided(machine.rule, machine.point, transition) for transition in made)

    def _mark(self, machine: Machine) -> None:
        if not machine.changed:
            machine.changed = True
            self._changed.append(machine)


def in_scope(scope: Scope, point: PointInfo) -> bool:
    """True if every given part of the scope fits the point."""
    return scope.fits(point)


def scope_mismatch(scope: Scope, point: PointInfo) -> tuple[str, Choice, str | None] | None:
    """The first part of the scope that does not fit: its name, what it asks for, and the point's own."""
    return next((part for part in scope.parts(point) if not part[1].fits(part[2])), None)
