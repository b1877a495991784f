"""Why a rule has raised no alert at a point: its readings through `step`, and at which check it stopped. Pure.

The checks go in the order in which a reading meets them: the scope, a reading of the metric, its quality, its age, the
condition, the time for which it held. The first that fails is the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from catalogue.metrics import Quality, metrics_by_id
from rules.engine import scope_mismatch
from rules.explain import NodeTold, blame, tree_of
from rules.judge import FIRING, INACTIVE, PENDING, RECOVERING, Judge
from rules.model import Rule
from rules.reason import Amount, At, Fact, For, Metrics, Part, Reason, Severe
from rules.scope import Choice
from rules.step import Core, KeyState, Reading, Tick, Transition, initial, step
from store.alerts import PointInfo

#: How far back the nearest miss is looked for.
NEAREST_S = 86_400.0


class Stored(NamedTuple):
    """A reading as it is stored, of any quality."""

    time_us: int
    metric_id: int
    value: float
    quality: int


@dataclass(frozen=True)
class Known:
    """What is known of the point. `stored`: in order of time, from the rule's memory before the moment in question on.
    `newest`, `oldest`: of each metric, before that moment and at all. `sends`: every metric of the point. `heard_us`:
    when its device was last heard before that moment, 0 if never. `outages`: (down, up) of ingest. `alive_us`: when
    ingest was last alive, if it no longer is (0: never). `causes`: why an alert that should have fired may not be
    written. `written`: one was open at the moment."""

    stored: Sequence[Stored] = ()
    newest: Mapping[int, Stored] = field(default_factory=dict)
    oldest: Mapping[int, int] = field(default_factory=dict)
    sends: Sequence[int] = ()
    heard_us: int = 0
    outages: Sequence[tuple[int, int]] = ()
    alive_us: int | None = None
    causes: Sequence[Reason] = ()
    written: bool = False


@dataclass(frozen=True)
class Verdict:
    """The answer. `check` is where it stopped; `fires` is True if it did not. `nearest`: how near it came before."""

    check: str
    reason: Reason
    fires: bool = False
    tree: NodeTold | None = None
    nearest: Reason | None = None
    passed: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "fires": self.fires,
            "stopped_at": self.check,
            "reason": self.reason.as_json(),
            "passed": list(self.passed),
            "nearest": self.nearest.as_json() if self.nearest else None,
            "tree": self.tree.as_json() if self.tree else None,
        }


#: The checks in their order; a rule on silence has the first, `heard` and `silence` only.
CHECKS = ("scope", "readings", "quality", "age", "condition", "time", "alert")


class _Run(NamedTuple):
    """How long the condition held: from `since_us` to `last_us`, its last true reading; ended by a reading, by a `gap`
    that made the time begin anew at `next_us`, or not yet (`next_us` 0)."""

    since_us: int
    last_us: int
    next_us: int
    gap: bool
    why: Reason | None


@dataclass
class _Trace:
    """What folding showed up to the moment, and what came after it. `before`: (time, core) after each reading."""

    state: KeyState
    at: KeyState
    before: list[tuple[int, Core]] = field(default_factory=list)
    runs: list[_Run] = field(default_factory=list)
    fired: list[Transition] = field(default_factory=list)
    resolved: list[Transition] = field(default_factory=list)


def why_not(rule: Rule, point: PointInfo, at_us: int, known: Known) -> Verdict:
    """Why nothing is firing at `at_us`, or that it is; of a rule of several levels, of the one that came furthest."""
    rule, _ = rule.at(point.labels)
    verdicts = [(one, _why_not(one, point, at_us, known)) for one in rule.by_level]
    if rule.levels is None or verdicts[0][1].check == "scope":
        return verdicts[0][1]
    one, verdict = max(verdicts, key=lambda each: (each[1].fires, CHECKS.index(each[1].check)))
    return replace(verdict, reason=Reason("of_level", {"severity": Severe(one.severity), "why": verdict.reason}))


def _why_not(rule: Rule, point: PointInfo, at_us: int, known: Known) -> Verdict:
    part = scope_mismatch(rule.scope, point)
    if part is not None:
        return Verdict("scope", Reason("scope", _scope_facts(*part)))
    if rule.absent is not None:
        return _silence(rule, point, at_us, known)
    judge = rule.judge
    assert isinstance(judge, Judge)
    ids = rule.metric_ids
    gap_us = judge.gap_us(point.interval_s)
    named = Metrics(sorted(ids))
    newest = max((known.newest[each] for each in ids if each in known.newest), default=None)
    if newest is None:
        return Verdict("readings", _no_reading(ids, known), passed=CHECKS[:1])
    good = [one for one in known.stored if one.metric_id in ids and one.quality == Quality.GOOD]
    before = [one for one in known.stored if one.metric_id in ids and one.time_us <= at_us]
    last_good = max((one for one in good if one.time_us <= at_us), default=None)
    bad = [one for one in before if last_good is None or one.time_us > last_good.time_us]
    trace = _fold(rule, point.interval_s, good, at_us)
    tree = tree_of(rule, point.interval_s, trace.at.core) if last_good else None
    fired = _firing(rule, trace, known)
    if fired is not None:
        return Verdict("alert", fired[0], fired[1], tree, passed=CHECKS[:6])
    if bad and at_us - (last_good.time_us if last_good else 0) > gap_us:
        reason = Reason("quality", _of(bad[-1]) | {"count": len(bad), "since": At(bad[0].time_us), "metric": named})
        return Verdict("quality", reason, tree=tree, nearest=_nearest(rule, point, trace, at_us), passed=CHECKS[:2])
    last = last_good or newest
    if last_good is None or at_us - last.time_us > gap_us:
        reason = _stale(last, at_us, known)
        return Verdict("age", reason, tree=tree, nearest=_nearest(rule, point, trace, at_us), passed=CHECKS[:3])
    assert tree is not None
    core = trace.at.core
    if core.phase is PENDING:
        return Verdict("time", _not_long(judge, point, at_us, trace), tree=tree, passed=CHECKS[:5])
    return Verdict(
        "condition", _condition(tree), tree=tree, nearest=_nearest(rule, point, trace, at_us), passed=CHECKS[:4]
    )


def _scope_facts(part: str, wanted: Choice, own: str | None) -> Mapping[str, Fact]:
    return {"part": Part(part), "wanted": wanted, "own": own or "–"}


def _of(one: Stored) -> dict[str, Fact]:
    return {
        "metric": Metrics([one.metric_id]),
        "at": At(one.time_us),
        "value": Amount(one.value, metrics_by_id()[one.metric_id].unit),
        "quality": Quality(one.quality).name.lower(),
    }


def _no_reading(ids: frozenset[int], known: Known) -> Reason:
    named = Metrics(sorted(ids))
    first = min((known.oldest[each] for each in ids if each in known.oldest), default=None)
    if first is not None:
        return Reason("late_start", {"metric": named, "first": At(first)})
    if known.sends:
        return Reason("no_metric", {"metric": named, "others": Metrics(sorted(known.sends))})
    return Reason("nothing", {"metric": named})


def _stale(last: Stored, at_us: int, known: Known) -> Reason:
    facts = _of(last)
    facts.pop("quality")
    down = next((each for each in known.outages if each[1] > last.time_us and each[0] < at_us), None)
    if down is not None:
        return Reason("outage", facts | {"down": At(down[0]), "up": At(down[1])})
    return Reason("stale", facts)


def _fold(rule: Rule, interval_s: float, good: Sequence[Stored], at_us: int) -> _Trace:
    """Fold in order of time; what comes after the moment only says how it went on."""
    state = initial(rule)
    trace = _Trace(state, state)
    asked = False

    def ask() -> None:
        nonlocal state
        if rule.judge.ticks:
            state, made = step(rule, interval_s, state, Tick(at_us))
            trace.fired.extend(made)
        trace.at = state

    for one in good:
        if one.time_us > at_us and not asked:
            asked = True
            ask()
            # The clock stands still in what follows: it is only there to say how it went on.
            state = state._replace(now_us=0)
        was = state.core
        state, made = step(rule, interval_s, state, Reading(one.time_us, one.metric_id, one.value))
        trace.fired.extend(item for item in made if item.kind == "fires")
        trace.resolved.extend(item for item in made if item.kind == "resolves")
        _note_run(rule, interval_s, trace, was, state.core, one.time_us)
        if one.time_us <= at_us:
            trace.before.append((one.time_us, state.core))
    if not asked:
        ask()
    trace.state = state
    return trace


def _note_run(rule: Rule, interval_s: float, trace: _Trace, was: Core, now: Core, time_us: int) -> None:
    if was.phase is not PENDING:
        return
    if now.phase is INACTIVE:
        why = blame(tree_of(rule, interval_s, now)).reason
        trace.runs.append(_Run(was.since_us, was.last_us, time_us, False, why))
    elif now.phase is PENDING and now.since_us != was.since_us:
        trace.runs.append(_Run(was.since_us, was.last_us, time_us, True, None))


def _firing(rule: Rule, trace: _Trace, known: Known) -> tuple[Reason, bool] | None:
    core = trace.at.core
    if core.phase not in (FIRING, RECOVERING):
        return None
    fired_us = max((one.event_us for one in trace.fired if one.breached_us == core.breached_us), default=core.last_us)
    facts: dict[str, Fact] = {"fired": At(fired_us), "breached": At(core.breached_us)}
    if known.written:
        return Reason("fires", facts), True
    return Reason("not_told", facts | {"causes": tuple(known.causes)}), False


def _condition(tree: NodeTold) -> Reason:
    why: dict[str, Fact] = {"why": blame(tree).reason}
    if tree.truth is None:
        return Reason("unknown_why", why)
    return Reason("parts" if tree.kind == "all" else "limit", why)


def _not_long(judge: Judge, point: PointInfo, at_us: int, trace: _Trace) -> Reason:
    """It held at the moment, and not yet for its time: since when, and how it went on or may go on."""
    core = trace.at.core
    needed, held_s = For(judge.for_us / 1e6), (at_us - core.since_us) / 1e6
    facts: dict[str, Fact] = {"since": At(core.since_us), "needed": needed, "held": For(held_s), "at": At(at_us)}
    gap = next((run for run in reversed(trace.runs) if run.gap and run.next_us == core.since_us), None)
    if gap is not None:
        return Reason(
            "gap",
            facts
            | {
                "gap_from": At(gap.last_us),
                "gap_to": At(gap.next_us),
                "gap": For(judge.gap_us(point.interval_s) / 1e6),
                "before": For((gap.last_us - gap.since_us) / 1e6),
            },
        )
    later = next((one for one in trace.fired if one.event_us > at_us and one.breached_us == core.since_us), None)
    if later is not None:
        return Reason("pending_later", facts | {"fired": At(later.event_us)})
    ended = next((run for run in trace.runs if run.next_us > at_us and run.since_us == core.since_us), None)
    if ended is not None and ended.why is not None:
        return _ended(judge, ended)
    if at_us - core.since_us >= judge.for_us:
        return Reason("waits", facts)
    return Reason("pending", facts | {"due": At(core.since_us + judge.for_us)})


def _ended(judge: Judge, run: _Run) -> Reason:
    facts: dict[str, Fact] = {
        "since": At(run.since_us),
        "until": At(run.next_us),
        "held": For((run.last_us - run.since_us) / 1e6),
        "needed": For(judge.for_us / 1e6),
    }
    return Reason("not_held", facts | ({"why": run.why} if run.why else {}))


def _nearest(rule: Rule, point: PointInfo, trace: _Trace, at_us: int) -> Reason | None:
    """How near it came in the day before: the last alert that was over by then, else the longest time for which the
    condition held, else the reading nearest to the limit."""
    since_us = at_us - round(NEAREST_S * 1e6)
    over = next((one for one in reversed(trace.resolved) if since_us <= one.event_us <= at_us), None)
    if over is not None:
        fired_us = next((one.event_us for one in trace.fired if one.breached_us == over.breached_us), over.breached_us)
        return Reason("fired_before", {"fired": At(fired_us), "until": At(over.event_us)})
    runs = [run for run in trace.runs if since_us <= run.last_us and run.next_us <= at_us and not run.gap]
    if runs:
        assert isinstance(rule.judge, Judge)
        return _ended(rule.judge, max(runs, key=lambda run: run.last_us - run.since_us))
    best: tuple[float, int, NodeTold] | None = None
    for time_us, core in trace.before:
        if time_us < since_us:
            continue
        leaf = blame(tree_of(rule, point.interval_s, core))
        if leaf.short is not None and (best is None or leaf.short < best[0]):
            best = leaf.short, time_us, leaf
    if best is None or best[1] == trace.before[-1][0]:
        return None
    return Reason("nearest", {"at": At(best[1]), "why": best[2].reason})


def _silence(rule: Rule, point: PointInfo, at_us: int, known: Known) -> Verdict:
    assert rule.absent is not None
    limit_us = rule.absent.limit_us(point.interval_s)
    limit = For(limit_us / 1e6)
    if known.written:
        breached = At(known.heard_us)
        return Verdict("alert", Reason("silent", {"at": breached}), True, passed=("scope", "heard", "silence"))
    if not known.heard_us:
        return Verdict("heard", Reason("never_heard", {"limit": limit}), passed=("scope",))
    silent_us = at_us - known.heard_us
    at = At(known.heard_us)
    if silent_us < limit_us:
        reason = Reason("heard", {"at": at, "ago": For(silent_us / 1e6), "limit": limit})
        return Verdict("heard", reason, passed=("scope",))
    missed_us = sum(max(0, min(up, at_us) - max(down, known.heard_us)) for down, up in known.outages)
    grace_us = round(point.interval_s * 1e6) if missed_us else 0
    if silent_us - missed_us - grace_us < limit_us:
        reason = Reason("deaf", {"at": at, "missed": For(missed_us / 1e6), "limit": limit})
        return Verdict("silence", reason, passed=("scope", "heard"))
    if known.alive_us is not None:
        return Verdict("silence", Reason("blind", {"at": at, "alive": At(known.alive_us)}), passed=("scope", "heard"))
    fired = {"fired": At(known.heard_us + limit_us + missed_us + grace_us), "breached": at}
    reason = Reason("not_told", fired | {"causes": tuple(known.causes)})
    return Verdict("alert", reason, passed=("scope", "heard", "silence"))
